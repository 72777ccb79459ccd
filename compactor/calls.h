/*
 * Every call of a log, slot by slot, with its names as text: what the definitions make of a line is made once for the many calls that name
 * them. Memory does not grow with the log. What a line looks like is for those who print it (cmd_dump.c, cmd_export.c).
 */
#ifndef USAGELOG_CALLS_H
#define USAGELOG_CALLS_H

#include <stdio.h>

#include "checkpoint.h"
#include "directory.h"
#include "json.h"
#include "slot.h"

/* What a definition makes of a line: text for two places of it. */
struct call_text {
	const char *head, *tail;
};

/* A call, a reversal or an opening balance. */
struct call_line {
	const struct ul_slot *slot;
	const struct ul_id *call_id; /* NULL: none */
	const struct ul_id *segment;
	uint32_t number;
	struct call_text model, context; /* unset in `wanted` */
};

struct call_format {
	/* A model's definition; "(unknown)" both where none can be read. */
	void (*model)(FILE *head, FILE *tail, struct ul_text provider, struct ul_text model);
	/* A context's, an object; without members where there is none. */
	void (*context)(FILE *head, FILE *tail, struct ul_json_span context);
	/* Before the texts are made: is the line to be printed? NULL: all are. */
	bool (*wanted)(void *arg, const struct call_line *line);
	/* 0; -EPIPE: nobody reads on, which ends it; another code. NULL: it is only looked at what is wanted, and what of the log is gone is
	 * not said. */
	int (*line)(void *arg, const struct call_line *line);
	/* Once, with the checkpoint (maybe an empty one), before the lines. 0 or -ENOMEM. NULL: nothing is wanted of it. */
	int (*begin)(void *arg, const struct checkpoint *checkpoint);
};

/* Take all lines in the order of segments, which is that of their making, and slots; and say on standard error what of the log could not be taken or is
 * gone. An exit status. */
int calls_take(const struct ul_directory *directory, const struct call_format *format, void *arg);

/* Texts of a string and of a name as JSON strings, and a span's plain text: for the formats. */
void calls_print_json(FILE *stream, const char *text, size_t bytes);

/* us as ms, exactly. */
void calls_print_ms(FILE *stream, uint64_t us);

/* The latency in us; false: unknown. */
static inline bool calls_latency_us(const struct ul_slot *slot, uint64_t *us)
{
	*us = (uint64_t)slot->body.call.latency * (slot->word & UL_LATENCY_MS ? 1000 : 1);
	return !(slot->word & UL_LATENCY_UNKNOWN);
}

#endif
