/* usagelog compact and rebuild: fold the log, commit, render the summary. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "command.h"
#include "compact.h"
#include "money.h"
#include "os.h"
#include "summary.h"

static uint64_t now_us(void)
{
	return os_monotonic_ns() / 1000;
}

static int render(const struct ul_directory *directory, const struct checkpoint *checkpoint, struct names *names,
		  const struct compact_result *result)
{
	struct summary_log log = {.segments = result->segments_present,
				  .folded = checkpoint_calls(checkpoint),
				  .damaged = result->counts.damaged,
				  .dropped = result->dropped};
	memcpy(log.dropped_by_cause, result->dropped_by_cause, sizeof(log.dropped_by_cause));
	struct ul_message why;
	char *text = summary_render(checkpoint, names, &directory->conf, &log, os_time_ns());
	if (!text) {
		complain("%s: no memory to render the summary; the totals are safe in the checkpoint", directory->path);
		return -ENOMEM;
	}
	int error = summary_write(directory, text, &why);
	if (error)
		complain("%s", why.text);
	free(text);
	return error;
}

static void tell(const struct ul_directory *directory, const struct compact_result *result, uint64_t since_us)
{
	char calls[MONEY_SHOWN_BYTES], segments[MONEY_SHOWN_BYTES], damaged[MONEY_SHOWN_BYTES], ms[MONEY_SHOWN_BYTES];
	count_show(calls, (int64_t)result->calls);
	count_show(segments, (int64_t)result->segments);
	count_show(damaged, (int64_t)result->counts.damaged);
	count_show(ms, (int64_t)((now_us() - since_us) / 1000));
	printf("folded %s call%s from %s segment%s in %s ms; %s damaged; %s written", calls,
	       result->calls == 1 ? "" : "s", segments, result->segments == 1 ? "" : "s", ms, damaged,
	       directory->conf.summary);
	if (result->pruned_segments) {
		count_show(segments, (int64_t)result->pruned_segments);
		printf("; %s segment%s older than %u days deleted", segments, result->pruned_segments == 1 ? "" : "s",
		       directory->conf.retention_days);
	}
	printf("\n");
}

static int run_locked(const struct ul_directory *directory, const struct compact_options *options, bool quiet)
{
	struct names names;
	struct checkpoint checkpoint = {0};
	struct compact_result result;
	struct findings findings = {0};
	struct ul_message why;
	uint64_t since_us = now_us();
	int status = STATUS_FILES;
	if (names_init(&names)) {
		complain("%s: no memory to fold the log", directory->path);
		return STATUS_FILES;
	}
	int error = compact_run(directory, options, &checkpoint, &names, &result, &findings, &why);
	for (size_t i = 0; i < findings.count; i++)
		complain("%s", findings.items[i].text);
	if (error)
		complain("%s", why.text);
	else if (!render(directory, &checkpoint, &names, &result))
		status = findings.counts[FINDING_LEFT_OUT] || result.differs ? STATUS_PART : STATUS_DONE;
	if (!quiet && status != STATUS_FILES)
		tell(directory, &result, since_us);
	checkpoint_clear(&checkpoint);
	findings_clear(&findings);
	names_clear(&names);
	return status;
}

static int run_open(const struct ul_directory *directory, const struct compact_options *options, bool quiet)
{
	if (!ul_time_zone_is_known(directory->conf.time_zone) || calendar_set_zone(directory->conf.time_zone)) {
		complain("%s: this host does not know the log's time zone %s, in which days are cut; install the "
			 "package tzdata",
			 directory->path, directory->conf.time_zone);
		return STATUS_FILES;
	}
	int lock = store_lock(directory->fd);
	if (lock == -EAGAIN) {
		complain("%s: another compactor is at work on this log; nothing was done", directory->path);
		return STATUS_BUSY;
	}
	if (lock < 0) {
		complain("%s/lock: cannot be locked: %s; nothing was done", directory->path, usagelog_strerror(lock));
		return STATUS_FILES;
	}
	int status = run_locked(directory, options, quiet);
	os_close(lock);
	return status;
}

static int run_on(const struct command *command, const struct command_line *line, const struct compact_options *options,
		  bool quiet)
{
	if (line->operand_count) {
		complain("%s takes no operand, but \"%s\" was given; see usagelog %s --help", command->name,
			 line->operands[0], command->name);
		return STATUS_USAGE;
	}
	struct ul_directory directory;
	struct ul_message why;
	if (ul_directory_open(&directory, line->log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	int status = run_open(&directory, options, quiet);
	ul_directory_close(&directory);
	return status;
}

static int run_compact(const struct command *command, const char *log, int argc, char **argv)
{
	bool quiet = false;
	const struct compact_options options = {0};
	const struct option_entry entries[] = {{"quiet", NULL, "say nothing unless something is wrong", NULL, &quiet}};
	struct command_line line;
	int status = command_parse(command, entries, 1, log, argc, argv, &line);
	return status >= 0 ? status : run_on(command, &line, &options, quiet);
}

static int run_rebuild(const struct command *command, const char *log, int argc, char **argv)
{
	bool quiet = false;
	struct compact_options options = {.rebuild = true};
	const struct option_entry entries[] = {
		{"quiet", NULL, "say nothing unless something is wrong", NULL, &quiet},
		{"accept-loss", NULL, "go on though days come out with fewer calls", NULL, &options.accept_loss},
	};
	struct command_line line;
	int status = command_parse(command, entries, 2, log, argc, argv, &line);
	return status >= 0 ? status : run_on(command, &line, &options, quiet);
}

const struct command command_compact = {
	.name = "compact",
	.operands = "",
	.summary = "fold new calls into the facts, the checkpoint and summary.json",
	.details = "One compactor works on a log at a time; another one leaves at once. Writers go\n"
		   "on meanwhile. Safe to be killed at any moment, and to be run from cron.\n"
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
		   "Exit status: 0 done, all is as it was; 1 done, and something differs or was left\n"
		   "out, as said on standard error; 2 another compactor runs; 8 could not read or\n"
		   "write, or calls would be lost; 16 usage.",
	.run = run_rebuild,
};
