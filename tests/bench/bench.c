#include "bench.h"

#include <errno.h>
#include <ftw.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "usagelog.h"

bool bench_has_counter;
double bench_ns_per_tick = 1;
static const char *bench_program = "bench";

/* ---- begin and end ------------------------------------------------------------------------------------------ */

void bench_die(const char *what, int error)
{
	bench_fail("%s: %s", what, usagelog_strerror(error));
}

void bench_fail(const char *format, ...)
{
	va_list arguments;
	fflush(stdout);
	fprintf(stderr, "%s: ", bench_program);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	/* Not exit(): what atexit() would close may be in use by other threads. */
	_exit(1);
}

void bench_progress(const char *format, ...)
{
	va_list arguments;
	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%s: ", bench_program);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fflush(stderr);
}

void bench_progress_end(void)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

static _Noreturn void refuse(const char *option, const char *text, double least, double most)
{
	fprintf(stderr, "%s: --%s %s: a number from %.10g to %.10g is needed\n", bench_program, option, text, least,
		most);
	exit(2);
}

uint64_t bench_number(const char *option, const char *text, uint64_t least, uint64_t most)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < least || value > most)
		refuse(option, text, (double)least, (double)most);
	return value;
}

double bench_decimal(const char *option, const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);
	/* The negation refuses NaN, too. */
	if (end == text || *end || !(value >= least && value <= most))
		refuse(option, text, least, most);
	return value;
}

const char *bench_directory_make(void)
{
	static char path[32];
	snprintf(path, sizeof(path), "bench-XXXXXX");
	if (!mkdtemp(path))
		bench_die("a directory for the run", -errno);
	return path;
}

static int remove_entry(const char *path, const struct stat *found, int kind, struct FTW *place)
{
	(void)found, (void)kind, (void)place;
	return remove(path) && errno != ENOENT ? -1 : 0;
}

void bench_directory_remove(const char *path)
{
	if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS))
		bench_die(path, -errno);
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || syncfs(fd))
		bench_die("sync of the filesystem", -errno);
	close(fd);
}

/* ---- clocks ------------------------------------------------------------------------------------------------- */

double bench_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool counter_is_constant(void)
{
#if defined(__x86_64__)
	unsigned a, b, c, d;
	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1 << 8);
#else
	return false;
#endif
}

/* Against the system's clock for 50 ms, which finds the rate to some 1e-5. */
static void calibrate(void)
{
	bench_has_counter = counter_is_constant();
	if (!bench_has_counter)
		return;
	double start = bench_seconds(), end;
	uint64_t first = bench_ticks();
	do
		end = bench_seconds();
	while (end - start < 0.05);
	bench_ns_per_tick = (end - start) * 1e9 / (double)(bench_ticks() - first);
}

const char *bench_clock_name(void)
{
	static char name[64];
	if (!bench_has_counter)
		return "CLOCK_MONOTONIC_RAW";
	snprintf(name, sizeof(name), "rdtsc, %.3f GHz", 1 / bench_ns_per_tick);
	return name;
}

void bench_begin(const char *program)
{
	bench_program = program;
	calibrate();
}

/* ---- a histogram of times ----------------------------------------------------------------------------------- */

void bench_histogram_clear(struct bench_histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
}

void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from)
{
	for (size_t i = 0; i < BENCH_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
	into->count += from->count;
	into->most = from->most > into->most ? from->most : into->most;
}

/* The middle of a bucket, in ticks. */
static double bucket_value(size_t bucket)
{
	if (bucket < 2 * BENCH_SUB)
		return (double)bucket;
	uint32_t shift = (uint32_t)(bucket >> BENCH_SUB_BITS) - 1;
	uint64_t least = (uint64_t)(bucket - ((size_t)shift << BENCH_SUB_BITS)) << shift;
	return (double)least + (double)((1ULL << shift) - 1) / 2;
}

double bench_most_ns(const struct bench_histogram *histogram)
{
	return (double)histogram->most * bench_ns_per_tick;
}

double bench_quantile_ns(const struct bench_histogram *histogram, double part)
{
	/* So many are to be at or below; the small term undoes the rounding of 0.999 x 1000. */
	double wanted = ceil(part * (double)histogram->count - 1e-6);
	uint64_t rank = wanted < 1 ? 1 : (uint64_t)wanted, seen = 0;
	if (rank >= histogram->count)
		return bench_most_ns(histogram);
	for (size_t i = 0; i < BENCH_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen >= rank)
			return fmin(bucket_value(i), (double)histogram->most) * bench_ns_per_tick;
	}
	return bench_most_ns(histogram);
}

uint64_t bench_count_over(const struct bench_histogram *histogram, double ns)
{
	uint64_t count = 0;
	for (size_t i = 0; i < BENCH_BUCKETS; i++)
		if (bucket_value(i) * bench_ns_per_tick > ns)
			count += histogram->buckets[i];
	return count;
}

/* ---- figures over runs -------------------------------------------------------------------------------------- */

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;
	return (a > b) - (a < b);
}

struct bench_summary bench_summarize(double *samples, size_t count)
{
	qsort(samples, count, sizeof(*samples), compare);
	return (struct bench_summary){.median = (samples[(count - 1) / 2] + samples[count / 2]) / 2,
				      .least = samples[0],
				      .most = samples[count - 1],
				      .quartile_low = samples[count / 4],
				      .quartile_high = samples[count - 1 - count / 4]};
}

/* ---- the machine -------------------------------------------------------------------------------------------- */

struct machine {
	struct utsname names;
	char cpu[128];
	char filesystem[64];
	char date[32];
	long cores;
};

static void read_cpu(struct machine *machine)
{
	char line[512];
	snprintf(machine->cpu, sizeof(machine->cpu), "%s", machine->names.machine);
	FILE *file = fopen("/proc/cpuinfo", "re");
	/* Arm kernels have no such line, and the architecture must do. */
	while (file && fgets(line, sizeof(line), file)) {
		char *name = strchr(line, ':');
		if (strncmp(line, "model name", 10) || !name)
			continue;
		name[strcspn(name, "\n")] = 0;
		snprintf(machine->cpu, sizeof(machine->cpu), "%s", name + 1 + strspn(name + 1, " "));
		break;
	}
	if (file)
		fclose(file);
}

static bool is_below(const char *path, const char *mount)
{
	size_t length = strlen(mount);
	return !strncmp(path, mount, length) &&
	       (path[length] == '/' || !path[length] || (length == 1 && *mount == '/'));
}

/* By name: the last mount of those whose path is the longest that leads here. */
static void read_filesystem(struct machine *machine)
{
	char here[PATH_MAX], line[2 * PATH_MAX], mount[PATH_MAX], kind[64];
	size_t longest = 0;
	snprintf(machine->filesystem, sizeof(machine->filesystem), "unknown");
	FILE *file = getcwd(here, sizeof(here)) ? fopen("/proc/self/mounts", "re") : NULL;
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%*s %4095s %63s", mount, kind) != 2 || !is_below(here, mount) ||
		    strlen(mount) < longest)
			continue;
		longest = strlen(mount);
		snprintf(machine->filesystem, sizeof(machine->filesystem), "%s", kind);
	}
	if (file)
		fclose(file);
}

static struct machine describe_machine(void)
{
	struct machine machine = {.cores = sysconf(_SC_NPROCESSORS_ONLN)};
	struct tm utc;
	time_t now = time(NULL);
	uname(&machine.names);
	read_cpu(&machine);
	read_filesystem(&machine);
	strftime(machine.date, sizeof(machine.date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	return machine;
}

void bench_machine_print(const char *clock)
{
	struct machine machine = describe_machine();
	printf("%s, usagelog %s, %s\n", bench_program, usagelog_version(), machine.date);
	printf("%s (%s), %ld cores, %s %s, %s, clock: %s\n\n", machine.cpu, machine.names.machine, machine.cores,
	       machine.names.sysname, machine.names.release, machine.filesystem, clock);
}

void bench_machine_json(const char *clock)
{
	struct machine machine = describe_machine();
	bench_json_text("program", bench_program);
	bench_json_text("version", usagelog_version());
	bench_json_text("date", machine.date);
	bench_json_text("cpu", machine.cpu);
	bench_json_text("machine", machine.names.machine);
	bench_json_count("cores", (uint64_t)machine.cores);
	bench_json_text("kernel", machine.names.release);
	bench_json_text("filesystem", machine.filesystem);
	bench_json_text("clock", clock);
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

enum { DEPTH_MAX = 16 };
static struct {
	char closing[DEPTH_MAX];
	bool has_members[DEPTH_MAX];
	size_t depth;
} json;

static void print_string(const char *text)
{
	putchar('"');
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		if (*at < ' ')
			printf("\\u%04x", *at);
		else
			printf(*at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
	}
	putchar('"');
}

static void begin_member(const char *key)
{
	if (json.depth) {
		if (json.has_members[json.depth - 1])
			fputs(", ", stdout);
		json.has_members[json.depth - 1] = true;
	}
	if (!key)
		return;
	print_string(key);
	fputs(": ", stdout);
}

void bench_json_open(const char *key, char bracket)
{
	begin_member(key);
	if (json.depth == DEPTH_MAX)
		bench_fail("the JSON is nested deeper than %d levels", DEPTH_MAX);
	json.closing[json.depth] = bracket == '{' ? '}' : ']';
	json.has_members[json.depth++] = false;
	putchar(bracket);
}

void bench_json_close(void)
{
	putchar(json.closing[--json.depth]);
	if (!json.depth)
		putchar('\n');
}

void bench_json_text(const char *key, const char *text)
{
	begin_member(key);
	print_string(text);
}

void bench_json_count(const char *key, uint64_t count)
{
	begin_member(key);
	printf("%llu", (unsigned long long)count);
}

void bench_json_number(const char *key, double number)
{
	begin_member(key);
	/* JSON has no name for what is no number. */
	if (isfinite(number))
		printf(fabs(number) < 1000 ? "%.2f" : "%.0f", number);
	else
		fputs("null", stdout);
}

void bench_json_summary(const char *prefix, const char *unit, const struct bench_summary *summary)
{
	const struct {
		const char *name;
		double value;
	} figures[] = {{"", summary->median},
		       {"_least", summary->least},
		       {"_most", summary->most},
		       {"_quartile_low", summary->quartile_low},
		       {"_quartile_high", summary->quartile_high}};
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		char key[96];
		snprintf(key, sizeof(key), "%s%s%s", prefix, figures[i].name, unit);
		bench_json_number(key, figures[i].value);
	}
}

/* Twenty points for each nine, as far as a point still stands for a call of its own. */
static void print_distribution(const struct bench_histogram *histogram)
{
	bench_json_open("distribution", '[');
	for (int step = 0; histogram->count; step++) {
		double nines = step * 0.05, above = pow(10, -nines);
		bool is_last = above * (double)histogram->count < 1;
		bench_json_open(NULL, '[');
		bench_json_number(NULL, is_last ? log10((double)histogram->count) : nines);
		bench_json_number(NULL, is_last ? bench_most_ns(histogram) : bench_quantile_ns(histogram, 1 - above));
		bench_json_close();
		if (is_last)
			break;
	}
	bench_json_close();
}

void bench_json_histogram(const char *key, const struct bench_histogram *histogram)
{
	bench_json_open(key, '{');
	bench_json_count("count", histogram->count);
	bench_json_number("p50_ns", bench_quantile_ns(histogram, 0.5));
	bench_json_number("p99_ns", bench_quantile_ns(histogram, 0.99));
	bench_json_number("p99_9_ns", bench_quantile_ns(histogram, 0.999));
	bench_json_number("p99_99_ns", bench_quantile_ns(histogram, 0.9999));
	bench_json_number("max_ns", bench_most_ns(histogram));
	bench_json_count("over_100us_count", bench_count_over(histogram, 100e3));
	print_distribution(histogram);
	bench_json_close();
}

/* ---- tables ------------------------------------------------------------------------------------------------- */

static char *next_text(void)
{
	static char texts[8][32];
	static size_t next;
	return texts[next++ % 8];
}

const char *bench_ns_text(double ns)
{
	static const struct {
		double from, divisor;
		const char *unit;
	} units[] = {{1e9, 1e9, "s"}, {1e6, 1e6, "ms"}, {10e3, 1e3, "us"}, {0, 1, "ns"}};
	char *text = next_text();
	size_t i = 0;
	while (ns < units[i].from)
		i++;
	double value = ns / units[i].divisor;
	snprintf(text, 32, value < 100 && units[i].divisor > 1 ? "%.1f %s" : "%.0f %s", value, units[i].unit);
	return text;
}

const char *bench_count_text(double count)
{
	char digits[24], *text = next_text();
	int length = snprintf(digits, sizeof(digits), "%.0f", count), at = 0;
	for (int i = 0; i < length; i++) {
		text[at++] = digits[i];
		if (i + 1 < length && (length - i - 1) % 3 == 0)
			text[at++] = ',';
	}
	text[at] = 0;
	return text;
}
