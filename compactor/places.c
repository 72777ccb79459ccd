/* Where the calls of a group go in the facts of a day. */
#include "places.h"

bool places_find(struct places *places, struct facts *facts, const struct place_key *key,
		 const struct call_names *names, const struct ul_slot *slot, struct facts_place *found)
{
	struct place *row = places_row(places, key);
	struct quarter_place *quarter = places_quarter(places, key);
	if (row->call != key->call || row->epoch != key->epoch)
		*row = (struct place){.call = key->call,
				      .epoch = key->epoch,
				      .row = facts_find_row(facts, names, slot),
				      .latency = facts_find_histogram(facts, names, UL_MEASURE_LATENCY),
				      .ttft = facts_find_histogram(facts, names, UL_MEASURE_TTFT)};
	if (quarter->model != key->model || quarter->quarter != key->quarter || quarter->epoch != key->epoch)
		*quarter = (struct quarter_place){.epoch = key->epoch,
						  .quarter = key->quarter,
						  .model = key->model,
						  .record = facts_find_quarter(facts, names, key->quarter)};
	*found = (struct facts_place){row->row, row->latency, row->ttft, quarter->record};
	return !facts->error;
}
