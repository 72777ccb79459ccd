/* A fold of a log, as subcommands make it. */
#include "folding.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "command.h"
#include "os.h"
#include "progress.h"
#include "summary.h"

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

static void tell_findings(const struct folding *folding, const struct findings *findings)
{
	if (folding->tell_findings) {
		folding->tell_findings(folding->arg, findings);
		return;
	}
	for (size_t i = 0; i < findings->count; i++)
		complain("%s", findings->items[i].text);
}

static int run_locked(const struct ul_directory *directory, struct folding *folding)
{
	struct names names;
	struct checkpoint checkpoint = {0};
	struct compact_result result;
	struct findings findings = {0};
	struct ul_message why;
	int status = STATUS_FILES;
	if (folding->quiet)
		progress_forbid();
	if (names_init(&names)) {
		complain("%s: no memory to fold the log", directory->path);
		return STATUS_FILES;
	}
	int error = compact_run(directory, &folding->options, &checkpoint, &names, &result, &findings, &why);
	tell_findings(folding, &findings);
	if (error)
		complain("%s", why.text);
	else if (!render(directory, &checkpoint, &names, &result))
		status = findings.counts[FINDING_LEFT_OUT] || result.differs ? STATUS_PART : STATUS_DONE;
	folding->committed = !error && result.committed;
	if (status != STATUS_FILES && folding->tell)
		folding->tell(folding->arg, directory, &result, &checkpoint, &names);
	compact_result_clear(&result);
	checkpoint_clear(&checkpoint);
	findings_clear(&findings);
	names_clear(&names);
	return status;
}

bool folding_set_zone(const struct ul_directory *directory)
{
	if (ul_time_zone_is_known(directory->conf.time_zone) && !calendar_set_zone(directory->conf.time_zone))
		return true;
	complain("%s: this host does not know the log's time zone %s, in which days are cut; install the package "
		 "tzdata",
		 directory->path, directory->conf.time_zone);
	return false;
}

int folding_run(const struct ul_directory *directory, struct folding *folding)
{
	if (!folding_set_zone(directory))
		return STATUS_FILES;
	int lock = store_lock(directory->fd);
	if (lock == -EAGAIN) {
		if (!folding->may_wait)
			complain("%s: another compactor is at work on this log; nothing was done", directory->path);
		return STATUS_BUSY;
	}
	if (lock < 0) {
		complain("%s/lock: cannot be locked: %s; nothing was done", directory->path, usagelog_strerror(lock));
		return STATUS_FILES;
	}
	int status = run_locked(directory, folding);
	os_close(lock);
	return status;
}

int folding_run_log(const char *log, struct folding *folding)
{
	struct ul_directory directory;
	struct ul_message why;
	if (ul_directory_open(&directory, log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	int status = folding_run(&directory, folding);
	ul_directory_close(&directory);
	return status;
}
