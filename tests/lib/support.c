#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "reader.h"

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

/* In all of these tests: what is unlocked was locked. */
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (!pthread_mutex_trylock(mutex)) {
		fputs("a mutex was to be unlocked that nobody had locked\n", stderr);
		abort();
	}
	return __real_pthread_mutex_unlock(mutex);
}

void make_directory(char directory[256])
{
	const char *base = getenv("TMPDIR");
	snprintf(directory, 256, "%s/usagelog-test-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(directory));
}

void remove_directory(const char *directory)
{
	char command[600];
	snprintf(command, sizeof(command), "chmod -R u+rwx '%s'; rm -rf '%s'", directory, directory);
	assert_int_equal(system(command), 0);
}

char path[256];

int setup_directory(void **state)
{
	(void)state;
	make_directory(path);
	return 0;
}

int teardown_directory(void **state)
{
	(void)state;
	remove_directory(path);
	return 0;
}

static int by_name(const struct dirent **left, const struct dirent **right)
{
	return strcmp((*left)->d_name, (*right)->d_name);
}

static const char *wanted_ending;

static int ends_so(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name), ending = strlen(wanted_ending);
	return length >= ending && !strcmp(entry->d_name + length - ending, wanted_ending);
}

static size_t list(const char *directory, const char *ending, size_t n, char *found, size_t found_bytes)
{
	struct dirent **entries;
	wanted_ending = ending;
	int count = scandir(directory, &entries, ends_so, by_name);
	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		if (found && (size_t)i == n)
			snprintf(found, found_bytes, "%s/%s", directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return (size_t)count;
}

size_t count_files(const char *directory, const char *ending)
{
	return list(directory, ending, 0, NULL, 0);
}

void find_file(const char *directory, const char *ending, size_t n, char found[512])
{
	assert_true(n < list(directory, ending, n, found, 512));
}

struct reading {
	struct found *found;
	uint32_t wanted_tokens;
	uint64_t wanted;
};

static int visit(void *arg, const struct usagelog_slot *shown)
{
	struct reading *reading = arg;
	struct ul_slot slot;
	memcpy(&slot, shown->bytes, sizeof(slot));
	reading->found->unfinished += shown->state == USAGELOG_SLOT_UNFINISHED;
	reading->found->damaged += shown->state == USAGELOG_SLOT_DAMAGED;
	reading->found->unknown += shown->state == USAGELOG_SLOT_UNKNOWN;
	if (shown->state != USAGELOG_SLOT_VALID)
		return 0;
	switch (ul_slot_kind(&slot)) {
	case UL_KIND_CALL:
		reading->found->calls++;
		reading->found->input_tokens += slot.body.call.input_tokens;
		reading->wanted += slot.body.call.input_tokens == reading->wanted_tokens;
		break;
	case UL_KIND_DEFINITION:
		reading->found->definitions++;
		break;
	case UL_KIND_CONTINUATION:
		reading->found->continuations++;
		break;
	case UL_KIND_CALL_ID:
		reading->found->call_ids++;
		break;
	default:
		reading->found->paddings++;
	}
	return 0;
}

static struct reading read_all(const char *directory, uint32_t wanted_tokens, struct found *found)
{
	struct reading reading = {.found = found, .wanted_tokens = wanted_tokens};
	*found = (struct found){0};
	size_t count = count_files(directory, ".seg");
	for (size_t i = 0; i < count; i++) {
		char name[512];
		usagelog_segment *segment;
		struct ul_reader reader;
		find_file(directory, ".seg", i, name);
		assert_int_equal(usagelog_segment_open(&segment, name), 0);
		assert_int_equal(usagelog_segment_visit(segment, visit, &reading), 0);
		usagelog_segment_close(segment);
		assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
		for (uint32_t page = 0; page < reader.page_count; page++)
			found->durable_slots += reader.durable[page];
		ul_reader_close(&reader);
		found->segments++;
	}
	return reading;
}

struct found read_log(const char *directory)
{
	struct found found;
	read_all(directory, 0, &found);
	return found;
}

uint64_t count_calls(const char *directory, uint32_t input_tokens)
{
	struct found found;
	return read_all(directory, input_tokens, &found).wanted;
}

void verify_log(const char *directory, uint64_t calls)
{
	char command[1200];
	const char *program = getenv("USAGELOG_BIN");
	unsigned long long lines = 0;
	if (!program)
		return;
	snprintf(command, sizeof(command), "%s --log '%s' verify", program, directory);
	FILE *said = popen(command, "r");
	assert_non_null(said);
	while (fgets(command, sizeof(command), said))
		;
	assert_int_equal(pclose(said), 0);
	snprintf(command, sizeof(command), "%s --log '%s' dump --format jsonl | wc -l", program, directory);
	said = popen(command, "r");
	assert_non_null(said);
	assert_int_equal(fscanf(said, "%llu", &lines), 1);
	assert_int_equal(pclose(said), 0);
	assert_int_equal(lines, calls);
}

usagelog *open_log(const char *directory, const struct usagelog_options *options)
{
	usagelog *log = NULL;
	assert_int_equal(usagelog_open(&log, directory, options), 0);
	assert_non_null(log);
	return log;
}

struct usagelog_stats stats_of(usagelog *log)
{
	struct usagelog_stats stats = {.size = sizeof(stats)};
	assert_int_equal(usagelog_stats_get(log, &stats), 0);
	uint64_t dropped = 0;
	for (int i = 0; i < USAGELOG_CAUSES; i++)
		dropped += stats.dropped[i];
	assert_int_equal(stats.attempted, stats.committed + stats.held + dropped);
	assert_true(stats.durable <= stats.committed);
	return stats;
}

void record_one(usagelog *log, uint32_t input_tokens)
{
	struct usagelog_names names = {.provider = "openai", .model = "gpt-4o", .attributes = {.operation = "chat"}};
	struct usagelog_call call = {.input_tokens = input_tokens, .output_tokens = 1};
	assert_int_equal(usagelog_record_names(log, &names, &call), 0);
}

void sleep_ms(unsigned ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&time, NULL);
}

#if defined(__SANITIZE_THREAD__)
/* liburing maps rings by system calls of its own: a helper's ring that lies where that of one that ended lay is taken for the same memory. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "race:io_uring_prep_rw\n";
}
#endif
