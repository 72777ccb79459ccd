/* A page at a time says what xxHash says of each slot. */
#include "support.h"

#include "page.h"
#include "seal.h"

static _Alignas(64) struct ul_slot page[UL_PAGE_SLOTS], copy[UL_PAGE_SLOTS];

static void seal(struct ul_slot *slot, uint64_t seed, uint32_t number)
{
	uint64_t body[7];
	memcpy(body, &slot->tag, sizeof(body));
	slot->checksum = ul_slot_checksum(body, ul_slot_seed(seed, number));
}

static void fill(uint64_t *random)
{
	for (size_t i = 0; i < UL_PAGE_SLOTS; i++) {
		uint64_t words[8];
		/* Words whose products have long rows of zeros and ones, too. */
		for (size_t j = 0; j < 8; j++) {
			uint64_t pick = test_random(random);
			words[j] = pick % 8 == 0 ? 0 : pick % 8 == 1 ? UINT64_MAX : test_random(random);
		}
		memcpy(&page[i], words, sizeof(words));
	}
}

static void expect(struct ul_page_bits (*take)(struct ul_slot *, const void *, uint64_t, uint32_t), uint64_t seed,
		   uint32_t first, uint64_t sealed, uint64_t plain)
{
	memset(copy, 0x55, sizeof(copy));
	struct ul_page_bits bits = take(copy, page, seed, first);
	assert_int_equal(bits.sealed, sealed);
	assert_int_equal(bits.plain, plain);
	assert_memory_equal(copy, page, sizeof(page));
}

static void agrees_with_xxhash(void **state)
{
	uint64_t random = 1;
	(void)state;
	for (uint32_t round = 0; round < 20000; round++) {
		uint64_t seed = round % 16 ? test_random(&random) : 0, plain = 0;
		uint32_t first = (uint32_t)test_random(&random) & UL_SLOT_MASK & ~(UL_PAGE_SLOTS - 1);
		uint64_t sealed = test_random(&random);
		fill(&random);
		for (uint32_t i = 0; i < UL_PAGE_SLOTS; i++) {
			if (test_random(&random) % 2)
				page[i].tag = ul_tag(UL_KIND_CALL, page[i].tag & UL_SLOT_MASK);
			if (test_random(&random) % 2)
				page[i].word &= UL_SLOT_MASK;
			plain |= (uint64_t)(page[i].tag >> 28 == UL_KIND_CALL && !(page[i].word >> 28)) << i;
			seal(&page[i], seed, first + i);
			/* One bit of the slot, anywhere. */
			uint32_t bit = (uint32_t)test_random(&random) % 512;
			if (sealed >> i & 1)
				continue;
			((uint8_t *)&page[i])[bit / 8] ^= (uint8_t)(1 << bit % 8);
			plain &= ~((uint64_t)1 << i);
			plain |= (uint64_t)(page[i].tag >> 28 == UL_KIND_CALL && !(page[i].word >> 28)) << i;
		}
		expect(ul_page_take, seed, first, sealed, plain);
		expect(ul_page_take_scalar, seed, first, sealed, plain);
	}
}

static void zeros_are_not_sealed(void **state)
{
	(void)state;
	memset(page, 0, sizeof(page));
	expect(ul_page_take, 5, 256, 0, 0);
	expect(ul_page_take_scalar, 5, 256, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_xxhash),
		cmocka_unit_test(zeros_are_not_sealed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
