/* usagelog compact and rebuild: fold the log, commit, render the summary. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "decimal.h"
#include "folding.h"
#include "money.h"
#include "os.h"
#include "watch.h"

enum {
	INTERVAL_S_MAX = 86400,
	NS_PER_S = 1000000000,
	KEPT_TOLD_MIB = 256, /* four million calls; less than that is not worth a word */
};

/* One fold, or each of those of a watch. */
struct turn {
	bool quiet, watched;
	struct compact_options options;
	bool found; /* it had something */
	uint64_t since_us;
	char *said; /* what the one before complained of: a watch says it once */
};

static uint64_t now_us(void)
{
	return os_monotonic_ns() / 1000;
}

/* What the segments take on disk. 0 if that cannot be said. */
static uint64_t kept_bytes(const struct ul_directory *directory)
{
	struct ul_segment_list list;
	struct stat found;
	uint64_t bytes = 0;
	if (ul_segment_list_read(&list, directory))
		return 0;
	for (size_t i = 0; i < list.count; i++)
		if (!os_stat_at(list.fds[list.names[i].directory], list.names[i].name, &found))
			bytes += (uint64_t)found.st_blocks * 512;
	ul_segment_list_clear(&list);
	return bytes;
}

static void tell(const struct ul_directory *directory, const struct compact_result *result, uint64_t since_us)
{
	uint64_t kept = directory->conf.retention_days ? 0 : kept_bytes(directory);
	char calls[MONEY_SHOWN_BYTES], segments[MONEY_SHOWN_BYTES], damaged[MONEY_SHOWN_BYTES], ms[MONEY_SHOWN_BYTES];
	count_show(calls, (int64_t)result->calls);
	count_show(segments, (int64_t)result->segments);
	count_show(damaged, (int64_t)result->counts.damaged);
	count_show(ms, (int64_t)((now_us() - since_us) / 1000));
	if (result->calls)
		printf("folded %s call%s from %s segment%s", calls, result->calls == 1 ? "" : "s", segments,
		       result->segments == 1 ? "" : "s");
	else
		printf("nothing new");
	printf(" in %s ms; %s damaged; %s written", ms, damaged, directory->conf.summary);
	if (result->pruned_segments) {
		count_show(segments, (int64_t)result->pruned_segments);
		printf("; %s segment%s older than %u days deleted", segments, result->pruned_segments == 1 ? "" : "s",
		       directory->conf.retention_days);
	}
	if (kept >= (uint64_t)KEPT_TOLD_MIB << 20) {
		char size[MONEY_SHOWN_BYTES];
		size_show(size, kept);
		printf("; %s of calls kept", size);
	}
	printf("\n");
}

/* Say what was found; in a watch not again what the fold before said, too. */
static void tell_findings(void *arg, const struct findings *findings)
{
	struct turn *turn = arg;
	size_t bytes = 1;
	for (size_t i = 0; i < findings->count; i++)
		bytes += strlen(findings->items[i].text) + 1;
	char *text = turn->watched ? os_allocate(1, bytes) : NULL, *at = text;
	for (size_t i = 0; text && i < findings->count; i++) {
		size_t length = strlen(findings->items[i].text);
		memcpy(at, findings->items[i].text, length);
		at += length;
		*at++ = '\n';
	}
	bool again = text && turn->said && !strcmp(text, turn->said);
	for (size_t i = 0; !again && i < findings->count; i++)
		complain("%s", findings->items[i].text);
	free(turn->said);
	turn->said = text;
}

static void tell_turn(void *arg, const struct ul_directory *directory, const struct compact_result *result,
		      const struct checkpoint *checkpoint, const struct names *names)
{
	const struct turn *turn = arg;
	(void)checkpoint;
	(void)names;
	if (!turn->quiet && (result->committed || !turn->watched))
		tell(directory, result, turn->since_us);
}

static int run_open(const struct ul_directory *directory, struct turn *turn)
{
	struct folding folding = {.options = turn->options,
				  .quiet = turn->quiet,
				  .may_wait = turn->watched,
				  .arg = turn,
				  .tell_findings = tell_findings,
				  .tell = tell_turn};
	turn->since_us = now_us();
	int status = folding_run(directory, &folding);
	turn->found = folding.committed;
	return status;
}

/* Open the log as it is now, and fold it. */
static int run_once(const char *log, struct turn *turn, struct watch *watch)
{
	struct ul_directory directory;
	struct ul_message why;
	if (ul_directory_open(&directory, log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	if (watch)
		watch_directories(watch, &directory);
	int status = run_open(&directory, turn);
	ul_directory_close(&directory);
	return status;
}

/* Fold until a signal comes. What goes wrong with one fold is said, and the next one tries again. */
static int run_watch(const struct ul_directory *directory, struct turn *turn, uint64_t interval_s)
{
	struct watch watch;
	struct ul_message why;
	enum watch_end end;
	int error = watch_open(&watch, directory, interval_s * NS_PER_S, &why);
	if (error) {
		complain("%s: cannot be watched: %s", directory->path, usagelog_strerror(error));
		return STATUS_FILES;
	}
	if (why.text[0])
		complain("%s", why.text);
	setvbuf(stdout, NULL, _IOLBF, 0);
	do {
		turn->found = false;
		(void)run_once(directory->path, turn, &watch);
		end = watch_wait(&watch, turn->found);
	} while (end == WATCH_FOLD && !ferror(stdout));
	if (end == WATCH_GONE)
		complain("%s: is not there any more, or is another directory than before; the watch ends; see to that "
			 "and "
			 "start it again",
			 directory->path);
	watch_close(&watch);
	return end == WATCH_ENDED ? STATUS_DONE : STATUS_FILES;
}

static int begin_watch(const char *log, struct turn *turn, uint64_t interval_s)
{
	struct ul_directory directory;
	struct ul_message why;
	if (ul_directory_open(&directory, log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	int status = run_watch(&directory, turn, interval_s);
	ul_directory_close(&directory);
	free(turn->said);
	return status;
}

static int take_interval(const char *text, bool watched, uint64_t *interval_s)
{
	if (!text)
		return 0;
	if (!watched) {
		complain("--interval says how often --watch folds, and --watch is not given");
		return STATUS_USAGE;
	}
	if (decimal_parse_count(text, strlen(text), INTERVAL_S_MAX, interval_s) || !*interval_s) {
		complain("--interval: \"%s\" is not a number of seconds from 1 to 86400", text);
		return STATUS_USAGE;
	}
	return 0;
}

static int refuse_operand(const struct command *command, const struct command_line *line)
{
	complain("%s takes no operand, but \"%s\" was given; see usagelog %s --help", command->name, line->operands[0],
		 command->name);
	return STATUS_USAGE;
}

static int run_compact(const struct command *command, const char *log, int argc, char **argv)
{
	struct turn turn = {0};
	const char *interval = NULL;
	uint64_t interval_s = 60;
	const struct option_entry entries[] = {
		{"quiet", NULL, "say nothing unless something is wrong", NULL, &turn.quiet},
		{"watch", NULL, "stay, and fold whenever there is something new", NULL, &turn.watched},
		{"interval", "SECONDS", "with --watch: at most one fold in so long (60)", &interval, NULL},
	};
	struct command_line line;
	int status = command_parse(command, entries, sizeof(entries) / sizeof(entries[0]), log, argc, argv, &line);
	if (status >= 0)
		return status;
	if (line.operand_count)
		return refuse_operand(command, &line);
	status = take_interval(interval, turn.watched, &interval_s);
	if (status)
		return status;
	return turn.watched ? begin_watch(line.log, &turn, interval_s) : run_once(line.log, &turn, NULL);
}

static int run_rebuild(const struct command *command, const char *log, int argc, char **argv)
{
	struct turn turn = {.options.rebuild = true};
	const struct option_entry entries[] = {
		{"quiet", NULL, "say nothing unless something is wrong", NULL, &turn.quiet},
		{"accept-loss", NULL, "go on though days come out with fewer calls", NULL, &turn.options.accept_loss},
	};
	struct command_line line;
	int status = command_parse(command, entries, sizeof(entries) / sizeof(entries[0]), log, argc, argv, &line);
	if (status >= 0)
		return status;
	return line.operand_count ? refuse_operand(command, &line) : run_once(line.log, &turn, NULL);
}

const struct command command_compact = {
	.name = "compact",
	.operands = "",
	.summary = "fold new calls into the facts, the checkpoint and summary.json",
	.details = "One compactor works on a log at a time; another one leaves at once. Writers go\n"
		   "on meanwhile. Safe to be killed at any moment, and to be run from cron.\n"
		   "\n"
		   "With --watch it stays in the foreground and says a line of each fold that had\n"
		   "something. SIGTERM or SIGINT ends it after the fold at work, with status 0.\n"
		   "\n"
		   "Exit status: 0 done; 1 done, but something was left out, as said on standard\n"
		   "error; 2 another compactor runs; 8 could not read or write; 16 usage.",
	.run = run_compact,
};

const struct command command_rebuild = {
	.name = "rebuild",
	.operands = "",
	.summary = "fold all calls anew and say what comes out differently",
	.details = "All segments are folded again, on top of the base where retention has deleted\n"
		   "some, and the result takes the place of the totals. Days that come out\n"
		   "differently are named. If one would have fewer calls, nothing is changed.\n"
		   "\n"
		   "Exit status: 0 done, all is as it was; 1 done, and something differs or was\n"
		   "left out, as said on standard error; 2 another compactor runs; 8 could not\n"
		   "read or write, or calls would be lost; 16 usage.",
	.run = run_rebuild,
};
