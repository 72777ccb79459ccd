/* Imported calls into the log. */
#include "import_log.h"

#include <errno.h>

#include "command.h"
#include "handle.h"
#include "log_open.h"
#include "os.h"

enum { FLUSH_MS = 10000 };

static int take_lock(struct import_log *log, bool again)
{
	struct ul_message why;
	log->lock = call_ids_lock(&log->directory);
	if (log->lock == -EAGAIN) {
		complain("%s: another import is running; start this one when it is done", log->directory.path);
		return STATUS_BUSY;
	}
	if (log->lock < 0) {
		complain("%s/import.lock: cannot be locked: %s", log->directory.path, usagelog_strerror(log->lock));
		return STATUS_FILES;
	}
	/* After the lock: what an import before this one added is there to be read. */
	if (!again && call_ids_read(&log->ids, &log->directory, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	return 0;
}

int import_log_open(struct import_log *log, const char *path, bool again)
{
	*log = (struct import_log){.lock = -1};
	int status = log_open_to_record(&log->directory, &log->log, path, 0);
	if (status)
		return status;
	status = take_lock(log, again);
	return status ? import_log_close(log, status) : 0;
}

int import_log_close(struct import_log *log, int status)
{
	call_ids_close(log->ids);
	/* Closed first: the calls are in the files before another importer reads them. */
	int error = usagelog_close(log->log, FLUSH_MS);
	if (error && !status) {
		complain("%s: not closed in good order: %s", log->directory.path, usagelog_strerror(error));
		status = STATUS_FILES;
	}
	if (log->lock >= 0)
		os_close(log->lock);
	ul_directory_close(&log->directory);
	return status;
}

int import_log_add(struct import_log *log, struct draft *draft, bool any)
{
	struct usagelog_call *call = &draft->call;
	uint64_t content = log->ids && !draft->is_balance ? draft_content(draft) : 0;
	enum call_ids_found found =
		log->ids ? call_ids_find(log->ids, call->call_id, any ? 0 : content) : CALL_IDS_NONE;
	if (found != CALL_IDS_NONE) {
		log->there += found == CALL_IDS_SAME;
		log->changed += found == CALL_IDS_OTHER;
		return 0;
	}
	if (!log->ids)
		call->call_id = NULL;
	int error = draft->is_balance ? ul_record_balance(log->log, &draft->names, call->call_id, &draft->balance)
				      : usagelog_record_names(log->log, &draft->names, call);
	/* Held in memory is not in the log: the barrier says when it is. */
	if (error == USAGELOG_ERROR_HELD)
		error = usagelog_flush(log->log, FLUSH_MS);
	if (!error && log->ids)
		error = call_ids_add(log->ids, call->call_id, content);
	log->added += !error;
	return error;
}

bool import_log_has(const struct import_log *log, const uint8_t id[16])
{
	return log->ids && call_ids_find(log->ids, id, 0) != CALL_IDS_NONE;
}

int import_log_balance(struct import_log *log, const uint8_t id[16], const char *provider, const char *model,
		       const struct ul_balance_body *balance)
{
	struct usagelog_names names = {.provider = provider, .model = model};
	if (import_log_has(log, id))
		return 0;
	int error = ul_record_balance(log->log, &names, id, balance);
	return error || !log->ids ? error : call_ids_add(log->ids, id, 0);
}
