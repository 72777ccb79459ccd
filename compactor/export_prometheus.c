/*
 * The totals as Prometheus' text format, for the textfile collector of node_exporter: counters of all time by provider, model, operation and error, and
 * histograms of how long calls took. A histogram's bounds are those at which the log's own buckets end, just below powers of two microseconds, so that
 * every count is exact.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "context.h"
#include "export.h"
#include "money.h"
#include "view.h"

/* Who and what calls were: the first 16 bytes are the key. */
struct series {
	uint32_t provider, model, operation, error;
	struct ul_sum sum;
};

/* How long they took, whether or not they failed. */
struct duration {
	uint32_t provider, model, operation, measure;
	int64_t sum_us;
	const struct histogram *histogram;
};

struct exposition {
	FILE *stream;
	struct names *names;
	struct table series, durations;
	int error;
};

/* ---- gather ---------------------------------------------------------------------------------------------------- */

static uint32_t dimension(struct names *names, uint32_t dimensions, const char *name)
{
	char text[UL_NAME_BYTES_MAX + 1];
	struct ul_text all = names_text(names, dimensions);
	size_t bytes = ul_context_string(all.text, all.bytes, name, text);
	return bytes ? names_intern(names, text, bytes) : NAME_EMPTY;
}

static int add_duration(struct exposition *exposition, const struct series *of, enum ul_measure measure, int64_t calls,
			int64_t sum_us)
{
	const struct duration key = {of->provider, of->model, of->operation, measure, 0, NULL};
	struct duration *duration = calls ? table_get(&exposition->durations, &key) : NULL;
	if (!calls)
		return 0;
	if (!duration)
		return -ENOMEM;
	return __builtin_add_overflow(duration->sum_us, sum_us, &duration->sum_us) ? -EOVERFLOW : 0;
}

static int add_row(struct exposition *exposition, const struct ul_row *row)
{
	struct names *names = exposition->names;
	const struct series key = {.provider = row->provider,
				   .model = row->model,
				   .operation = dimension(names, row->dimensions, "operation"),
				   .error = dimension(names, row->dimensions, "error_type")};
	/* Opening balances that count in days only have no model to count under. */
	if (row->scope == 1)
		return 0;
	struct series *series = table_get(&exposition->series, &key);
	if (!series)
		return -ENOMEM;
	if (!sum_add_row(&series->sum, row, key.error != NAME_EMPTY))
		return -EOVERFLOW;
	int error = add_duration(exposition, &key, UL_MEASURE_LATENCY, row->latency_calls, row->latency_sum_us);
	return error ? error : add_duration(exposition, &key, UL_MEASURE_TTFT, row->ttft_calls, row->ttft_sum_us);
}

static int gather(struct exposition *exposition, const struct facts *facts)
{
	int error = 0;
	table_init(&exposition->series, sizeof(struct series));
	table_init(&exposition->durations, sizeof(struct duration));
	for (uint32_t i = 0; i < facts->rows.count && !error; i++)
		error = add_row(exposition, table_record(&facts->rows, i));
	for (uint32_t i = 0; i < facts->histograms.count && !error; i++) {
		const struct histogram *histogram = table_record(&facts->histograms, i);
		struct duration *duration = table_get(&exposition->durations, histogram);
		if (duration)
			duration->histogram = histogram;
		else
			error = -ENOMEM;
	}
	return error ? error : exposition->names->error;
}

/* Both tables' records begin with names, of which the fourth may be a measure. */
static int compare_series(const void *left, const void *right, void *names)
{
	const struct series *a = left, *b = right;
	const uint32_t pairs[][2] = {
		{a->provider, b->provider}, {a->model, b->model}, {a->operation, b->operation}, {a->error, b->error}};
	int order = 0;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]) && !order; i++)
		order = names_compare(names_text(names, pairs[i][0]), names_text(names, pairs[i][1]));
	return order;
}

static int compare_durations(const void *left, const void *right, void *names)
{
	struct series a = {0}, b = {0};
	memcpy(&a, left, 3 * sizeof(uint32_t));
	memcpy(&b, right, 3 * sizeof(uint32_t));
	return compare_series(&a, &b, names);
}

/* ---- print ----------------------------------------------------------------------------------------------------- */

static void print_label(FILE *stream, const char *name, struct ul_text value)
{
	fprintf(stream, "%s=\"", name);
	for (uint32_t i = 0; i < value.bytes; i++) {
		if (value.text[i] == '\\' || value.text[i] == '"')
			putc('\\', stream);
		putc(value.text[i], stream);
	}
	putc('"', stream);
}

/* "{" and the labels that all series have. */
static void print_labels(const struct exposition *exposition, const uint32_t names[3])
{
	static const char *const labels[] = {"gen_ai_provider_name", "gen_ai_request_model", "gen_ai_operation_name"};
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		putc(i ? ',' : '{', exposition->stream);
		print_label(exposition->stream, labels[i], names_text(exposition->names, names[i]));
	}
}

static void begin_metric(const struct exposition *exposition, const char *name, const char *kind, const char *help)
{
	fprintf(exposition->stream, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

/* A series' name and labels; `label` NULL: no more than those. The value comes behind it. */
static void begin_sample(const struct exposition *exposition, const char *name, const struct series *series,
			 const char *label, const char *value)
{
	const uint32_t names[] = {series->provider, series->model, series->operation};
	fputs(name, exposition->stream);
	print_labels(exposition, names);
	putc(',', exposition->stream);
	print_label(exposition->stream, "error_type", names_text(exposition->names, series->error));
	if (label)
		fprintf(exposition->stream, ",%s=\"%s\"", label, value);
	fputs("} ", exposition->stream);
}

static void print_integer(const struct exposition *exposition, int64_t value)
{
	fprintf(exposition->stream, "%" PRId64 "\n", value);
}

static const struct series *series_at(const struct exposition *exposition, uint32_t i)
{
	return table_record(&exposition->series, i);
}

/* All tokens, by the two kinds that the conventions have, which add up; and, apart, what is part of these. */
static void print_tokens(const struct exposition *exposition)
{
	static const char usage[] = "gen_ai_client_token_usage_total", parts[] = "usagelog_token_parts_total";
	static const struct {
		const char *name;
		enum ul_token_kind kind;
	} kinds[] = {{"cache_read", UL_CACHE_READ},
		     {"cache_write_5m", UL_CACHE_WRITE_5M},
		     {"cache_write_1h", UL_CACHE_WRITE_1H},
		     {"reasoning", UL_REASONING}};
	begin_metric(exposition, usage, "counter",
		     "Tokens used: input, with those read from and written to a cache; and output, with those of "
		     "reasoning.");
	for (uint32_t i = 0; i < exposition->series.count; i++) {
		const struct series *series = series_at(exposition, i);
		int64_t output = series->sum.tokens[UL_OUTPUT];
		begin_sample(exposition, usage, series, "gen_ai_token_type", "input");
		print_integer(exposition, sum_tokens(&series->sum) - output - series->sum.balance_tokens);
		begin_sample(exposition, usage, series, "gen_ai_token_type", "output");
		print_integer(exposition, output);
		if (!series->sum.balance_tokens)
			continue;
		begin_sample(exposition, usage, series, "gen_ai_token_type", "unknown");
		print_integer(exposition, series->sum.balance_tokens);
	}
	begin_metric(exposition, parts, "counter",
		     "Tokens that are part of the input or output in gen_ai_client_token_usage_total.");
	for (uint32_t i = 0; i < exposition->series.count; i++) {
		for (size_t j = 0; j < sizeof(kinds) / sizeof(kinds[0]); j++) {
			begin_sample(exposition, parts, series_at(exposition, i), "part", kinds[j].name);
			print_integer(exposition, series_at(exposition, i)->sum.tokens[kinds[j].kind]);
		}
	}
}

static void print_calls_and_cost(const struct exposition *exposition)
{
	static const char calls[] = "gen_ai_client_operation_total", cost[] = "usagelog_cost_usd_total",
			  unpriced[] = "usagelog_unpriced_calls_total";
	char money[MONEY_TEXT_BYTES];
	begin_metric(exposition, calls, "counter", "Calls; those that failed have an error_type.");
	for (uint32_t i = 0; i < exposition->series.count; i++) {
		begin_sample(exposition, calls, series_at(exposition, i), NULL, NULL);
		print_integer(exposition, series_at(exposition, i)->sum.calls);
	}
	begin_metric(exposition, cost, "counter", "What the priced calls cost, US dollars.");
	for (uint32_t i = 0; i < exposition->series.count; i++) {
		const struct series *series = series_at(exposition, i);
		begin_sample(exposition, cost, series, NULL, NULL);
		fprintf(exposition->stream, "%.*s\n", (int)money_print(money, money_of(series->sum.cost_pico_usd)),
			money);
	}
	begin_metric(exposition, unpriced, "counter",
		     "Calls without a known cost, which usagelog_cost_usd_total leaves out.");
	for (uint32_t i = 0; i < exposition->series.count; i++) {
		begin_sample(exposition, unpriced, series_at(exposition, i), NULL, NULL);
		print_integer(exposition, series_at(exposition, i)->sum.unpriced_calls);
	}
}

/* us as seconds. */
static void print_seconds(FILE *stream, int64_t us)
{
	uint64_t size = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
	fprintf(stream, "%s%" PRIu64 ".%06" PRIu64, us < 0 ? "-" : "", size / 1000000, size % 1000000);
}

/* How many calls took at most so long, which must be where a bucket ends. */
static int64_t count_to(const struct histogram *histogram, uint64_t us)
{
	uint64_t least, greatest;
	int64_t count = 0;
	for (uint32_t i = 0; histogram && i < histogram->count; i++) {
		ul_bucket_range(histogram->first + i, &least, &greatest);
		if (greatest > us)
			break;
		count += histogram->counts[i];
	}
	return count;
}

/* From 8 ms to 134 s: what the conventions advise. */
enum { BOUND_BITS_MIN = 13, BOUND_BITS_MAX = 27 };

static void print_duration(const struct exposition *exposition, const char *name, const struct duration *duration)
{
	FILE *stream = exposition->stream;
	const uint32_t names[] = {duration->provider, duration->model, duration->operation};
	for (unsigned bits = BOUND_BITS_MIN; bits <= BOUND_BITS_MAX; bits++) {
		uint64_t bound_us = ((uint64_t)1 << bits) - 1;
		fprintf(stream, "%s_bucket", name);
		print_labels(exposition, names);
		fputs(",le=\"", stream);
		print_seconds(stream, (int64_t)bound_us);
		fprintf(stream, "\"} %" PRId64 "\n", count_to(duration->histogram, bound_us));
	}
	int64_t all = count_to(duration->histogram, UINT64_MAX);
	fprintf(stream, "%s_bucket", name);
	print_labels(exposition, names);
	fprintf(stream, ",le=\"+Inf\"} %" PRId64 "\n%s_sum", all, name);
	print_labels(exposition, names);
	fputs("} ", stream);
	print_seconds(stream, duration->sum_us);
	fprintf(stream, "\n%s_count", name);
	print_labels(exposition, names);
	fprintf(stream, "} %" PRId64 "\n", all);
}

static void print_durations(const struct exposition *exposition, enum ul_measure measure, const char *name,
			    const char *help)
{
	begin_metric(exposition, name, "histogram", help);
	for (uint32_t i = 0; i < exposition->durations.count; i++) {
		const struct duration *duration = table_record(&exposition->durations, i);
		if (duration->measure == measure)
			print_duration(exposition, name, duration);
	}
}

/* What the log says of itself. */
static void print_log(const struct exposition *exposition, const struct view *view)
{
	static const char newest[] = "usagelog_newest_call_timestamp_seconds",
			  dropped[] = "usagelog_dropped_calls_total", pending[] = "usagelog_pending_calls";
	uint64_t dropped_calls = 0;
	int64_t newest_ns = view->from->newest_ns;
	if (view->pending.fold.any_call && view->pending.fold.newest_ns > newest_ns)
		newest_ns = view->pending.fold.newest_ns;
	for (size_t i = 0; i < view->segments.group_count; i++)
		dropped_calls += view->pending.results[i].dropped;
	begin_metric(exposition, newest, "gauge",
		     "When the newest call was made, seconds since the Unix epoch; 0: there is none.");
	fprintf(exposition->stream, "%s ", newest);
	print_seconds(exposition->stream, newest_ns / 1000);
	putc('\n', exposition->stream);
	begin_metric(exposition, dropped, "counter",
		     "Calls that programs could not store, as far as the segments that are kept say so.");
	fprintf(exposition->stream, "%s %" PRIu64 "\n", dropped, dropped_calls);
	begin_metric(exposition, pending, "gauge",
		     "Calls that are counted here and that usagelog compact has not folded yet.");
	fprintf(exposition->stream, "%s %" PRIu64 "\n", pending, view->pending.fold.calls);
}

static int print_all(struct exposition *exposition, const struct view *view, const struct totals *totals)
{
	int error = gather(exposition, &totals->facts);
	struct table *series = &exposition->series, *durations = &exposition->durations;
	if (error)
		return error;
	if (series->count)
		qsort_r(series->records, series->count, sizeof(struct series), compare_series, exposition->names);
	if (durations->count)
		qsort_r(durations->records, durations->count, sizeof(struct duration), compare_durations,
			exposition->names);
	print_calls_and_cost(exposition);
	print_tokens(exposition);
	print_durations(exposition, UL_MEASURE_LATENCY, "gen_ai_client_operation_duration_seconds",
			"How long calls took, of those that say so.");
	print_durations(exposition, UL_MEASURE_TTFT, "gen_ai_client_operation_time_to_first_chunk_seconds",
			"The time to the first token, of calls that were streamed.");
	print_log(exposition, view);
	return 0;
}

int export_prometheus(const char *log, FILE *stream)
{
	struct view view;
	struct ul_message why;
	struct checkpoint *whole;
	if (view_open(&view, log, &why)) {
		complain("%s", why.text);
		return STATUS_FILES;
	}
	struct exposition exposition = {.stream = stream, .names = &view.names};
	int error = view_add_pending(&view, &whole);
	if (!error)
		error = print_all(&exposition, &view, &whole->totals);
	for (size_t i = 0; i < view.findings.count; i++)
		complain("%s", view.findings.items[i].text);
	int status = view.findings.counts[FINDING_LEFT_OUT] ? STATUS_PART : STATUS_DONE;
	if (error) {
		complain("%s: cannot be summed up: %s", view.directory.path, usagelog_strerror(error));
		status = STATUS_FILES;
	}
	table_clear(&exposition.series);
	table_clear(&exposition.durations);
	view_close(&view);
	return status;
}
