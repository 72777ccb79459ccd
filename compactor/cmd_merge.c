/* usagelog merge: the logs of several hosts as one summary. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "command.h"
#include "merged.h"
#include "os.h"
#include "output.h"
#include "summary.h"

static int write_merged(const struct merged *merged, const char *path)
{
	size_t size_bytes;
	void *bytes = merged_encode(merged, &size_bytes);
	if (!bytes)
		complain("no memory to write the merged logs");
	bool done = bytes && output_write(path, bytes, size_bytes);
	free(bytes);
	return done ? STATUS_DONE : STATUS_FILES;
}

static int print_sum(const struct merged *merged, struct checkpoint *whole, struct names *names)
{
	const struct summary_log log = {.merged = merged};
	struct ul_message why;
	char *zone = merged->parts[0].time_zone, *text = NULL;
	if (merged_sum(merged, whole, names, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	if (!ul_time_zone_is_known(zone) || calendar_set_zone(zone)) {
		complain("this host does not know the logs' time zone %s, in which days are cut; install the package "
			 "tzdata",
			 zone);
		return STATUS_FILES;
	}
	const struct ul_conf conf = {.time_zone = zone};
	text = summary_render(whole, names, &conf, &log, os_time_ns());
	if (text)
		puts(text);
	else
		complain("no memory to render the summary");
	free(text);
	return text ? STATUS_DONE : STATUS_FILES;
}

static int print_summary(const struct merged *merged)
{
	struct checkpoint whole = {0};
	struct names names;
	if (names_init(&names)) {
		complain("no memory to add the logs up");
		return STATUS_FILES;
	}
	int status = print_sum(merged, &whole, &names);
	checkpoint_clear(&whole);
	names_clear(&names);
	return status;
}

static int merge(const struct command_line *line, const char *output)
{
	struct merged merged = {0};
	struct ul_message why;
	int error = 0;
	for (int i = 0; i < line->operand_count && !error; i++)
		error = merged_add(&merged, line->operands[i], &why);
	if (error)
		complain("%s", why.text);
	int status = error ? STATUS_FILES : output ? write_merged(&merged, output) : print_summary(&merged);
	merged_clear(&merged);
	return status;
}

static int run(const struct command *command, const char *log, int argc, char **argv)
{
	const char *output = NULL;
	const struct option_entry entries[] = {
		{"output", "FILE", "write them there, to be merged or shown later", &output, NULL}};
	struct command_line line;
	int status = command_parse(command, entries, 1, log, argc, argv, &line);
	if (status >= 0)
		return status;
	if (!line.operand_count) {
		complain("merge needs the directories of logs, or files that merge wrote; see usagelog merge --help");
		return STATUS_USAGE;
	}
	return merge(&line, output);
}

const struct command command_merge = {
	.name = "merge",
	.operands = "LOG|FILE...",
	.summary = "add the logs of several hosts up to one summary",
	.details = "Prints the summary of all of them as JSON, or writes a file that holds their\n"
		   "totals apart, so that it can be merged again: in any order, as often as one\n"
		   "likes, a log counts once, in its newest state. What a log has not folded yet is\n"
		   "left out: run usagelog compact on it first. Copies of one log that were both\n"
		   "written to are refused.\n"
		   "\n"
		   "Exit status: 0 done; 8 could not read or write, or logs that do not go\n"
		   "together; 16 usage.",
	.run = run,
};
