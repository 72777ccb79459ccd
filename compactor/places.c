/* Where the calls of a group go in the facts of a day. */
#include "places.h"

bool places_find(struct places *places, struct facts *facts, const struct place_key *key,
		 const struct call_names *names, const struct ul_slot *slot, struct facts_place *found)
{
	*found = (struct facts_place){.row = facts_find_row(facts, names, slot),
				      .latency = facts_find_histogram(facts, names, UL_MEASURE_LATENCY),
				      .ttft = facts_find_histogram(facts, names, UL_MEASURE_TTFT),
				      .quarter = facts_find_quarter(facts, names, key->quarter)};
	if (facts->error)
		return false;
	*places_row(places, key) = (struct place){.call = key->call,
						  .epoch = key->epoch,
						  .row = found->row,
						  .latency = found->latency,
						  .ttft = found->ttft};
	*places_quarter(places, key) = (struct quarter_place){
		.epoch = key->epoch, .quarter = key->quarter, .model = key->model, .record = found->quarter};
	return true;
}
