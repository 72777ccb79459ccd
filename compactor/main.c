/* The program `usagelog`: the table of its subcommands, and what may stand before one. */
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "usagelog.h"

const struct command *const command_table[] = {
	&command_record, &command_import,  &command_compact,    &command_rebuild,
	&command_merge,  &command_report,  &command_summary,    &command_verify,
	&command_dump,   &command_config,  &command_completion, &command_export,
	&command_doctor, &command_reprice, &command_prices,     NULL,
};

static void print_help(FILE *stream)
{
	fputs("Usage: usagelog [--log DIR] SUBCOMMAND [OPTION]...\n"
	      "Records what each LLM call used and cost, folds that into totals, proves both.\n\n",
	      stream);
	for (size_t i = 0; command_table[i]; i++)
		fprintf(stream, "  %-10s %s\n", command_table[i]->name, command_table[i]->summary);
	fputs("\n"
	      "  --log DIR   the log's directory; default $USAGELOG_DIR, else\n"
	      "              $XDG_STATE_HOME/usagelog, else ~/.local/state/usagelog\n"
	      "  --help      this text; after a subcommand: its options\n"
	      "  --version   the version; more in usagelog(1) and usagelog-SUBCOMMAND(1)\n",
	      stream);
}

static const char *command_name(const void *arg, size_t index)
{
	(void)arg;
	return command_table[index] ? command_table[index]->name : NULL;
}

static const struct option options[] = {{"log", required_argument, NULL, 'l'},
					{"help", no_argument, NULL, 'h'},
					{"version", no_argument, NULL, 'v'},
					{NULL, 0, NULL, 0}};

static const char *option_name(const void *arg, size_t index)
{
	(void)arg;
	return options[index].name;
}

static void complain_unknown(const char *given, int letter)
{
	static const char advice[] = "options of a subcommand stand after it; see usagelog --help";
	char word[64], suggestion[SUGGESTION_BYTES] = "";
	if (letter && letter != 'h' && letter != 'v') {
		complain("-%c is not an option here; %s", letter, advice);
		return;
	}
	if (!letter && !strncmp(given, "--", 2)) {
		snprintf(word, sizeof(word), "%.*s", (int)strcspn(given + 2, "="), given + 2);
		suggest(word, option_name, NULL, suggestion);
	}
	complain("%s is not an option here%s; %s", given, suggestion, advice);
}

static int run_command(const char *log, int argc, char **argv)
{
	for (size_t i = 0; command_table[i]; i++)
		if (!strcmp(argv[0], command_table[i]->name))
			return command_table[i]->run(command_table[i], log, argc, argv);
	char suggestion[SUGGESTION_BYTES];
	suggest(argv[0], command_name, NULL, suggestion);
	complain("there is no subcommand %s%s; see usagelog --help", argv[0], suggestion);
	return STATUS_USAGE;
}

static int run(int argc, char **argv)
{
	const char *log = NULL;
	opterr = 0;
	for (int found; (found = getopt_long(argc, argv, "+:h", options, NULL)) != -1;) {
		switch (found) {
		case 'l':
			log = optarg;
			break;
		case 'h':
			print_help(stdout);
			return STATUS_DONE;
		case 'v':
			printf("usagelog %s\n", usagelog_version());
			return STATUS_DONE;
		case ':':
			complain("the option --log wants a directory; see usagelog --help");
			return STATUS_USAGE;
		default:
			complain_unknown(argv[optind - 1], optopt);
			return STATUS_USAGE;
		}
	}
	if (optind == argc) {
		print_help(stderr);
		return STATUS_USAGE;
	}
	return run_command(log, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	/* Only characters: numbers are read and written alike everywhere. */
	setlocale(LC_CTYPE, "");
	int status = run(argc, argv);
	/* Output that was lost on the way to a full disk must not look like success. */
	if (fflush(stdout) || ferror(stdout)) {
		complain("the standard output cannot be written to: %m; not all was printed");
		return STATUS_FILES;
	}
	return status;
}
