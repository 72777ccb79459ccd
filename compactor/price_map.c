/* Price maps from outside. */
#include "price_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "decimal.h"
#include "json.h"
#include "os.h"
#include "seal.h"

enum {
	TIERS = UL_PROMPT_BANDS, /* tier t is for the prompt bands from t on; 0 is what has no limit before it */
	PICO_DIGITS = 12,
	FINER_DIGITS = 18,
	PRICE_SUSPECT = 1000000000, /* 0.001 USD a token: those of the map above it are a million times too high */
};

/* A model as a file has it; the first 16 bytes are the key. */
struct entry {
	uint64_t name;
	uint64_t zero;
	uint32_t provider;
	uint32_t same_as; /* a name; 0: none */
	bool known;       /* a file has it; else others are the same as it */
	bool unusable;    /* and that is said */
	bool puts_out_nothing;
	uint8_t given[UL_TOKEN_KINDS][TIERS]; /* a bit for each service */
	int64_t pico_usd[UL_TOKEN_KINDS][TIERS][UL_SERVICES];
};

int price_map_open(struct price_map *map)
{
	*map = (struct price_map){0};
	table_init(&map->entries, sizeof(struct entry));
	return names_init(&map->names);
}

void price_map_clear(struct price_map *map)
{
	table_clear(&map->entries);
	names_clear(&map->names);
	findings_clear(&map->findings);
	*map = (struct price_map){0};
}

/* ---- keys -------------------------------------------------------------------------------------------------- */

/* Longer ones first where one begins another. */
static const struct {
	const char *text;
	enum ul_token_kind kind;
} bases[] = {
	{"input_cost_per_token", UL_INPUT},
	{"output_cost_per_token", UL_OUTPUT},
	{"output_cost_per_reasoning_token", UL_REASONING},
	{"cache_read_input_token_cost", UL_CACHE_READ},
	{"cache_creation_input_token_cost_above_1hr", UL_CACHE_WRITE_1H},
	{"cache_creation_input_token_cost", UL_CACHE_WRITE_5M},
};

static const char *const tiers[TIERS] = {"",
					 "_above_128k_tokens",
					 "_above_200k_tokens",
					 "_above_256k_tokens",
					 "_above_272k_tokens",
					 "_above_512k_tokens"};

static const char *const services[UL_SERVICES] = {"", "_batches", "_flex", "_priority"};

/* What a key of a model says the price of. */
struct price_key {
	enum ul_token_kind kind;
	uint32_t tier;
	enum ul_service service;
};

enum key_kind { KEY_OTHER, KEY_PRICE, KEY_UNKNOWN_TIER };

static bool cut_start(const char **text, const char *start)
{
	size_t bytes = strlen(start);
	if (strncmp(*text, start, bytes) != 0)
		return false;
	*text += bytes;
	return true;
}

static enum key_kind read_rest(const char *rest, struct price_key *key)
{
	static const char above[] = "_above_";
	for (uint32_t i = 1; i < TIERS; i++)
		if (cut_start(&rest, tiers[i]))
			key->tier = i;
	if (strncmp(rest, above, strlen(above)) == 0)
		return KEY_UNKNOWN_TIER;
	for (size_t i = 0; i < UL_SERVICES; i++)
		if (strcmp(rest, services[i]) == 0) {
			key->service = (enum ul_service)i;
			return KEY_PRICE;
		}
	return KEY_OTHER;
}

static enum key_kind read_key(struct ul_json_span span, struct price_key *key)
{
	char text[128];
	ptrdiff_t bytes = ul_json_unescape(span, text, sizeof(text) - 1);
	if (bytes < 0)
		return KEY_OTHER;
	text[bytes] = '\0';
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		const char *rest = text;
		if (!cut_start(&rest, bases[i].text))
			continue;
		*key = (struct price_key){.kind = bases[i].kind};
		return read_rest(rest, key);
	}
	return KEY_OTHER;
}

/* ---- models ------------------------------------------------------------------------------------------------ */

static void refuse(struct price_map *map, struct entry *entry, const char *why, struct ul_json_span key)
{
	struct ul_text name = names_text(&map->names, (uint32_t)entry->name);
	entry->unusable = true;
	findings_add(&map->findings, FINDING_LEFT_OUT, "%.*s: %.*s %s; the model has no price", (int)name.bytes,
		     name.text, (int)key.bytes, key.text, why);
}

/* Rounded by more than what a floating-point number is off by? */
static bool is_finer(struct ul_json_span value, uint64_t pico_usd)
{
	uint64_t fine;
	if (decimal_parse_positive(value.text, value.bytes, FINER_DIGITS, UINT64_MAX, &fine))
		return false;
	__int128 off = (__int128)pico_usd * 1000000 - fine;
	return (off < 0 ? -off : off) > (__int128)fine / 1000000;
}

static void take_price(struct price_map *map, struct entry *entry, struct ul_json_span key, struct ul_json_span value)
{
	struct price_key what;
	uint64_t pico_usd;
	enum key_kind kind = read_key(key, &what);
	if (kind == KEY_OTHER || value.type == UL_JSON_NULL)
		return;
	if (kind == KEY_UNKNOWN_TIER) {
		refuse(map, entry, "is a tier that this program does not know", key);
		return;
	}
	if (value.type != UL_JSON_NUMBER) {
		refuse(map, entry, "is not a number", key);
		return;
	}
	enum decimal_error error =
		decimal_parse_positive(value.text, value.bytes, PICO_DIGITS, (uint64_t)UL_PRICE_MAX, &pico_usd);
	if (error) {
		refuse(map, entry, decimal_strerror(error), key);
		return;
	}
	struct ul_text name = names_text(&map->names, (uint32_t)entry->name);
	if (is_finer(value, pico_usd))
		findings_add(&map->findings, FINDING_DAMAGE,
			     "%.*s: %.*s %.*s is finer than 1e-12 US dollars a token, and was rounded", (int)name.bytes,
			     name.text, (int)key.bytes, key.text, (int)value.bytes, value.text);
	if (pico_usd > PRICE_SUSPECT)
		findings_add(&map->findings, FINDING_DAMAGE,
			     "%.*s: %.*s %.*s is more than 0.001 US dollars a token: suspect, maybe a price for a "
			     "thousand or a million tokens",
			     (int)name.bytes, name.text, (int)key.bytes, key.text, (int)value.bytes, value.text);
	entry->given[what.kind][what.tier] |= (uint8_t)(1 << what.service);
	entry->pico_usd[what.kind][what.tier][what.service] = (int64_t)pico_usd;
}

/* A string as a name; 0 (the empty one): it is none. */
static uint32_t take_name(struct price_map *map, struct ul_json_span value)
{
	char text[UL_NAME_BYTES_MAX];
	ptrdiff_t bytes = value.type == UL_JSON_STRING ? ul_json_unescape(value, text, sizeof(text)) : -1;
	if (bytes <= 0 || !ul_name_is_valid(text, (size_t)bytes))
		return NAME_EMPTY;
	return names_intern(&map->names, text, (size_t)bytes);
}

static bool mode_is(struct ul_json_span mode, const char *text)
{
	return mode.type == UL_JSON_STRING && ul_json_string_is(mode, text, strlen(text));
}

static int take_model(struct price_map *map, struct ul_json_span key, struct ul_json_span model)
{
	uint64_t wanted[2] = {take_name(map, key), 0};
	struct ul_json_walk walk;
	struct ul_json_span member, value;
	if (wanted[0] == NAME_EMPTY) {
		findings_add(&map->findings, FINDING_LEFT_OUT, "%.*s: cannot be the name of a model",
			     (int)(key.bytes < 80 ? key.bytes : 80), key.text);
		return 0;
	}
	bool is_object = model.type == UL_JSON_OBJECT;
	uint32_t same_as = is_object ? take_name(map, ul_json_member(model, "same_as")) : NAME_EMPTY;
	uint64_t other[2] = {same_as, 0};
	if (same_as && !table_get(&map->entries, other))
		return -ENOMEM;
	struct entry *entry = table_get(&map->entries, wanted);
	if (!entry)
		return -ENOMEM;
	/* One of an earlier file goes as a whole. */
	*entry = (struct entry){.name = wanted[0], .same_as = same_as, .known = true};
	if (!is_object) {
		refuse(map, entry, "is not an object", key);
		return 0;
	}
	entry->provider = take_name(map, ul_json_member(model, "litellm_provider"));
	struct ul_json_span mode = ul_json_member(model, "mode");
	entry->puts_out_nothing = mode_is(mode, "embedding") || mode_is(mode, "rerank");
	ul_json_enter(&walk, model);
	while ((value = ul_json_next(&walk, &member)).type != UL_JSON_END && !entry->unusable)
		take_price(map, entry, member, value);
	return 0;
}

int price_map_add(struct price_map *map, const char *name, const char *text, size_t bytes, struct ul_message *why)
{
	struct ul_json_span all = ul_json_parse(text, bytes), key, value;
	struct ul_json_walk walk;
	int error = 0;
	if (all.type != UL_JSON_OBJECT) {
		if (all.type == UL_JSON_ERROR)
			ul_message_set(why, "%s: byte %zu: is not JSON; nothing was taken from it", name,
				       (size_t)(all.text - text));
		else
			ul_message_set(why, "%s: is not an object of models; nothing was taken from it", name);
		return -EINVAL;
	}
	map->source = XXH3_64bits_withSeed(text, bytes, map->source);
	ul_json_enter(&walk, all);
	while (!error && (value = ul_json_next(&walk, &key)).type != UL_JSON_END)
		if (!ul_json_string_is(key, "sample_spec", strlen("sample_spec")))
			error = take_model(map, key, value);
	if (!error && map->names.error)
		error = map->names.error;
	if (error)
		ul_message_set(why, "%s: no memory to read it", name);
	return error;
}

/* ---- prices ------------------------------------------------------------------------------------------------ */

static bool is_given(const struct entry *entry, enum ul_token_kind kind, uint32_t tier, enum ul_service service)
{
	return entry->given[kind][tier] >> service & 1;
}

/* The tier of a band: the last limit that it is above and that the model has a price of input or output for, in whatever service. */
static uint32_t tier_of(const struct entry *entry, uint32_t band)
{
	uint32_t tier = band;
	while (tier && !entry->given[UL_INPUT][tier] && !entry->given[UL_OUTPUT][tier])
		tier--;
	return tier;
}

/* What a service has no price of is at the standard one. */
static bool take_at(const struct entry *entry, enum ul_token_kind kind, uint32_t tier, enum ul_service service,
		    int64_t *price)
{
	if (!is_given(entry, kind, tier, service))
		service = UL_SERVICE_STANDARD;
	if (!is_given(entry, kind, tier, service))
		return false;
	*price = entry->pico_usd[kind][tier][service];
	return true;
}

/* Kept 1 hour costs 1.6 times what kept 5 minutes does, wherever the map has both. */
static int64_t price_1h_of(int64_t price_5m)
{
	int64_t fifths = price_5m * 8;
	int64_t whole = fifths / 5;
	return whole + (fifths % 5 > 2); /* fifths know no halves */
}

/* The prices of a service and band, by FORMAT.md 14. False: there are none. */
static bool price_of(const struct entry *entry, enum ul_service service, uint32_t band, int64_t price[UL_TOKEN_KINDS])
{
	uint32_t tier = tier_of(entry, band);
	if (!is_given(entry, UL_INPUT, tier, service))
		return false;
	price[UL_INPUT] = entry->pico_usd[UL_INPUT][tier][service];
	if (!is_given(entry, UL_OUTPUT, tier, service) && !entry->puts_out_nothing)
		return false;
	price[UL_OUTPUT] = entry->pico_usd[UL_OUTPUT][tier][service];
	if (!take_at(entry, UL_CACHE_READ, tier, service, &price[UL_CACHE_READ]) &&
	    !take_at(entry, UL_CACHE_READ, 0, UL_SERVICE_STANDARD, &price[UL_CACHE_READ]))
		price[UL_CACHE_READ] = price[UL_INPUT];
	bool has_5m = take_at(entry, UL_CACHE_WRITE_5M, tier, service, &price[UL_CACHE_WRITE_5M]);
	bool any_5m = has_5m || take_at(entry, UL_CACHE_WRITE_5M, 0, UL_SERVICE_STANDARD, &price[UL_CACHE_WRITE_5M]);
	if (!any_5m)
		price[UL_CACHE_WRITE_5M] = price[UL_INPUT];
	if (!take_at(entry, UL_CACHE_WRITE_1H, tier, service, &price[UL_CACHE_WRITE_1H]) &&
	    (has_5m || !take_at(entry, UL_CACHE_WRITE_1H, 0, UL_SERVICE_STANDARD, &price[UL_CACHE_WRITE_1H])))
		price[UL_CACHE_WRITE_1H] = any_5m ? price_1h_of(price[UL_CACHE_WRITE_5M]) : price[UL_CACHE_WRITE_5M];
	price[UL_REASONING] = is_given(entry, UL_REASONING, tier, service)
				      ? entry->pico_usd[UL_REASONING][tier][service]
				      : price[UL_OUTPUT];
	return true;
}

/* ---- the table --------------------------------------------------------------------------------------------- */

struct draft {
	struct ul_price *prices;
	size_t count;
	uint8_t *used;
	struct name_sections names;
};

/* A service's prices: bands at the same ones are one record. */
static void add_service(struct draft *draft, const struct entry *entry, const struct entry *as, enum ul_service service)
{
	struct ul_price *last = NULL;
	for (uint8_t band = 0; band < UL_PROMPT_BANDS; band++) {
		struct ul_price price = {.name = (uint32_t)entry->name,
					 .provider = entry->provider ? entry->provider : as->provider,
					 .service = (uint8_t)service,
					 .first_band = band,
					 .last_band = band};
		if (!price_of(as, service, band, price.pico_usd)) {
			last = NULL;
			continue;
		}
		if (last && memcmp(last->pico_usd, price.pico_usd, sizeof(price.pico_usd)) == 0) {
			last->last_band = band;
			continue;
		}
		last = &draft->prices[draft->count++];
		*last = price;
	}
}

/* The model that one is the same as. NULL: it is none that can be had. */
static const struct entry *resolve(struct price_map *map, struct entry *entry)
{
	uint64_t wanted[2] = {entry->same_as, 0};
	if (!entry->same_as)
		return entry;
	/* It is there, as what is named is added when it is named. */
	const struct entry *other = table_get(&map->entries, wanted);
	if (other && other->known && !other->unusable && !other->same_as)
		return other;
	entry->unusable = true;
	struct ul_text name = names_text(&map->names, (uint32_t)entry->name);
	struct ul_text same_as = names_text(&map->names, entry->same_as);
	findings_add(&map->findings, FINDING_LEFT_OUT,
		     "%.*s: is to be the same as %.*s, which is no model with prices of its own; it has no price",
		     (int)name.bytes, name.text, (int)same_as.bytes, same_as.text);
	return NULL;
}

static void add_entry(struct price_map *map, struct draft *draft, struct entry *entry, struct price_map_counts *counts)
{
	const struct entry *as = entry->known && !entry->unusable ? resolve(map, entry) : NULL;
	size_t first = draft->count;
	if (!as)
		return;
	for (size_t i = 0; i < UL_SERVICES; i++)
		add_service(draft, entry, as, (enum ul_service)i);
	if (draft->count == first) {
		counts->without++;
		return;
	}
	static const int64_t nothing[UL_TOKEN_KINDS];
	counts->models++;
	counts->free_ones += memcmp(draft->prices[first].pico_usd, nothing, sizeof(nothing)) == 0;
	counts->derived_1h += as->given[UL_CACHE_WRITE_5M][0] && !as->given[UL_CACHE_WRITE_1H][0];
	draft->used[entry->name] = 1;
	draft->used[draft->prices[first].provider] = 1;
}

static int compare_prices(const void *left, const void *right)
{
	const struct ul_price *a = left, *b = right;
	if (a->name != b->name)
		return a->name < b->name ? -1 : 1;
	if (a->service != b->service)
		return a->service < b->service ? -1 : 1;
	return (a->first_band > b->first_band) - (a->first_band < b->first_band);
}

static void draft_clear(struct draft *draft)
{
	name_sections_clear(&draft->names);
	free(draft->prices);
	free(draft->used);
}

static int make_draft(struct price_map *map, struct draft *draft, struct price_map_counts *counts)
{
	size_t room = map->entries.count * (size_t)UL_SERVICES * UL_PROMPT_BANDS + 1;
	draft->prices = os_allocate(room, sizeof(*draft->prices));
	draft->used = os_allocate(map->names.count, 1);
	if (!draft->prices || !draft->used)
		return -ENOMEM;
	for (uint32_t i = 0; i < map->entries.count; i++)
		add_entry(map, draft, table_record(&map->entries, i), counts);
	int error = names_collect(&map->names, draft->used, &draft->names);
	for (size_t i = 0; i < draft->count && !error; i++) {
		draft->prices[i].name = draft->names.index[draft->prices[i].name];
		draft->prices[i].provider = draft->names.index[draft->prices[i].provider];
	}
	if (!error)
		qsort(draft->prices, draft->count, sizeof(*draft->prices), compare_prices);
	return error;
}

void *price_map_encode(struct price_map *map, const struct ul_id *log_id, const struct price_table_origin *origin,
		       size_t *size_bytes, int *error)
{
	struct draft draft = {0};
	struct price_map_counts own = {0};
	void *bytes = NULL;
	*error = make_draft(map, &draft, &own);
	if (!*error) {
		const struct ul_price_meta meta = {.generation = origin->generation,
						   .since = origin->since,
						   .replaces = origin->replaces,
						   .source = map->source};
		const struct ul_section_data sections[] = {
			{UL_SECTION_META, sizeof(meta), &meta, 1},
			{UL_SECTION_STRINGS, sizeof(struct ul_string_record), draft.names.records,
			 draft.names.record_count},
			{UL_SECTION_STRING_BYTES, 1, draft.names.bytes, draft.names.byte_count},
			{UL_SECTION_PRICES, sizeof(struct ul_price), draft.prices, draft.count},
		};
		bytes = ul_container_build(UL_CONTAINER_PRICES, log_id, sections,
					   sizeof(sections) / sizeof(sections[0]), size_bytes);
		*error = bytes ? 0 : -ENOMEM;
	}
	draft_clear(&draft);
	return bytes;
}

int price_map_count(struct price_map *map, struct price_map_counts *counts)
{
	struct draft draft = {0};
	*counts = (struct price_map_counts){0};
	int error = make_draft(map, &draft, counts);
	draft_clear(&draft);
	return error;
}
