/* One pass over all segments of a log. */
#include "pass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

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

static void report_conflicts(const struct pass *pass, const struct segment_group *group, uint64_t before)
{
	const struct slot_counts *counts = &pass->fold.counts;
	char id[UL_ID_TEXT_BYTES];
	if (counts->conflicts == before)
		return;
	ul_id_format(id, &group->id);
	findings_add(pass->findings, FINDING_DAMAGE,
		     "segment %s: its files hold different valid calls in %llu slots, slot %u being one; those of the "
		     "lowest generation count",
		     id, (unsigned long long)(counts->conflicts - before), counts->first_conflict);
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

static int run_group(struct pass *pass, uint32_t number, struct group_reader *reader)
{
	struct group_result *result = &pass->results[number];
	const struct segment_group *group = &pass->segments->groups[number];
	const struct segment_state *state = checkpoint_find_segment(pass->checkpoint, &group->id);
	const struct runs *runs = state ? &state->runs : &no_runs;
	const struct slot_counts before = pass->fold.counts, *counts = &pass->fold.counts;
	uint64_t calls = pass->fold.calls;
	note_state(result, reader);
	pass_report_cut(pass->findings, reader, runs);
	int error = fold_group(&pass->fold, reader, number, runs, pass->again,
			       (struct slot_range){reader->first_slot, reader->end_slot},
			       pass->again ? NULL : &result->added);
	if (!error && pass->sync)
		error = group_sync(reader);
	result->calls = (int64_t)(pass->fold.calls - calls);
	result->bad = counts->damaged + counts->unknown - before.damaged - before.unknown;
	report_conflicts(pass, group, before.conflicts);
	return error;
}

/* 0: done; 1: a group was excluded; or an error that ends the pass. */
static int try_groups(struct pass *pass)
{
	for (uint32_t i = 0; i < pass->segments->group_count; i++) {
		struct segment_group *group = &pass->segments->groups[i];
		struct group_reader reader;
		char id[UL_ID_TEXT_BYTES];
		if (group->excluded)
			continue;
		int error = group_open(&reader, pass->segments, group, pass->findings);
		if (!error) {
			error = run_group(pass, i, &reader);
			group_close(&reader);
		}
		if (pass->fold.error || error == -ENOMEM)
			return pass->fold.error ? pass->fold.error : -ENOMEM;
		if (!error)
			continue;
		group->excluded = true;
		ul_id_format(id, &group->id);
		if (error != -ENOENT)
			findings_add(pass->findings, FINDING_LEFT_OUT,
				     "segment %s: cannot be read or synced (%s); left out; the next run tries again",
				     id, usagelog_strerror(error));
		return 1;
	}
	return 0;
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
		result = pass->results ? fold_open(&pass->fold, &pass->directory->conf, pass->names,
						   list_is_full ? checkpoint->calls[0].call.time_ns : INT64_MIN)
				       : -ENOMEM;
		pass->fold.only_days = pass->only_days;
		pass->fold.only_day_count = pass->only_day_count;
		if (!result)
			result = try_groups(pass);
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
