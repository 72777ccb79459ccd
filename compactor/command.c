/* Options from tables, the help made of them, and messages. Nothing here knows what a subcommand does. */
#include "command.h"

#include <assert.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "progress.h"
#include "utf8.h"

enum {
	ENTRIES_MAX = COMMAND_OPTIONS_MAX - 2,
	HELP_COLUMN = 28,
	HELP_WIDTH = 79,
	FIRST_VALUE = 256, /* getopt's value of the first entry: above all characters */
	VALUE_LOG = 'l',
	VALUE_HELP = 'h',
};

static const struct option_entry common_entries[] = {
	{.name = "log", .value_name = "DIR", .help = "the log's directory"},
	{.name = "help", .help = "this text"},
};
enum { COMMON_COUNT = sizeof(common_entries) / sizeof(common_entries[0]) };

/* Options that a letter stands for, in all tables. */
static const struct {
	char letter;
	const char *name;
} letters[] = {{'o', "output"}};

/* ---- messages ------------------------------------------------------------------------------------------------ */

/* Characters that turn the order of what stands beside them round: a name could look like another one, or like a figure. */
static bool is_reordering(int32_t code_point)
{
	return code_point == 0x061c || code_point == 0x200e || code_point == 0x200f ||
	       (code_point >= 0x202a && code_point <= 0x202e) || (code_point >= 0x2066 && code_point <= 0x2069);
}

void print_safely(FILE *stream, const char *text, size_t bytes)
{
	const char *end = text + bytes;
	while (text < end) {
		const char *at = text;
		int32_t code_point = ul_utf8_read(&at, end);
		if (code_point < 0)
			at = text + 1;
		if (code_point < 0 || ul_is_control(code_point) || is_reordering(code_point)) {
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
	va_list args;
	va_start(args, format);
	char *message = os_format_args(format, args);
	va_end(args);
	progress_clear();
	fputs("usagelog: ", stderr);
	if (message)
		print_safely(stderr, message, strlen(message));
	else
		fputs("no memory for a message", stderr);
	fputc('\n', stderr);
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

char command_letter(const struct option_entry *entry)
{
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
		if (!strcmp(letters[i].name, entry->name))
			return letters[i].letter;
	return '\0';
}

static int print_name(const struct option_entry *entry)
{
	return printf("--%s%s%s", entry->name, entry->value_name ? " " : "",
		      entry->value_name ? entry->value_name : "");
}

/* The entry whose line of the help an entry is shown in. */
static const struct option_entry *told_by(const struct option_entry *entry)
{
	while (!*entry->help)
		entry++;
	return entry;
}

/* A line of the help: an entry and those that it tells of. Returns the entry. */
static const struct option_entry *print_entry(const struct option_entry *entry)
{
	int used = printf("  ");
	for (; !*entry->help; entry++)
		used += print_name(entry) + printf(", ");
	char letter = command_letter(entry);
	used += print_name(entry);
	/* What would make the line too long for a terminal stands in the next one. */
	if (used + (int)strlen(entry->help) >= HELP_WIDTH) {
		putchar('\n');
		used = 0;
	}
	printf("%*s%s", used < HELP_COLUMN ? HELP_COLUMN - used : 1, "", entry->help);
	if (letter)
		printf(" (-%c)", letter);
	putchar('\n');
	return entry;
}

static void print_help(const struct command *command, const struct option_entry *entries, size_t entry_count)
{
	printf("Usage: usagelog %s [OPTION]...%s%s\n%s\n\n", command->name, *command->operands ? " " : "",
	       command->operands, command->summary);
	for (const struct option_entry *entry = entries; entry < entries + entry_count; entry++)
		entry = print_entry(entry);
	for (size_t i = 0; i < COMMON_COUNT; i++)
		print_entry(&common_entries[i]);
	if (*command->details)
		printf("\n%s\n", command->details);
}

/* ---- words ----------------------------------------------------------------------------------------------------- */

static bool is_word_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

size_t command_next_word(const char **at, const char **word)
{
	static const char parts[] = "|[] ";
	for (const char *text = *at + strspn(*at, parts); *text; text += strspn(text, parts)) {
		size_t bytes = strcspn(text, parts), good = 0;
		while (good < bytes && is_word_character(text[good]))
			good++;
		*word = text;
		text += bytes;
		*at = text;
		if (good == bytes && **word != '-')
			return bytes;
	}
	return 0;
}

bool command_is_words(const char *text)
{
	for (const char *c = text; *c; c++)
		if (*c != '|' && !is_word_character(*c))
			return false;
	return strchr(text, '|');
}

struct value_words {
	const char *words[COMMAND_OPTIONS_MAX + 1];
};

static const char *value_word(const void *arg, size_t index)
{
	return ((const struct value_words *)arg)->words[index];
}

/* A value of words: is it one of them? */
static bool check_words(const struct command *command, const struct option_entry *entry, const char *given)
{
	struct value_words words = {{NULL}};
	char suggestion[SUGGESTION_BYTES] = "", *copy = os_duplicate(entry->value_name), *rest = copy;
	size_t count = 0;
	while (rest && count < COMMAND_OPTIONS_MAX)
		words.words[count++] = strsep(&rest, "|");
	bool known = false;
	for (size_t i = 0; i < count; i++)
		known |= !strcmp(words.words[i], given);
	if (!known) {
		suggest(given, value_word, &words, suggestion);
		complain("--%s: \"%s\" is not known%s; write one of %s; see usagelog %s --help", entry->name, given,
			 suggestion, entry->value_name, command->name);
	}
	free(copy);
	return known;
}

/* ---- parsing ------------------------------------------------------------------------------------------------- */

struct entry_names {
	const struct option_entry *entries;
	size_t count;
};

static const char *entry_name(const void *arg, size_t index)
{
	const struct entry_names *names = arg;
	if (index < names->count)
		return names->entries[index].name;
	return index - names->count < COMMON_COUNT ? common_entries[index - names->count].name : NULL;
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

/* The entry of the table that getopt's value stands for; NULL: none of it. */
static const struct option_entry *find_entry(const struct entry_names *names, int value)
{
	if (value >= FIRST_VALUE)
		return &names->entries[value - FIRST_VALUE];
	for (size_t i = 0; i < names->count; i++)
		if (command_letter(&names->entries[i]) == value)
			return &names->entries[i];
	return NULL;
}

static void complain_missing(const struct command *command, const struct entry_names *names, int value)
{
	const struct option_entry *entry = value == VALUE_LOG ? &common_entries[0] : find_entry(names, value);
	complain("the option --%s wants a value, %s: %s; see usagelog %s --help", entry->name, entry->value_name,
		 told_by(entry)->help, command->name);
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

/* What command_options() wants to know of the next table that comes here; NULL: nothing. */
static struct {
	struct option_entry *options;
	size_t count;
} asked;

static void tell_options(const struct option_entry *entries, size_t entry_count)
{
	for (size_t i = 0; i < entry_count; i++) {
		asked.options[asked.count] = entries[i];
		asked.options[asked.count++].help = told_by(&entries[i])->help;
	}
	for (size_t i = 0; i < COMMON_COUNT; i++)
		asked.options[asked.count++] = common_entries[i];
}

size_t command_options(const struct command *command, struct option_entry options[COMMAND_OPTIONS_MAX])
{
	char name[WORD_BYTES_MAX + 1];
	char *argv[] = {name, NULL};
	snprintf(name, sizeof(name), "%s", command->name);
	asked.options = options;
	asked.count = 0;
	/* It comes no further than to its command_parse(). */
	(void)command->run(command, NULL, 1, argv);
	asked.options = NULL;
	for (size_t i = 0; i < asked.count; i++) {
		options[i].text = NULL;
		options[i].flag = NULL;
	}
	return asked.count;
}

/* getopt's short options: -h, and the letters that the table has an option for. */
static void make_letters(const struct entry_names *names, char out[8])
{
	char *at = out;
	*at++ = ':';
	*at++ = VALUE_HELP;
	for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
		const struct option_entry *entry = find_entry(names, letters[i].letter);
		if (!entry)
			continue;
		*at++ = letters[i].letter;
		if (entry->value_name)
			*at++ = ':';
	}
	*at = '\0';
}

static bool set_value(const struct option_entry *entry, const char *value)
{
	size_t count = 0;
	while (strstr(entry->value_name, "...") && entry->text[count])
		count++;
	if (count == OPTION_VALUES_MAX) {
		complain("--%s can be given %d times, and no more", entry->name, OPTION_VALUES_MAX);
		return false;
	}
	entry->text[count] = value;
	return true;
}

/* Take one option; -1 to go on, or the exit status. */
static int take_option(const struct command *command, const struct entry_names *names, int found, char **argv,
		       struct command_line *line)
{
	const struct option_entry *entry;
	if (found == ':') {
		complain_missing(command, names, optopt);
		return STATUS_USAGE;
	}
	if (found == '?') {
		complain_unknown(command, names, argv[optind - 1], optopt);
		return STATUS_USAGE;
	}
	if (found == VALUE_HELP) {
		print_help(command, names->entries, names->count);
		return STATUS_DONE;
	}
	if (found == VALUE_LOG) {
		line->log = optarg;
		return -1;
	}
	entry = find_entry(names, found);
	if (entry->value_name && command_is_words(entry->value_name) && !check_words(command, entry, optarg))
		return STATUS_USAGE;
	if (entry->value_name && !strcmp(entry->value_name, "FILE") && !*optarg) {
		complain("--%s is empty; give a file's name, or leave the option out", entry->name);
		return STATUS_USAGE;
	}
	if (entry->value_name)
		return set_value(entry, optarg) ? -1 : STATUS_USAGE;
	*entry->flag = true;
	return -1;
}

int command_parse(const struct command *command, const struct option_entry *entries, size_t entry_count,
		  const char *log, int argc, char **argv, struct command_line *line)
{
	struct option options[ENTRIES_MAX + 3];
	struct entry_names names = {entries, entry_count};
	char short_options[8];
	make_options(entries, entry_count, options);
	if (asked.options) {
		tell_options(entries, entry_count);
		return STATUS_DONE;
	}
	make_letters(&names, short_options);
	*line = (struct command_line){.log = log};
	opterr = 0;
	optind = 0; /* GNU: begin anew, after main()'s own options */
	for (int found; (found = getopt_long(argc, argv, short_options, options, NULL)) != -1;) {
		int status = take_option(command, &names, found, argv, line);
		if (status >= 0)
			return status;
	}
	if (line->log && !*line->log) {
		complain("--log is empty; give the log's directory, or leave the option out");
		return STATUS_USAGE;
	}
	line->operands = argv + optind;
	line->operand_count = argc - optind;
	return -1;
}
