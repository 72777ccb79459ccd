/* Names that the page tells apart. */
#include "page_names.h"

#include <errno.h>

/* The number of a name; the first 16 bytes are the key. */
struct place_of_name {
	uint64_t name, zero;
	uint64_t number;
};

int page_names_choose(struct page_names *chosen, const struct names *names, size_t most)
{
	struct sum_list *list = &chosen->list;
	table_init(&chosen->places, sizeof(struct place_of_name));
	chosen->most = most;
	breakdown_sort_by_cost(list, names);
	for (size_t i = 0; i < list->count && i < most; i++) {
		const uint64_t key[2] = {list->items[i].first, 0};
		struct place_of_name *place = table_get(&chosen->places, key);
		if (!place)
			return -ENOMEM;
		place->number = i + 1;
	}
	chosen->other = list->count > most ? most + 1 : 0;
	return 0;
}

void page_names_clear(struct page_names *chosen)
{
	sum_list_clear(&chosen->list);
	table_clear(&chosen->places);
}

int page_names_find(struct page_names *chosen, uint32_t name, uint32_t *number)
{
	const uint64_t key[2] = {name, 0};
	struct place_of_name *place = table_get(&chosen->places, key);
	if (!place)
		return -ENOMEM;
	*number = (uint32_t)(place->number ? place->number : name == NAME_EMPTY ? 0 : chosen->other);
	return 0;
}

void page_names_put(const struct page_names *chosen, struct json_text *json, const char *key, const struct names *names)
{
	json_in_a_line(json);
	json_begin_array(json, json_key(key));
	json_string(json, json_key(""), json_key(""));
	for (size_t i = 0; i < chosen->list.count && i < chosen->most; i++)
		json_string(json, json_key(""), names_text(names, chosen->list.items[i].first));
	if (chosen->other)
		json_string(json, json_key(""), json_key("(other)"));
	json_end(json);
}
