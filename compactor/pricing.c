/* Which price table is whose. */
#include "pricing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "context.h"
#include "os.h"

/* Which table a day names; the first 16 bytes are the key. */
struct named_day {
	int64_t day;
	uint64_t zero;
	uint32_t generation;
	uint32_t unused;
	uint64_t facts_generation; /* of the fact file that says so, where files are asked */
};

/* What a table says; likewise. */
struct answer {
	uint32_t provider, model, service_tier, prompt_band;
	const struct ul_price *price; /* NULL: none */
	bool known;
};

/* The service tier of dimensions; likewise. */
struct tier {
	uint64_t dimensions;
	uint64_t zero;
	uint32_t service_tier;
	uint32_t known;
};

void pricing_open(struct pricing *pricing, const struct ul_directory *directory, struct names *names)
{
	*pricing = (struct pricing){.directory = directory, .names = names};
	table_init(&pricing->days, sizeof(struct named_day));
	table_init(&pricing->tiers, sizeof(struct tier));
}

static void forget(struct priced_table *table)
{
	stored_file_clear(&table->file);
	table_clear(&table->answers);
}

void pricing_clear(struct pricing *pricing)
{
	for (size_t i = 0; i < pricing->count; i++)
		forget(&pricing->tables[i]);
	free(pricing->tables);
	table_clear(&pricing->days);
	table_clear(&pricing->tiers);
	*pricing = (struct pricing){0};
}

/* ---- which tables there are -------------------------------------------------------------------------------------- */

static size_t find_place(const struct pricing *pricing, uint32_t generation)
{
	size_t at = 0;
	while (at < pricing->count && pricing->tables[at].generation < generation)
		at++;
	return at;
}

int pricing_add(struct pricing *pricing, const struct priced_table *table, bool replaces)
{
	size_t kept = 0;
	for (size_t i = 0; i < pricing->count; i++) {
		struct priced_table *other = &pricing->tables[i];
		if (other->generation == table->generation ||
		    (replaces && other->since >= table->since && other->generation < table->generation))
			forget(other);
		else
			pricing->tables[kept++] = *other;
	}
	pricing->count = kept;
	struct priced_table *tables = os_reallocate(pricing->tables, kept + 1, sizeof(*tables));
	if (!tables)
		return -ENOMEM;
	pricing->tables = tables;
	size_t at = find_place(pricing, table->generation);
	memmove(&tables[at + 1], &tables[at], (kept - at) * sizeof(*tables));
	tables[at] = (struct priced_table){.generation = table->generation,
					   .since = table->since,
					   .size_bytes = table->size_bytes,
					   .checksum = table->checksum};
	table_init(&tables[at].answers, sizeof(struct answer));
	pricing->count++;
	return 0;
}

void pricing_remove(struct pricing *pricing, uint32_t generation)
{
	size_t at = find_place(pricing, generation);
	if (at == pricing->count || pricing->tables[at].generation != generation)
		return;
	forget(&pricing->tables[at]);
	pricing->count--;
	memmove(&pricing->tables[at], &pricing->tables[at + 1], (pricing->count - at) * sizeof(*pricing->tables));
}

static struct named_day *get_day(struct pricing *pricing, int32_t day)
{
	const struct named_day key = {.day = day};
	return table_get(&pricing->days, &key);
}

void pricing_set_day(struct pricing *pricing, int32_t day, uint32_t generation)
{
	struct named_day *named = get_day(pricing, day);
	if (named)
		named->generation = generation;
	else
		pricing->names->error = -ENOMEM;
}

int pricing_take(struct pricing *pricing, const struct checkpoint *checkpoint)
{
	int error = 0;
	for (size_t i = 0; i < checkpoint->file_count && !error; i++) {
		const struct ul_named_file *file = &checkpoint->files[i];
		char name[STORE_NAME_BYTES];
		uint64_t generation;
		struct ul_text text = names_text(pricing->names, file->name);
		if (file->kind != UL_FILE_PRICES || text.bytes >= sizeof(name))
			continue;
		memcpy(name, text.text, text.bytes);
		name[text.bytes] = '\0';
		if (!store_parse_prices_name(name, &generation) || generation > UINT32_MAX)
			continue;
		const struct priced_table table = {.generation = (uint32_t)generation,
						   .since = file->since,
						   .size_bytes = file->size_bytes,
						   .checksum = file->checksum};
		error = pricing_add(pricing, &table, false);
	}
	for (size_t i = 0; i < checkpoint->day_count && !error; i++)
		pricing_set_day(pricing, checkpoint->days[i].day, checkpoint->days[i].prices);
	return error ? error : pricing->names->error;
}

static int take_table(struct pricing *pricing, const char *name)
{
	struct stored_file file;
	uint64_t count;
	int error = 0;
	store_read(pricing->directory->fd, name, UL_CONTAINER_PRICES, &pricing->directory->conf.log_id, &file);
	const struct ul_price_meta *meta =
		file.state == FILE_SOUND ? ul_container_records(&file.container, UL_SECTION_META, &count) : NULL;
	if (meta && meta->generation <= UINT32_MAX) {
		const struct priced_table table = {.generation = (uint32_t)meta->generation,
						   .since = meta->since,
						   .size_bytes = file.size_bytes,
						   .checksum = file.container.header->checksum};
		error = pricing_add(pricing, &table, meta->replaces);
	}
	stored_file_clear(&file);
	return error;
}

/* The newest fact file of a day says which table it names. */
static int take_day(struct pricing *pricing, const char *name)
{
	struct stored_file file;
	uint64_t count;
	store_read(pricing->directory->fd, name, UL_CONTAINER_FACTS, &pricing->directory->conf.log_id, &file);
	const struct ul_fact_meta *meta =
		file.state == FILE_SOUND ? ul_container_records(&file.container, UL_SECTION_META, &count) : NULL;
	struct named_day *day = meta ? get_day(pricing, meta->day) : NULL;
	if (day && meta->generation >= day->facts_generation) {
		day->facts_generation = meta->generation;
		day->generation = meta->prices;
	}
	int error = meta && !day ? -ENOMEM : 0;
	stored_file_clear(&file);
	return error;
}

/* Tables first, from the oldest on: a later one may take the place of earlier ones. */
struct search {
	struct pricing *pricing;
	uint64_t after, next; /* the generation looked at before, and the least above it */
};

static int look_for_table(void *arg, const char *name)
{
	struct search *search = arg;
	uint64_t generation;
	if (store_parse_prices_name(name, &generation) && generation > search->after && generation < search->next)
		search->next = generation;
	return 0;
}

static int look_for_day(void *arg, const char *name)
{
	struct search *search = arg;
	int32_t day;
	uint64_t generation;
	return store_parse_fact_name(name, &day, &generation) ? take_day(search->pricing, name) : 0;
}

int pricing_take_directory(struct pricing *pricing)
{
	struct search search = {.pricing = pricing};
	int error;
	do {
		char name[STORE_NAME_BYTES];
		search.next = UINT64_MAX;
		error = store_list(pricing->directory->fd, look_for_table, &search);
		if (error || search.next == UINT64_MAX)
			break;
		store_prices_name(name, search.next);
		error = take_table(pricing, name);
		search.after = search.next;
	} while (!error);
	return error ? error : store_list(pricing->directory->fd, look_for_day, &search);
}

int pricing_take_state(struct pricing *pricing, const struct recovery_state *state)
{
	if (state->decision == RECOVERY_REBUILD)
		return pricing_take_directory(pricing);
	return pricing_take(pricing, &state->checkpoint);
}

uint32_t pricing_standing(const struct pricing *pricing, int32_t day)
{
	const struct priced_table *standing = NULL;
	for (size_t i = 0; i < pricing->count; i++) {
		const struct priced_table *table = &pricing->tables[i];
		/* They stand by generation, so that of several of one day the last counts. */
		if (table->since <= day && (!standing || table->since >= standing->since))
			standing = table;
	}
	return standing ? standing->generation : 0;
}

static const struct named_day *find_day(const struct pricing *pricing, int32_t day)
{
	for (uint32_t i = 0; i < pricing->days.count; i++) {
		const struct named_day *named = table_record(&pricing->days, i);
		if (named->day == day)
			return named;
	}
	return NULL;
}

uint32_t pricing_named(const struct pricing *pricing, int32_t day)
{
	const struct named_day *named = find_day(pricing, day);
	return named ? named->generation : 0;
}

const struct ul_container *pricing_table(struct pricing *pricing, uint32_t generation)
{
	size_t at = find_place(pricing, generation);
	char name[STORE_NAME_BYTES];
	if (at == pricing->count || pricing->tables[at].generation != generation)
		return NULL;
	struct priced_table *table = &pricing->tables[at];
	if (!table->looked_for) {
		store_prices_name(name, generation);
		store_read_named(pricing->directory->fd, name, UL_CONTAINER_PRICES, &pricing->directory->conf.log_id,
				 table->checksum, &table->file);
		table->looked_for = true;
	}
	return table->file.state == FILE_SOUND ? &table->file.container : NULL;
}

/* The same for a fold: what cannot be read now may be sound, and is an error. NULL: missing or damaged. */
static int load_table(struct pricing *pricing, uint32_t generation, const struct ul_container **container)
{
	*container = pricing_table(pricing, generation);
	size_t at = find_place(pricing, generation);
	if (*container || at == pricing->count || pricing->tables[at].generation != generation)
		return 0;
	const struct stored_file *file = &pricing->tables[at].file;
	if (file->state == FILE_NEWER)
		return USAGELOG_ERROR_NEWER;
	return file->state == FILE_UNREADABLE ? file->error : 0;
}

/* ---- facts ------------------------------------------------------------------------------------------------------- */

static bool is_to_be_priced(const struct ul_row *row)
{
	return !row->scope && row->price_class != UL_PRICE_GIVEN;
}

bool pricing_concerns(const struct facts *facts)
{
	for (uint32_t i = 0; i < facts->rows.count; i++)
		if (is_to_be_priced(table_record(&facts->rows, i)))
			return true;
	return false;
}

static struct tier *find_tier(struct pricing *pricing, uint32_t dimensions)
{
	const struct tier key = {.dimensions = dimensions};
	struct tier *tier = table_get(&pricing->tiers, &key);
	char name[UL_NAME_BYTES_MAX + 1];
	if (!tier || tier->known)
		return tier;
	struct ul_text text = names_text(pricing->names, dimensions);
	size_t bytes = ul_context_string(text.text, text.bytes, "service_tier", name);
	tier->service_tier = names_intern(pricing->names, name, bytes);
	tier->known = 1;
	return tier;
}

/* What is to be priced: which table, and who. */
struct wanted {
	uint32_t generation;
	uint32_t provider, model, service_tier;
	uint8_t prompt_band;
};

/* The price, NULL if there is none. */
static int find_price(struct pricing *pricing, const struct wanted *wanted, const struct ul_price **price)
{
	const struct ul_container *container;
	int error = load_table(pricing, wanted->generation, &container);
	*price = NULL;
	if (error || !container)
		return error;
	struct priced_table *table = &pricing->tables[find_place(pricing, wanted->generation)];
	const struct answer key = {.provider = wanted->provider,
				   .model = wanted->model,
				   .service_tier = wanted->service_tier,
				   .prompt_band = wanted->prompt_band};
	struct answer *answer = table_get(&table->answers, &key);
	if (!answer)
		return -ENOMEM;
	if (!answer->known) {
		const struct price_question question = {
			names_text(pricing->names, wanted->provider), names_text(pricing->names, wanted->model),
			names_text(pricing->names, wanted->service_tier), wanted->prompt_band};
		answer->price = prices_find(container, &question);
		answer->known = true;
	}
	*price = answer->price;
	return 0;
}

/* Add less of a row than another has: `sign` -1 takes away what it holds. */
static int negate_row(struct ul_row *row)
{
	bool overflow = false;
	for (int64_t *sum = &row->calls; sum <= &row->ttft_sum_us; sum++)
		overflow |= __builtin_sub_overflow((int64_t)0, *sum, sum);
	money_t cost;
	overflow |= __builtin_sub_overflow((money_t)0, money_of(row->cost_pico_usd), &cost);
	row->cost_pico_usd = money_stored(cost);
	return overflow ? -EOVERFLOW : 0;
}

int pricing_row(struct pricing *pricing, uint32_t generation, uint32_t service_tier, struct ul_row *row)
{
	const struct ul_price *price;
	const struct wanted wanted = {generation, row->provider, row->model, service_tier, row->prompt_band};
	int error = find_price(pricing, &wanted, &price);
	row->price_class = price ? UL_PRICE_FOLDED : UL_PRICE_NONE;
	row->cost_pico_usd = money_stored(price ? price_cost(price, row->tokens) : 0);
	return error;
}

static int change_row(struct pricing *pricing, uint32_t generation, const struct ul_row *row, struct facts *change)
{
	const struct tier *tier = find_tier(pricing, row->dimensions);
	struct ul_row priced = *row, gone = *row;
	if (!tier || pricing->names->error)
		return -ENOMEM;
	int error = pricing_row(pricing, generation, tier->service_tier, &priced);
	if (error)
		return error;
	if (memcmp(&priced, row, sizeof(priced)) == 0)
		return 0;
	error = negate_row(&gone);
	if (!error) {
		facts_add_row(change, &gone);
		facts_add_row(change, &priced);
	}
	return error ? error : change->error;
}

static int change_quarter(struct pricing *pricing, uint32_t generation, const struct ul_sum *quarter,
			  struct facts *change)
{
	const struct ul_price *price;
	const struct wanted wanted = {generation, quarter->first, quarter->second,
				      quarter->price_key & UL_PRICE_KEY_NAME,
				      (uint8_t)((quarter->price_key >> 28) - 1)};
	int error = find_price(pricing, &wanted, &price);
	if (error)
		return error;
	struct ul_sum more = {.number = quarter->number,
			      .first = quarter->first,
			      .second = quarter->second,
			      .price_key = quarter->price_key};
	int64_t unpriced = price ? 0 : quarter->calls;
	money_t cost = price ? price_cost(price, quarter->tokens) : 0;
	if (__builtin_sub_overflow(unpriced, quarter->unpriced_calls, &more.unpriced_calls) ||
	    __builtin_sub_overflow(cost, money_of(quarter->cost_pico_usd), &cost))
		return -EOVERFLOW;
	more.cost_pico_usd = money_stored(cost);
	facts_add_quarter(change, &more);
	return change->error;
}

int pricing_change(struct pricing *pricing, uint32_t generation, const struct facts *facts, struct facts *change)
{
	const struct ul_container *container;
	int error = load_table(pricing, generation, &container);
	if (error || (generation && !container))
		return error;
	for (uint32_t i = 0; i < facts->rows.count && !error; i++) {
		const struct ul_row *row = table_record(&facts->rows, i);
		if (is_to_be_priced(row))
			error = change_row(pricing, generation, row, change);
	}
	for (uint32_t i = 0; i < facts->quarters.count && !error; i++) {
		const struct ul_sum *quarter = table_record(&facts->quarters, i);
		if (quarter->price_key)
			error = change_quarter(pricing, generation, quarter, change);
	}
	return error;
}

int pricing_apply(struct pricing *pricing, uint32_t generation, struct facts *facts)
{
	struct facts change;
	if (!generation || !pricing_concerns(facts))
		return 0;
	facts_init(&change, facts->day);
	int error = pricing_change(pricing, generation, facts, &change);
	if (!error) {
		facts_add_facts(facts, &change);
		error = facts->error;
	}
	facts_clear(&change);
	return error;
}

/* The table that a day with these new calls names then. */
static uint32_t choose_table(const struct pricing *pricing, const struct facts *facts)
{
	const struct named_day *named = find_day(pricing, facts->day);
	if (named && (named->generation || pricing->days_stand))
		return named->generation;
	return pricing_concerns(facts) ? pricing_standing(pricing, facts->day) : 0;
}

int pricing_day(struct pricing *pricing, const struct ul_container *file, uint32_t had, struct facts *facts,
		uint32_t *table)
{
	struct facts old, change;
	uint32_t wanted = choose_table(pricing, facts);
	const struct ul_container *container;
	int error = load_table(pricing, wanted, &container);
	facts_init(&old, facts->day);
	facts_init(&change, facts->day);
	if (!error && file && wanted != had) {
		facts_add_file(&old, pricing->names, file);
		error = old.error;
	}
	*table = had;
	if (!error && wanted != had && (container || !wanted) && (pricing_concerns(&old) || pricing_concerns(facts)))
		*table = wanted;
	if (!error && *table != had)
		error = pricing_change(pricing, *table, &old, &change);
	if (!error)
		error = pricing_apply(pricing, *table, facts);
	if (!error && *table != had) {
		facts_add_facts(facts, &change);
		error = facts->error;
	}
	facts_clear(&old);
	facts_clear(&change);
	return error;
}

/* ---- the last calls ---------------------------------------------------------------------------------------------- */

static int price_call(struct pricing *pricing, uint32_t generation, struct ul_last_call *call)
{
	const struct ul_price *price;
	const struct tier *tier = find_tier(pricing, call->context);
	int64_t tokens[UL_TOKEN_KINDS];
	const uint32_t *counts = &call->call.input_tokens;
	if (!tier || pricing->names->error)
		return -ENOMEM;
	const struct wanted wanted = {generation, call->provider, call->model, tier->service_tier,
				      call_prompt_band(&call->call)};
	int error = find_price(pricing, &wanted, &price);
	call->priced = 0;
	call->priced_pico_usd = 0;
	if (error || !price)
		return error;
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		tokens[i] = counts[i];
	money_t cost = price_cost(price, tokens);
	if (cost >= INT64_MIN && cost <= INT64_MAX) {
		call->priced = 1;
		call->priced_pico_usd = (int64_t)cost;
	}
	return 0;
}

int pricing_calls(struct pricing *pricing, struct checkpoint *checkpoint)
{
	struct calendar calendar = {0};
	int error = 0;
	for (size_t i = 0; i < checkpoint->call_count && pricing->count && !error; i++) {
		struct ul_last_call *call = &checkpoint->calls[i];
		if (!(call->flags & UL_UNPRICED >> 28))
			continue;
		const struct ul_day *day = checkpoint_find_day(checkpoint, calendar_day(&calendar, call->call.time_ns));
		/* What a lost table priced stays. */
		const struct ul_container *container = NULL;
		if (day)
			error = load_table(pricing, day->prices, &container);
		if (!error && day && (!day->prices || container))
			error = price_call(pricing, day->prices, call);
	}
	return error;
}

/* ---- the checkpoint ---------------------------------------------------------------------------------------------- */

int pricing_store(const struct pricing *pricing, struct checkpoint *checkpoint)
{
	struct ul_named_file *files =
		os_allocate(checkpoint->file_count + pricing->count + 1, sizeof(*checkpoint->files));
	size_t count = 0;
	if (!files)
		return -ENOMEM;
	for (size_t i = 0; i < checkpoint->file_count; i++)
		if (checkpoint->files[i].kind != UL_FILE_PRICES)
			files[count++] = checkpoint->files[i];
	for (size_t i = 0; i < pricing->count; i++) {
		const struct priced_table *table = &pricing->tables[i];
		char name[STORE_NAME_BYTES];
		store_prices_name(name, table->generation);
		files[count++] = (struct ul_named_file){.kind = UL_FILE_PRICES,
							.name = names_intern(pricing->names, name, strlen(name)),
							.size_bytes = table->size_bytes,
							.checksum = table->checksum,
							.since = table->since};
	}
	free(checkpoint->files);
	checkpoint->files = files;
	checkpoint->file_count = count;
	return pricing->names->error;
}
