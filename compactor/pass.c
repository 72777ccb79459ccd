/* One pass over all segments of a log. */
#include "pass.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "progress.h"

static const struct runs no_runs;

static void clear_results(struct pass *pass)
{
	for (size_t i = 0; pass->results && i < pass->segments->group_count; i++)
		runs_clear(&pass->results[i].added);
	free(pass->results);
	pass->results = NULL;
}

void pass_clear(struct pass *pass)
{
	clear_results(pass);
	fold_close(&pass->fold);
}

static void note_state(struct group_result *result, const struct group_reader *reader)
{
	const struct ul_reader *first = &reader->readers[0];
	const struct ul_state_block *block = ul_block_pair(first->blocks, first->seed, UL_BLOCK_COUNTERS);
	result->size_bytes = first->header.size_bytes;
	result->end_slot = reader->end_slot;
	if (!block)
		return;
	result->attempted = block->payload.counters.attempted;
	memcpy(result->dropped_by_cause, block->payload.counters.dropped, sizeof(result->dropped_by_cause));
	for (size_t i = 0; i < UL_CAUSES; i++)
		if (__builtin_add_overflow(result->dropped, block->payload.counters.dropped[i], &result->dropped))
			result->dropped = UINT64_MAX;
}

void pass_report_cut(struct findings *findings, const struct group_reader *reader, const struct runs *runs)
{
	if (!runs->count)
		return;
	struct ul_run last = runs->items[runs->count - 1];
	if (last.first_slot + last.slot_count <= reader->end_slot)
		return;
	findings_add(findings, FINDING_DAMAGE,
		     "%s: ends at byte %llu, and calls up to byte %llu were folded before; it was cut short; the "
		     "totals stay",
		     reader->files[0]->name->name, (unsigned long long)reader->end_slot * UL_SLOT_BYTES,
		     (unsigned long long)(last.first_slot + last.slot_count) * UL_SLOT_BYTES);
}

/* A slot that is damaged is in no run of folded slots, so each pass comes by it and says so again. Once a pass is done: a group that is
 * excluded makes it begin anew. */
static void report_bad(const struct pass *pass)
{
	for (size_t i = 0; i < pass->segments->group_count; i++) {
		unsigned long long bad = pass->results[i].bad;
		if (bad)
			findings_add(pass->findings, FINDING_LEFT_OUT,
				     "%s: %llu slot%s damaged or written by a newer program and %s not counted; "
				     "usagelog verify says where",
				     pass->segments->groups[i].files[0].name->name, bad, bad == 1 ? " is" : "s are",
				     bad == 1 ? "is" : "are");
	}
}

/* ---- shares of the work ---------------------------------------------------------------------------------------- */

/*
 * A thread folds a run of groups, of the first and the last one maybe only a part: a log is written in the order of time, so that each thread
 * has days of its own, but for some at the borders. What it finds is kept by part, and put together in the order of the parts, as one
 * thread would have found it.
 */
enum { THREADS_MAX = 4, SHARE_SLOTS_MIN = 4 << 20 >> 6 };

struct part {
	uint32_t group;
	struct slot_range range; /* cut where the group begins and ends */
	uint64_t slots;          /* to be folded in it, about */
	struct group_result result;
	struct slot_counts counts;
	struct findings findings;
	int error;
};

struct share {
	struct pass *pass;
	struct fold fold;
	struct part *parts;
	size_t part_count;
	bool is_first; /* of its group's parts, the first one here is, too */
	int error;     /* that ends the pass */
	pthread_t thread;
	bool started;
};

static int fold_part(struct share *share, struct part *part, struct group_reader *reader, bool tell)
{
	struct pass *pass = share->pass;
	struct fold *fold = &share->fold;
	const struct segment_group *group = &pass->segments->groups[part->group];
	const struct segment_state *state = checkpoint_find_segment(pass->checkpoint, &group->id);
	const struct runs *runs = state ? &state->runs : &no_runs;
	uint64_t calls = fold->calls;
	struct slot_counts before = fold->counts;
	fold->counts = (struct slot_counts){0};
	struct slot_range range = part->range;
	range.first = range.first > reader->first_slot ? range.first : reader->first_slot;
	range.end = range.end < reader->end_slot ? range.end : reader->end_slot;
	note_state(&part->result, reader);
	if (tell)
		pass_report_cut(&part->findings, reader, runs);
	int error = fold_group(fold, reader, part->group, runs, pass->again, range,
			       pass->again ? NULL : &part->result.added);
	if (!error && pass->sync)
		error = group_sync(reader);
	part->result.calls = (int64_t)(fold->calls - calls);
	part->counts = fold->counts;
	fold->counts = before;
	slot_counts_add(&fold->counts, &part->counts);
	part->result.bad = part->counts.damaged + part->counts.unknown;
	return error;
}

static void *run_share(void *arg)
{
	struct share *share = arg;
	struct pass *pass = share->pass;
	for (size_t i = 0; i < share->part_count; i++) {
		struct part *part = &share->parts[i];
		struct group_reader reader;
		struct findings told = {0};
		bool tell = i || share->is_first;
		part->error = group_open(&reader, pass->segments, &pass->segments->groups[part->group],
					 tell ? &part->findings : &told);
		findings_clear(&told);
		if (!part->error) {
			part->error = fold_part(share, part, &reader, tell);
			group_close(&reader);
		}
		progress_add(part->slots * UL_SLOT_BYTES);
		if (share->fold.error || part->error == -ENOMEM)
			share->error = share->fold.error ? share->fold.error : -ENOMEM;
		if (part->error || share->error)
			break;
	}
	return NULL;
}

static uint64_t group_slots(const struct pass *pass, const struct segment_group *group)
{
	const struct segment_state *state = checkpoint_find_segment(pass->checkpoint, &group->id);
	uint64_t folded = state ? runs_total(&state->runs) : 0, slots = 0;
	if (group->excluded)
		return 0;
	for (uint32_t i = 0; i < group->file_count; i++)
		if (group->files[i].used_end - group->files[i].first_slot > slots)
			slots = group->files[i].used_end - group->files[i].first_slot;
	if (pass->again)
		return folded;
	return slots > folded ? slots - folded : 0;
}

static uint32_t count_shares(const struct pass *pass, uint64_t slots)
{
	uint64_t worth = slots / SHARE_SLOTS_MIN;
	uint32_t processors = os_processors();
	if (pass->threads)
		return pass->threads < THREADS_MAX ? pass->threads : THREADS_MAX;
	if (worth > processors)
		worth = processors;
	return worth < 1 ? 1 : worth > THREADS_MAX ? THREADS_MAX : (uint32_t)worth;
}

/* Deal the groups out. A group is parted at the share of its slots, wherever in it those are that are not folded yet. `parts` has room for a part of
 * each group and one more for each share. */
static void deal(const struct pass *pass, struct share *shares, uint32_t share_count, struct part *parts,
		 uint64_t slots)
{
	uint32_t number = 0;
	uint64_t left = slots / share_count + 1; /* for the share at hand */
	shares[0].parts = parts;
	shares[0].is_first = true;
	for (uint32_t i = 0; i < pass->segments->group_count; i++) {
		const struct segment_group *group = &pass->segments->groups[i];
		uint64_t own = group_slots(pass, group), done = 0;
		uint32_t first = 0, slots_first = group->files[0].first_slot,
			 span = group->files[0].used_end - slots_first;
		if (group->excluded)
			continue;
		while (own - done > left && number + 1 < share_count) {
			done += left;
			uint32_t border = slots_first + (uint32_t)((double)done / (double)own * span);
			border = border / UL_PAGE_SLOTS * UL_PAGE_SLOTS;
			*parts++ = (struct part){.group = i, .range = {first, border}, .slots = left};
			shares[number].part_count++;
			first = border;
			shares[++number].parts = parts;
			left = slots / share_count + 1;
		}
		*parts++ = (struct part){.group = i, .range = {first, UINT32_MAX}, .slots = own - done};
		shares[number].part_count++;
		left -= own - done < left ? own - done : left;
	}
}

/* ---- what came of it -------------------------------------------------------------------------------------------- */

static void report_conflicts(const struct pass *pass, uint32_t group, const struct slot_counts *counts)
{
	char id[UL_ID_TEXT_BYTES];
	if (!counts->conflicts)
		return;
	ul_id_format(id, &pass->segments->groups[group].id);
	findings_add(pass->findings, FINDING_DAMAGE,
		     "segment %s: its files hold different valid calls in %llu slots, slot %u being one; those of the "
		     "lowest generation count",
		     id, (unsigned long long)counts->conflicts, counts->first_conflict);
}

static int exclude(struct pass *pass, const struct part *part)
{
	struct segment_group *group = &pass->segments->groups[part->group];
	char id[UL_ID_TEXT_BYTES];
	group->excluded = true;
	group->error = part->error;
	ul_id_format(id, &group->id);
	if (part->error != -ENOENT)
		findings_add(pass->findings, FINDING_LEFT_OUT,
			     "segment %s: cannot be read or synced (%s); left out; the next run tries again", id,
			     usagelog_strerror(part->error));
	return 1;
}

/* Take over what a part found. `counts` are those of the group's parts so far. */
static int collect(struct pass *pass, struct part *part, struct slot_counts *counts)
{
	struct group_result *result = &pass->results[part->group];
	struct runs added = result->added;
	int64_t calls = result->calls;
	uint64_t bad = result->bad;
	findings_add_all(pass->findings, &part->findings);
	if (part->error)
		return exclude(pass, part);
	slot_counts_add(counts, &part->counts);
	for (uint32_t i = 0; i < part->result.added.count; i++)
		if (runs_append_run(&added, part->result.added.items[i])) {
			result->added = added;
			return -ENOMEM;
		}
	runs_clear(&part->result.added);
	*result = part->result;
	result->added = added;
	result->calls += calls;
	result->bad += bad;
	return 0;
}

/* 0: done; 1: a group was excluded; or an error that ends the pass. */
static int collect_all(struct pass *pass, struct share *shares, uint32_t share_count)
{
	struct slot_counts counts = {0};
	const struct part *before = NULL;
	for (uint32_t i = 0; i < share_count; i++) {
		for (size_t j = 0; j < shares[i].part_count; j++) {
			struct part *part = &shares[i].parts[j];
			if (before && before->group != part->group) {
				report_conflicts(pass, before->group, &counts);
				counts = (struct slot_counts){0};
			}
			if (shares[i].error)
				return shares[i].error;
			int error = collect(pass, part, &counts);
			if (error)
				return error;
			before = part;
		}
	}
	if (before)
		report_conflicts(pass, before->group, &counts);
	pass->fold = shares[0].fold;
	pass->fold.names_lock = NULL;
	shares[0].fold = (struct fold){0};
	for (uint32_t i = 1; i < share_count; i++)
		if (!fold_merge(&pass->fold, &shares[i].fold))
			return pass->fold.error;
	return 0;
}

static int open_share(struct share *share, struct pass *pass, pthread_mutex_t *lock, int64_t oldest_ns)
{
	share->pass = pass;
	int error = fold_open(&share->fold, &pass->directory->conf, pass->names, oldest_ns);
	share->fold.names_lock = lock;
	share->fold.only_days = pass->only_days;
	share->fold.only_day_count = pass->only_day_count;
	return error;
}

static void run_shares(struct share *shares, uint32_t share_count)
{
	for (uint32_t i = 1; i < share_count; i++)
		shares[i].started = os_thread(&shares[i].thread, run_share, &shares[i]) == 0;
	run_share(&shares[0]);
	for (uint32_t i = 1; i < share_count; i++) {
		if (shares[i].started)
			pthread_join(shares[i].thread, NULL);
		else
			run_share(&shares[i]);
	}
}

/* One round. 0: done; 1: a group was excluded; or an error that ends the pass. */
static int try_groups(struct pass *pass, int64_t oldest_ns)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct share shares[THREADS_MAX] = {0};
	uint64_t slots = 0;
	for (size_t i = 0; i < pass->segments->group_count; i++)
		slots += group_slots(pass, &pass->segments->groups[i]);
	uint32_t share_count = count_shares(pass, slots);
	size_t room = pass->segments->group_count + share_count;
	struct part *parts = os_allocate(room, sizeof(*parts));
	int error = parts ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < share_count && !error; i++)
		error = open_share(&shares[i], pass, share_count > 1 ? &lock : NULL, oldest_ns);
	if (!error) {
		deal(pass, shares, share_count, parts, slots);
		progress_begin("folding", slots * UL_SLOT_BYTES);
		run_shares(shares, share_count);
		progress_end();
		error = collect_all(pass, shares, share_count);
	}
	for (uint32_t i = 0; i < share_count; i++)
		fold_close(&shares[i].fold);
	for (size_t i = 0; parts && i < room; i++) {
		runs_clear(&parts[i].result.added);
		findings_clear(&parts[i].findings);
	}
	free(parts);
	return error;
}

int pass_run(struct pass *pass)
{
	const struct checkpoint *checkpoint = pass->checkpoint;
	bool list_is_full = checkpoint->call_count == UL_LAST_CALLS && !pass->again;
	int result = 1;
	/* Each round but the last excludes a group, so there are no more rounds than that. */
	for (size_t round = 0; round <= pass->segments->group_count && result == 1; round++) {
		pass_clear(pass);
		pass->results = os_allocate(pass->segments->group_count + 1, sizeof(*pass->results));
		result = pass->results ? try_groups(pass, list_is_full ? checkpoint->calls[0].call.time_ns : INT64_MIN)
				       : -ENOMEM;
	}
	/* What is folded again was counted when it was folded first. */
	if (!result && !pass->again)
		report_bad(pass);
	return result;
}

const struct segment_state *pass_find_lost(const struct pass *pass, const struct checkpoint *old)
{
	size_t group = 0;
	for (size_t i = 0; i < old->segment_count; i++) {
		const struct segment_state *segment = &old->segments[i];
		while (group < pass->segments->group_count &&
		       memcmp(&pass->segments->groups[group].id, &segment->record.id, sizeof(segment->record.id)) < 0)
			group++;
		bool found =
			group < pass->segments->group_count &&
			memcmp(&pass->segments->groups[group].id, &segment->record.id, sizeof(segment->record.id)) == 0;
		const struct runs *there = found ? &pass->results[group].added : &no_runs;
		if (!runs_include(there, &segment->runs))
			return segment;
	}
	return NULL;
}

void pass_report_missing(const struct pass *pass)
{
	const struct checkpoint *checkpoint = pass->checkpoint;
	size_t group = 0;
	for (size_t i = 0; i < checkpoint->segment_count; i++) {
		const struct ul_folded_segment *record = &checkpoint->segments[i].record;
		char id[UL_ID_TEXT_BYTES];
		while (group < pass->segments->group_count &&
		       memcmp(&pass->segments->groups[group].id, &record->id, sizeof(record->id)) < 0)
			group++;
		bool found = group < pass->segments->group_count &&
			     memcmp(&pass->segments->groups[group].id, &record->id, sizeof(record->id)) == 0;
		if (found || record->state & UL_SEGMENT_PRUNED)
			continue;
		ul_id_format(id, &record->id);
		findings_add(pass->findings, FINDING_DAMAGE,
			     "segment %s: its file is missing; its %lld folded calls stay in the totals; restore it "
			     "from a backup",
			     id, (long long)record->calls);
	}
}
