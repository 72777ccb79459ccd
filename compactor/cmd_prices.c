/* usagelog prices: the price tables of a log, and the maps that they are made of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calendar.h"
#include "command.h"
#include "folding.h"
#include "json_text.h"
#include "os.h"
#include "price_files.h"
#include "view.h"

/* What the command line said. */
struct prices_line {
	const char *log;
	char **operands; /* after the action */
	int operand_count;
	const char *since, *prices, *provider;
	bool json;
};

/* A log as far as its prices go. */
struct tables {
	struct ul_directory directory;
	struct names names;
	struct recovery_state state;
	struct pricing pricing;
};

static const char *const services[UL_SERVICES] = {"standard", "batch", "flex", "priority"};

static int32_t today_of_zone(void)
{
	struct calendar calendar = {0};
	return calendar_day(&calendar, os_time_ns());
}

static int print_json(struct json_text *json)
{
	if (!json_text_print(json))
		return STATUS_DONE;
	complain("no memory to print it");
	return STATUS_FILES;
}

/* ---- check ------------------------------------------------------------------------------------------------------- */

static void print_map(const struct price_map *map, const struct price_map_counts *counts)
{
	printf("%u models with prices, %u without any a token\n", counts->models, counts->without);
	if (counts->free_ones)
		printf("%u of them cost nothing\n", counts->free_ones);
	if (counts->derived_1h)
		printf("%u have no price for cache writes kept 1 hour: 1.6 times that for 5 minutes is taken\n",
		       counts->derived_1h);
	for (size_t i = 0; i < map->findings.count; i++) {
		print_safely(stdout, map->findings.items[i].text, strlen(map->findings.items[i].text));
		putchar('\n');
	}
}

static int run_check(const struct prices_line *line)
{
	struct price_map map;
	struct price_map_counts counts;
	if (!line->operand_count) {
		complain("prices check wants a FILE");
		return STATUS_USAGE;
	}
	int status = price_files_read(&map, line->operands, line->operand_count, &counts);
	if (status == STATUS_DONE) {
		print_map(&map, &counts);
		if (map.findings.counts[FINDING_DAMAGE] || map.findings.counts[FINDING_LEFT_OUT])
			status = STATUS_PART;
	}
	price_map_clear(&map);
	return status;
}

/* ---- import ------------------------------------------------------------------------------------------------------ */

/* Days that hold calls without a price, and that the new table stands on. */
static uint32_t unpriced_days(const struct checkpoint *checkpoint, int32_t since)
{
	uint32_t days = 0;
	for (size_t i = 0; i < checkpoint->day_count; i++)
		days += checkpoint->days[i].day >= since &&
			totals_day(&checkpoint->totals, checkpoint->days[i].day).unpriced_calls > 0;
	return days;
}

static void tell_import(void *arg, const struct ul_directory *directory, const struct compact_result *result,
			const struct checkpoint *checkpoint, const struct names *names)
{
	const struct folding *folding = arg;
	char since[CALENDAR_DAY_BYTES];
	uint32_t days = unpriced_days(checkpoint, folding->options.prices_since);
	(void)directory;
	(void)names;
	calendar_print_day(since, folding->options.prices_since);
	if (result->price_table)
		printf("price table %llu stands from %s on\n", (unsigned long long)result->price_table, since);
	else
		printf("the price table that stands on %s is the same; nothing was imported\n", since);
	if (days)
		printf("%u day%s from then on %s calls without a price; usagelog reprice --since %s --prices FILE "
		       "prices them again\n",
		       days, days == 1 ? "" : "s", days == 1 ? "has" : "have", since);
}

static int import_map(const struct ul_directory *directory, const struct prices_line *line, struct folding *folding)
{
	struct price_map map;
	struct price_map_counts counts;
	if (!folding_set_zone(directory))
		return STATUS_FILES;
	folding->options.prices_since = today_of_zone();
	if (line->since && !price_files_day("--since", line->since, &folding->options.prices_since))
		return STATUS_USAGE;
	int status = price_files_read(&map, line->operands, line->operand_count, &counts);
	folding->options.prices = &map;
	if (status == STATUS_DONE) {
		price_files_tell_odd(&map);
		status = folding_run(directory, folding);
	}
	price_map_clear(&map);
	return status;
}

static int run_import(const struct prices_line *line)
{
	struct folding folding = {.tell = tell_import};
	struct ul_directory directory;
	struct ul_message why;
	folding.arg = &folding;
	if (!line->operand_count) {
		complain("prices import wants a FILE");
		return STATUS_USAGE;
	}
	if (ul_directory_open(&directory, line->log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	int status = import_map(&directory, line, &folding);
	ul_directory_close(&directory);
	return status;
}

/* ---- list -------------------------------------------------------------------------------------------------------- */

/* A table as it is shown. */
struct shown_table {
	uint32_t generation;
	char since[CALENDAR_DAY_BYTES];
	uint64_t models; /* 0: it is lost */
	uint32_t days;   /* priced with it */
	uint64_t source;
	bool stands; /* today */
};

static uint64_t count_models(const struct ul_container *table)
{
	uint64_t count, models = 0;
	const struct ul_price *prices = ul_container_records(table, UL_SECTION_PRICES, &count);
	for (uint64_t i = 0; i < count; i++)
		models += !i || prices[i].name != prices[i - 1].name;
	return models;
}

static struct shown_table show_table(struct tables *tables, size_t index)
{
	struct pricing *pricing = &tables->pricing;
	struct shown_table shown = {.generation = pricing->tables[index].generation};
	const struct ul_container *table = pricing_table(pricing, shown.generation);
	uint64_t count;
	calendar_print_day(shown.since, pricing->tables[index].since);
	if (table) {
		const struct ul_price_meta *meta = ul_container_records(table, UL_SECTION_META, &count);
		shown.models = count_models(table);
		shown.source = meta->source;
	}
	for (size_t i = 0; i < tables->state.checkpoint.day_count; i++)
		shown.days += tables->state.checkpoint.days[i].prices == shown.generation;
	shown.stands = pricing_standing(pricing, today_of_zone()) == shown.generation;
	return shown;
}

static int list_json(struct tables *tables)
{
	struct json_text json = {0};
	char source[24];
	json_begin_array(&json, json_key(""));
	for (size_t i = 0; i < tables->pricing.count; i++) {
		struct shown_table table = show_table(tables, i);
		snprintf(source, sizeof(source), "%016llx", (unsigned long long)table.source);
		json_in_a_line(&json);
		json_begin_object(&json, json_key(""));
		json_integer(&json, json_key("table"), table.generation);
		json_string(&json, json_key("since"), json_key(table.since));
		json_integer(&json, json_key("models"), (int64_t)table.models);
		json_integer(&json, json_key("days"), table.days);
		json_string(&json, json_key("source"), json_key(source));
		json_boolean(&json, json_key("stands"), table.stands);
		json_end(&json);
	}
	json_end(&json);
	return print_json(&json);
}

static int run_list(struct tables *tables, const struct prices_line *line)
{
	if (line->json)
		return list_json(tables);
	if (!tables->pricing.count) {
		printf("no price table; usagelog prices import FILE makes one\n");
		return STATUS_DONE;
	}
	printf("%10s  %-10s %8s %12s  %-16s\n", "table", "from", "models", "days priced", "source");
	for (size_t i = 0; i < tables->pricing.count; i++) {
		struct shown_table table = show_table(tables, i);
		printf("%10u  %-10s %8llu %12u  %016llx%s\n", table.generation, table.since,
		       (unsigned long long)table.models, table.days, (unsigned long long)table.source,
		       table.models ? table.stands ? "  stands today" : "" : "  is missing or damaged");
	}
	return STATUS_DONE;
}

/* ---- missing ------------------------------------------------------------------------------------------------------ */

/* Why calls of a model have no price. */
static const char *why_missing(const struct ul_container *table, struct ul_text provider, struct ul_text model)
{
	struct ul_text name;
	if (!table)
		return "there is no price table";
	if (!prices_find_name(table, provider, model, &name))
		return "not in the price table";
	return "folded before there was a price, or of a tier or prompt size without one";
}

static int gather_missing(const struct checkpoint *whole, struct sum_list *list)
{
	struct table sums;
	int error = 0;
	table_init(&sums, sizeof(struct ul_sum));
	for (uint32_t i = 0; i < whole->totals.facts.rows.count && !error; i++) {
		const struct ul_row *row = table_record(&whole->totals.facts.rows, i);
		const struct ul_sum key = {.first = row->provider, .second = row->model};
		if (row->scope || row->price_class != UL_PRICE_NONE)
			continue;
		struct ul_sum *sum = table_get(&sums, &key);
		error = !sum ? -ENOMEM : sum_add_row(sum, row, false) ? 0 : -EOVERFLOW;
	}
	if (!error)
		error = sum_list_gather(list, &sums, NULL);
	table_clear(&sums);
	return error;
}

static int compare_calls(const void *left, const void *right, void *names)
{
	const struct ul_sum *a = left, *b = right;
	if (a->calls != b->calls)
		return a->calls > b->calls ? -1 : 1;
	int order = names_compare(names_text(names, a->first), names_text(names, b->first));
	return order ? order : names_compare(names_text(names, a->second), names_text(names, b->second));
}

static int missing_json(const struct view *view, const struct sum_list *list, const struct ul_container *table)
{
	struct json_text json = {0};
	json_begin_array(&json, json_key(""));
	for (size_t i = 0; i < list->count; i++) {
		struct ul_text provider = names_text(&view->names, list->items[i].first);
		struct ul_text model = names_text(&view->names, list->items[i].second);
		json_in_a_line(&json);
		json_begin_object(&json, json_key(""));
		json_string(&json, json_key("provider"), provider);
		json_string(&json, json_key("model"), model);
		json_integer(&json, json_key("calls"), list->items[i].calls);
		json_integer(&json, json_key("tokens"), sum_tokens(&list->items[i]));
		json_string(&json, json_key("why"), json_key(why_missing(table, provider, model)));
		json_end(&json);
	}
	json_end(&json);
	return print_json(&json);
}

static void missing_text(const struct view *view, const struct sum_list *list, const struct ul_container *table)
{
	char calls[MONEY_SHOWN_BYTES], tokens[MONEY_SHOWN_BYTES];
	if (!list->count) {
		printf("every call has a price\n");
		return;
	}
	printf("%12s %16s  %s\n", "calls", "tokens", "provider and model");
	for (size_t i = 0; i < list->count; i++) {
		struct ul_text provider = names_text(&view->names, list->items[i].first);
		struct ul_text model = names_text(&view->names, list->items[i].second);
		count_show(calls, list->items[i].calls);
		count_show(tokens, sum_tokens(&list->items[i]));
		printf("%12s %16s  ", calls, tokens);
		print_safely(stdout, provider.text, provider.bytes);
		putchar(' ');
		print_safely(stdout, model.text, model.bytes);
		printf(": %s\n", why_missing(table, provider, model));
	}
}

static int run_missing(struct view *view, const struct prices_line *line)
{
	struct checkpoint *whole;
	struct sum_list list = {0};
	int status = STATUS_DONE;
	int error = view_add_pending(view, &whole);
	if (!error)
		error = gather_missing(whole, &list);
	if (error) {
		complain("%s: cannot be summed up: %s", view->directory.path, usagelog_strerror(error));
		sum_list_clear(&list);
		return STATUS_FILES;
	}
	const struct ul_container *table =
		pricing_table(&view->pricing, pricing_standing(&view->pricing, today_of_zone()));
	if (list.count)
		qsort_r(list.items, list.count, sizeof(*list.items), compare_calls, &view->names);
	if (line->json)
		status = missing_json(view, &list, table);
	else
		missing_text(view, &list, table);
	sum_list_clear(&list);
	return status;
}

/* ---- show --------------------------------------------------------------------------------------------------------- */

static const char *const kinds[UL_TOKEN_KINDS] = {
	[UL_INPUT] = "input",
	[UL_CACHE_READ] = "cache_read",
	[UL_CACHE_WRITE_5M] = "cache_write_5m",
	[UL_CACHE_WRITE_1H] = "cache_write_1h",
	[UL_OUTPUT] = "output",
	[UL_REASONING] = "reasoning",
};

/* The prompts of a band: above the first, up to the second. */
static const uint32_t band_limits[UL_PROMPT_BANDS] = {0, 128000, 200000, 256000, 272000, 512000};

static void show_price_json(struct json_text *json, const struct ul_price *price)
{
	char text[MONEY_TEXT_BYTES];
	json_in_a_line(json);
	json_begin_object(json, json_key(""));
	json_string(json, json_key("service"), json_key(services[price->service]));
	json_integer(json, json_key("prompt_above"), band_limits[price->first_band]);
	if (price->last_band + 1 < UL_PROMPT_BANDS)
		json_integer(json, json_key("prompt_up_to"), band_limits[price->last_band + 1]);
	else
		json_null(json, json_key("prompt_up_to"));
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++) {
		money_print(text, price->pico_usd[i]);
		json_string(json, json_key(kinds[i]), json_key(text));
	}
	json_end(json);
}

static void show_price_text(const struct ul_price *price)
{
	char text[MONEY_TEXT_BYTES], prompts[32];
	if (price->last_band + 1 < UL_PROMPT_BANDS && price->first_band)
		snprintf(prompts, sizeof(prompts), "%uk-%uk", band_limits[price->first_band] / 1000,
			 band_limits[price->last_band + 1] / 1000);
	else if (price->first_band)
		snprintf(prompts, sizeof(prompts), "> %uk", band_limits[price->first_band] / 1000);
	else if (price->last_band + 1 < UL_PROMPT_BANDS)
		snprintf(prompts, sizeof(prompts), "<= %uk", band_limits[price->last_band + 1] / 1000);
	else
		snprintf(prompts, sizeof(prompts), "any");
	printf("%-8s %-9s", services[price->service], prompts);
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++) {
		money_print(text, (money_t)price->pico_usd[i] * 1000000);
		printf(" %9s", text);
	}
	putchar('\n');
}

/* The prices of a model, all services and prompts. */
static int show_model(const struct ul_container *table, const struct prices_line *line)
{
	struct ul_text provider = json_key(line->provider ? line->provider : ""), model = json_key(line->operands[0]);
	struct ul_text name;
	struct json_text json = {0};
	uint64_t count;
	if (!table || !prices_find_name(table, provider, model, &name)) {
		complain("%s: %s", line->operands[0],
			 table ? "is not in the price table; models are found by their exact names, with the "
				 "provider's before a slash where the table has it so"
			       : "there is no price table; usagelog prices import FILE makes one");
		return STATUS_PART;
	}
	const struct ul_price *prices = ul_container_records(table, UL_SECTION_PRICES, &count);
	if (line->json) {
		json_begin_object(&json, json_key(""));
		json_string(&json, json_key("name"), name);
		json_begin_array(&json, json_key("usd_per_token"));
	} else {
		print_safely(stdout, name.text, name.bytes);
		printf(", US dollars a million tokens:\n%-8s %-9s %9s %9s %9s %9s %9s %9s\n", "service", "prompt",
		       "input", "cached", "write 5m", "write 1h", "output", "reasoning");
	}
	for (uint64_t i = 0; i < count; i++) {
		struct ul_text other = ul_container_string(table, prices[i].name);
		if (names_compare(other, name) != 0)
			continue;
		if (line->json)
			show_price_json(&json, &prices[i]);
		else
			show_price_text(&prices[i]);
	}
	if (!line->json)
		return STATUS_DONE;
	json_end(&json);
	json_end(&json);
	return print_json(&json);
}

/* Out of a map that is not imported. */
static int show_of_file(const struct prices_line *line)
{
	static const struct ul_id no_log;
	const struct price_table_origin origin = {0};
	struct price_map map;
	struct price_map_counts counts;
	struct ul_container table;
	size_t size_bytes;
	int error;
	char *paths[1] = {(char *)(uintptr_t)line->prices};
	int status = price_files_read(&map, paths, 1, &counts);
	if (status == STATUS_DONE) {
		void *bytes = price_map_encode(&map, &no_log, &origin, &size_bytes, &error);
		if (bytes &&
		    ul_container_open(&table, UL_CONTAINER_PRICES, bytes, size_bytes, NULL) == UL_CONTAINER_VALID) {
			status = show_model(&table, line);
		} else {
			complain("%s: cannot be made a price table", line->prices);
			status = STATUS_FILES;
		}
		free(bytes);
	}
	price_map_clear(&map);
	return status;
}

static int run_show(struct tables *tables, const struct prices_line *line)
{
	struct pricing *pricing = &tables->pricing;
	return show_model(pricing_table(pricing, pricing_standing(pricing, today_of_zone())), line);
}

/* ---- the command --------------------------------------------------------------------------------------------------- */

/* The tables alone: what is not folded yet need not be. */
static int with_tables(const struct prices_line *line,
		       int (*act)(struct tables *tables, const struct prices_line *line))
{
	struct tables tables = {0};
	struct findings findings = {0};
	struct ul_message why;
	int status = STATUS_FILES;
	if (ul_directory_open(&tables.directory, line->log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	int error = names_init(&tables.names);
	pricing_open(&tables.pricing, &tables.directory, &tables.names);
	if (!folding_set_zone(&tables.directory))
		error = -EINVAL;
	else if (error)
		complain("%s: no memory to read its prices", tables.directory.path);
	else if ((error = recovery_load(&tables.state, &tables.names, &tables.directory, &findings, &why)) != 0)
		complain("%s", why.text);
	else if ((error = pricing_take_state(&tables.pricing, &tables.state)) != 0)
		complain("%s: its prices cannot be read: %s", tables.directory.path, usagelog_strerror(error));
	if (!error)
		status = act(&tables, line);
	pricing_clear(&tables.pricing);
	checkpoint_clear(&tables.state.checkpoint);
	findings_clear(&findings);
	names_clear(&tables.names);
	ul_directory_close(&tables.directory);
	return status;
}

static int with_view(const struct prices_line *line, int (*act)(struct view *view, const struct prices_line *line))
{
	struct view view;
	struct ul_message why;
	if (view_open(&view, line->log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	int status = act(&view, line);
	view_close(&view);
	return status;
}

static const char *const actions[] = {"list", "show", "missing", "import", "check"};
enum action { ACTION_LIST, ACTION_SHOW, ACTION_MISSING, ACTION_IMPORT, ACTION_CHECK, ACTIONS };

static const char *action_name(const void *arg, size_t index)
{
	(void)arg;
	return index < ACTIONS ? actions[index] : NULL;
}

static int act(enum action action, const struct prices_line *line)
{
	int operands_max = action == ACTION_LIST || action == ACTION_MISSING ? 0
			   : action == ACTION_SHOW                           ? 1
									     : line->operand_count;
	if (line->operand_count > operands_max) {
		complain("prices %s: \"%s\" is one operand too many", actions[action], line->operands[operands_max]);
		return STATUS_USAGE;
	}
	if (line->since && action != ACTION_IMPORT) {
		complain("--since is for prices import");
		return STATUS_USAGE;
	}
	if ((line->prices || line->provider) && action != ACTION_SHOW) {
		complain("--prices and --provider are for prices show");
		return STATUS_USAGE;
	}
	if (action == ACTION_SHOW && !line->operand_count) {
		complain("prices show wants a MODEL");
		return STATUS_USAGE;
	}
	if (action == ACTION_CHECK)
		return run_check(line);
	if (action == ACTION_IMPORT)
		return run_import(line);
	if (action == ACTION_SHOW && line->prices)
		return show_of_file(line);
	if (action == ACTION_MISSING)
		return with_view(line, run_missing);
	return with_tables(line, action == ACTION_LIST ? run_list : run_show);
}

static int run(const struct command *command, const char *log, int argc, char **argv)
{
	struct prices_line said = {0};
	const struct option_entry entries[] = {
		{"since", "DATE", "import: the first day it is for (today)", &said.since, NULL},
		{"provider", "NAME", "show: whose model it is", &said.provider, NULL},
		{"prices", "FILE", "show: look in this map, not in the log's", &said.prices, NULL},
		{"json", NULL, "list, show, missing: print JSON", NULL, &said.json},
	};
	struct command_line line;
	int status = command_parse(command, entries, sizeof(entries) / sizeof(entries[0]), log, argc, argv, &line);
	if (status >= 0)
		return status;
	if (!line.operand_count) {
		complain("prices wants to know what: list, show, missing, import or check; see usagelog prices --help");
		return STATUS_USAGE;
	}
	said.log = line.log;
	said.operands = line.operands + 1;
	said.operand_count = line.operand_count - 1;
	for (size_t i = 0; i < ACTIONS; i++)
		if (!strcmp(line.operands[0], actions[i]))
			return act((enum action)i, &said);
	char suggestion[SUGGESTION_BYTES];
	suggest(line.operands[0], action_name, NULL, suggestion);
	complain("prices knows no %s%s; see usagelog prices --help", line.operands[0], suggestion);
	return STATUS_USAGE;
}

const struct command command_prices = {
	.name = "prices",
	.operands = "ACTION [MODEL|FILE...]",
	.summary = "what calls without a cost are priced with",
	.details = "  list     the price tables that the log has, and how many days have each\n"
		   "  show     a model's prices\n"
		   "  missing  models whose calls have no price, and why\n"
		   "  import   make a table of a map, for days from DATE on that have none yet;\n"
		   "           models of further FILEs take the place of the same ones\n"
		   "  check    what a map holds, and what is odd about it\n"
		   "\n"
		   "A map is JSON in LiteLLM's form; see usagelog-prices(1). What days were priced\n"
		   "with before stays: usagelog reprice changes it.\n"
		   "\n"
		   "Exit status: 0 done; 1 done, but a price is suspect, or none was found; 2 that\n"
		   "another compactor runs; 8 could not read or write; 16 usage.",
	.run = run,
	.operand_word = action_name,
};
