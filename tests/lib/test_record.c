/* One thread, one handle: what record() stores is what a reader finds; adoption, rotation, names, refusals. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "handle.h"
#include "reader.h"
#include "seal.h"

/* The first call in the first segment, its slot number, and its segment open. */
struct first_call {
	struct ul_reader reader;
	struct ul_slot slot;
	uint32_t number;
};

static struct first_call read_first_call(void)
{
	char name[512];
	struct first_call first = {.number = 0};
	find_file(path, ".seg", 0, name);
	assert_int_equal(ul_reader_open(&first.reader, AT_FDCWD, name), 0);
	for (uint32_t i = first.reader.first_slot; i < first.reader.end_slot; i++) {
		assert_int_equal(ul_reader_read(&first.reader, i, 1, &first.slot), 0);
		if (ul_reader_classify(&first.reader, i, &first.slot) != UL_SLOT_VALID ||
		    ul_slot_kind(&first.slot) != UL_KIND_CALL)
			continue;
		first.number = i;
		return first;
	}
	fail_msg("there is no call");
	return first;
}

static void every_field_comes_back(void **state)
{
	(void)state;
	usagelog *log = open_log(path, NULL);
	usagelog_model model;
	usagelog_context context;
	struct usagelog_attributes attributes = {.operation = "chat",
						 .error_type = "429",
						 .service_tier = "batch",
						 .session_id = "s-1",
						 .metadata = " { \"user\" : \"x\", \"a\": [1.50, 9007199254740993] } "};
	uint8_t id[16];
	usagelog_call_id("resp_1", 6, id);
	struct usagelog_call call = {.time_ns = 1768084326413623001,
				     .cost_pico_usd = -200000001,
				     .input_tokens = 1,
				     .cache_read_tokens = 2,
				     .cache_write_5m_tokens = 3,
				     .cache_write_1h_tokens = UINT32_MAX,
				     .output_tokens = 5,
				     .reasoning_tokens = 4,
				     .latency_us = 80123,
				     .ttft_us = 77,
				     .flags = USAGELOG_COST,
				     .call_id = id};
	assert_int_equal(usagelog_model_get(log, "openai", "gpt-4o", &model), 0);
	assert_int_equal(usagelog_context_get(log, &attributes, &context), 0);
	assert_int_equal(usagelog_record(log, model, context, &call), 0);
	assert_int_equal(usagelog_close(log, 1000), 0);

	struct first_call first = read_first_call();
	const struct ul_call_body *body = &first.slot.body.call;
	assert_int_equal(body->time_ns, call.time_ns);
	assert_int_equal(body->cost_pico_usd, call.cost_pico_usd);
	assert_int_equal(body->input_tokens, 1);
	assert_int_equal(body->cache_read_tokens, 2);
	assert_int_equal(body->cache_write_5m_tokens, 3);
	assert_int_equal(body->cache_write_1h_tokens, UINT32_MAX);
	assert_int_equal(body->output_tokens, 5);
	assert_int_equal(body->reasoning_tokens, 4);
	assert_int_equal(body->latency, 80123);
	assert_int_equal(body->ttft_us, 77);
	assert_int_equal(first.slot.word >> 28, 0);

	char text[UL_CONTEXT_BYTES_MAX];
	ssize_t bytes = ul_reader_text(&first.reader, first.slot.tag & UL_SLOT_MASK, UL_CLASS_MODEL, text);
	assert_int_equal(bytes, 13);
	assert_memory_equal(text, "openai\0gpt-4o", 13);
	static const char canonical[] =
		"{\"error_type\":\"429\",\"metadata\":{\"a\":[1.50,9007199254740993],\"user\":\"x\"},"
		"\"operation\":\"chat\",\"service_tier\":\"batch\",\"session_id\":\"s-1\"}";
	bytes = ul_reader_text(&first.reader, first.slot.word & UL_SLOT_MASK, UL_CLASS_CONTEXT, text);
	assert_int_equal(bytes, sizeof(canonical) - 1);
	assert_memory_equal(text, canonical, sizeof(canonical) - 1);

	struct ul_slot before;
	assert_int_equal(ul_reader_read(&first.reader, first.number - 1, 1, &before), 0);
	assert_int_equal(ul_reader_classify(&first.reader, first.number - 1, &before), UL_SLOT_VALID);
	assert_int_equal(ul_slot_kind(&before), UL_KIND_CALL_ID);
	assert_memory_equal(before.body.call_id.bytes, id, sizeof(id));
	ul_reader_close(&first.reader);
}

static void zero_means_default(void **state)
{
	(void)state;
	usagelog *log = open_log(path, NULL);
	int64_t before = (int64_t)time(NULL) * 1000000000 - 1000000000;
	record_one(log, 7);
	usagelog_close(log, 1000);
	struct first_call first = read_first_call();
	assert_true(first.slot.body.call.time_ns >= before &&
		    first.slot.body.call.time_ns < before + (int64_t)60000000000);
	assert_int_equal(first.slot.word & ~UL_SLOT_MASK, UL_UNPRICED | UL_LATENCY_UNKNOWN);
	assert_int_equal(first.slot.body.call.cost_pico_usd, 0);
	ul_reader_close(&first.reader);
}

static void hot_and_rare_path_store_the_same(void **state)
{
	(void)state;
	/* The first call takes the rare path, the second the hot one: same bytes, but for the checksum. */
	usagelog *log = open_log(path, NULL);
	usagelog_model model;
	usagelog_context context;
	assert_int_equal(usagelog_model_get(log, "p", "m", &model), 0);
	assert_int_equal(usagelog_context_get(log, &(struct usagelog_attributes){.operation = "chat"}, &context), 0);
	struct usagelog_call call = {.time_ns = 5,
				     .input_tokens = 1,
				     .output_tokens = 2,
				     .latency_us = 9,
				     .cost_pico_usd = 3,
				     .flags = USAGELOG_COST};
	for (int i = 0; i < 2; i++)
		assert_int_equal(usagelog_record(log, model, context, &call), 0);
	usagelog_close(log, 1000);
	struct first_call first = read_first_call();
	struct ul_slot second;
	assert_int_equal(ul_reader_read(&first.reader, first.number + 1, 1, &second), 0);
	assert_int_equal(ul_reader_classify(&first.reader, first.number + 1, &second), UL_SLOT_VALID);
	assert_memory_equal(&first.slot.tag, &second.tag, UL_SLOT_BYTES - 8);
	assert_int_not_equal(first.slot.checksum, second.checksum);
	ul_reader_close(&first.reader);
}

static void long_latencies_are_kept_in_ms(void **state)
{
	(void)state;
	usagelog *log = open_log(path, NULL);
	usagelog_model model;
	assert_int_equal(usagelog_model_get(log, "p", "m", &model), 0);
	struct usagelog_call call = {.latency_us = (uint64_t)UINT32_MAX + 501};
	assert_int_equal(usagelog_record(log, model, (usagelog_context){0}, &call), 0);
	call.latency_us = (uint64_t)UINT32_MAX * 1000 + 1000;
	assert_int_equal(usagelog_record(log, model, (usagelog_context){0}, &call), USAGELOG_ERROR_CALL);
	usagelog_close(log, 1000);
	struct first_call first = read_first_call();
	assert_int_equal(first.slot.word, UL_UNPRICED | UL_LATENCY_MS);
	assert_int_equal(first.slot.body.call.latency, (UINT32_MAX + (uint64_t)501 + 500) / 1000);
	ul_reader_close(&first.reader);
}

static void refusals(void **state)
{
	(void)state;
	static char long_name[1100], long_text[17000];
	memset(long_name, 'x', sizeof(long_name) - 1);
	memset(long_text, ' ', sizeof(long_text) - 1);
	usagelog *log = open_log(path, NULL);
	struct usagelog_call call = {0};
	const struct {
		struct usagelog_names names;
		int error;
	} bad[] = {
		{{.provider = NULL, .model = "m"}, USAGELOG_ERROR_NAME},
		{{.provider = "p", .model = ""}, USAGELOG_ERROR_NAME},
		{{.provider = "p\n", .model = "m"}, USAGELOG_ERROR_NAME},
		{{.provider = "p", .model = "m\x1b[2J"}, USAGELOG_ERROR_NAME},
		{{.provider = "p", .model = "\xff"}, USAGELOG_ERROR_NAME},
		{{.provider = "p", .model = long_name}, USAGELOG_ERROR_NAME},
		{{.provider = "p", .model = "m", .attributes = {.operation = ""}}, USAGELOG_ERROR_NAME},
		{{.provider = "p", .model = "m", .attributes = {.metadata = "[1]"}}, USAGELOG_ERROR_METADATA},
		{{.provider = "p", .model = "m", .attributes = {.metadata = "{\"a\":1,\"a\":2}"}},
		 USAGELOG_ERROR_METADATA},
		{{.provider = "p", .model = "m", .attributes = {.metadata = "{"}}, USAGELOG_ERROR_METADATA},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(usagelog_record_names(log, &bad[i].names, &call), bad[i].error);
	usagelog_model model = {0};
	assert_int_equal(usagelog_record(log, model, (usagelog_context){0}, &call), USAGELOG_ERROR_CALL);
	assert_int_equal(usagelog_model_get(log, "p", "m", &model), 0);
	assert_int_equal(usagelog_record(log, (usagelog_model){7}, (usagelog_context){0}, &call), USAGELOG_ERROR_CALL);
	assert_int_equal(usagelog_record(log, (usagelog_model){UINT32_MAX}, (usagelog_context){0}, &call),
			 USAGELOG_ERROR_CALL);
	assert_int_equal(usagelog_record(log, model, (usagelog_context){model.index}, &call), USAGELOG_ERROR_CALL);
	call.flags = 1 << 5;
	assert_int_equal(usagelog_record(log, model, (usagelog_context){0}, &call), USAGELOG_ERROR_CALL);
	assert_int_equal(stats_of(log).attempted, 0);
	usagelog_close(log, 1000);
	assert_int_equal(read_log(path).calls, 0);
}

static void long_texts_span_slots_and_pages(void **state)
{
	(void)state;
	static char metadata[UL_CONTEXT_BYTES_MAX + 16];
	/* The longest that fits: what stands around the text, {"metadata":{"k":""}}, is 21 bytes. */
	size_t text = UL_CONTEXT_BYTES_MAX - 21;
	snprintf(metadata, sizeof(metadata), "{\"k\":\"%0*d\"}", (int)text, 0);
	struct usagelog_names names = {.provider = "p", .model = "m", .attributes = {.metadata = metadata}};
	struct usagelog_options options = {.size = sizeof(options), .segment_size_bytes = 65536};
	usagelog *log = open_log(path, &options);
	struct usagelog_call call = {.input_tokens = 3};
	for (int i = 0; i < 500; i++)
		assert_int_equal(usagelog_record_names(log, &names, &call), 0);
	usagelog_close(log, 1000);
	struct first_call first = read_first_call();
	char found[UL_CONTEXT_BYTES_MAX];
	ssize_t bytes = ul_reader_text(&first.reader, first.slot.word & UL_SLOT_MASK, UL_CLASS_CONTEXT, found);
	assert_int_equal(bytes, strlen(metadata) + strlen("{\"metadata\":}"));
	assert_memory_equal(found + strlen("{\"metadata\":"), metadata, strlen(metadata));
	ul_reader_close(&first.reader);
	struct found all = read_log(path);
	assert_int_equal(all.calls, 500);
	assert_true(all.segments > 1);
	assert_int_equal(all.definitions, 2 * all.segments);
	/* One byte more is refused. */
	snprintf(metadata, sizeof(metadata), "{\"k\":\"%0*d\"}", (int)text + 1, 0);
	log = open_log(path, &options);
	assert_int_equal(usagelog_record_names(log, &names, &call), USAGELOG_ERROR_CONTEXT_TOO_LONG);
	usagelog_close(log, 0);
}

static void segments_are_adopted(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		usagelog *log = open_log(path, &(struct usagelog_options){.size = sizeof(struct usagelog_options),
									  .flags = USAGELOG_NO_HELPER});
		record_one(log, i);
		assert_int_equal(usagelog_close(log, i % 2 ? 0 : 1000), 0);
	}
	struct found found = read_log(path);
	assert_int_equal(found.calls, 200);
	assert_int_equal(found.input_tokens, 199 * 100);
	assert_int_equal(found.segments, 1);
	assert_int_equal(count_files(path, ".tmp"), 0);
	/* Three slots each: two definitions and a call; no page was left half empty. */
	struct stat file;
	char name[512];
	find_file(path, ".seg", 0, name);
	assert_int_equal(stat(name, &file), 0);
	assert_true(file.st_size <= (7 + 12) * 4096);
}

static void an_adopted_segment_keeps_what_it_held(void **state)
{
	(void)state;
	/* Opened and closed without a call of one's own; and taken as the next segment, and not come to. */
	struct usagelog_options options = {.size = sizeof(options), .segment_size_bytes = 65536};
	usagelog *first = open_log(path, &options), *second = open_log(path, &options);
	record_one(first, 1);
	usagelog_close(first, 1000);
	for (uint32_t i = 0; i < 500; i++)
		record_one(second, 2);
	wait_until(stats_of(second).segments_mapped == 2);
	usagelog_close(second, 1000);
	for (int i = 0; i < 3; i++)
		usagelog_close(open_log(path, &options), 1000);
	assert_int_equal(count_calls(path, 1), 1);
	assert_int_equal(count_calls(path, 2), 500);
}

static void a_live_segment_is_not_adopted(void **state)
{
	(void)state;
	usagelog *first = open_log(path, NULL), *second = open_log(path, NULL);
	record_one(first, 1);
	record_one(second, 2);
	assert_int_equal(count_files(path, ".seg"), 2);
	usagelog_close(first, 1000);
	usagelog_close(second, 1000);
	assert_int_equal(read_log(path).calls, 2);
}

/* Change a byte of the first segment. */
static void poke(uint64_t offset, uint8_t value)
{
	char name[512];
	find_file(path, ".seg", 0, name);
	int fd = open(name, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &value, 1, (off_t)offset), 1);
	close(fd);
}

static void what_must_not_be_adopted_is_not(void **state)
{
	(void)state;
	char name[512], command[4 * 512];
	usagelog *log = open_log(path, NULL);
	record_one(log, 1);
	usagelog_close(log, 1000);
	find_file(path, ".seg", 0, name);
	/* A copy under the same name has another inode than its header says. */
	snprintf(command, sizeof(command), "cd '%s' && for file in *.seg; do cp $file x && mv x $file; done", path);
	assert_int_equal(system(command), 0);
	usagelog_close(open_log(path, NULL), 1000);
	assert_int_equal(count_files(path, ".seg"), 2);
	/* A sync block that is set or torn. */
	assert_int_equal(unlink(name), 0);
	poke((uint64_t)UL_STATE_PAGE * UL_PAGE_BYTES + 5 * 128 + 9, 1);
	usagelog_close(open_log(path, NULL), 1000);
	assert_int_equal(count_files(path, ".seg"), 2);
}

static void after_a_reboot_no_segment_is_gone_on_in(void **state)
{
	(void)state;
	usagelog *log = open_log(path, NULL);
	record_one(log, 1);
	usagelog_close(log, 1000);
	struct first_call first = read_first_call();
	/* As if another boot had written it: a boot block sealed with another id. */
	for (uint32_t i = 0; i < 2; i++) {
		struct ul_state_block block = {.sequence = 100 + i, .payload.boot_id = {1, 2, 3}};
		block.checksum = ul_block_checksum(&block, first.reader.seed, i);
		for (size_t byte = 0; byte < sizeof(block); byte++)
			poke((uint64_t)UL_STATE_PAGE * UL_PAGE_BYTES + i * sizeof(block) + byte,
			     ((uint8_t *)&block)[byte]);
	}
	log = open_log(path, NULL);
	record_one(log, 2);
	usagelog_close(log, 1000);
	assert_int_equal(count_files(path, ".seg"), 2);
	assert_int_equal(read_log(path).calls, 2);
	ul_reader_close(&first.reader);
}

static void rotation(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .segment_size_bytes = 65536};
	usagelog *log = open_log(path, &options);
	for (uint32_t i = 0; i < 20000; i++)
		record_one(log, 1);
	assert_int_equal(usagelog_flush(log, 10000), 0);
	struct usagelog_stats stats = stats_of(log);
	assert_int_equal(stats.committed, 20000);
	assert_int_equal(stats.durable, 20000);
	assert_true(stats.rotations >= 20000 / 768);
	wait_until(stats_of(log).segments_mapped <= 2);
	usagelog_close(log, 1000);
	struct found found = read_log(path);
	assert_int_equal(found.calls, 20000);
	assert_int_equal(found.unfinished + found.damaged + found.unknown, 0);
	assert_true(found.segments > stats.rotations);
}

static void names_beyond_the_table(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .names_max = 3};
	usagelog *log = open_log(path, &options);
	usagelog_model model;
	char name[32];
	int error = 0;
	for (int i = 0; i < 10 && !error; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		error = usagelog_model_get(log, "p", name, &model);
	}
	assert_int_equal(error, USAGELOG_ERROR_NAMES_FULL);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		struct usagelog_names names = {.provider = "p", .model = name, .attributes = {.session_id = name}};
		assert_int_equal(usagelog_record_names(log, &names, &(struct usagelog_call){.input_tokens = 5}), 0);
	}
	usagelog_close(log, 1000);
	struct found found = read_log(path);
	assert_int_equal(found.calls, 100);
	assert_int_equal(found.definitions, 200);
	struct first_call first = read_first_call();
	char text[UL_CONTEXT_BYTES_MAX];
	assert_int_equal(ul_reader_text(&first.reader, first.slot.tag & UL_SLOT_MASK, UL_CLASS_MODEL, text), 4);
	assert_memory_equal(text, "p\0n0", 4);
	ul_reader_close(&first.reader);
}

static void call_ids_stay_beside_their_calls(void **state)
{
	(void)state;
	struct usagelog_options options = {.size = sizeof(options), .segment_size_bytes = 65536};
	usagelog *log = open_log(path, &options);
	struct usagelog_names names = {.provider = "p", .model = "m"};
	for (uint32_t i = 0; i < 5000; i++) {
		uint8_t id[16];
		usagelog_call_id((const char *)&i, sizeof(i), id);
		struct usagelog_call call = {.input_tokens = i, .call_id = i % 3 ? id : NULL};
		assert_int_equal(usagelog_record_names(log, &names, &call), 0);
	}
	usagelog_close(log, 1000);
	struct found found = read_log(path);
	assert_int_equal(found.calls, 5000);
	assert_int_equal(found.call_ids, 5000 - 1667);
	size_t segments = count_files(path, ".seg");
	for (size_t n = 0; n < segments; n++) {
		char name[512];
		struct ul_reader reader;
		find_file(path, ".seg", n, name);
		assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
		for (uint32_t i = reader.first_slot; i < reader.end_slot; i++) {
			struct ul_slot pair[2];
			assert_int_equal(ul_reader_read(&reader, i, 2, pair), 0);
			if (ul_reader_classify(&reader, i, &pair[0]) != UL_SLOT_VALID ||
			    ul_slot_kind(&pair[0]) != UL_KIND_CALL_ID)
				continue;
			assert_int_not_equal(i % UL_PAGE_SLOTS, UL_PAGE_SLOTS - 1);
			uint32_t tokens = pair[1].body.call.input_tokens;
			uint8_t id[16];
			usagelog_call_id((const char *)&tokens, sizeof(tokens), id);
			assert_memory_equal(id, pair[0].body.call_id.bytes, sizeof(id));
		}
		ul_reader_close(&reader);
	}
}

static char warned[2048];

static void keep_warning(void *arg, int error, const char *message)
{
	(void)arg;
	(void)error;
	snprintf(warned, sizeof(warned), "%s", message);
}

static void options_are_checked(void **state)
{
	(void)state;
	usagelog *log = NULL;
	const char *const relative[] = {"relative"}, *const broken[] = {"a\nb"};
	const struct {
		struct usagelog_options options;
		const char *told;
	} bad[] = {
		{{.size = 3}, ""},
		{{.size = sizeof(bad[0].options) + 8}, ""},
		{{.flags = 1U << 31}, "flags: 0x80000000 is not"},
		{{.segment_size_bytes = 4096}, "segment_size_bytes: has to be from 65536 to 17179869184, not 4096"},
		{{.segment_size_bytes = UINT64_MAX}, "segment_size_bytes: "},
		{{.flush_interval_ms = UINT32_MAX}, "flush_interval_ms: "},
		{{.retry_delay_ms = UINT32_MAX}, "retry_delay_ms: "},
		{{.retry_count_max = 21}, "retry_count_max: "},
		{{.held_count_max = 65537}, "held_count_max: "},
		{{.names_max = 65537}, "names_max: has to be from 1 to 65536, not 65537"},
		{{.time_zone = "../../etc/passwd"}, "time_zone: "},
		{{.time_zone = "Mars/Olympus"}, "time_zone: "},
		{{.fallback_directories = relative, .fallback_directory_count = 1},
		 "fallback_directories: \"relative\" is not"},
		{{.fallback_directories = relative, .fallback_directory_count = 9}, "fallback_directory_count: "},
		{{.summary_path = ""}, "summary_path: "},
		{{.group_by = broken, .group_by_count = 1}, "group_by: "},
		{{.group_by_count = 17}, "group_by_count: "},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct usagelog_options options = bad[i].options;
		options.size = options.size ? options.size : sizeof(options);
		options.warning = keep_warning;
		warned[0] = '\0';
		assert_int_equal(usagelog_open(&log, path, &options), -EINVAL);
		assert_memory_equal(warned, bad[i].told, strlen(bad[i].told));
		assert_int_equal(!warned[0], !bad[i].told[0]);
	}
	assert_null(log);
	assert_int_equal(count_files(path, ""), 2); /* "." and "..": nothing was made */
}

static void options_that_contradict_the_log(void **state)
{
	(void)state;
	struct usagelog_options options = {
		.size = sizeof(options), .time_zone = "Europe/Berlin", .warning = keep_warning};
	usagelog *log = open_log(path, &options);
	usagelog_close(log, 0);
	options.time_zone = "America/New_York";
	assert_int_equal(usagelog_open(&log, path, &options), USAGELOG_ERROR_CONTRADICTION);
	assert_non_null(strstr(warned, "Europe/Berlin"));
	assert_non_null(strstr(warned, "America/New_York"));
	options.time_zone = NULL;
	log = open_log(path, &options);
	usagelog_close(log, 0);
}

static void the_log_is_private(void **state)
{
	(void)state;
	char inner[300], name[512];
	snprintf(inner, sizeof(inner), "%s/a/b", path);
	mode_t before = umask(0);
	usagelog *log = open_log(inner, NULL);
	umask(before);
	struct stat found;
	assert_int_equal(stat(inner, &found), 0);
	assert_int_equal(found.st_mode & 0777, 0700);
	find_file(inner, ".seg", 0, name);
	assert_int_equal(stat(name, &found), 0);
	assert_int_equal(found.st_mode & 0777, 0600);
	find_file(inner, "log.conf", 0, name);
	assert_int_equal(stat(name, &found), 0);
	assert_int_equal(found.st_mode & 0777, 0600);
	usagelog_close(log, 0);
}

static void a_damaged_or_newer_conf_is_refused(void **state)
{
	(void)state;
	char name[512];
	usagelog *log = open_log(path, NULL);
	usagelog_close(log, 0);
	find_file(path, "log.conf", 0, name);
	FILE *file = fopen(name, "r+");
	assert_non_null(file);
	fputs("usagelog 2", file);
	fclose(file);
	assert_int_equal(usagelog_open(&log, path, NULL), USAGELOG_ERROR_NEWER);
	file = fopen(name, "r+");
	fputs("usagelog 1", file);
	fseek(file, 20, SEEK_SET);
	fputs("ffff", file);
	fclose(file);
	assert_int_equal(usagelog_open(&log, path, NULL), USAGELOG_ERROR_CONF_DAMAGED);
	/* A link is not followed. */
	char elsewhere[600];
	snprintf(elsewhere, sizeof(elsewhere), "%s.elsewhere", name);
	assert_int_equal(rename(name, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, name), 0);
	assert_int_equal(usagelog_open(&log, path, NULL), -ELOOP);
}

static void a_log_that_lost_its_conf_is_not_begun_anew(void **state)
{
	(void)state;
	char name[512];
	usagelog *log = open_log(path, NULL);
	record_one(log, 1);
	usagelog_close(log, 0);
	find_file(path, "log.conf", 0, name);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(usagelog_open(&log, path, NULL), USAGELOG_ERROR_CONF_DAMAGED);
	assert_int_equal(count_files(path, "log.conf"), 0);
}

static void attributes_that_come_to_nothing(void **state)
{
	(void)state;
	usagelog *log = open_log(path, NULL);
	usagelog_context context = {7};
	struct usagelog_names names = {.provider = "p", .model = "m", .attributes = {.metadata = " { } "}};
	for (int i = 0; i < 3; i++)
		assert_int_equal(usagelog_record_names(log, &names, &(struct usagelog_call){.input_tokens = 1}), 0);
	assert_int_equal(usagelog_context_get(log, &names.attributes, &context), 0);
	assert_int_equal(context.index, 0);
	usagelog_close(log, 1000);
	struct first_call first = read_first_call();
	assert_int_equal(first.slot.word & UL_SLOT_MASK, 0);
	ul_reader_close(&first.reader);
	assert_int_equal(read_log(path).calls, 3);
	assert_int_equal(read_log(path).definitions, 1);
}

static void long_texts_that_begin_alike_are_two(void **state)
{
	(void)state;
	static char texts[2][50000];
	usagelog *log = open_log(path, NULL);
	usagelog_context contexts[2];
	for (int i = 0; i < 2; i++) {
		memset(texts[i], ' ', 40000);
		snprintf(texts[i] + 40000, 100, "{\"user\":\"%s\"}", i ? "alice" : "bob");
		struct usagelog_attributes attributes = {.metadata = texts[i]};
		assert_int_equal(usagelog_context_get(log, &attributes, &contexts[i]), 0);
	}
	assert_int_not_equal(contexts[0].index, contexts[1].index);
	usagelog_close(log, 0);
}

static void a_segment_that_lost_durable_slots_is_not_adopted(void **state)
{
	(void)state;
	char name[512];
	usagelog *log = open_log(path, NULL);
	for (int i = 0; i < 19; i++)
		record_one(log, 1);
	assert_int_equal(usagelog_close(log, -1), 0);
	find_file(path, ".seg", 0, name);
	/* As if the only page of entries had not come back: its slots may be folded. */
	struct ul_reader reader;
	static const char zeros[UL_PAGE_BYTES];
	assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
	int fd = open(name, O_WRONLY);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), (off_t)reader.first_slot * UL_SLOT_BYTES), sizeof(zeros));
	close(fd);
	ul_reader_close(&reader);
	log = open_log(path, NULL);
	record_one(log, 2);
	assert_int_equal(count_files(path, ".seg"), 2);
	usagelog_close(log, 0);
}

/* Opening balances stand beside the calls, are as durable as they, and are none of them. */
static void opening_balances(void **state)
{
	(void)state;
	char name[512];
	struct ul_reader reader;
	struct ul_slot slot;
	usagelog *log = open_log(path, NULL);
	struct usagelog_names names = {.provider = "openai", .model = "gpt-4o"};
	struct ul_balance_body balance = {
		.time_ns = 86400, .cost_pico_usd = -5, .calls = UL_BALANCE_MAX - 1, .tokens = 7, .scope = 3};
	record_one(log, 1);
	assert_int_equal(ul_record_balance(log, &names, NULL, &balance), 0);
	record_one(log, 2);
	assert_int_equal(usagelog_flush(log, -1), 0);
	struct usagelog_stats stats = stats_of(log);
	assert_int_equal(stats.committed, 2);
	assert_int_equal(stats.durable, 2);

	struct ul_balance_body wrong[] = {balance, balance, balance, balance};
	wrong[0].calls = UL_BALANCE_MAX;
	wrong[1].tokens = UL_BALANCE_MAX;
	wrong[2].scope = 0;
	wrong[3].scope = 4;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(ul_record_balance(log, &names, NULL, &wrong[i]), USAGELOG_ERROR_CALL);
	names.model = "";
	assert_int_equal(ul_record_balance(log, &names, NULL, &balance), USAGELOG_ERROR_NAME);
	assert_int_equal(usagelog_close(log, -1), 0);
	assert_int_equal(ul_record_balance(log, &names, NULL, &balance), USAGELOG_ERROR_CLOSED);

	find_file(path, ".seg", 0, name);
	assert_int_equal(ul_reader_open(&reader, AT_FDCWD, name), 0);
	uint32_t balances = 0;
	for (uint32_t i = reader.first_slot; i < reader.end_slot; i++) {
		assert_int_equal(ul_reader_read(&reader, i, 1, &slot), 0);
		if (ul_reader_classify(&reader, i, &slot) != UL_SLOT_VALID || ul_slot_kind(&slot) != UL_KIND_BALANCE)
			continue;
		balances++;
		assert_memory_equal(&slot.body.balance, &balance, sizeof(balance));
	}
	assert_int_equal(balances, 1);
	ul_reader_close(&reader);
	assert_int_equal(read_log(path).calls, 2);
}

static void must_exist(void **state)
{
	(void)state;
	usagelog *log;
	struct usagelog_options options = {.size = sizeof(options), .flags = USAGELOG_MUST_EXIST};
	assert_int_equal(usagelog_open(&log, path, &options), USAGELOG_ERROR_NO_LOG);
	assert_int_equal(count_files(path, ""), 2);
}

static void errors_have_texts(void **state)
{
	(void)state;
	for (int error = USAGELOG_ERROR_CLOSED; error <= USAGELOG_ERROR_HELD; error++)
		assert_string_not_equal(usagelog_strerror(error), "unknown error");
	assert_string_equal(usagelog_strerror(-ENOSPC), "No space left on device");
	assert_string_equal(usagelog_strerror(USAGELOG_ERROR_CLOSED - 1), "unknown error");
	assert_string_equal(usagelog_strerror(5), "unknown error");
	assert_string_equal(usagelog_version(), "0.1.0");
}

static void the_default_directory(void **state)
{
	(void)state;
	char found[300];
	setenv("USAGELOG_DIR", "/a", 1);
	setenv("XDG_STATE_HOME", "/b", 1);
	setenv("HOME", "/c", 1);
	assert_int_equal(usagelog_default_directory(found, sizeof(found)), 2);
	assert_string_equal(found, "/a");
	unsetenv("USAGELOG_DIR");
	usagelog_default_directory(found, sizeof(found));
	assert_string_equal(found, "/b/usagelog");
	setenv("XDG_STATE_HOME", "relative", 1);
	usagelog_default_directory(found, sizeof(found));
	assert_string_equal(found, "/c/.local/state/usagelog");
	assert_int_equal(usagelog_default_directory(found, 5), -ENAMETOOLONG);
	unsetenv("HOME");
	assert_int_equal(usagelog_default_directory(found, sizeof(found)), -ENOENT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_directory, teardown_directory)
	const struct CMUnitTest tests[] = {
		TEST(every_field_comes_back),
		TEST(zero_means_default),
		TEST(hot_and_rare_path_store_the_same),
		TEST(long_latencies_are_kept_in_ms),
		TEST(refusals),
		TEST(long_texts_span_slots_and_pages),
		TEST(segments_are_adopted),
		TEST(an_adopted_segment_keeps_what_it_held),
		TEST(a_live_segment_is_not_adopted),
		TEST(what_must_not_be_adopted_is_not),
		TEST(after_a_reboot_no_segment_is_gone_on_in),
		TEST(rotation),
		TEST(names_beyond_the_table),
		TEST(call_ids_stay_beside_their_calls),
		TEST(options_are_checked),
		TEST(options_that_contradict_the_log),
		TEST(the_log_is_private),
		TEST(a_damaged_or_newer_conf_is_refused),
		TEST(a_log_that_lost_its_conf_is_not_begun_anew),
		TEST(opening_balances),
		TEST(must_exist),
		TEST(attributes_that_come_to_nothing),
		TEST(long_texts_that_begin_alike_are_two),
		TEST(a_segment_that_lost_durable_slots_is_not_adopted),
		TEST(errors_have_texts),
		TEST(the_default_directory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
