/*
 * usagelog completion: what a shell needs to complete subcommands, options and their values, printed for bash, zsh or fish. All of it
 * comes from the tables that the command line is parsed by, so that the two cannot come apart.
 */
#include <stdio.h>
#include <string.h>

#include "command.h"

enum value_kind { VALUE_NONE, VALUE_WORDS, VALUE_FILE, VALUE_DIRECTORY, VALUE_OTHER };

struct shell {
	const char *name;
	void (*print)(void);
};

/* What an option's value is, by its name in the help. */
static enum value_kind value_kind(const char *value_name)
{
	if (!value_name)
		return VALUE_NONE;
	if (command_is_words(value_name))
		return VALUE_WORDS;
	if (!strcmp(value_name, "FILE"))
		return VALUE_FILE;
	return strcmp(value_name, "DIR") ? VALUE_OTHER : VALUE_DIRECTORY;
}

static bool takes_files(const struct command *command)
{
	return strstr(command->operands, "FILE") || strstr(command->operands, "LOG");
}

/* The words that may stand as first operand, with blanks between. */
static void print_operand_words(const struct command *command)
{
	const char *at = command->operands, *word;
	if (command->operand_word) {
		for (size_t i = 0; (word = command->operand_word(NULL, i)); i++)
			printf("%s%s", i ? " " : "", word);
		return;
	}
	size_t count = 0;
	for (size_t bytes; (bytes = command_next_word(&at, &word)); count++)
		printf("%s%.*s", count ? " " : "", (int)bytes, word);
}

/* The words of a value's name, with blanks between. */
static void print_value_words(const char *value_name)
{
	for (const char *at = value_name; *at; at++)
		putchar(*at == '|' ? ' ' : *at);
}

/* Text for between single quotes of a shell: a quote in it is written as `quote`, and what stands in `escaped` behind a backslash. */
static void print_quoted(const char *text, const char *quote, const char *escaped)
{
	for (; *text; text++) {
		if (*text == '\'') {
			fputs(quote, stdout);
			continue;
		}
		if (strchr(escaped, *text))
			putchar('\\');
		putchar(*text);
	}
}

/* ---- bash ---------------------------------------------------------------------------------------------------- */

static const char bash_head[] =
	"# bash completion for usagelog, made by: usagelog completion bash\n"
	"_usagelog()\n"
	"{\n"
	"\tlocal current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= number=0 i\n"
	"\tlocal options='--log --help --version' values= kind= words=\n"
	"\tCOMPREPLY=()\n"
	"\t# bash takes --option=value apart at the sign.\n"
	"\tif [[ $current == = ]]; then\n"
	"\t\tcurrent=\n"
	"\telif [[ $before == = ]]; then\n"
	"\t\tbefore=${COMP_WORDS[COMP_CWORD - 2]}\n"
	"\tfi\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tcase ${COMP_WORDS[i]} in\n"
	"\t\t--log) [[ ${COMP_WORDS[i + 1]} == = ]] && ((i++)); ((i++)) ;;\n"
	"\t\t-*) ;;\n"
	"\t\t*) command=${COMP_WORDS[i]}; number=$((COMP_CWORD - i)); break ;;\n"
	"\t\tesac\n"
	"\tdone\n"
	"\tcase \"$command $before\" in\n"
	"\t*' --log') kind=directory ;;\n";

static const char bash_tail[] =
	"\tesac\n"
	"\tcase $kind in\n"
	"\tother) return ;;\n"
	"\tfile) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); return ;;\n"
	"\tdirectory) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$current\"); return ;;\n"
	"\tword) COMPREPLY=($(compgen -W \"$values\" -- \"$current\")); return ;;\n"
	"\tesac\n"
	"\tif [[ $current == -* ]]; then\n"
	"\t\tCOMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
	"\t\treturn\n"
	"\tfi\n"
	"\t[[ -z $command || $number -eq 1 ]] && COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
	"\tif [[ $values == files ]]; then\n"
	"\t\tcompopt -o filenames\n"
	"\t\tmapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$current\")\n"
	"\tfi\n"
	"}\n"
	"complete -F _usagelog usagelog\n";

/* What the word before says of the one at hand, where it is an option that takes a value. */
static void print_bash_values(const struct command *command, const struct option_entry *entry)
{
	static const char *const kinds[] = {[VALUE_WORDS] = "word",
					    [VALUE_FILE] = "file",
					    [VALUE_DIRECTORY] = "directory",
					    [VALUE_OTHER] = "other"};
	enum value_kind kind = value_kind(entry->value_name);
	char letter = command_letter(entry);
	if (kind == VALUE_NONE || !strcmp(entry->name, "log"))
		return;
	printf("\t'%s --%s'", command->name, entry->name);
	if (letter)
		printf(" | '%s -%c'", command->name, letter);
	printf(") kind=%s", kinds[kind]);
	if (kind == VALUE_WORDS) {
		fputs(" values='", stdout);
		print_value_words(entry->value_name);
		putchar('\'');
	}
	fputs(" ;;\n", stdout);
}

static void print_bash_options(const struct command *command)
{
	struct option_entry options[COMMAND_OPTIONS_MAX];
	size_t count = command_options(command, options);
	printf("\t%s)\n\t\toptions='", command->name);
	for (size_t i = 0; i < count; i++)
		printf("%s--%s", i ? " " : "", options[i].name);
	fputs("'\n\t\twords='", stdout);
	print_operand_words(command);
	fputs("'\n", stdout);
	if (takes_files(command))
		fputs("\t\t[[ -z $kind ]] && values=files\n", stdout);
	fputs("\t\t;;\n", stdout);
}

static void print_bash(void)
{
	struct option_entry options[COMMAND_OPTIONS_MAX];
	fputs(bash_head, stdout);
	for (size_t i = 0; command_table[i]; i++) {
		size_t count = command_options(command_table[i], options);
		for (size_t j = 0; j < count; j++)
			print_bash_values(command_table[i], &options[j]);
	}
	fputs("\tesac\n\tcase $command in\n\t'') words='", stdout);
	for (size_t i = 0; command_table[i]; i++)
		printf("%s%s", i ? " " : "", command_table[i]->name);
	fputs("' ;;\n", stdout);
	for (size_t i = 0; command_table[i]; i++)
		print_bash_options(command_table[i]);
	fputs(bash_tail, stdout);
}

/* ---- zsh ------------------------------------------------------------------------------------------------------ */

static const char zsh_head[] =
	"#compdef usagelog\n"
	"# zsh completion for usagelog, made by: usagelog completion zsh\n"
	"_usagelog()\n"
	"{\n"
	"\tlocal curcontext=$curcontext state line\n"
	"\tlocal -A opt_args\n"
	"\tlocal -a commands\n"
	"\t_arguments -C '--log=[the log'\\''s directory]:DIR:_directories' '--help[what can be given]' \\\n"
	"\t\t'--version[the version]' '1:subcommand:->command' '*::argument:->argument' && return\n"
	"\tcase $state in\n"
	"\tcommand)\n"
	"\t\tcommands=(\n";

static const char zsh_middle[] = "\t\t)\n"
				 "\t\t_describe -t commands subcommand commands\n"
				 "\t\t;;\n"
				 "\targument)\n"
				 "\t\tcase $words[1] in\n";

static const char zsh_tail[] = "\t\tesac\n"
			       "\t\t;;\n"
			       "\tesac\n"
			       "}\n"
			       "if [[ $funcstack[1] == _usagelog ]]; then\n"
			       "\t_usagelog \"$@\"\n"
			       "else\n"
			       "\tcompdef _usagelog usagelog\n"
			       "fi\n";

/* What completes a value, or an operand, in a spec of _arguments. */
static void print_zsh_action(enum value_kind kind, const char *value_name)
{
	if (kind == VALUE_WORDS) {
		putchar('(');
		print_value_words(value_name);
		putchar(')');
	} else if (kind != VALUE_OTHER) {
		fputs(kind == VALUE_FILE ? "_files" : "_directories", stdout);
	}
}

/* '--name=[help]:value:action'; behind a letter the sign is another. */
static void print_zsh_option(const char *dashes, const char *name, char sign, const struct option_entry *entry)
{
	enum value_kind kind = value_kind(entry->value_name);
	printf(" \\\n\t\t\t\t'%s%s", dashes, name);
	if (kind != VALUE_NONE)
		putchar(sign);
	putchar('[');
	print_quoted(entry->help, "'\\''", "[]\\:");
	putchar(']');
	if (kind != VALUE_NONE) {
		fputs(":value:", stdout);
		print_zsh_action(kind, entry->value_name);
	}
	putchar('\'');
}

static void print_zsh_arguments(const struct command *command)
{
	struct option_entry options[COMMAND_OPTIONS_MAX];
	size_t count = command_options(command, options);
	const char *at = command->operands, *word;
	printf("\t\t%s)\n\t\t\t_arguments", command->name);
	for (size_t i = 0; i < count; i++) {
		char letter[2] = {command_letter(&options[i])};
		print_zsh_option("--", options[i].name, '=', &options[i]);
		if (*letter)
			print_zsh_option("-", letter, '+', &options[i]);
	}
	if (command->operand_word || command_next_word(&at, &word)) {
		fputs(" \\\n\t\t\t\t'1:operand:(", stdout);
		print_operand_words(command);
		fputs(")'", stdout);
	}
	if (takes_files(command))
		fputs(" \\\n\t\t\t\t'*:file:_files'", stdout);
	fputs("\n\t\t\t;;\n", stdout);
}

static void print_zsh(void)
{
	fputs(zsh_head, stdout);
	for (size_t i = 0; command_table[i]; i++) {
		printf("\t\t\t'%s:", command_table[i]->name);
		print_quoted(command_table[i]->summary, "'\\''", "\\:");
		fputs("'\n", stdout);
	}
	fputs(zsh_middle, stdout);
	for (size_t i = 0; command_table[i]; i++)
		print_zsh_arguments(command_table[i]);
	fputs(zsh_tail, stdout);
}

/* ---- fish ---------------------------------------------------------------------------------------------------- */

static const char fish_head[] =
	"# fish completion for usagelog, made by: usagelog completion fish\n"
	"# The subcommand that stands on the line so far, and how many words stand behind it.\n"
	"function __usagelog_command\n"
	"\tset -l words (commandline -opc)\n"
	"\tset -l i 2\n"
	"\twhile test $i -le (count $words)\n"
	"\t\tswitch $words[$i]\n"
	"\t\t\tcase --log\n"
	"\t\t\t\tset i (math $i + 1)\n"
	"\t\t\tcase '-*'\n"
	"\t\t\tcase '*'\n"
	"\t\t\t\techo $words[$i] (math (count $words) - $i)\n"
	"\t\t\t\treturn\n"
	"\t\tend\n"
	"\t\tset i (math $i + 1)\n"
	"\tend\n"
	"\techo none 0\n"
	"end\n"
	"function __usagelog_is\n"
	"\tset -l found (string split ' ' (__usagelog_command))\n"
	"\ttest $found[1] = $argv[1]; and test \"$argv[2]\" != first -o $found[2] -eq 0\n"
	"end\n"
	"complete -c usagelog -f\n"
	"complete -c usagelog -n '__usagelog_is none' -l help -d 'what can be given'\n"
	"complete -c usagelog -n '__usagelog_is none' -l version -d 'the version'\n"
	"complete -c usagelog -n '__usagelog_is none' -l log -x -a '(__fish_complete_directories)' -d "
	"'the log\\'s directory'\n";

static void print_fish_option(const struct command *command, const struct option_entry *entry)
{
	char letter = command_letter(entry);
	printf("complete -c usagelog -n '__usagelog_is %s' -l %s", command->name, entry->name);
	if (letter)
		printf(" -s %c", letter);
	switch (value_kind(entry->value_name)) {
	case VALUE_NONE:
		break;
	case VALUE_WORDS:
		fputs(" -x -a '", stdout);
		print_value_words(entry->value_name);
		putchar('\'');
		break;
	case VALUE_FILE:
		fputs(" -r -F", stdout);
		break;
	case VALUE_DIRECTORY:
		fputs(" -x -a '(__fish_complete_directories)'", stdout);
		break;
	case VALUE_OTHER:
		fputs(" -x", stdout);
		break;
	}
	fputs(" -d '", stdout);
	print_quoted(entry->help, "\\'", "\\");
	fputs("'\n", stdout);
}

static void print_fish_command(const struct command *command)
{
	struct option_entry options[COMMAND_OPTIONS_MAX];
	size_t count = command_options(command, options);
	const char *at = command->operands, *word;
	printf("complete -c usagelog -n '__usagelog_is none' -a %s -d '", command->name);
	print_quoted(command->summary, "\\'", "\\");
	fputs("'\n", stdout);
	for (size_t i = 0; i < count; i++)
		print_fish_option(command, &options[i]);
	if (command->operand_word || command_next_word(&at, &word)) {
		printf("complete -c usagelog -n '__usagelog_is %s first' -a '", command->name);
		print_operand_words(command);
		fputs("'\n", stdout);
	}
	if (takes_files(command))
		printf("complete -c usagelog -n '__usagelog_is %s' -F\n", command->name);
}

static void print_fish(void)
{
	fputs(fish_head, stdout);
	for (size_t i = 0; command_table[i]; i++)
		print_fish_command(command_table[i]);
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

static const struct shell shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
enum { SHELL_COUNT = sizeof(shells) / sizeof(shells[0]) };

static const char *shell_name(const void *arg, size_t index)
{
	(void)arg;
	return index < SHELL_COUNT ? shells[index].name : NULL;
}

static int run(const struct command *command, const char *log, int argc, char **argv)
{
	struct command_line line;
	int status = command_parse(command, NULL, 0, log, argc, argv, &line);
	if (status >= 0)
		return status;
	if (line.operand_count != 1) {
		complain("completion wants the name of one shell: bash, zsh or fish; see usagelog completion --help");
		return STATUS_USAGE;
	}
	for (size_t i = 0; i < SHELL_COUNT; i++) {
		if (strcmp(shells[i].name, line.operands[0]) != 0)
			continue;
		shells[i].print();
		return STATUS_DONE;
	}
	char suggestion[SUGGESTION_BYTES];
	suggest(line.operands[0], shell_name, NULL, suggestion);
	complain("there are no completions for %s%s; write bash, zsh or fish", line.operands[0], suggestion);
	return STATUS_USAGE;
}

const struct command command_completion = {
	.name = "completion",
	.operands = "bash|zsh|fish",
	.summary = "print what a shell needs to complete this program's words",
	.details = "  bash  source <(usagelog completion bash)        in ~/.bashrc\n"
		   "  zsh   source <(usagelog completion zsh)         in ~/.zshrc, after compinit\n"
		   "  fish  usagelog completion fish | source         in ~/.config/fish/config.fish\n"
		   "Installed packages have them in place.\n"
		   "\n"
		   "Exit status: 0 done; 16 usage.",
	.run = run,
};
