/* The verdicts of slot.h. */
#include "slot.h"

#include <string.h>

#include "seal.h"

static const uint8_t segment_magic[8] = {0x89, 'U', 'L', 'S', 'E', 'G', '\r', '\n'};

static bool call_is_defined(const struct ul_slot *slot)
{
	if (slot->word & UL_CONTEXT_RESERVED)
		return false;
	if ((slot->word & UL_UNPRICED) && slot->body.call.cost_pico_usd)
		return false;
	return !(slot->word & UL_LATENCY_UNKNOWN) || (!slot->body.call.latency && !(slot->word & UL_LATENCY_MS));
}

static bool definition_is_defined(const struct ul_slot *slot)
{
	uint32_t class = slot->word >> 28;
	uint32_t bytes = slot->word & UL_SLOT_MASK;
	uint32_t next = slot->tag & UL_SLOT_MASK;
	if (class != UL_CLASS_MODEL && class != UL_CLASS_CONTEXT)
		return false;
	if (!bytes || bytes > UL_CONTEXT_BYTES_MAX)
		return false;
	if (bytes > UL_CHUNK_BYTES)
		return next != 0;
	return !next && ul_is_zero(slot->body.text + bytes, UL_CHUNK_BYTES - bytes);
}

static bool continuation_is_defined(const struct ul_slot *slot)
{
	return slot->word && slot->word < UL_CONTEXT_BYTES_MAX && slot->word % UL_CHUNK_BYTES == 0;
}

static bool balance_is_defined(const struct ul_slot *slot)
{
	const struct ul_balance_body *balance = &slot->body.balance;
	if (slot->word & (UL_CONTEXT_RESERVED | UL_LATENCY_UNKNOWN | UL_LATENCY_MS))
		return false;
	if ((slot->word & UL_UNPRICED) && balance->cost_pico_usd)
		return false;
	if (balance->calls >= UL_BALANCE_MAX || balance->tokens >= UL_BALANCE_MAX)
		return false;
	return balance->scope >= 1 && balance->scope <= 3 && ul_is_zero(balance->zero, sizeof(balance->zero));
}

static bool call_id_is_defined(const struct ul_slot *slot)
{
	return !(slot->tag & UL_SLOT_MASK) && !slot->word &&
	       ul_is_zero(slot->body.text + UL_ID_BYTES, UL_CHUNK_BYTES - UL_ID_BYTES);
}

static bool padding_is_defined(const struct ul_slot *slot)
{
	return !(slot->tag & UL_SLOT_MASK) && !slot->word && ul_is_zero(&slot->body, sizeof(slot->body));
}

bool ul_slot_is_defined(const struct ul_slot *slot)
{
	switch (ul_slot_kind(slot)) {
	case UL_KIND_CALL:
	case UL_KIND_REVERSAL:
		return call_is_defined(slot);
	case UL_KIND_DEFINITION:
		return definition_is_defined(slot);
	case UL_KIND_CONTINUATION:
		return continuation_is_defined(slot);
	case UL_KIND_CALL_ID:
		return call_id_is_defined(slot);
	case UL_KIND_BALANCE:
		return balance_is_defined(slot);
	case UL_KIND_PADDING:
		return padding_is_defined(slot);
	case UL_KIND_RESERVED:
		break;
	}
	return false;
}

enum ul_slot_state ul_slot_classify(const struct ul_slot *slot, uint64_t segment_seed, uint32_t slot_number)
{
	uint64_t body[7];
	memcpy(body, &slot->tag, sizeof(body));
	if (!slot->checksum)
		return (body[0] | body[1] | body[2] | body[3] | body[4] | body[5] | body[6]) ? UL_SLOT_UNFINISHED
											     : UL_SLOT_EMPTY;
	if (slot->checksum != ul_slot_checksum(body, ul_slot_seed(segment_seed, slot_number)))
		return UL_SLOT_DAMAGED;
	return ul_slot_is_defined(slot) ? UL_SLOT_VALID : UL_SLOT_UNKNOWN;
}

enum ul_header_state ul_header_classify(const uint8_t page[UL_PAGE_BYTES], struct ul_segment_header *header)
{
	struct ul_segment_header found;
	memset(&found, 0, sizeof(found));
	memcpy(&found, page, UL_SEGMENT_HEADER_BYTES);
	if (memcmp(found.magic, segment_magic, sizeof(segment_magic)) != 0 ||
	    found.checksum != ul_header_checksum(page))
		return UL_HEADER_DAMAGED;
	if (found.version > UL_VERSION || found.flags_incompatible) {
		*header = found;
		return UL_HEADER_NEWER;
	}
	if (found.version != UL_VERSION || found.size_bytes < UL_SEGMENT_BYTES_MIN ||
	    found.size_bytes > UL_SEGMENT_BYTES_MAX || found.size_bytes % UL_PAGE_BYTES)
		return UL_HEADER_DAMAGED;
	if (!ul_is_zero(page + UL_SEGMENT_HEADER_BYTES, UL_PAGE_BYTES - UL_SEGMENT_HEADER_BYTES))
		return UL_HEADER_DAMAGED;
	*header = found;
	return UL_HEADER_VALID;
}

void ul_header_seal(uint8_t page[UL_PAGE_BYTES], const struct ul_segment_header *header)
{
	memset(page, 0, UL_PAGE_BYTES);
	memcpy(page, header, UL_SEGMENT_HEADER_BYTES);
	memcpy(page, segment_magic, sizeof(segment_magic));
	uint64_t sum = ul_header_checksum(page);
	memcpy(page + offsetof(struct ul_segment_header, checksum), &sum, sizeof(sum));
}

enum ul_block_state ul_block_classify(const struct ul_state_block *block, uint64_t segment_seed, uint32_t index)
{
	if (ul_is_zero(block, sizeof(*block)))
		return UL_BLOCK_CLEAR;
	return block->checksum == ul_block_checksum(block, segment_seed, index) ? UL_BLOCK_VALID : UL_BLOCK_TORN;
}

bool ul_sync_is_set(const struct ul_state_block *block, uint64_t segment_seed, uint32_t index)
{
	enum ul_block_state state = ul_block_classify(block, segment_seed, index);
	return state == UL_BLOCK_TORN || (state == UL_BLOCK_VALID && block->payload.sync.page_count);
}

const struct ul_state_block *ul_block_pair(const struct ul_state_block blocks[UL_STATE_BLOCKS], uint64_t segment_seed,
					   uint32_t index)
{
	const struct ul_state_block *newest = NULL;
	for (uint32_t i = index; i < index + 2; i++) {
		if (ul_block_classify(&blocks[i], segment_seed, i) != UL_BLOCK_VALID)
			continue;
		if (!newest || blocks[i].sequence > newest->sequence)
			newest = &blocks[i];
	}
	return newest;
}

static const char hex_digits[] = "0123456789abcdef";

void ul_id_format(char text[UL_ID_TEXT_BYTES], const struct ul_id *id)
{
	for (size_t i = 0; i < UL_ID_BYTES; i++) {
		text[2 * i] = hex_digits[id->bytes[i] >> 4];
		text[2 * i + 1] = hex_digits[id->bytes[i] & 15];
	}
	text[2 * UL_ID_BYTES] = '\0';
}

bool ul_id_parse(struct ul_id *id, const char *text)
{
	struct ul_id found;
	for (size_t i = 0; i < 2 * UL_ID_BYTES; i++) {
		const char *digit = text[i] ? strchr(hex_digits, text[i]) : NULL;
		if (!digit)
			return false;
		uint8_t value = (uint8_t)(digit - hex_digits);
		found.bytes[i / 2] = i % 2 ? (uint8_t)(found.bytes[i / 2] | value) : (uint8_t)(value << 4);
	}
	*id = found;
	return true;
}
