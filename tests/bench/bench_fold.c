/*
 * What it costs to read, check and fold an entry, beside just reading the same bytes: a log made up here (calls in the order of time over 90
 * days, 50 models, 200 contexts, both by Zipf's law), in the page cache, read by the compactor's own functions. In each run all take turns.
 * Then the same rows by SQLite and by awk. With --ids each call has an id, an
 * entry of its own, and only the fold is measured.
 *
 *     bench_fold [--json] [--directory DIR] [--runs N] [--entries N] [--models-per-context N] [--peer-entries N] [--only fold]
 *                [--ids]
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(PEER_SQLITE)
#include <sqlite3.h>
#endif

#include "bench.h"
#include "os.h"
#include "pass.h"
#include "seal.h"
#include "slot.h"

enum { RUNS_MAX = 101, MODELS = 50, CONTEXTS = 200, DAYS = 90, PICKS = 1 << 16, SEGMENT_BYTES = 64 << 20 };
enum { DAY_NS_SECONDS = 86400 };
#define DAY_NS (INT64_C(1000000000) * DAY_NS_SECONDS)
#define FIRST_NS (INT64_C(20000) * DAY_NS)

static const char *directory_name = ".";
static uint64_t entry_count = 20000000;
static uint64_t peer_entry_count = 1000000;
static uint32_t models_per_context = 6;
static uint32_t run_count = 5;
static bool only_fold, with_ids;

static char time_zone[] = "UTC", summary[] = "summary.json", group_by[] = "user";
static struct ul_directory log_directory = {
	.conf = {.log_id = {{1, 2, 3}},
		 .time_zone = time_zone,
		 .summary = summary,
		 .group_by = {group_by},
		 .group_by_count = 1},
};

/* ---- the calls ---------------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* Numbers 0 to count - 1, the n-th as often as 1 / (n + 1): a table to pick from. */
static void fill_picks(uint8_t picks[PICKS], uint32_t count)
{
	double all = 0, sum = 0;
	uint32_t at = 0;
	for (uint32_t i = 0; i < count; i++)
		all += 1.0 / (i + 1);
	for (uint32_t i = 0; i < count; i++) {
		sum += 1.0 / (i + 1);
		while (at < PICKS && (double)at < sum / all * PICKS)
			picks[at++] = (uint8_t)i;
	}
	while (at < PICKS)
		picks[at++] = (uint8_t)(count - 1);
}

struct source {
	uint64_t random, made;
	uint8_t models[PICKS], contexts[PICKS];
};

static void source_init(struct source *source)
{
	*source = (struct source){.random = 1};
	fill_picks(source->models, models_per_context);
	fill_picks(source->contexts, CONTEXTS);
}

/* The next call; its model and context as numbers. One in 50 failed, and has no cost. */
static struct ul_call_body next_call(struct source *source, uint32_t *model, uint32_t *context)
{
	uint64_t a = next_random(&source->random), b = next_random(&source->random);
	uint32_t rank = source->models[a & (PICKS - 1)];
	*context = source->contexts[a >> 16 & (PICKS - 1)];
	*model = (rank + *context * 7) % MODELS;
	double part = (double)source->made++ / (double)entry_count;
	struct ul_call_body call = {
		.time_ns = FIRST_NS + (int64_t)(part * DAYS * (double)DAY_NS) + (int64_t)(b & 0xfffff),
		.input_tokens = (uint32_t)(a >> 32 & 0x1fff),
		.cache_read_tokens = a >> 63 ? (uint32_t)(a >> 40 & 0xffff) : 0,
		.output_tokens = (uint32_t)(b >> 20 & 0x7ff),
		.reasoning_tokens = (uint32_t)(b >> 20 & 0xff),
		.latency = 200000 + (uint32_t)(b >> 32 & 0xffffff),
		.ttft_us = b >> 63 ? 100000 + (uint32_t)(b >> 36 & 0xfffff) : 0,
	};
	call.cost_pico_usd = (int64_t)call.input_tokens * 2500000 + (int64_t)call.output_tokens * 10000000;
	return call;
}

static uint32_t is_failed(uint32_t context)
{
	return context % 50 == 49;
}

/* ---- the log ------------------------------------------------------------------------------------------------ */

static void put(struct ul_slot *slots, uint64_t seed, uint32_t number, struct ul_slot slot)
{
	uint64_t body[7];
	memcpy(body, &slot.tag, sizeof(body));
	slot.checksum = ul_slot_checksum(body, ul_slot_seed(seed, number));
	slots[number] = slot;
}

static void put_text(struct ul_slot *slots, uint64_t seed, uint32_t number, enum ul_class class, const char *text,
		     size_t bytes)
{
	struct ul_slot slot = {.tag = ul_tag(UL_KIND_DEFINITION, 0), .word = (uint32_t) class << 28 | (uint32_t)bytes};
	if (bytes > UL_CHUNK_BYTES)
		bench_fail("a definition is too long");
	memcpy(slot.body.text, text, bytes);
	put(slots, seed, number, slot);
}

static uint32_t put_definitions(struct ul_slot *slots, uint64_t seed, uint32_t first)
{
	char text[64];
	for (uint32_t i = 0; i < MODELS; i++) {
		int bytes = snprintf(text, sizeof(text), "provider-%u%cmodel-%u", i % 5, 0, i);
		put_text(slots, seed, first + i, UL_CLASS_MODEL, text, (size_t)bytes);
	}
	for (uint32_t i = 0; i < CONTEXTS; i++) {
		int bytes = is_failed(i) ? snprintf(text, sizeof(text), "{\"error_type\":\"%u\"}", 400 + i)
					 : snprintf(text, sizeof(text),
						    "{\"metadata\":{\"user\":\"u%u\"},\"operation\":\"%s\"}", i,
						    i % 8 ? "chat" : "edit");
		put_text(slots, seed, first + MODELS + i, UL_CLASS_CONTEXT, text, (size_t)bytes);
	}
	return first + MODELS + CONTEXTS;
}

/* A segment as a writer leaves it, all of it durable. */
static void make_segment(struct source *source, uint32_t index)
{
	struct ul_segment_header header = {
		.version = UL_VERSION, .log_id = log_directory.conf.log_id, .size_bytes = SEGMENT_BYTES};
	char id[UL_ID_TEXT_BYTES], name[UL_ID_TEXT_BYTES + sizeof(".seg")];
	header.segment_id.bytes[5] = (uint8_t)(index >> 8);
	header.segment_id.bytes[6] = (uint8_t)index;
	ul_id_format(id, &header.segment_id);
	snprintf(name, sizeof(name), "%s.seg", id);
	void *base;
	int fd = os_open(log_directory.fd, name, O_RDWR | O_CREAT | O_TRUNC);
	int error = fd < 0 ? fd : os_extend(fd, 0, SEGMENT_BYTES, true);
	if (!error)
		error = os_map(&base, SEGMENT_BYTES, fd, 0, true);
	if (error)
		bench_die(name, error);
	struct stat found;
	os_stat(fd, &found);
	header.inode = found.st_ino;
	ul_header_seal(base, &header);
	memcpy((uint8_t *)base + UL_PAGE_BYTES, base, UL_PAGE_BYTES);
	uint32_t first_page = ul_first_page(SEGMENT_BYTES), at = first_page * UL_PAGE_SLOTS;
	memset((uint8_t *)base + (size_t)UL_TABLE_PAGE * UL_PAGE_BYTES + first_page, UL_PAGE_SLOTS,
	       SEGMENT_BYTES / UL_PAGE_BYTES - first_page);
	struct ul_slot *slots = base;
	uint64_t seed = ul_segment_seed(&header.segment_id);
	uint32_t models = at, contexts = at + MODELS;
	at = put_definitions(slots, seed, at);
	for (; at < SEGMENT_BYTES / UL_SLOT_BYTES && source->made < entry_count; at++) {
		uint32_t model, context;
		struct ul_slot slot = {.body.call = next_call(source, &model, &context)};
		if (with_ids && at % UL_PAGE_SLOTS < UL_PAGE_SLOTS - 1) {
			struct ul_slot before = {.tag = ul_tag(UL_KIND_CALL_ID, 0)};
			before.body.call_id = ul_call_id((const char *)&source->made, sizeof(source->made));
			put(slots, seed, at++, before);
		}
		slot.tag = ul_tag(UL_KIND_CALL, models + model);
		slot.word = contexts + context;
		if (is_failed(context)) {
			slot.word |= UL_UNPRICED;
			slot.body.call.cost_pico_usd = 0;
		}
		put(slots, seed, at, slot);
	}
	/* What is not used is not known durable. */
	uint8_t *table = (uint8_t *)base + (size_t)UL_TABLE_PAGE * UL_PAGE_BYTES;
	for (uint32_t page = at / UL_PAGE_SLOTS; page < SEGMENT_BYTES / UL_PAGE_BYTES; page++)
		table[page] = page == at / UL_PAGE_SLOTS ? (uint8_t)(at % UL_PAGE_SLOTS) : 0;
	os_unmap(base, SEGMENT_BYTES);
	os_close(fd);
}

/* In a process of its own: the memory that it takes is not the fold's. */
static void make_log(void)
{
	pid_t child = fork();
	int status = -1;
	if (child < 0)
		bench_die("fork", -errno);
	if (!child) {
		static struct source source;
		source_init(&source);
		for (uint32_t i = 0; source.made < entry_count; i++) {
			bench_progress("making the log, segment %u", i);
			make_segment(&source, i);
		}
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || status)
		bench_fail("the log cannot be made");
}

/* ---- who takes part ----------------------------------------------------------------------------------------- */

static const struct runs no_runs;
static volatile uint64_t sink;

/* The sum of the words of all entries, through mappings as large as the compactor's. */
static void just_read(const struct segments *segments)
{
	enum { WINDOW_BYTES = 8 << 20 };
	uint64_t sum[4] = {0};
	for (size_t i = 0; i < segments->file_count; i++) {
		int fd = os_open(log_directory.fd, segments->files[i].name->name, O_RDONLY);
		for (uint64_t at = 0; at < SEGMENT_BYTES; at += WINDOW_BYTES) {
			void *base;
			if (os_map(&base, WINDOW_BYTES, fd, at, false))
				bench_fail("a segment cannot be mapped");
			for (const uint64_t *word = base; word < (const uint64_t *)base + WINDOW_BYTES / 8; word += 8) {
				sum[0] += word[0] + word[4];
				sum[1] += word[1] + word[5];
				sum[2] += word[2] + word[6];
				sum[3] += word[3] + word[7];
			}
			os_unmap(base, WINDOW_BYTES);
		}
		os_close(fd);
	}
	sink = sum[0] + sum[1] + sum[2] + sum[3];
}

static int count_page(void *arg, const struct slot_page *page)
{
	*(uint64_t *)arg += (uint64_t)__builtin_popcountll(page->valid & page->wanted);
	return 0;
}

/* Every slot classified. */
static void scan(const struct segments *segments)
{
	struct findings findings = {0};
	struct slot_counts counts = {0};
	uint64_t valid = 0;
	for (size_t i = 0; i < segments->group_count; i++) {
		struct group_reader reader;
		int error = group_open(&reader, segments, &segments->groups[i], &findings);
		if (!error) {
			struct slot_range all = {reader.first_slot, reader.end_slot};
			error = group_visit_pages(&reader, all, &no_runs, false, count_page, &valid, &counts);
			group_close(&reader);
		}
		if (error)
			bench_die("scan", error);
	}
	if (valid != entry_count + segments->group_count * (MODELS + CONTEXTS) || counts.damaged)
		bench_fail("the scan found %llu valid slots", (unsigned long long)valid);
}

struct fold_size {
	uint64_t rows, bytes;
};

static struct fold_size fold_all(struct segments *segments, uint32_t threads)
{
	struct names names;
	struct findings findings = {0};
	struct checkpoint checkpoint = {0};
	struct fold_size size = {0, 0};
	int error = names_init(&names);
	struct pass pass = {.directory = &log_directory,
			    .segments = segments,
			    .checkpoint = &checkpoint,
			    .names = &names,
			    .findings = &findings,
			    .threads = threads};
	if (!error)
		error = pass_run(&pass);
	if (error || pass.fold.calls != entry_count)
		bench_fail("the fold counted %llu calls", (unsigned long long)pass.fold.calls);
	for (size_t i = 0; i < pass.fold.day_count; i++) {
		const struct facts *day = pass.fold.days[i];
		size.rows += day->rows.count;
		size.bytes += day->rows.count * sizeof(struct ul_row) + day->quarters.count * sizeof(struct ul_sum);
		for (uint32_t j = 0; j < day->histograms.count; j++)
			size.bytes += ((struct histogram *)table_record(&day->histograms, j))->count * sizeof(int64_t);
	}
	pass_clear(&pass);
	names_clear(&names);
	findings_clear(&findings);
	return size;
}

/* ---- the same by others ------------------------------------------------------------------------------------- */

/* ns a row of `SELECT day, model, sum(...) GROUP BY day, model`; NAN without SQLite. */
static double measure_sqlite(void)
{
#if defined(PEER_SQLITE)
	static struct source source;
	sqlite3 *database;
	sqlite3_stmt *insert;
	int failed = sqlite3_open(":memory:", &database);
	failed |= sqlite3_exec(
		database,
		"CREATE TABLE calls(day INTEGER, model TEXT, input INTEGER, cache INTEGER, output INTEGER, "
		"cost INTEGER, latency INTEGER); BEGIN",
		NULL, NULL, NULL);
	failed |= sqlite3_prepare_v2(database, "INSERT INTO calls VALUES(?, ?, ?, ?, ?, ?, ?)", -1, &insert, NULL);
	source_init(&source);
	for (uint64_t i = 0; i < peer_entry_count && !failed; i++) {
		char name[32];
		uint32_t model, context;
		struct ul_call_body call = next_call(&source, &model, &context);
		int64_t values[] = {call.time_ns / DAY_NS, 0,
				    call.input_tokens,     call.cache_read_tokens,
				    call.output_tokens,    call.cost_pico_usd,
				    call.latency};
		snprintf(name, sizeof(name), "model-%u", model);
		for (int j = 0; j < 7; j++)
			if (j != 1)
				sqlite3_bind_int64(insert, j + 1, values[j]);
		sqlite3_bind_text(insert, 2, name, -1, SQLITE_TRANSIENT);
		failed |= sqlite3_step(insert) != SQLITE_DONE;
		sqlite3_reset(insert);
	}
	sqlite3_finalize(insert);
	failed |= sqlite3_exec(database, "COMMIT", NULL, NULL, NULL);
	double begin = bench_seconds();
	failed |= sqlite3_exec(
		database,
		"SELECT day, model, count(*), sum(input), sum(cache), sum(output), sum(cost), sum(latency) "
		"FROM calls GROUP BY day, model",
		NULL, NULL, NULL);
	double spent = bench_seconds() - begin;
	if (failed)
		bench_fail("SQLite: %s", sqlite3_errmsg(database));
	sqlite3_close(database);
	return spent * 1e9 / (double)peer_entry_count;
#else
	return NAN;
#endif
}

/* ns a line of the same by awk. */
static double measure_awk(void)
{
	static struct source source;
	FILE *csv = fopen("calls.csv", "w");
	if (!csv)
		bench_die("calls.csv", -errno);
	source_init(&source);
	for (uint64_t i = 0; i < peer_entry_count; i++) {
		uint32_t model, context;
		struct ul_call_body call = next_call(&source, &model, &context);
		fprintf(csv, "%lld,model-%u,%u,%u,%u,%lld,%u\n", (long long)(call.time_ns / DAY_NS), model,
			call.input_tokens, call.cache_read_tokens, call.output_tokens, (long long)call.cost_pico_usd,
			call.latency);
	}
	if (fclose(csv))
		bench_die("calls.csv", -errno);
	double begin = bench_seconds();
	int status =
		system("awk -F, '{k = $1 \",\" $2; n[k]++; a[k] += $3; b[k] += $4; c[k] += $5; d[k] += $6; e[k] += $7} "
		       "END {for (k in n) print k, n[k], a[k], b[k], c[k], d[k], e[k]}' calls.csv >/dev/null");
	double spent = bench_seconds() - begin;
	os_unlink(AT_FDCWD, "calls.csv");
	return status ? NAN : spent * 1e9 / (double)peer_entry_count;
}

/* ---- the program -------------------------------------------------------------------------------------------- */

enum figure { JUST_READ, SCAN, FOLD_1, FOLD_2, FIGURES };

static const char *const figure_names[FIGURES] = {"just_read", "scan", "fold", "fold_2_threads"};
static const char *const figure_titles[FIGURES] = {"just reading: the sum of all words", "scan: every checksum",
						   "fold, one thread", "fold, two threads"};

static double entry_bytes_per_ns(double ns)
{
	return UL_SLOT_BYTES / ns;
}

struct outcome {
	struct bench_summary figures[FIGURES];
	struct fold_size size;
	uint64_t peak_bytes[2]; /* of a process that folds with one thread, and with two */
	double sqlite_ns, awk_ns;
};

/* The most memory that a process which does nothing but fold has at once, mapped pages of the log included. */
static uint64_t peak_bytes(struct segments *segments, uint32_t threads)
{
	struct rusage usage;
	int status;
	pid_t child = fork();
	if (!child) {
		fold_all(segments, threads);
		_exit(0);
	}
	if (child < 0 || wait4(child, &status, 0, &usage) < 0 || status)
		bench_fail("the fold whose memory is measured failed");
	return (uint64_t)usage.ru_maxrss * 1024;
}

static void measure(struct outcome *outcome)
{
	static double results[FIGURES][RUNS_MAX];
	struct segments segments;
	struct findings findings = {0};
	if (segments_scan(&segments, &log_directory, &findings))
		bench_fail("the log cannot be listed");
	for (uint32_t threads = 1; threads <= 2; threads++)
		outcome->peak_bytes[threads - 1] = peak_bytes(&segments, threads);
	for (uint32_t run = 0; run < run_count + 1; run++) {
		uint32_t at = run ? run - 1 : 0; /* the first one fills the page cache, and is measured over */
		bench_progress("run %u of %u", at + 1, run_count);
		for (enum figure figure = only_fold ? FOLD_1 : JUST_READ; figure < FIGURES; figure++) {
			double begin = bench_seconds();
			if (figure == JUST_READ)
				just_read(&segments);
			else if (figure == SCAN)
				scan(&segments);
			else
				outcome->size = fold_all(&segments, figure == FOLD_1 ? 1 : 2);
			results[figure][at] = (bench_seconds() - begin) * 1e9 / (double)entry_count;
		}
	}
	for (int figure = 0; figure < FIGURES; figure++)
		outcome->figures[figure] = bench_summarize(results[figure], run_count);
	segments_clear(&segments);
	findings_clear(&findings);
	if (!only_fold) {
		bench_progress("SQLite and awk");
		outcome->sqlite_ns = measure_sqlite();
		outcome->awk_ns = measure_awk();
	}
	bench_progress_end();
}

static void print_json(const struct outcome *outcome)
{
	bench_json_open(NULL, '{');
	bench_machine_json("CLOCK_MONOTONIC");
	bench_json_count("runs", run_count);
	bench_json_count("entries", entry_count);
	for (int figure = only_fold ? FOLD_1 : JUST_READ; figure < FIGURES; figure++)
		bench_json_summary(figure_names[figure], "_ns", &outcome->figures[figure]);
	bench_json_count("fact_rows", outcome->size.rows);
	bench_json_count("fact_bytes", outcome->size.bytes);
	bench_json_count("peak_1_thread_bytes", outcome->peak_bytes[0]);
	bench_json_count("peak_2_threads_bytes", outcome->peak_bytes[1]);
	if (!only_fold) {
		bench_json_count("peer_entries", peer_entry_count);
		if (!isnan(outcome->sqlite_ns))
			bench_json_number("sqlite_ns", outcome->sqlite_ns);
		bench_json_number("awk_ns", outcome->awk_ns);
	}
	bench_json_close();
}

static void print_table(const struct outcome *outcome)
{
	const struct bench_summary *figures = outcome->figures;
	bench_machine_print("CLOCK_MONOTONIC");
	printf("\n%s entries of 64 bytes%s, %u runs; ns an entry\n\n%-38s %8s %8s %8s %8s\n",
	       bench_count_text((double)entry_count), with_ids ? " with an id each" : "", run_count, "", "median",
	       "least", "most", "GB/s");
	for (int figure = only_fold ? FOLD_1 : JUST_READ; figure < FIGURES; figure++)
		printf("%-38s %8.2f %8.2f %8.2f %8.1f\n", figure_titles[figure], figures[figure].median,
		       figures[figure].least, figures[figure].most, entry_bytes_per_ns(figures[figure].median));
	if (!only_fold)
		printf("\nspeed of the scan, of just reading: %.0f %% (of the least: %.0f %%)\n",
		       100 * figures[JUST_READ].median / figures[SCAN].median,
		       100 * figures[JUST_READ].least / figures[SCAN].least);
	printf("two threads: %.2f times one\n", figures[FOLD_1].median / figures[FOLD_2].median);
	printf("%s fact rows; the facts take %.1f MiB; peak memory %.1f MiB with one thread, %.1f MiB with two\n",
	       bench_count_text((double)outcome->size.rows), (double)outcome->size.bytes / 1048576,
	       (double)outcome->peak_bytes[0] / 1048576, (double)outcome->peak_bytes[1] / 1048576);
	if (only_fold)
		return;
	printf("SQLite, SELECT day, model, sum(...) GROUP BY: %.0f ns a row, %.0f times the fold\n", outcome->sqlite_ns,
	       outcome->sqlite_ns / figures[FOLD_1].median);
	printf("awk on CSV: %.0f ns a line, %.0f times the fold\n", outcome->awk_ns,
	       outcome->awk_ns / figures[FOLD_1].median);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"directory", required_argument, NULL, 'd'},
						{"runs", required_argument, NULL, 'r'},
						{"entries", required_argument, NULL, 'n'},
						{"models-per-context", required_argument, NULL, 'm'},
						{"peer-entries", required_argument, NULL, 'p'},
						{"only", required_argument, NULL, 'o'},
						{"ids", no_argument, NULL, 'i'},
						{NULL, 0, NULL, 0}};
	static struct outcome outcome;
	bool json = false;
	bench_begin("bench_fold");
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == 'j')
			json = true;
		else if (option == 'd')
			directory_name = optarg;
		else if (option == 'r')
			run_count = (uint32_t)bench_number("runs", optarg, 1, RUNS_MAX);
		else if (option == 'n')
			entry_count = bench_number("entries", optarg, 1, 1000000000);
		else if (option == 'm')
			models_per_context = (uint32_t)bench_number("models-per-context", optarg, 1, MODELS);
		else if (option == 'p')
			peer_entry_count = bench_number("peer-entries", optarg, 1, 100000000);
		else if (option == 'o' && strcmp(optarg, "fold") == 0)
			only_fold = true;
		else if (option == 'i')
			only_fold = with_ids = true;
		else
			return 2;
	}
	if (chdir(directory_name))
		bench_die(directory_name, -errno);
	calendar_set_zone(time_zone);
	char path[64];
	snprintf(path, sizeof(path), "%s", bench_directory_make());
	log_directory.path = path;
	log_directory.fd = os_open_directory(path);
	if (log_directory.fd < 0)
		bench_die(path, log_directory.fd);
	make_log();
	measure(&outcome);
	os_close(log_directory.fd);
	bench_directory_remove(path);
	if (json)
		print_json(&outcome);
	else
		print_table(&outcome);
	return 0;
}
