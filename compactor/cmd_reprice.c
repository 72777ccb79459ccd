/* usagelog reprice: price history again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "breakdown.h"
#include "calendar.h"
#include "command.h"
#include "folding.h"
#include "money.h"
#include "os.h"
#include "price_files.h"

/* There was no memory to say what changed. */
static bool untold;

/* What calls of a model came to before and after. */
struct repriced {
	struct ul_sum before, after;
};

static struct repriced *pair_sums(const struct compact_result *result, size_t *count)
{
	struct repriced *pairs = os_allocate(result->priced_after.count + (size_t)1, sizeof(*pairs));
	*count = 0;
	for (uint32_t i = 0; pairs && i < result->priced_after.count; i++) {
		const struct ul_sum *after = table_record(&result->priced_after, i);
		struct repriced pair = {.after = *after};
		for (uint32_t j = 0; j < result->priced_before.count; j++) {
			const struct ul_sum *before = table_record(&result->priced_before, j);
			if (before->first == after->first && before->second == after->second)
				pair.before = *before;
		}
		if (!sum_is_zero(&pair.before) || !sum_is_zero(&pair.after))
			pairs[(*count)++] = pair;
	}
	return pairs;
}

static money_t change_of(const struct repriced *pair)
{
	return money_of(pair->after.cost_pico_usd) - money_of(pair->before.cost_pico_usd);
}

/* The greatest change first, up or down; then by name. */
static int compare_changes(const void *left, const void *right, void *names)
{
	const struct repriced *a = left, *b = right;
	money_t change_a = change_of(a), change_b = change_of(b);
	change_a = change_a < 0 ? -change_a : change_a;
	change_b = change_b < 0 ? -change_b : change_b;
	if (change_a != change_b)
		return change_a > change_b ? -1 : 1;
	int order = names_compare(names_text(names, a->after.first), names_text(names, b->after.first));
	return order ? order : names_compare(names_text(names, a->after.second), names_text(names, b->after.second));
}

static void print_line(const struct repriced *pair, const char *label, struct ul_text provider, struct ul_text model)
{
	char calls[MONEY_SHOWN_BYTES], unpriced[MONEY_SHOWN_BYTES], amounts[3][MONEY_TEXT_BYTES];
	count_show(calls, pair->after.calls);
	count_show(unpriced, pair->after.unpriced_calls);
	money_print(amounts[0], money_of(pair->before.cost_pico_usd));
	money_print(amounts[1], money_of(pair->after.cost_pico_usd));
	money_print(amounts[2], change_of(pair));
	printf("%12s %9s %16s %16s %s%-16s ", calls, unpriced, amounts[0], amounts[1], change_of(pair) > 0 ? "+" : "",
	       amounts[2]);
	if (label) {
		fputs(label, stdout);
	} else {
		print_safely(stdout, provider.text, provider.bytes);
		putchar(' ');
		print_safely(stdout, model.text, model.bytes);
	}
	putchar('\n');
}

static void print_changes(const struct compact_result *result, struct names *names)
{
	struct ul_text none = {"", 0};
	struct repriced all = {0};
	size_t count;
	struct repriced *pairs = pair_sums(result, &count);
	if (!pairs) {
		complain("no memory to say by model what changed; it is committed");
		untold = true;
		return;
	}
	if (count) {
		qsort_r(pairs, count, sizeof(*pairs), compare_changes, names);
		printf("%12s %9s %16s %16s %-16s %s\n", "calls", "no price", "USD before", "USD now", "change",
		       "provider and model");
	}
	for (size_t i = 0; i < count; i++) {
		print_line(&pairs[i], NULL, names_text(names, pairs[i].after.first),
			   names_text(names, pairs[i].after.second));
		(void)(sum_add(&all.before, &pairs[i].before) && sum_add(&all.after, &pairs[i].after));
	}
	if (count)
		print_line(&all, "all", none, none);
	free(pairs);
}

static void tell(void *arg, const struct ul_directory *directory, const struct compact_result *result,
		 const struct checkpoint *checkpoint, const struct names *names)
{
	char since[CALENDAR_DAY_BYTES], days[MONEY_SHOWN_BYTES];
	const struct folding *folding = arg;
	(void)directory;
	(void)checkpoint;
	calendar_print_day(since, folding->options.prices_since);
	count_show(days, (int64_t)result->days_priced);
	printf("%s day%s from %s on priced again, with price table %llu; costs that were given stay\n", days,
	       result->days_priced == 1 ? "" : "s", since, (unsigned long long)result->price_table);
	print_changes(result, (struct names *)(uintptr_t)names);
}

static int run_files(const char *log, struct folding *folding, char **paths, int count)
{
	struct price_map map;
	struct price_map_counts counts;
	int status = price_files_read(&map, paths, count, &counts);
	folding->options.prices = &map;
	if (status == STATUS_DONE) {
		price_files_tell_odd(&map);
		status = folding_run_log(log, folding);
	}
	price_map_clear(&map);
	return status == STATUS_DONE && untold ? STATUS_PART : status;
}

static int run(const struct command *command, const char *log, int argc, char **argv)
{
	const char *since = NULL, *prices = NULL;
	struct folding folding = {.options.reprice = true, .tell = tell};
	const struct option_entry entries[] = {
		{"since", "DATE", "the first day to be priced again", &since, NULL},
		{"prices", "FILE", "a map in LiteLLM's form, or of one's own", &prices, NULL},
	};
	struct command_line line;
	int status = command_parse(command, entries, sizeof(entries) / sizeof(entries[0]), log, argc, argv, &line);
	if (status >= 0)
		return status;
	if (!since || !prices) {
		complain("reprice wants --since DATE and --prices FILE; see usagelog reprice --help");
		return STATUS_USAGE;
	}
	if (!price_files_day("--since", since, &folding.options.prices_since))
		return STATUS_USAGE;
	folding.arg = &folding;
	char **paths = os_allocate((size_t)line.operand_count + 1, sizeof(*paths));
	if (!paths) {
		complain("no memory to read prices");
		return STATUS_FILES;
	}
	paths[0] = (char *)(uintptr_t)prices;
	for (int i = 0; i < line.operand_count; i++)
		paths[i + 1] = line.operands[i];
	status = run_files(line.log, &folding, paths, line.operand_count + 1);
	free(paths);
	return status;
}

const struct command command_reprice = {
	.name = "reprice",
	.operands = "[FILE]...",
	.summary = "price calls without a given cost again, from a day on",
	.details = "Calls whose cost was given keep it. All others of the days from DATE on are\n"
		   "priced with a table made of --prices FILE, models of further FILEs in the place\n"
		   "of the same ones; later days too, until another table is imported. What changed\n"
		   "is printed by model. Like a compact it folds what is new, commits as a whole or\n"
		   "not at all, and may be killed at any moment.\n"
		   "\n"
		   "Exit status: 0 done; 1 done, but something was left out, as said on standard\n"
		   "error; 2 another compactor runs; 8 could not read or write; 16 usage.",
	.run = run,
};
