/*
 * What all subcommands of the program `usagelog` share: exit statuses, options from tables, messages. The subcommands
 * themselves are one file each (cmd_*.c) and know nothing of each other; main.c is the table of them.
 */
#ifndef USAGELOG_COMMAND_H
#define USAGELOG_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

enum exit_status {
	STATUS_DONE = 0,
	STATUS_PART = 1,  /* done in part: some input was refused */
	STATUS_BUSY = 2,  /* another compactor runs */
	STATUS_FILES = 8, /* could not read or write; there is no such log */
	STATUS_USAGE = 16,
	/* verify only, a bit mask: */
	STATUS_RESIDUE = 1, /* with --strict */
	STATUS_DAMAGE = 4,
};

/* One option of a subcommand. `--log DIR` and `--help` are added to every table. */
struct option_entry {
	const char *name;       /* without the dashes */
	const char *value_name; /* shown in the help; NULL: a flag */
	const char *help;       /* one line */
	const char **text;      /* where its value goes, as given; the last one counts */
	bool *flag;             /* where a flag is set */
};

struct command {
	const char *name;
	const char *operands; /* shown in the help, such as "FILE|-"; "" if none */
	const char *summary;  /* one line, for usagelog --help */
	const char *details;  /* more for usagelog NAME --help, or "" */
	/* `log` is what --log before the subcommand said, or NULL; argv[0] is the subcommand's name. Returns an exit
	 * status. */
	int (*run)(const struct command *command, const char *log, int argc, char **argv);
};

extern const struct command command_record, command_import, command_compact, command_rebuild, command_merge,
	command_summary, command_verify, command_dump, command_config;

struct command_line {
	const char *log; /* --log, wherever it stood; NULL: the default directory */
	char **operands;
	int operand_count;
};

/* Parse a subcommand's arguments; `log` is what stood before the subcommand. Returns -1 to go on, or the exit status
 * when all is
 * said: STATUS_DONE after --help (printed to stdout), STATUS_USAGE after an error (printed to stderr). */
int command_parse(const struct command *command, const struct option_entry *entries, size_t entry_count,
		  const char *log, int argc, char **argv, struct command_line *line);

/* "usagelog: MESSAGE\n" to stderr, control characters made harmless. A full sentence: what, where, why, what to do. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "; did you mean NAME?" for a word that is not one of the names but near one, or "". `get` gives the names by
 * index, NULL after the last.
 * The text is written to `out`. */
enum { SUGGESTION_BYTES = 96 };
void suggest(const char *word, const char *(*get)(const void *arg, size_t index), const void *arg,
	     char out[SUGGESTION_BYTES]);

/* Write text to a stream with control characters and invalid UTF-8 made harmless (as \xNN), for names from outside. */
struct _IO_FILE;
void print_safely(struct _IO_FILE *stream, const char *text, size_t bytes);

#endif
