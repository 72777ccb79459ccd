#include "container_mutator.h"

#include <string.h>

#include "fuzz.h"

enum { CHANGES_MAX = 3, RECORD_BYTES_MAX = 4096 };

/* A container taken apart: sections whose records are in memory of their own, with room for a new one by each change. */
struct parts {
	struct ul_container_header header;
	struct ul_section_data sections[UL_SECTIONS_MAX];
	uint8_t *records[UL_SECTIONS_MAX];
	size_t section_count;
};

static void parts_clear(struct parts *parts)
{
	for (size_t i = 0; i < parts->section_count; i++)
		free(parts->records[i]);
}

/* As far as the section table makes sense; false if none of it does. */
static bool take_apart(struct parts *parts, const uint8_t *data, size_t bytes)
{
	parts->section_count = 0;
	if (bytes < sizeof(parts->header))
		return false;
	memcpy(&parts->header, data, sizeof(parts->header));
	size_t count = parts->header.section_count;
	if (!count || count > UL_SECTIONS_MAX || bytes < sizeof(parts->header) + count * sizeof(struct ul_section))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct ul_section section;
		memcpy(&section, data + sizeof(parts->header) + i * sizeof(section), sizeof(section));
		bool rising = i == 0 || section.type > (uint32_t)parts->sections[i - 1].type;
		if (!rising || !section.record_bytes || section.record_bytes > RECORD_BYTES_MAX ||
		    section.offset > bytes || section.record_count > (bytes - section.offset) / section.record_bytes)
			break;
		size_t size = (size_t)section.record_count * section.record_bytes;
		uint8_t *records = malloc(size + CHANGES_MAX * (size_t)section.record_bytes);
		FUZZ_CHECK(records);
		memcpy(records, data + section.offset, size);
		parts->records[i] = records;
		parts->sections[i] = (struct ul_section_data){.type = section.type,
							      .record_bytes = section.record_bytes,
							      .records = records,
							      .record_count = section.record_count};
		parts->section_count = i + 1;
	}
	return parts->section_count > 0;
}

static void change_records(struct parts *parts, uint64_t *random)
{
	size_t chosen = fuzz_random(random) % parts->section_count;
	struct ul_section_data *section = &parts->sections[chosen];
	uint8_t *records = parts->records[chosen];
	size_t size = section->record_bytes, count = (size_t)section->record_count;
	size_t at = count ? fuzz_random(random) % count : 0, other = count ? fuzz_random(random) % count : 0;
	uint32_t choice = fuzz_random(random) % 8;
	if (choice == 0 && count) {
		memmove(records + at * size, records + (at + 1) * size, (count - at - 1) * size);
		section->record_count--;
	} else if (choice == 1 || !count) {
		if (count)
			memmove(records + (at + 1) * size, records + at * size, (count - at) * size);
		else
			memset(records, 0, size);
		section->record_count++;
	} else if (choice == 2) {
		memcpy(records + at * size, records + other * size, size);
	} else {
		LLVMFuzzerMutate(records + at * size, size, size);
	}
}

size_t container_mutate(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed, enum ul_container_kind kind)
{
	uint64_t random = seed;
	struct parts parts;
	if (fuzz_random(&random) % 4 == 0 || !take_apart(&parts, data, bytes)) {
		if (bytes < sizeof(struct ul_container_header) || fuzz_random(&random) % 2)
			bytes = LLVMFuzzerMutate(data, bytes, bytes_max);
		else
			LLVMFuzzerMutate(data, bytes, bytes);
	} else {
		for (uint32_t i = 0, changes = 1 + fuzz_random(&random) % CHANGES_MAX; i < changes; i++)
			change_records(&parts, &random);
		size_t built_bytes;
		void *built = ul_container_build(kind, &parts.header.log_id, parts.sections, parts.section_count,
						 &built_bytes);
		if (built && built_bytes <= bytes_max) {
			memcpy(data, built, built_bytes);
			bytes = built_bytes;
		}
		free(built);
		parts_clear(&parts);
	}
	if (bytes >= sizeof(struct ul_container_header) && fuzz_random(&random) % 16)
		ul_container_seal(data, bytes, kind);
	return bytes;
}

/* ---- for the targets ------------------------------------------------------------------------------------------ */

uint8_t container_walk(const struct ul_container *container)
{
	uint8_t seen = 0;
	for (uint32_t i = 0; i < container->header->section_count; i++) {
		uint64_t count;
		const uint8_t *records = ul_container_records(container, container->sections[i].type, &count);
		FUZZ_CHECK(!count || records);
		for (uint64_t byte = 0; byte < count * container->sections[i].record_bytes; byte++)
			seen ^= records[byte];
	}
	uint64_t strings;
	ul_container_records(container, UL_SECTION_STRINGS, &strings);
	for (uint64_t i = 0; i < strings; i++) {
		struct ul_text text = ul_container_string(container, (uint32_t)i);
		for (uint32_t byte = 0; byte < text.bytes; byte++)
			seen ^= (uint8_t)text.text[byte];
	}
	return seen;
}

void *container_aligned(const uint8_t *data, size_t bytes)
{
	void *aligned = malloc(bytes ? bytes : 1);
	FUZZ_CHECK(aligned);
	memcpy(aligned, data, bytes);
	return aligned;
}

void container_round_trip(const uint8_t *data, size_t bytes, enum ul_container_kind kind,
			  void *(*encode)(const struct ul_container *file, size_t *bytes))
{
	struct ul_container first, second;
	void *aligned = container_aligned(data, bytes), *once = NULL, *twice = NULL;
	size_t once_bytes, twice_bytes;
	if (ul_container_open(&first, kind, aligned, bytes, NULL) == UL_CONTAINER_VALID) {
		fuzz_sound++;
		container_walk(&first);
		once = encode(&first, &once_bytes);
	}
	if (once) {
		FUZZ_CHECK(ul_container_open(&second, kind, once, once_bytes, &first.header->log_id) ==
			   UL_CONTAINER_VALID);
		twice = encode(&second, &twice_bytes);
		FUZZ_CHECK(twice && twice_bytes == once_bytes && !memcmp(once, twice, once_bytes));
	}
	free(twice);
	free(once);
	free(aligned);
}
