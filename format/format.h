/*
 * The bytes on disk, as C structs: what FORMAT.md says in tables, the compiler checks here.
 *
 * This file knows no files, no mappings and no threads, only layouts. Every struct asserts its size and
 * the offsets that FORMAT.md names; none has padding. Numbers are little-endian, so only little-endian
 * hosts compile this.
 */
#ifndef USAGELOG_FORMAT_H
#define USAGELOG_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "usagelog's files are little-endian and mapped as they are: big-endian hosts are not supported"
#endif

enum {
	UL_VERSION = 1,
	UL_PAGE_BYTES = 4096,
	UL_SLOT_BYTES = 64,
	UL_PAGE_SLOTS = UL_PAGE_BYTES / UL_SLOT_BYTES,
	UL_STATE_PAGE = 2,
	UL_TABLE_PAGE = 3,
	UL_STATE_BLOCKS = 32,
	UL_BLOCK_BOOT = 0,
	UL_BLOCK_COUNTERS = 2,
	UL_BLOCK_SYNC = 4,
	UL_SYNC_BLOCKS = 8,
	UL_BLOCK_GIVEN_UP = 12,
	UL_BLOCKS_USED = 13,
	UL_CAUSES = 8,
	UL_NAME_BYTES_MAX = 1024,
	UL_CONTEXT_BYTES_MAX = 16384,
	UL_CHUNK_BYTES = 48,
	UL_ID_BYTES = 16,
	UL_ID_TEXT_BYTES = 33, /* 32 hexadecimal digits and the terminating zero */
};

#define UL_SEGMENT_BYTES_MIN ((uint64_t)65536)
#define UL_SEGMENT_BYTES_MAX ((uint64_t)1 << 34)
#define UL_SLOT_MASK ((uint32_t)0x0fffffff)
#define UL_SEED_STEP ((uint64_t)0x9e3779b97f4a7c15)
#define UL_QUARTER_NS ((int64_t)900000000000)
#define UL_BALANCE_MAX ((uint64_t)1 << 53) /* calls and tokens of an opening balance stay below */

/* The kinds of a slot: the upper 4 bits of its tag. */
enum ul_kind {
	UL_KIND_RESERVED = 0,
	UL_KIND_CALL = 1,
	UL_KIND_DEFINITION = 2,
	UL_KIND_CONTINUATION = 3,
	UL_KIND_CALL_ID = 4,
	UL_KIND_BALANCE = 5,
	UL_KIND_REVERSAL = 6,
	UL_KIND_PADDING = 7,
};

enum ul_class { UL_CLASS_MODEL = 1, UL_CLASS_CONTEXT = 2 };

/* The flags of a call: the upper 4 bits of its context word. */
#define UL_UNPRICED ((uint32_t)1 << 28)
#define UL_LATENCY_UNKNOWN ((uint32_t)1 << 29)
#define UL_LATENCY_MS ((uint32_t)1 << 30)
#define UL_CONTEXT_RESERVED ((uint32_t)1 << 31)

/* Why calls were dropped: the index into the counters. */
enum ul_cause {
	UL_CAUSE_SPACE = 0,
	UL_CAUSE_LIMIT = 1,
	UL_CAUSE_IO = 2,
	UL_CAUSE_PERMISSION = 3,
	UL_CAUSE_GONE = 4,
	UL_CAUSE_REENTERED = 5,
};

struct ul_id {
	uint8_t bytes[UL_ID_BYTES];
};

/* 3.1: the fixed header's fields; the rest of its page is zero. */
struct ul_segment_header {
	uint8_t magic[8];
	uint64_t checksum;
	uint32_t version;
	uint32_t flags_compatible;
	uint32_t flags_read_compatible;
	uint32_t flags_incompatible;
	struct ul_id segment_id;
	struct ul_id log_id;
	uint64_t inode;
	uint64_t size_bytes;
	uint32_t generation;
};
#define UL_SEGMENT_HEADER_BYTES 84 /* sizeof counts the struct's tail padding, the file does not */
static_assert(offsetof(struct ul_segment_header, version) == 16, "FORMAT.md 3.1");
static_assert(offsetof(struct ul_segment_header, segment_id) == 32, "FORMAT.md 3.1");
static_assert(offsetof(struct ul_segment_header, inode) == 64, "FORMAT.md 3.1");
static_assert(offsetof(struct ul_segment_header, generation) + 4 == UL_SEGMENT_HEADER_BYTES, "FORMAT.md 3.1");

/* 3.2: one block of the writer's state. */
struct ul_state_block {
	uint64_t checksum;
	uint64_t sequence;
	union {
		uint8_t boot_id[UL_ID_BYTES];
		struct {
			uint64_t attempted;
			uint64_t dropped[UL_CAUSES];
		} counters;
		struct {
			uint64_t first_page;
			uint64_t page_count;
		} sync;
		uint64_t given_up;
		uint8_t bytes[112];
	} payload;
};
static_assert(sizeof(struct ul_state_block) == 128, "FORMAT.md 3.2");
static_assert(sizeof(struct ul_state_block) * UL_STATE_BLOCKS == UL_PAGE_BYTES, "FORMAT.md 3.2");

/* 3.4: a slot, by kind. The body is bytes 8 to 63: seven words. */
struct ul_call_body {
	int64_t time_ns;
	int64_t cost_pico_usd;
	uint32_t input_tokens;
	uint32_t cache_read_tokens;
	uint32_t cache_write_5m_tokens;
	uint32_t cache_write_1h_tokens;
	uint32_t output_tokens;
	uint32_t reasoning_tokens;
	uint32_t latency;
	uint32_t ttft_us;
};

struct ul_balance_body {
	int64_t time_ns;
	int64_t cost_pico_usd;
	uint64_t calls;
	uint64_t tokens;
	uint32_t scope;
	uint32_t zero[3];
};

struct ul_slot {
	uint64_t checksum;
	uint32_t tag;
	uint32_t word; /* call, reversal, balance: context; definition: class and length; continuation: offset */
	union {
		struct ul_call_body call;
		struct ul_balance_body balance;
		struct ul_id call_id;
		uint8_t text[UL_CHUNK_BYTES];
		uint64_t words[6];
	} body;
};
static_assert(sizeof(struct ul_slot) == UL_SLOT_BYTES, "FORMAT.md 3.4");
static_assert(offsetof(struct ul_slot, tag) == 8, "FORMAT.md 3.4");
static_assert(offsetof(struct ul_slot, body) == 16, "FORMAT.md 3.4");
static_assert(sizeof(struct ul_call_body) == 48 && sizeof(struct ul_balance_body) == 48, "FORMAT.md 3.4");
static_assert(offsetof(struct ul_call_body, latency) == 56 - 16, "FORMAT.md 3.4");
static_assert(offsetof(struct ul_balance_body, scope) == 48 - 16, "FORMAT.md 3.4");

static inline uint32_t ul_tag(enum ul_kind kind, uint32_t slot)
{
	return (uint32_t)kind << 28 | slot;
}

static inline enum ul_kind ul_slot_kind(const struct ul_slot *slot)
{
	return (enum ul_kind)(slot->tag >> 28);
}

/* The page after the header, state and page table of a segment of so many bytes. */
static inline uint32_t ul_first_page(uint64_t size_bytes)
{
	uint64_t pages = size_bytes / UL_PAGE_BYTES;
	return UL_TABLE_PAGE + (uint32_t)((pages + UL_PAGE_BYTES - 1) / UL_PAGE_BYTES);
}

/* 6: the frame of fact files, checkpoints and id sets. */
struct ul_container_header {
	uint8_t magic[8];
	uint64_t checksum;
	uint32_t version;
	uint32_t flags_compatible;
	uint32_t flags_read_compatible;
	uint32_t flags_incompatible;
	struct ul_id log_id;
	uint64_t size_bytes;
	uint32_t section_count;
	uint32_t zero;
};
static_assert(sizeof(struct ul_container_header) == 64, "FORMAT.md 6");

struct ul_section {
	uint32_t type;
	uint32_t record_bytes;
	uint64_t offset;
	uint64_t record_count;
	uint64_t zero;
};
static_assert(sizeof(struct ul_section) == 32, "FORMAT.md 6");

enum ul_section_type {
	UL_SECTION_META = 1,
	UL_SECTION_STRINGS = 2,
	UL_SECTION_STRING_BYTES = 3,
	UL_SECTION_ROWS = 4,
	UL_SECTION_QUARTERS = 5,
	UL_SECTION_HISTOGRAMS = 6,
	UL_SECTION_BUCKETS = 7,
	UL_SECTION_SEGMENTS = 16,
	UL_SECTION_RUNS = 17,
	UL_SECTION_DAYS = 18,
	UL_SECTION_DAY_SUMS = 19,
	UL_SECTION_CALLS = 20,
	UL_SECTION_FILES = 21,
	UL_SECTION_RECENT_SUMS = 22,
	UL_SECTION_HOUR_SUMS = 23,
	UL_SECTION_ATTRIBUTE_SUMS = 24,
	UL_SECTION_IDS = 32,
	UL_SECTION_PRICES = 40,
	UL_SECTION_PARTS = 48,
	UL_SECTION_PART_BYTES = 49,
	UL_SECTION_MANDATORY = 1000, /* an unknown type from here on must be refused */
};

struct ul_string_record {
	uint32_t offset;
	uint32_t bytes;
};

struct ul_i128 {
	uint64_t low;
	int64_t high;
};

/* 7: what a fact file holds. */
struct ul_fact_meta {
	int32_t day;
	uint32_t prices; /* generation of its price table; 0: none */
	uint64_t generation;
	uint64_t settings;
	uint8_t zeros[40];
};

enum ul_price_class { UL_PRICE_GIVEN = 0, UL_PRICE_FOLDED = 1, UL_PRICE_NONE = 2 };

enum ul_token_kind {
	UL_INPUT,
	UL_CACHE_READ,
	UL_CACHE_WRITE_5M,
	UL_CACHE_WRITE_1H,
	UL_OUTPUT,
	UL_REASONING,
	UL_TOKEN_KINDS,
};

struct ul_row {
	uint32_t provider;
	uint32_t model;
	uint32_t dimensions;
	uint8_t price_class;
	uint8_t prompt_band;
	uint16_t scope;
	int64_t calls;
	int64_t tokens[UL_TOKEN_KINDS];
	int64_t balance_tokens;
	int64_t latency_calls;
	int64_t latency_sum_us;
	int64_t ttft_calls;
	int64_t ttft_sum_us;
	struct ul_i128 cost_pico_usd;
};

/* The price key of a quarter of calls without a cost: 1 + prompt band, and the service tier's name. */
#define UL_PRICE_KEY_NAME ((uint32_t)0x0fffffff)

static inline uint32_t ul_price_key(uint8_t prompt_band, uint32_t service_tier)
{
	return (uint32_t)(prompt_band + 1) << 28 | service_tier;
}

/* What calls come to, under a number and two names: by quarter, provider and model in a fact file, by others in a checkpoint. */
struct ul_sum {
	int32_t number;
	uint32_t first;
	uint32_t second;
	uint32_t price_key; /* of a quarter; else 0 */
	int64_t calls;
	int64_t errors;
	int64_t tokens[UL_TOKEN_KINDS];
	int64_t balance_tokens;
	int64_t unpriced_calls;
	struct ul_i128 cost_pico_usd;
};

enum ul_measure { UL_MEASURE_LATENCY = 1, UL_MEASURE_TTFT = 2 };

struct ul_histogram {
	uint32_t provider;
	uint32_t model;
	uint32_t operation;
	uint32_t measure;
	uint32_t first_bucket;
	uint32_t bucket_count;
};

struct ul_bucket {
	uint32_t bucket;
	uint32_t zero;
	int64_t count;
};

static_assert(sizeof(struct ul_fact_meta) == 64, "FORMAT.md 7");
static_assert(sizeof(struct ul_row) == 128 && offsetof(struct ul_row, cost_pico_usd) == 112, "FORMAT.md 7");
static_assert(sizeof(struct ul_sum) == 112 && offsetof(struct ul_sum, cost_pico_usd) == 96, "FORMAT.md 7");
static_assert(sizeof(struct ul_histogram) == 24 && sizeof(struct ul_bucket) == 16, "FORMAT.md 7");

/* 8: what a checkpoint holds. */
struct ul_checkpoint_meta {
	uint64_t generation;
	uint64_t settings;
	uint64_t base_generation;
	int64_t newest_ns;
	uint8_t zeros[32];
};

#define UL_SEGMENT_PRUNED ((uint32_t)1)

struct ul_folded_segment {
	struct ul_id id;
	uint64_t size_bytes;
	int64_t calls;
	uint32_t first_run;
	uint32_t run_count;
	uint32_t state;
	uint32_t zero;
	uint64_t attempted;
	uint64_t dropped;
	uint8_t zeros[16];
};

struct ul_run {
	uint32_t first_slot;
	uint32_t slot_count;
};

struct ul_day {
	int32_t day;
	uint32_t prices; /* generation of its price table; 0: none */
	uint64_t generation;
	uint64_t size_bytes;
	uint64_t checksum;
	int64_t calls;
};

enum {
	UL_LAST_CALLS = 1000,
	UL_RECENT_DAYS = 31, /* the newest days that are held by model */
	UL_HOUR_DAYS = 30,   /* and by hour */
};

struct ul_last_call {
	struct ul_id segment_id;
	uint32_t slot;
	uint32_t provider;
	uint32_t model;
	uint32_t context;
	struct ul_call_body call;
	uint32_t flags;  /* the context word's upper 4 bits, shifted down */
	uint32_t priced; /* 1: when it was folded, at the cost that follows */
	int64_t priced_pico_usd;
	struct ul_id call_id;
};

enum ul_file_kind { UL_FILE_IDS = 1, UL_FILE_PRICES = 2 };

struct ul_named_file {
	uint32_t kind;
	uint32_t name;
	uint64_t size_bytes;
	uint64_t checksum;
	int32_t since; /* the day from which on a price table stands */
	uint32_t zero;
};

struct ul_id_meta {
	uint64_t generation;
	uint8_t zeros[56];
};

struct ul_id_record {
	struct ul_id id;
	uint64_t content;
	int64_t standing;
};

/* 14: what a price table holds. */
struct ul_price_meta {
	uint64_t generation;
	int32_t since;
	uint32_t replaces;
	uint64_t source;
	uint8_t zeros[40];
};

enum ul_service { UL_SERVICE_STANDARD, UL_SERVICE_BATCH, UL_SERVICE_FLEX, UL_SERVICE_PRIORITY, UL_SERVICES };
enum { UL_PROMPT_BANDS = 6 };
#define UL_PRICE_MAX ((int64_t)1 << 53) /* pico-USD a token */

struct ul_price {
	uint32_t name;
	uint32_t provider;
	uint8_t service;
	uint8_t first_band;
	uint8_t last_band;
	uint8_t zeros[5];
	int64_t pico_usd[UL_TOKEN_KINDS];
};

/* 12: what a merged file holds. */
struct ul_merged_meta {
	uint8_t zeros[64];
};

struct ul_part {
	struct ul_id log_id;
	uint32_t time_zone;
	uint32_t zero;
	uint64_t offset; /* into the bytes' section */
	uint64_t size_bytes;
	uint8_t zeros[24];
};

static_assert(sizeof(struct ul_merged_meta) == 64 && sizeof(struct ul_part) == 64, "FORMAT.md 12");
static_assert(sizeof(struct ul_checkpoint_meta) == 64 && sizeof(struct ul_id_meta) == 64, "FORMAT.md 8, 9");
static_assert(sizeof(struct ul_price_meta) == 64 && sizeof(struct ul_price) == 64, "FORMAT.md 14");
static_assert(sizeof(struct ul_folded_segment) == 80, "FORMAT.md 8");
static_assert(sizeof(struct ul_run) == 8 && sizeof(struct ul_day) == 40, "FORMAT.md 8");
static_assert(sizeof(struct ul_last_call) == 112, "FORMAT.md 8");
static_assert(offsetof(struct ul_last_call, flags) == 80 && offsetof(struct ul_last_call, priced_pico_usd) == 88,
	      "FORMAT.md 8");
static_assert(sizeof(struct ul_named_file) == 32 && sizeof(struct ul_id_record) == 32, "FORMAT.md 8, 9");

#endif
