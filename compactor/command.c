/* Options from tables, the help made of them, and messages. Nothing here knows what a subcommand does. */
#include "command.h"

#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "utf8.h"

enum {
	ENTRIES_MAX = 32,
	HELP_COLUMN = 28,
	FIRST_VALUE = 256, /* getopt's value of the first entry: above all characters */
	VALUE_LOG = 'l',
	VALUE_HELP = 'h',
};

static const struct option_entry common_entries[] = {
	{.name = "log", .value_name = "DIR", .help = "the log's directory"},
	{.name = "help", .help = "this text"},
};

/* ---- messages ------------------------------------------------------------------------------------------------ */

void print_safely(FILE *stream, const char *text, size_t bytes)
{
	const char *end = text + bytes;
	while (text < end) {
		const char *at = text;
		int32_t code_point = ul_utf8_read(&at, end);
		if (code_point < 0)
			at = text + 1;
		if (code_point < 0 || ul_is_control(code_point)) {
			for (; text < at; text++)
				fprintf(stream, "\\x%02x", (unsigned char)*text);
			continue;
		}
		fwrite(text, 1, (size_t)(at - text), stream);
		text = at;
	}
}

void complain(const char *format, ...)
{
	char *message = NULL;
	va_list args;
	va_start(args, format);
	int length = vasprintf(&message, format, args);
	va_end(args);
	progress_clear();
	fputs("usagelog: ", stderr);
	if (length < 0)
		fputs("no memory for a message", stderr);
	else
		print_safely(stderr, message, (size_t)length);
	fputc('\n', stderr);
	if (length >= 0)
		free(message);
}

/* ---- suggestions --------------------------------------------------------------------------------------------- */

enum { WORD_BYTES_MAX = 40 };

static unsigned least_of(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;
	return least < c ? least : c;
}

/* How many letters must be changed, put in or left out (Levenshtein) to make one word the other. */
static unsigned edit_distance(const char *a, const char *b)
{
	size_t a_bytes = strlen(a), b_bytes = strlen(b);
	unsigned row[WORD_BYTES_MAX + 1];
	if (a_bytes > WORD_BYTES_MAX || b_bytes > WORD_BYTES_MAX)
		return WORD_BYTES_MAX;
	for (unsigned j = 0; j <= b_bytes; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_bytes; i++) {
		unsigned diagonal = row[0];
		row[0] = i;
		for (unsigned j = 1; j <= b_bytes; j++) {
			unsigned above = row[j];
			row[j] = least_of(diagonal + (a[i - 1] != b[j - 1]), above + 1, row[j - 1] + 1);
			diagonal = above;
		}
	}
	return row[b_bytes];
}

void suggest(const char *word, const char *(*get)(const void *arg, size_t index), const void *arg,
	     char out[SUGGESTION_BYTES])
{
	const char *nearest = NULL;
	/* A third of the letters may be wrong: beyond that, a guess is noise. */
	unsigned best = (unsigned)(strlen(word) < 6 ? 2 : strlen(word) / 3) + 1;
	out[0] = '\0';
	const char *name;
	for (size_t i = 0; (name = get(arg, i)); i++) {
		unsigned distance = edit_distance(word, name);
		if (distance < best) {
			best = distance;
			nearest = name;
		}
	}
	if (nearest)
		snprintf(out, SUGGESTION_BYTES, "; did you mean %s?", nearest);
}

/* ---- help ---------------------------------------------------------------------------------------------------- */

static void print_entry(const struct option_entry *entry)
{
	int used = printf("  --%s%s%s", entry->name, entry->value_name ? " " : "",
			  entry->value_name ? entry->value_name : "");
	printf("%*s%s\n", used < HELP_COLUMN ? HELP_COLUMN - used : 1, "", entry->help);
}

static void print_help(const struct command *command, const struct option_entry *entries, size_t entry_count)
{
	printf("Usage: usagelog %s [OPTION]...%s%s\n%s\n\n", command->name, *command->operands ? " " : "",
	       command->operands, command->summary);
	for (size_t i = 0; i < entry_count; i++)
		print_entry(&entries[i]);
	for (size_t i = 0; i < sizeof(common_entries) / sizeof(common_entries[0]); i++)
		print_entry(&common_entries[i]);
	if (*command->details)
		printf("\n%s\n", command->details);
}

/* ---- parsing ------------------------------------------------------------------------------------------------- */

struct entry_names {
	const struct option_entry *entries;
	size_t count;
};

static const char *entry_name(const void *arg, size_t index)
{
	const struct entry_names *names = arg;
	size_t common = sizeof(common_entries) / sizeof(common_entries[0]);
	if (index < names->count)
		return names->entries[index].name;
	return index - names->count < common ? common_entries[index - names->count].name : NULL;
}

/* What getopt_long() takes, of a table and the two options that each subcommand has. */
static void make_options(const struct option_entry *entries, size_t entry_count, struct option options[ENTRIES_MAX + 3])
{
	assert(entry_count <= ENTRIES_MAX);
	size_t count = 0;
	for (; count < entry_count; count++)
		options[count] = (struct option){entries[count].name,
						 entries[count].value_name ? required_argument : no_argument, NULL,
						 FIRST_VALUE + (int)count};
	options[count++] = (struct option){"log", required_argument, NULL, VALUE_LOG};
	options[count++] = (struct option){"help", no_argument, NULL, VALUE_HELP};
	options[count] = (struct option){0};
}

static void complain_missing(const struct command *command, const struct option_entry *entries, int value)
{
	const struct option_entry *entry = value == VALUE_LOG ? &common_entries[0] : &entries[value - FIRST_VALUE];
	complain("the option --%s wants a value, %s: %s; see usagelog %s --help", entry->name, entry->value_name,
		 entry->help, command->name);
}

static void complain_unknown(const struct command *command, const struct entry_names *names, const char *given,
			     int value)
{
	char word[64], suggestion[SUGGESTION_BYTES] = "";
	if (value && value < FIRST_VALUE && value != VALUE_HELP) {
		complain("-%c is not an option of %s; see usagelog %s --help", value, command->name, command->name);
		return;
	}
	if (value >= FIRST_VALUE || value == VALUE_HELP) {
		complain("%s: this option takes no value; see usagelog %s --help", given, command->name);
		return;
	}
	if (!strncmp(given, "--", 2)) {
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(given + 2, "="), given + 2);
		suggest(word, entry_name, names, suggestion);
		/* A name that is the beginning of several is no typing error. */
		for (size_t i = 0; !*suggestion && entry_name(names, i); i++)
			if (*word && !strncmp(entry_name(names, i), word, strlen(word)))
				snprintf(suggestion, sizeof(suggestion), "; did you mean %s?", entry_name(names, i));
	}
	complain("%s is not an option of %s%s; see usagelog %s --help", given, command->name, suggestion,
		 command->name);
}

int command_parse(const struct command *command, const struct option_entry *entries, size_t entry_count,
		  const char *log, int argc, char **argv, struct command_line *line)
{
	struct option options[ENTRIES_MAX + 3];
	struct entry_names names = {entries, entry_count};
	make_options(entries, entry_count, options);
	*line = (struct command_line){.log = log};
	opterr = 0;
	optind = 0; /* GNU: begin anew, after main()'s own options */
	for (int found; (found = getopt_long(argc, argv, ":h", options, NULL)) != -1;) {
		if (found >= FIRST_VALUE && entries[found - FIRST_VALUE].value_name)
			*entries[found - FIRST_VALUE].text = optarg;
		else if (found >= FIRST_VALUE)
			*entries[found - FIRST_VALUE].flag = true;
		else if (found == VALUE_LOG)
			line->log = optarg;
		else if (found == VALUE_HELP) {
			print_help(command, entries, entry_count);
			return STATUS_DONE;
		} else {
			if (found == ':')
				complain_missing(command, entries, optopt);
			else
				complain_unknown(command, &names, argv[optind - 1], optopt);
			return STATUS_USAGE;
		}
	}
	if (line->log && !*line->log) {
		complain("--log is empty; give the log's directory, or leave the option out");
		return STATUS_USAGE;
	}
	line->operands = argv + optind;
	line->operand_count = argc - optind;
	return -1;
}
