/* What calls come to, for the page. */
#include "page_sums.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "money.h"
#include "os.h"
#include "totals.h"

/* What dimensions say; the first 16 bytes are the key. */
struct reading {
	uint64_t dimensions, zero;
	uint32_t known;
	bool wanted, failed;
	uint32_t operation, error;              /* numbers of the page */
	uint32_t session, service_tier;         /* names */
	uint32_t values[REPORT_ATTRIBUTES_MAX]; /* by attribute of the page: numbers of its values */
};

static int fill_reading(struct page_sums *sums, const struct report_reading *from, struct reading *reading)
{
	reading->wanted = from->wanted;
	reading->failed = from->failed;
	reading->session = from->values[sums->session.attribute];
	reading->service_tier = from->values[sums->service_tier.attribute];
	int error = page_names_find(&sums->names[PAGE_OPERATIONS], from->values[sums->operation.attribute],
				    &reading->operation);
	if (!error)
		error = page_names_find(&sums->names[PAGE_ERRORS], from->values[sums->error.attribute],
					&reading->error);
	for (uint32_t i = 0; i < sums->attribute_count && !error; i++)
		error = page_names_find(&sums->attributes[i].values, from->values[sums->attributes[i].key.attribute],
					&reading->values[i]);
	reading->known = !error;
	return error;
}

static int read_dimensions(struct page_sums *sums, uint32_t dimensions, struct reading *found)
{
	char copy[UL_CONTEXT_BYTES_MAX];
	struct names *names = &sums->view->names;
	const uint64_t key[2] = {dimensions, 0};
	struct reading *reading = table_get(&sums->readings, key);
	if (!reading)
		return -ENOMEM;
	int error = 0;
	if (!reading->known) {
		/* Names move as others are added. */
		struct report_reading from = {0};
		struct ul_text text = names_text(names, dimensions);
		assert(text.bytes <= sizeof(copy));
		memcpy(copy, text.text, text.bytes);
		report_read(sums->report, copy, text.bytes, &from);
		error = fill_reading(sums, &from, reading);
	}
	*found = *reading;
	return error ? error : names->error;
}

/* Who made the calls of a row or histogram: under the name that is shown. 1: they are wanted; 0: they are not; or -ENOMEM. */
static int find_maker(struct page_sums *sums, uint32_t provider, uint32_t model, struct page_group *group)
{
	struct report_maker maker;
	if (!report_find_maker(sums->report, provider, model, &maker))
		return -ENOMEM;
	int error = page_names_find(&sums->names[PAGE_PROVIDERS], maker.shown_provider, &group->provider);
	if (!error)
		error = page_names_find(&sums->names[PAGE_MODELS], model, &group->model);
	return error ? error : maker.wanted;
}

static int find_group(struct page_sums *sums, const struct page_group *key, uint32_t *number)
{
	struct page_group *group = table_get(&sums->groups, key);
	if (!group)
		return -ENOMEM;
	if (!group->number)
		group->number = sums->groups.count;
	*number = group->number - 1;
	return 0;
}

static int add_to(struct table *table, struct ul_sum key, const struct ul_row *row, bool failed)
{
	struct ul_sum *sum = table_get(table, &key);
	if (!sum)
		return -ENOMEM;
	return sum_add_row(sum, row, failed) ? 0 : -EOVERFLOW;
}

/* Models together from now on: there are too many sums. */
static int leave_models(struct page_attribute *attribute)
{
	struct table fewer;
	int error = 0;
	table_init(&fewer, sizeof(struct ul_sum));
	for (uint32_t i = 0; i < attribute->sums.count && !error; i++) {
		const struct ul_sum *part = table_record(&attribute->sums, i);
		struct ul_sum key = {.number = part->number, .first = part->first};
		struct ul_sum *sum = table_get(&fewer, &key);
		if (!sum)
			error = -ENOMEM;
		else if (!sum_add(sum, part))
			error = -EOVERFLOW;
	}
	table_clear(&attribute->sums);
	attribute->sums = fewer;
	attribute->by_model = false;
	return error;
}

static int add_to_attribute(struct page_attribute *attribute, struct ul_sum key, const struct ul_row *row, bool failed)
{
	int error = 0;
	if (attribute->by_model && attribute->sums.count >= PAGE_VALUE_SUMS)
		error = leave_models(attribute);
	if (!attribute->by_model)
		key.second = 0;
	return error ? error : add_to(&attribute->sums, key, row, failed);
}

/* What is counted by name. */
static int add_named(struct page_sums *sums, int32_t day, const struct ul_row *row, const struct reading *reading,
		     uint32_t model)
{
	struct ul_sum key = {.number = day, .first = reading->session, .second = model};
	int error = 0;
	if (reading->session != NAME_EMPTY)
		error = add_to(&sums->sessions, key, row, reading->failed);
	for (uint32_t i = 0; i < sums->attribute_count && !error; i++) {
		key.first = reading->values[i];
		error = add_to_attribute(&sums->attributes[i], key, row, reading->failed);
	}
	return error;
}

/* What a row's tokens would have cost without a cache, less what they cost: by its day's prices, whatever cost was given. */
static int add_saving(struct page_sums *sums, int32_t day, const struct ul_row *row, const struct reading *reading,
		      uint32_t model)
{
	const struct names *names = &sums->view->names;
	const int64_t *tokens = row->tokens;
	if (!tokens[UL_CACHE_READ] && !tokens[UL_CACHE_WRITE_5M] && !tokens[UL_CACHE_WRITE_1H])
		return 0;
	struct pricing *pricing = &sums->view->pricing;
	uint32_t named = pricing_named(pricing, day), generation = named ? named : pricing_standing(pricing, day);
	const struct ul_container *table = generation ? pricing_table(pricing, generation) : NULL;
	const struct price_question question = {.provider = names_text(names, row->provider),
						.model = names_text(names, row->model),
						.service_tier = names_text(names, reading->service_tier),
						.prompt_band = row->prompt_band};
	const struct ul_price *price = table ? prices_find(table, &question) : NULL;
	if (!price)
		return 0;
	struct ul_sum key = {.number = day, .first = model},
		      more = {.tokens = {[UL_CACHE_READ] = tokens[UL_CACHE_READ]}};
	struct ul_price uncached = *price;
	uncached.pico_usd[UL_CACHE_READ] = uncached.pico_usd[UL_CACHE_WRITE_5M] = uncached.pico_usd[UL_CACHE_WRITE_1H] =
		price->pico_usd[UL_INPUT];
	more.cost_pico_usd = money_stored(price_cost(&uncached, tokens) - price_cost(price, tokens));
	struct ul_sum *sum = table_get(&sums->savings, &key);
	if (!sum)
		return -ENOMEM;
	return sum_add(sum, &more) ? 0 : -EOVERFLOW;
}

static int add_row(struct page_sums *sums, int32_t day, const struct ul_row *row)
{
	struct reading reading;
	struct ul_sum key = {.number = day};
	struct page_group group = {0};
	int wanted = find_maker(sums, row->provider, row->model, &group);
	if (wanted <= 0)
		return wanted;
	int error = read_dimensions(sums, row->dimensions, &reading);
	if (error || !reading.wanted)
		return error;
	group.operation = reading.operation;
	group.error_and_scope = 4 * reading.error + row->scope;
	error = find_group(sums, &group, &key.first);
	if (!error)
		error = add_to(&sums->rows, key, row, reading.failed);
	if (!error)
		error = add_saving(sums, day, row, &reading, group.model);
	/* FORMAT.md 3.4: an opening balance may count in days and totals only. */
	return error || row->scope == 1 ? error : add_named(sums, day, row, &reading, group.model);
}

/* Who made a histogram's calls, and do filters want them, by what histograms tell: provider, model and operation? */
static int find_model(void *arg, const struct histogram *histogram, uint32_t *model)
{
	char operation[UL_NAME_BYTES_MAX + 1], text[UL_CONTEXT_BYTES_MAX] = "{}";
	struct page_sums *sums = arg;
	struct report_reading reading = {0};
	struct page_group group = {0};
	struct ul_text name = names_text(&sums->view->names, histogram->operation);
	const struct ul_attributes attributes = {.operation = operation};
	size_t bytes = 2;
	snprintf(operation, sizeof(operation), "%.*s", (int)name.bytes, name.text);
	enum ul_context_error error = name.bytes ? ul_context_build(&attributes, text, &bytes) : UL_CONTEXT_OK;
	/* It comes from a valid context. */
	assert(!error);
	report_read(sums->report, text, error ? 0 : bytes, &reading);
	int wanted = find_maker(sums, histogram->provider, histogram->model, &group);
	*model = group.model;
	return wanted > 0 ? reading.wanted : wanted;
}

static int add_day(void *arg, const struct facts *facts)
{
	struct page_sums *sums = arg;
	int error = 0;
	for (uint32_t i = 0; i < facts->rows.count && !error; i++)
		error = add_row(sums, facts->day, table_record(&facts->rows, i));
	/* Under other filters it is not known how long calls took. */
	return error || !report_takes_histograms(sums->report) ? error : page_times_add(&sums->times, facts);
}

/* The sums of sessions over all days and models. */
static int sum_sessions(struct sum_list *list, const struct table *parts)
{
	struct table whole;
	int error = 0;
	table_init(&whole, sizeof(struct ul_sum));
	for (uint32_t i = 0; i < parts->count && !error; i++) {
		const struct ul_sum *part = table_record(parts, i);
		struct ul_sum key = {.first = part->first};
		struct ul_sum *sum = table_get(&whole, &key);
		if (!sum)
			error = -ENOMEM;
		else if (!sum_add(sum, part))
			error = -EOVERFLOW;
	}
	if (!error)
		error = sum_list_gather(list, &whole, NULL);
	table_clear(&whole);
	return error;
}

int page_sums_choose_sessions(const struct page_sums *sums, struct page_names *sessions)
{
	int error = sum_sessions(&sessions->list, &sums->sessions);
	return error ? error : page_names_choose(sessions, &sums->view->names, PAGE_SESSIONS);
}

/* Its context has all that dimensions have. */
int page_sums_want_call(struct page_sums *sums, const struct ul_last_call *call, struct report_maker *maker)
{
	char copy[UL_CONTEXT_BYTES_MAX];
	struct report_reading reading = {0};
	struct ul_text context = names_text(&sums->view->names, call->context);
	assert(context.bytes <= sizeof(copy));
	memcpy(copy, context.text, context.bytes);
	report_read(sums->report, copy, context.bytes, &reading);
	if (!report_find_maker(sums->report, call->provider, call->model, maker))
		return -ENOMEM;
	return maker->wanted && reading.wanted;
}

/* The sums of all time by name, providers under the names that are shown, without models that no filter wants. */
static int sum_names(struct page_sums *sums, struct breakdown *all)
{
	struct facts shown;
	const struct table *rows = &sums->whole->totals.facts.rows;
	facts_init(&shown, 0);
	int error = 0;
	for (uint32_t i = 0; i < rows->count && !error; i++) {
		struct ul_row row = *(const struct ul_row *)table_record(rows, i);
		struct report_maker maker;
		if (!report_find_maker(sums->report, row.provider, row.model, &maker)) {
			error = -ENOMEM;
		} else if (maker.wanted) {
			row.provider = maker.shown_provider;
			facts_add_row(&shown, &row);
			error = shown.error;
		}
	}
	if (!error)
		error = breakdown_make(all, &shown.rows, &sums->view->names);
	facts_clear(&shown);
	return error;
}

static int choose_names(struct page_sums *sums)
{
	struct breakdown all = {0};
	struct sum_list *const lists[PAGE_KINDS] = {[PAGE_PROVIDERS] = &all.providers,
						    [PAGE_MODELS] = &all.models,
						    [PAGE_OPERATIONS] = &all.operations,
						    [PAGE_ERRORS] = &all.errors};
	int error = sum_names(sums, &all);
	for (size_t i = 0; i < PAGE_KINDS && !error; i++) {
		sums->names[i].list = *lists[i];
		*lists[i] = (struct sum_list){0};
		error = page_names_choose(&sums->names[i], &sums->view->names, PAGE_NAMES);
	}
	breakdown_clear(&all);
	return error;
}

/* The values of an attribute. */
static int list_values(struct page_sums *sums, struct page_attribute *attribute)
{
	struct sum_list *list = &attribute->values.list;
	uint32_t key = names_intern(&sums->view->names, attribute->key.name, strlen(attribute->key.name));
	int error = sum_list_gather(list, &sums->whole->totals.sums[TOTAL_ATTRIBUTES], NULL);
	size_t count = 0;
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].first == key) {
			list->items[count] = list->items[i];
			list->items[count++].first = list->items[i].second;
		}
	list->count = count;
	return error ? error : page_names_choose(&attribute->values, &sums->view->names, PAGE_VALUES);
}

static void clear_attribute(struct page_attribute *attribute)
{
	free(attribute->name);
	page_names_clear(&attribute->values);
	table_clear(&attribute->sums);
}

/* An attribute that no call has is left out. The report keeps its name as it is given here. */
static int add_attribute(struct page_sums *sums, const char *before, const char *name)
{
	struct page_attribute *attribute = &sums->attributes[sums->attribute_count];
	size_t room = strlen(before) + strlen(name) + 1;
	if (sums->attribute_count == REPORT_ATTRIBUTES_MAX)
		return 0;
	attribute->name = os_allocate(room, 1);
	if (!attribute->name)
		return -ENOMEM;
	snprintf(attribute->name, room, "%s%s", before, name);
	sums->attribute_count++;
	if (!report_find_key(sums->report, attribute->name, &attribute->key)) {
		/* There are as many as can be. */
		clear_attribute(attribute);
		sums->attribute_count--;
		return 0;
	}
	attribute->by_model = true;
	table_init(&attribute->sums, sizeof(struct ul_sum));
	return list_values(sums, attribute);
}

static int add_attributes(struct page_sums *sums)
{
	const struct ul_conf *conf = &sums->view->directory.conf;
	report_find_key(sums->report, "operation", &sums->operation);
	report_find_key(sums->report, "error_type", &sums->error);
	report_find_key(sums->report, "session_id", &sums->session);
	report_find_key(sums->report, "service_tier", &sums->service_tier);
	int error = add_attribute(sums, "", "service_tier");
	for (size_t i = 0; i < conf->group_by_count && !error; i++)
		error = add_attribute(sums, "metadata.", conf->group_by[i]);
	return error;
}

static int add_days(struct page_sums *sums)
{
	const struct report *report = sums->report;
	sums->times.first_day = report->first_day;
	sums->times.last_day = report->last_day;
	sums->times.find_model = find_model;
	sums->times.arg = sums;
	int error = view_visit_days(sums->view, sums->whole, report->first_day, report->last_day, add_day, sums);
	return error ? error : page_times_end(&sums->times);
}

int page_sums_gather(struct page_sums *sums)
{
	table_init(&sums->readings, sizeof(struct reading));
	table_init(&sums->groups, sizeof(struct page_group));
	table_init(&sums->rows, sizeof(struct ul_sum));
	table_init(&sums->sessions, sizeof(struct ul_sum));
	table_init(&sums->savings, sizeof(struct ul_sum));
	page_times_open(&sums->times);
	int error = fold_update_last_calls(&sums->view->pending.fold, sums->whole);
	if (!error)
		error = pricing_calls(&sums->view->pricing, sums->whole);
	if (!error)
		error = add_attributes(sums);
	report_open(sums->report);
	if (!error)
		error = choose_names(sums);
	return error ? error : add_days(sums);
}

void page_sums_clear(struct page_sums *sums)
{
	report_close(sums->report);
	for (size_t i = 0; i < PAGE_KINDS; i++)
		page_names_clear(&sums->names[i]);
	for (uint32_t i = 0; i < sums->attribute_count; i++)
		clear_attribute(&sums->attributes[i]);
	table_clear(&sums->readings);
	table_clear(&sums->groups);
	table_clear(&sums->rows);
	table_clear(&sums->sessions);
	table_clear(&sums->savings);
	page_times_clear(&sums->times);
}
