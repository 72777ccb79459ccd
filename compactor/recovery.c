/* Where a fold goes on from. */
#include "recovery.h"

#include <errno.h>
#include <string.h>

#include "os.h"

/* Rows by what `checkpoint` is, columns by what `checkpoint.previous` is. A current one that is sound is enough. One that is a newer
 * program's stops everything; so does one that cannot be read, since it may be sound. */
static const enum recovery decisions[FILE_STATES][FILE_STATES] = {
	[FILE_SOUND] = {[FILE_MISSING] = RECOVERY_CURRENT,
			[FILE_SOUND] = RECOVERY_CURRENT,
			[FILE_DAMAGED] = RECOVERY_CURRENT,
			[FILE_NEWER] = RECOVERY_CURRENT,
			[FILE_UNREADABLE] = RECOVERY_CURRENT},
	[FILE_MISSING] = {[FILE_MISSING] = RECOVERY_EMPTY,
			  [FILE_SOUND] = RECOVERY_PREVIOUS,
			  [FILE_DAMAGED] = RECOVERY_REBUILD,
			  [FILE_NEWER] = RECOVERY_REFUSE,
			  [FILE_UNREADABLE] = RECOVERY_REFUSE},
	[FILE_DAMAGED] = {[FILE_MISSING] = RECOVERY_REBUILD,
			  [FILE_SOUND] = RECOVERY_PREVIOUS,
			  [FILE_DAMAGED] = RECOVERY_REBUILD,
			  [FILE_NEWER] = RECOVERY_REFUSE,
			  [FILE_UNREADABLE] = RECOVERY_REFUSE},
	[FILE_NEWER] = {RECOVERY_REFUSE, RECOVERY_REFUSE, RECOVERY_REFUSE, RECOVERY_REFUSE, RECOVERY_REFUSE},
	[FILE_UNREADABLE] = {RECOVERY_REFUSE, RECOVERY_REFUSE, RECOVERY_REFUSE, RECOVERY_REFUSE, RECOVERY_REFUSE},
};

enum recovery recovery_decide(enum file_state current, enum file_state previous, bool facts_present)
{
	assert(current < FILE_STATES && previous < FILE_STATES);
	enum recovery decision = decisions[current][previous];
	return decision == RECOVERY_EMPTY && facts_present ? RECOVERY_REBUILD : decision;
}

struct names_in_sight {
	bool facts_present;
	uint64_t generation_max;
};

static int look_at_name(void *arg, const char *name)
{
	struct names_in_sight *seen = arg;
	int32_t day;
	uint64_t generation = 0;
	char original[STORE_NAME_BYTES];
	if (store_parse_base_name(name, original))
		name = original;
	bool facts = store_parse_fact_name(name, &day, &generation);
	if (!facts && !store_parse_ids_name(name, &generation) && !store_parse_prices_name(name, &generation))
		return 0;
	seen->facts_present |= facts;
	if (generation > seen->generation_max)
		seen->generation_max = generation;
	return 0;
}

static int refuse(const struct ul_directory *directory, const char *name, const struct stored_file *file,
		  struct ul_message *why)
{
	if (file->state == FILE_NEWER) {
		ul_message_set(
			why,
			"%s/%s: was written by a newer usagelog than this one; nothing was touched; use the newer one",
			directory->path, name);
		return USAGELOG_ERROR_NEWER;
	}
	ul_message_set(why, "%s/%s: cannot be read: %s; nothing was touched; see to that and try again",
		       directory->path, name, usagelog_strerror(file->error));
	return file->error;
}

static void report(const struct recovery_state *state, const struct ul_directory *directory, struct findings *findings)
{
	const char *path = directory->path;
	if (state->current == FILE_DAMAGED)
		findings_add(findings, FINDING_DAMAGE, "%s/checkpoint: is damaged; %s", path,
			     state->decision == RECOVERY_PREVIOUS
				     ? "checkpoint.previous is gone on from, and what came since is folded again"
				     : "everything is folded anew from the segments");
	if (state->current == FILE_MISSING && state->decision == RECOVERY_PREVIOUS)
		findings_add(findings, FINDING_DAMAGE, "%s/checkpoint: is missing; checkpoint.previous is gone on from",
			     path);
	if (state->current == FILE_MISSING && state->decision == RECOVERY_REBUILD)
		findings_add(findings, FINDING_RESIDUE,
			     "%s/checkpoint: there is none, but there are fact files; everything is folded anew from "
			     "the segments",
			     path);
	if (state->previous == FILE_DAMAGED)
		findings_add(findings, FINDING_DAMAGE, "%s/checkpoint.previous: is damaged%s", path,
			     state->current == FILE_SOUND ? "; checkpoint is sound, so nothing is lost" : "");
	if (state->previous == FILE_UNREADABLE)
		findings_add(findings, FINDING_NOTE, "%s/checkpoint.previous: cannot be read; checkpoint is sound",
			     path);
}

/* The checkpoint's time of change: a fact file that changed later was not changed by a compactor. */
static uint64_t ctime_of(int directory, const char *name)
{
	struct stat found;
	if (os_stat_at(directory, name, &found))
		return 0;
	return (uint64_t)found.st_ctim.tv_sec * 1000000000 + (uint64_t)found.st_ctim.tv_nsec;
}

static int load(struct recovery_state *state, struct names *names, const struct ul_directory *directory,
		const struct stored_file *file, struct ul_message *why)
{
	int error = checkpoint_load(&state->checkpoint, names, &file->container);
	if (error) {
		ul_message_set(why, "%s: no memory to read the checkpoint", directory->path);
		return error;
	}
	if (state->checkpoint.generation > state->generation_max)
		state->generation_max = state->checkpoint.generation;
	state->settings_changed = state->checkpoint.settings != ul_conf_settings(&directory->conf);
	return 0;
}

int recovery_load(struct recovery_state *state, struct names *names, const struct ul_directory *directory,
		  struct findings *findings, struct ul_message *why)
{
	struct stored_file current, previous;
	struct names_in_sight seen = {0};
	*state = (struct recovery_state){0};
	int error = store_list(directory->fd, look_at_name, &seen);
	if (error) {
		ul_message_set(why, "%s: cannot be listed: %s", directory->path, usagelog_strerror(error));
		return error;
	}
	store_read(directory->fd, "checkpoint", UL_CONTAINER_CHECKPOINT, &directory->conf.log_id, &current);
	store_read(directory->fd, "checkpoint.previous", UL_CONTAINER_CHECKPOINT, &directory->conf.log_id, &previous);
	state->current = current.state;
	state->previous = previous.state;
	state->previous_error = previous.error;
	state->generation_max = seen.generation_max;
	state->current_ctime_ns = ctime_of(directory->fd, "checkpoint");
	state->decision = recovery_decide(current.state, previous.state, seen.facts_present);
	bool current_refused = current.state == FILE_NEWER || current.state == FILE_UNREADABLE;
	if (state->decision == RECOVERY_REFUSE)
		error = refuse(directory, current_refused ? "checkpoint" : "checkpoint.previous",
			       current_refused ? &current : &previous, why);
	else
		report(state, directory, findings);
	if (state->decision == RECOVERY_CURRENT)
		error = load(state, names, directory, &current, why);
	if (state->decision == RECOVERY_PREVIOUS)
		error = load(state, names, directory, &previous, why);
	stored_file_clear(&current);
	stored_file_clear(&previous);
	return error;
}
