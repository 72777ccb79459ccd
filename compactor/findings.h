/*
 * What was found wrong on the way, as sentences for people: one bad file never stops the rest, so it is written down here and
 * the work goes on.
 */
#ifndef USAGELOG_FINDINGS_H
#define USAGELOG_FINDINGS_H

#include <stddef.h>

enum finding_kind {
	FINDING_NOTE,     /* worth knowing; nothing is wrong with the log */
	FINDING_RESIDUE,  /* left over by something that died */
	FINDING_DAMAGE,   /* bytes are not what they were */
	FINDING_LEFT_OUT, /* something could not be read, or must not be, and its calls are not counted */
	FINDING_KINDS,
};

enum { FINDINGS_KEPT_MAX = 1000 };

struct finding {
	enum finding_kind kind;
	char *text;
};

struct findings {
	struct finding *items; /* the first 1,000 */
	size_t count;
	size_t counts[FINDING_KINDS]; /* of all */
};

void findings_add(struct findings *findings, enum finding_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Add all that others hold. */
void findings_add_all(struct findings *findings, const struct findings *more);
void findings_clear(struct findings *findings);

#endif
