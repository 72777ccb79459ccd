/*
 * The golden files against verdicts.json, by our own code; that the generator still writes the same bytes; and that the
 * dump in FORMAT.md shows a golden file. The reader here is the plainest that FORMAT.md 4 allows.
 */
#include "support.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "conf.h"
#include "container.h"
#include "context.h"
#include "seal.h"
#include "slot.h"

enum {
	SEGMENT_BYTES = 65536,
	SLOTS = SEGMENT_BYTES / UL_SLOT_BYTES,
	FILE_BYTES_MAX = 1 << 20,
};

/* Read a file whole, 8-byte aligned and with at least `least_bytes` bytes, zeros behind its end; the caller frees
 * it. */
static uint8_t *read_file(const char *folder, const char *name, size_t least_bytes, size_t *bytes)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "rb");
	if (!file)
		fail_msg("cannot open %s", path);
	uint8_t *content = calloc(1, FILE_BYTES_MAX);
	assert_non_null(content);
	*bytes = fread(content, 1, FILE_BYTES_MAX, file);
	assert_true(*bytes < FILE_BYTES_MAX && least_bytes <= FILE_BYTES_MAX);
	assert_int_equal(fclose(file), 0);
	return content;
}

/* Segments. */

struct segment {
	const uint8_t *bytes;
	const struct ul_slot *slots;
	uint64_t seed;
	size_t slot_end; /* the first slot beyond the file */
	enum ul_slot_state states[SLOTS];
};

/* The text of the definition at `slot`, if it is one of this class and whole. */
static size_t read_text(const struct segment *segment, uint32_t slot, enum ul_class class,
			char out[UL_CONTEXT_BYTES_MAX])
{
	if (slot >= SLOTS || segment->states[slot] != UL_SLOT_VALID ||
	    ul_slot_kind(&segment->slots[slot]) != UL_KIND_DEFINITION ||
	    segment->slots[slot].word >> 28 != (uint32_t) class)
		return 0;
	uint32_t bytes = segment->slots[slot].word & UL_SLOT_MASK;
	for (uint32_t offset = 0; offset < bytes; offset += UL_CHUNK_BYTES) {
		const struct ul_slot *chunk = &segment->slots[slot];
		char padded[UL_CHUNK_BYTES] = {0};
		uint32_t here = bytes - offset < UL_CHUNK_BYTES ? bytes - offset : UL_CHUNK_BYTES;
		bool last = offset + here == bytes;
		if (segment->states[slot] != UL_SLOT_VALID ||
		    (offset && (ul_slot_kind(chunk) != UL_KIND_CONTINUATION || chunk->word != offset)))
			return 0;
		memcpy(out + offset, chunk->body.text, here);
		memcpy(padded, chunk->body.text, here);
		slot = chunk->tag & UL_SLOT_MASK;
		if (memcmp(padded, chunk->body.text, sizeof(padded)) != 0 || last != (slot == 0) || slot >= SLOTS)
			return 0;
	}
	return bytes;
}

static void add_text(cJSON *object, const char *name, const char *text, size_t bytes)
{
	char terminated[UL_CONTEXT_BYTES_MAX + 1];
	memcpy(terminated, text, bytes);
	terminated[bytes] = '\0';
	cJSON_AddStringToObject(object, name, terminated);
}

static void add_i64(cJSON *object, const char *name, int64_t value)
{
	char text[32];
	snprintf(text, sizeof(text), "%" PRId64, value);
	cJSON_AddStringToObject(object, name, text);
}

static void add_id(cJSON *object, const char *name, const struct ul_id *id)
{
	char text[UL_ID_TEXT_BYTES];
	ul_id_format(text, id);
	cJSON_AddStringToObject(object, name, text);
}

static void add_names(cJSON *object, const struct segment *segment, const struct ul_slot *slot)
{
	static const char unknown[] = "(unknown)";
	char text[UL_CONTEXT_BYTES_MAX];
	size_t provider_bytes;
	size_t bytes = read_text(segment, slot->tag & UL_SLOT_MASK, UL_CLASS_MODEL, text);
	bool known = bytes && ul_model_text_is_valid(text, bytes, &provider_bytes);
	add_text(object, "provider", known ? text : unknown, known ? provider_bytes : strlen(unknown));
	add_text(object, "model", known ? text + provider_bytes + 1 : unknown,
		 known ? bytes - provider_bytes - 1 : strlen(unknown));
	bytes = read_text(segment, slot->word & UL_SLOT_MASK, UL_CLASS_CONTEXT, text);
	known = bytes && ul_context_is_valid(text, bytes);
	add_text(object, "context", known ? text : "{}", known ? bytes : 2);
}

static void add_call(cJSON *object, const struct segment *segment, uint32_t number)
{
	const struct ul_slot *slot = &segment->slots[number];
	const struct ul_call_body *call = &slot->body.call;
	const uint32_t tokens[UL_TOKEN_KINDS] = {call->input_tokens,          call->cache_read_tokens,
						 call->cache_write_5m_tokens, call->cache_write_1h_tokens,
						 call->output_tokens,         call->reasoning_tokens};
	const char *unit = slot->word & UL_LATENCY_UNKNOWN ? "unknown" : slot->word & UL_LATENCY_MS ? "ms" : "us";
	cJSON *array = cJSON_AddArrayToObject(object, "tokens");
	for (size_t i = 0; i < UL_TOKEN_KINDS; i++)
		cJSON_AddItemToArray(array, cJSON_CreateNumber(tokens[i]));
	cJSON_AddNumberToObject(object, "latency", call->latency);
	cJSON_AddStringToObject(object, "latency_unit", unit);
	cJSON_AddNumberToObject(object, "ttft_us", call->ttft_us);
	const struct ul_slot *before = slot - 1;
	if (number % UL_PAGE_SLOTS && segment->states[number - 1] == UL_SLOT_VALID &&
	    ul_slot_kind(before) == UL_KIND_CALL_ID)
		add_id(object, "call_id", &before->body.call_id);
	else
		cJSON_AddNullToObject(object, "call_id");
}

static void add_balance(cJSON *object, const struct ul_slot *slot)
{
	add_i64(object, "calls", (int64_t)slot->body.balance.calls);
	add_i64(object, "balance_tokens", (int64_t)slot->body.balance.tokens);
	cJSON_AddNumberToObject(object, "scope", slot->body.balance.scope);
}

/* What stands in every slot that counts. */
static cJSON *list_calls(const struct segment *segment)
{
	cJSON *list = cJSON_CreateArray();
	for (uint32_t i = 0; i < SLOTS; i++) {
		const struct ul_slot *slot = &segment->slots[i];
		enum ul_kind kind = ul_slot_kind(slot);
		if (segment->states[i] != UL_SLOT_VALID ||
		    (kind != UL_KIND_CALL && kind != UL_KIND_REVERSAL && kind != UL_KIND_BALANCE))
			continue;
		cJSON *call = cJSON_CreateObject();
		cJSON_AddItemToArray(list, call);
		cJSON_AddNumberToObject(call, "slot", i);
		cJSON_AddStringToObject(call, "kind",
					kind == UL_KIND_CALL       ? "call"
					: kind == UL_KIND_REVERSAL ? "reversal"
								   : "balance");
		add_names(call, segment, slot);
		/* Time and cost stand at the same place in both bodies. */
		add_i64(call, "time_ns", slot->body.call.time_ns);
		add_i64(call, "cost_pico_usd", slot->body.call.cost_pico_usd);
		cJSON_AddBoolToObject(call, "unpriced", (slot->word & UL_UNPRICED) != 0);
		if (kind == UL_KIND_BALANCE)
			add_balance(call, slot);
		else
			add_call(call, segment, i);
	}
	return list;
}

/* Append a slot to runs of [first, count]. */
static void run_add(cJSON *runs, uint32_t slot)
{
	cJSON *last = cJSON_GetArrayItem(runs, cJSON_GetArraySize(runs) - 1);
	if (last) {
		double count = cJSON_GetArrayItem(last, 1)->valuedouble;
		if (cJSON_GetArrayItem(last, 0)->valuedouble + count == slot) {
			cJSON_SetNumberValue(cJSON_GetArrayItem(last, 1), count + 1);
			return;
		}
	}
	cJSON_AddItemToArray(runs, cJSON_CreateIntArray((const int[]){(int)slot, 1}, 2));
}

static bool page_goes_on(const struct segment *segment, uint32_t slot)
{
	for (uint32_t next = slot + 1; next % UL_PAGE_SLOTS; next++)
		if (segment->states[next] != UL_SLOT_EMPTY)
			return true;
	return false;
}

static void add_slots(cJSON *found, const struct segment *segment, uint32_t first_page)
{
	const uint8_t *table = segment->bytes + UL_TABLE_PAGE * UL_PAGE_BYTES;
	uint32_t table_damaged = 0;
	uint32_t valid = 0;
	for (uint32_t page = first_page; page < SLOTS / UL_PAGE_SLOTS; page++)
		table_damaged += table[page] > UL_PAGE_SLOTS;
	cJSON_AddNumberToObject(found, "table_damaged", table_damaged);
	cJSON *unknown = cJSON_AddArrayToObject(found, "unknown");
	cJSON *unfinished = cJSON_AddArrayToObject(found, "unfinished");
	cJSON *damaged = cJSON_AddArrayToObject(found, "damaged");
	cJSON *holes = cJSON_AddArrayToObject(found, "holes");
	for (uint32_t slot = first_page * UL_PAGE_SLOTS; slot < segment->slot_end; slot++) {
		uint8_t durable = table[slot / UL_PAGE_SLOTS];
		bool lost = durable <= UL_PAGE_SLOTS && slot % UL_PAGE_SLOTS < durable;
		enum ul_slot_state state = segment->states[slot];
		valid += state == UL_SLOT_VALID;
		if (state == UL_SLOT_UNKNOWN)
			run_add(unknown, slot);
		else if (state == UL_SLOT_DAMAGED || (lost && (state == UL_SLOT_EMPTY || state == UL_SLOT_UNFINISHED)))
			run_add(damaged, slot);
		else if (state == UL_SLOT_UNFINISHED)
			run_add(unfinished, slot);
		else if (state == UL_SLOT_EMPTY && page_goes_on(segment, slot))
			run_add(holes, slot);
	}
	cJSON_AddNumberToObject(found, "valid", valid);
}

static void add_state(cJSON *found, const struct segment *segment)
{
	const struct ul_state_block *blocks = (const void *)(segment->bytes + UL_STATE_PAGE * UL_PAGE_BYTES);
	const struct ul_state_block *boot = ul_block_pair(blocks, segment->seed, UL_BLOCK_BOOT);
	const struct ul_state_block *counters = ul_block_pair(blocks, segment->seed, UL_BLOCK_COUNTERS);
	if (boot)
		add_id(found, "boot_id", (const struct ul_id *)boot->payload.boot_id);
	else
		cJSON_AddNullToObject(found, "boot_id");
	if (counters) {
		cJSON *object = cJSON_AddObjectToObject(found, "counters");
		add_i64(object, "attempted", (int64_t)counters->payload.counters.attempted);
		cJSON *dropped = cJSON_AddArrayToObject(object, "dropped");
		for (size_t i = 0; i < UL_CAUSES; i++)
			cJSON_AddItemToArray(dropped,
					     cJSON_CreateNumber((double)counters->payload.counters.dropped[i]));
	} else {
		cJSON_AddNullToObject(found, "counters");
	}
	cJSON *syncs = cJSON_AddArrayToObject(found, "syncs");
	for (uint32_t i = UL_BLOCK_SYNC; i < UL_BLOCK_SYNC + UL_SYNC_BLOCKS; i++) {
		enum ul_block_state state = ul_block_classify(&blocks[i], segment->seed, i);
		if (state == UL_BLOCK_CLEAR || (state == UL_BLOCK_VALID && !blocks[i].payload.sync.page_count))
			continue;
		cJSON *sync = cJSON_CreateObject();
		cJSON_AddItemToArray(syncs, sync);
		cJSON_AddNumberToObject(sync, "block", i);
		cJSON_AddStringToObject(sync, "state", state == UL_BLOCK_VALID ? "set" : "torn");
		if (state == UL_BLOCK_TORN)
			continue;
		cJSON_AddNumberToObject(sync, "first_page", (double)blocks[i].payload.sync.first_page);
		cJSON_AddNumberToObject(sync, "page_count", (double)blocks[i].payload.sync.page_count);
	}
}

static void classify_slots(struct segment *segment, const uint8_t *bytes, size_t size_bytes, const struct ul_id *id)
{
	segment->bytes = bytes;
	segment->slots = (const void *)bytes;
	segment->seed = ul_segment_seed(id);
	segment->slot_end = (size_bytes + UL_SLOT_BYTES - 1) / UL_SLOT_BYTES;
	for (uint32_t i = 0; i < SLOTS; i++)
		segment->states[i] = i < ul_first_page(SEGMENT_BYTES) * UL_PAGE_SLOTS
					     ? UL_SLOT_EMPTY
					     : ul_slot_classify(&segment->slots[i], segment->seed, i);
}

static cJSON *verdict_on_segment(const uint8_t *bytes, size_t size_bytes)
{
	static const char *const words[] = {"valid", "newer", "damaged"};
	struct ul_segment_header headers[2];
	enum ul_header_state states[2];
	struct segment segment;
	cJSON *found = cJSON_CreateObject();
	cJSON *pages = cJSON_AddArrayToObject(found, "header_pages");
	for (size_t i = 0; i < 2; i++) {
		states[i] = ul_header_classify(bytes + i * UL_PAGE_BYTES, &headers[i]);
		cJSON_AddItemToArray(pages, cJSON_CreateString(words[states[i]]));
	}
	size_t chosen = states[0] != UL_HEADER_VALID && states[1] == UL_HEADER_VALID;
	bool newer = states[0] == UL_HEADER_NEWER || states[1] == UL_HEADER_NEWER;
	enum ul_header_state state = states[chosen] != UL_HEADER_VALID && newer ? UL_HEADER_NEWER : states[chosen];
	cJSON_AddStringToObject(found, "header", words[state]);
	if (state != UL_HEADER_VALID)
		return found;
	const struct ul_segment_header *header = &headers[chosen];
	assert_int_equal(header->size_bytes, SEGMENT_BYTES);
	add_id(found, "segment_id", &header->segment_id);
	add_id(found, "log_id", &header->log_id);
	cJSON_AddNumberToObject(found, "size", (double)header->size_bytes);
	cJSON_AddNumberToObject(found, "generation", header->generation);
	cJSON_AddBoolToObject(found, "may_write", !header->flags_read_compatible);
	classify_slots(&segment, bytes, size_bytes, &header->segment_id);
	add_state(found, &segment);
	add_slots(found, &segment, ul_first_page(header->size_bytes));
	cJSON_AddItemToObject(found, "calls", list_calls(&segment));
	return found;
}

/* The other kinds of file. */

static cJSON *one_verdict(const char *verdict)
{
	cJSON *found = cJSON_CreateObject();
	cJSON_AddStringToObject(found, "verdict", verdict);
	return found;
}

static cJSON *verdict_on_conf(const uint8_t *bytes, size_t size_bytes)
{
	struct ul_conf conf;
	switch (ul_conf_parse(&conf, (const char *)bytes, size_bytes)) {
	case UL_CONF_OK:
		ul_conf_clear(&conf);
		return one_verdict("valid");
	case UL_CONF_NEWER:
		return one_verdict("newer");
	default:
		return one_verdict("damaged");
	}
}

static cJSON *verdict_on_container(enum ul_container_kind kind, const uint8_t *bytes, size_t size_bytes)
{
	static const char *const words[] = {
		[UL_CONTAINER_VALID] = "valid", [UL_CONTAINER_NEWER] = "newer", [UL_CONTAINER_DAMAGED] = "damaged"};
	struct ul_container container;
	return one_verdict(words[ul_container_open(&container, kind, bytes, size_bytes, NULL)]);
}

static cJSON *verdict_on(const char *type, const uint8_t *bytes, size_t size_bytes)
{
	cJSON *found;
	if (strcmp(type, "segment") == 0)
		found = verdict_on_segment(bytes, size_bytes);
	else if (strcmp(type, "conf") == 0)
		found = verdict_on_conf(bytes, size_bytes);
	else if (strcmp(type, "facts") == 0)
		found = verdict_on_container(UL_CONTAINER_FACTS, bytes, size_bytes);
	else if (strcmp(type, "checkpoint") == 0)
		found = verdict_on_container(UL_CONTAINER_CHECKPOINT, bytes, size_bytes);
	else if (strcmp(type, "prices") == 0)
		found = verdict_on_container(UL_CONTAINER_PRICES, bytes, size_bytes);
	else
		found = verdict_on_container(UL_CONTAINER_IDS, bytes, size_bytes);
	cJSON_AddStringToObject(found, "type", type);
	return found;
}

static cJSON *load_verdicts(void)
{
	size_t bytes;
	uint8_t *text = read_file(GOLDEN, "verdicts.json", 0, &bytes);
	cJSON *verdicts = cJSON_ParseWithLength((const char *)text, bytes);
	assert_non_null(verdicts);
	free(text);
	return verdicts;
}

/* `found` is consumed. Both are printed if they differ: they are longer than a failure's message may be. */
static void assert_same(const char *name, const cJSON *wanted, cJSON *found)
{
	if (!cJSON_Compare(wanted, found, true)) {
		char *texts[2] = {cJSON_PrintUnformatted(wanted), cJSON_PrintUnformatted(found)};
		fprintf(stderr, "wanted: %s\nfound:  %s\n", texts[0], texts[1]);
		free(texts[0]);
		free(texts[1]);
		fail_msg("%s", name);
	}
	cJSON_Delete(found);
}

static void every_file_is_read_as_meant(void **state)
{
	cJSON *verdicts = load_verdicts();
	cJSON *wanted;
	size_t count = 0;
	(void)state;
	cJSON_ArrayForEach(wanted, cJSON_GetObjectItem(verdicts, "files"))
	{
		size_t bytes;
		uint8_t *content = read_file(GOLDEN, wanted->string, SEGMENT_BYTES, &bytes);
		const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(wanted, "type"));
		assert_non_null(type);
		/* Why is for people. */
		cJSON_DeleteItemFromObject(wanted, "why");
		assert_same(wanted->string, wanted, verdict_on(type, content, bytes));
		free(content);
		count++;
	}
	assert_true(count >= 55);
	cJSON_Delete(verdicts);
}

/* Merge the second file into the first, slot by slot: a valid slot wins, of two the first file's. */
static void merge(struct segment *first, struct ul_slot *slots, const struct segment *second, cJSON *conflicts)
{
	for (uint32_t i = 0; i < SLOTS; i++) {
		if (second->states[i] != UL_SLOT_VALID)
			continue;
		if (first->states[i] != UL_SLOT_VALID) {
			slots[i] = second->slots[i];
			first->states[i] = UL_SLOT_VALID;
		} else if (memcmp(&slots[i], &second->slots[i], sizeof(slots[i])) != 0) {
			cJSON_AddItemToArray(conflicts, cJSON_CreateNumber(i));
		}
	}
}

static void files_of_one_segment_are_merged(void **state)
{
	cJSON *verdicts = load_verdicts();
	cJSON *wanted;
	(void)state;
	cJSON_ArrayForEach(wanted, cJSON_GetObjectItem(verdicts, "groups"))
	{
		static struct segment segments[2];
		uint8_t *content[2];
		const cJSON *files = cJSON_GetObjectItem(wanted, "files");
		assert_int_equal(cJSON_GetArraySize(files), 2);
		for (int i = 0; i < 2; i++) {
			size_t bytes;
			struct ul_segment_header header;
			content[i] = read_file(GOLDEN, cJSON_GetStringValue(cJSON_GetArrayItem(files, i)),
					       SEGMENT_BYTES, &bytes);
			assert_int_equal(ul_header_classify(content[i], &header), UL_HEADER_VALID);
			classify_slots(&segments[i], content[i], bytes, &header.segment_id);
		}
		cJSON *found = cJSON_CreateObject();
		cJSON_AddItemToObject(found, "files", cJSON_Duplicate(files, true));
		merge(&segments[0], (struct ul_slot *)(void *)content[0], &segments[1],
		      cJSON_AddArrayToObject(found, "conflicts"));
		uint32_t valid = 0;
		for (uint32_t i = 0; i < SLOTS; i++)
			valid += segments[0].states[i] == UL_SLOT_VALID;
		cJSON_AddNumberToObject(found, "valid", valid);
		cJSON_AddItemToObject(found, "calls", list_calls(&segments[0]));
		assert_same("group", wanted, found);
		free(content[0]);
		free(content[1]);
	}
	cJSON_Delete(verdicts);
}

/* Call `visit` with the name of each file in a folder; returns how many. */
static size_t each_file(const char *folder, void (*visit)(const char *name, void *context), void *context)
{
	size_t count = 0;
	DIR *files = opendir(folder);
	assert_non_null(files);
	for (struct dirent *entry; (entry = readdir(files)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		visit(entry->d_name, context);
		count++;
	}
	assert_int_equal(closedir(files), 0);
	return count;
}

static void assert_has_verdict(const char *name, void *context)
{
	if (strcmp(name, "verdicts.json") != 0 && !cJSON_GetObjectItemCaseSensitive(context, name))
		fail_msg("%s stands in golden/ without a verdict", name);
}

static void every_file_has_a_verdict(void **state)
{
	cJSON *verdicts = load_verdicts();
	cJSON *files = cJSON_GetObjectItem(verdicts, "files");
	(void)state;
	assert_int_equal(each_file(GOLDEN, assert_has_verdict, files), cJSON_GetArraySize(files) + 1);
	cJSON_Delete(verdicts);
}

static void assert_same_file(const char *name, void *context)
{
	size_t old_bytes;
	size_t new_bytes;
	uint8_t *old = read_file(GOLDEN, name, 0, &old_bytes);
	uint8_t *made = read_file(context, name, 0, &new_bytes);
	if (old_bytes != new_bytes || memcmp(old, made, old_bytes) != 0)
		fail_msg("%s is written otherwise now: golden files are added, never changed", name);
	free(old);
	free(made);
}

static void remove_file(const char *name, void *context)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", (const char *)context, name);
	assert_int_equal(unlink(path), 0);
}

static void the_generator_repeats_itself(void **state)
{
	char folder[] = "/tmp/usagelog-golden-XXXXXX";
	char command[1024];
	(void)state;
	assert_non_null(mkdtemp(folder));
	/* The command may be an emulator's, with arguments of its own. */
	snprintf(command, sizeof(command), "%s %s", MAKE_GOLDEN, folder);
	assert_int_equal(system(command), 0);
	size_t made = each_file(folder, assert_same_file, folder);
	assert_int_equal(each_file(GOLDEN, assert_same_file, folder), made);
	each_file(folder, remove_file, folder);
	assert_int_equal(rmdir(folder), 0);
}

/* FORMAT.md 12: lines of four blanks, eight digits of offset, two blanks, and up to 16 bytes. */
static size_t check_dump_line(const char *line, const uint8_t *golden, size_t golden_bytes)
{
	unsigned long offset;
	int used;
	size_t count = 0;
	if (strncmp(line, "    0", 5) != 0 || sscanf(line, "    %8lx  %n", &offset, &used) != 1)
		return 0;
	for (unsigned byte; sscanf(line + used, "%2x", &byte) == 1; count++) {
		assert_true(offset + count < golden_bytes);
		if (golden[offset + count] != byte)
			fail_msg("FORMAT.md says %02x at %lx, the file %02x", byte, offset + count,
				 golden[offset + count]);
		used += 2;
		if (line[used] != ' ' || line[used + 1] == ' ')
			return count + 1;
		used++;
	}
	return count;
}

static void the_dump_in_the_text_is_that_of_a_file(void **state)
{
	size_t text_bytes;
	size_t golden_bytes;
	size_t shown = 0;
	char *text = (char *)read_file(FORMAT_FOLDER, "FORMAT.md", 0, &text_bytes);
	uint8_t *golden = read_file(GOLDEN, "all-kinds.seg", 0, &golden_bytes);
	char *line = strstr(text, "\n## 12. ");
	(void)state;
	assert_non_null(line);
	assert_non_null(strstr(line, "golden/all-kinds.seg"));
	for (; line; line = strchr(line + 1, '\n'))
		shown += check_dump_line(line + 1, golden, golden_bytes);
	struct ul_segment_header header;
	char seed[32];
	assert_int_equal(ul_header_classify(golden, &header), UL_HEADER_VALID);
	snprintf(seed, sizeof(seed), "0x%016" PRIx64 ".", ul_segment_seed(&header.segment_id));
	assert_non_null(strstr(text, seed));
	/* The header's fields, a definition and a call at least. */
	assert_true(shown >= UL_SEGMENT_HEADER_BYTES + 2 * UL_SLOT_BYTES);
	free(golden);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_file_is_read_as_meant),
		cmocka_unit_test(files_of_one_segment_are_merged),
		cmocka_unit_test(every_file_has_a_verdict),
		cmocka_unit_test(the_generator_repeats_itself),
		cmocka_unit_test(the_dump_in_the_text_is_that_of_a_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
