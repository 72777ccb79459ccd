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
	STATUS_PART = 1,   /* done in part: some input was refused */
	STATUS_BUSY = 2,   /* another compactor runs */
	STATUS_BUDGET = 3, /* report: a budget is exceeded */
	STATUS_FILES = 8,  /* could not read or write; there is no such log */
	STATUS_USAGE = 16,
	/* verify only, a bit mask: */
	STATUS_RESIDUE = 1, /* with --strict */
	STATUS_DAMAGE = 4,
};

/* One option of a subcommand. `--log DIR` and `--help` are added to every table; `--output` is `-o` too. */
struct option_entry {
	const char *name;       /* without the dashes */
	const char *value_name; /* shown in the help; NULL: a flag */
	const char *help;       /* one line; "": shown in the line of the next option */
	const char **text;      /* where its value goes, as given; the last one counts */
	bool *flag;             /* where a flag is set */
};

/* What a value_name or an operand is, so that a shell can complete it: "FILE", "DIR" or "LOG", words such as "jsonl|csv" (of which
 * command_parse() takes no other), or anything else. One that ends in "..." is of an option that may be given several times: `text` is an array
 * of so many, and a NULL. */
enum { OPTION_VALUES_MAX = 16 };

struct command {
	const char *name;
	const char *operands; /* shown in the help, such as "FILE|-"; "" if none */
	const char *summary;  /* one line, for usagelog --help */
	const char *details;  /* more for usagelog NAME --help, or "" */
	/* `log` is what --log before the subcommand said, or NULL; argv[0] is the subcommand's name. Returns an exit
	 * status. */
	int (*run)(const struct command *command, const char *log, int argc, char **argv);
	/* Words that may stand as the first operand, by index, NULL after the last; NULL: those of `operands`. */
	const char *(*operand_word)(const void *arg, size_t index);
};

extern const struct command command_record, command_import, command_compact, command_rebuild, command_merge,
	command_report, command_summary, command_verify, command_dump, command_config, command_completion,
	command_export, command_doctor, command_prices, command_reprice;

/* All subcommands, NULL after the last: main.c has it. */
extern const struct command *const command_table[];

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

enum { COMMAND_OPTIONS_MAX = 34 };

/* The options of a subcommand out of its own table, the two that each one has included. Returns how many. Where values go is not
 * told. */
size_t command_options(const struct command *command, struct option_entry options[COMMAND_OPTIONS_MAX]);

/* The letter that an option may be given by, too; 0: none. */
char command_letter(const struct option_entry *entry);

/* Words out of text such as "jsonl|csv" or "[daily|weekly]": the first from `*at` on, in lower case with nothing beside it but what parts
 * words; its length, 0 after the last. `*at` is left behind it. */
size_t command_next_word(const char **at, const char **word);

/* Do words stand there, with "|" between, and nothing else? */
bool command_is_words(const char *text);

/* "usagelog: MESSAGE\n" to stderr, control characters made harmless. A full sentence: what, where, why, what to do. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "; did you mean NAME?" for a word that is not one of the names but near one, or "". `get` gives the names by
 * index, NULL after the last.
 * The text is written to `out`. */
enum { SUGGESTION_BYTES = 96 };
void suggest(const char *word, const char *(*get)(const void *arg, size_t index), const void *arg,
	     char out[SUGGESTION_BYTES]);

/* Write text to a stream with control characters, those that reorder text, and invalid UTF-8 made harmless (as \xNN), for names from
 * outside. */
struct _IO_FILE;
void print_safely(struct _IO_FILE *stream, const char *text, size_t bytes);

#endif
