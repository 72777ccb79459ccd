/* A page of slots at a time. */
#include "page.h"

#include <string.h>

#include "seal.h"

/* Kind and flags of a slot, in the word that its tag and context make. */
#define KIND_AND_FLAGS UINT64_C(0xf0000000f0000000)
#define PLAIN_CALL ((uint64_t)UL_KIND_CALL << 28)

struct ul_page_bits ul_page_take_scalar(struct ul_slot copy[UL_PAGE_SLOTS], const void *page, uint64_t segment_seed,
					uint32_t first_slot)
{
	struct ul_page_bits bits = {0, 0};
	memmove(copy, page, UL_PAGE_BYTES);
	for (uint32_t i = 0; i < UL_PAGE_SLOTS; i++) {
		uint64_t body[7];
		memcpy(body, &copy[i].tag, sizeof(body));
		uint64_t sum = ul_slot_checksum(body, ul_slot_seed(segment_seed, first_slot + i));
		bits.sealed |= (uint64_t)(sum == copy[i].checksum) << i;
		bits.plain |= (uint64_t)((body[0] & KIND_AND_FLAGS) == PLAIN_CALL) << i;
	}
	return bits;
}

#if defined(__x86_64__)

#include <immintrin.h>

/*
 * XXH3-64 of 56 bytes w0 .. w6 with a seed (xxHash's specification, inputs of 17 to 128 bytes) is
 *
 *     avalanche(56 * P + m(w0, w1, 0) + m(w5, w6, 2) + m(w2, w3, 4) + m(w3, w4, 6))
 *     m(a, b, i) = low ^ high half of (a ^ (secret[i] + seed)) * (b ^ (secret[i + 1] - seed))
 *     avalanche(h): h ^= h >> 37, h *= Q, h ^= h >> 32
 *
 * with the first eight words of its secret. Here the four m() of a slot are the four lanes of a vector, in the order (0, 1), (3, 4),
 * (2, 3), (5, 6), which costs the least shuffling; then the sums of four slots are lanes. A product of 64 bits is made of four of 32.
 */
#define P_LENGTH (56 * UINT64_C(0x9e3779b185ebca87))
#define Q_AVALANCHE UINT64_C(0x165667919e3779f9)
#define AVX2 __attribute__((target("avx2")))

/* The secret and the seed of the slot at hand, by lane. */
struct keys {
	__m256i left, right;
};

AVX2 static struct keys keys_of(uint64_t seed)
{
	static const uint8_t secret[64] = {
		0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
		0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
		0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
		0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
	};
	uint64_t s[8];
	memcpy(s, secret, sizeof(s));
	return (struct keys){
		_mm256_setr_epi64x((int64_t)(s[0] + seed), (int64_t)(s[6] + seed), (int64_t)(s[4] + seed),
				   (int64_t)(s[2] + seed)),
		_mm256_setr_epi64x((int64_t)(s[1] - seed), (int64_t)(s[7] - seed), (int64_t)(s[5] - seed),
				   (int64_t)(s[3] - seed)),
	};
}

/* Copy a slot, and give its four m(); the keys become the next slot's. */
AVX2 static inline __m256i take_slot(struct ul_slot *copy, const uint8_t *slot, struct keys *keys)
{
	const __m256i step = _mm256_set1_epi64x((int64_t)UL_SEED_STEP);
	__m256i low = _mm256_loadu_si256((const __m256i *)slot);         /* checksum, w0, w1, w2 */
	__m256i high = _mm256_loadu_si256((const __m256i *)(slot + 32)); /* w3, w4, w5, w6 */
	_mm256_store_si256((__m256i *)copy, low);
	_mm256_store_si256((__m256i *)copy + 1, high);
	low = _mm256_alignr_epi8(_mm256_permute2x128_si256(low, high, 0x21), low, 8); /* w0, w1, w2, w3 */
	__m256i a = _mm256_xor_si256(_mm256_unpacklo_epi64(low, high), keys->left);
	__m256i b = _mm256_xor_si256(_mm256_unpackhi_epi64(low, high), keys->right);
	keys->left = _mm256_add_epi64(keys->left, step);
	keys->right = _mm256_sub_epi64(keys->right, step);
	__m256i a_high = _mm256_srli_epi64(a, 32), b_high = _mm256_srli_epi64(b, 32);
	__m256i lowest = _mm256_mul_epu32(a, b);
	__m256i middle = _mm256_add_epi64(_mm256_mul_epu32(a_high, b), _mm256_srli_epi64(lowest, 32));
	__m256i other =
		_mm256_add_epi64(_mm256_mul_epu32(a, b_high), _mm256_and_si256(middle, _mm256_set1_epi64x(UINT32_MAX)));
	__m256i upper = _mm256_add_epi64(_mm256_mul_epu32(a_high, b_high), _mm256_srli_epi64(middle, 32));
	upper = _mm256_add_epi64(upper, _mm256_srli_epi64(other, 32));
	__m256i lower = _mm256_blend_epi32(lowest, _mm256_slli_epi64(other, 32), 0xaa);
	return _mm256_xor_si256(upper, lower);
}

/* The checksums of four slots, of the m() of each. */
AVX2 static inline __m256i finish(__m256i m0, __m256i m1, __m256i m2, __m256i m3)
{
	const __m256i q = _mm256_set1_epi64x((int64_t)Q_AVALANCHE), q_high = _mm256_srli_epi64(q, 32);
	__m256i m01 = _mm256_add_epi64(_mm256_unpacklo_epi64(m0, m1), _mm256_unpackhi_epi64(m0, m1));
	__m256i m23 = _mm256_add_epi64(_mm256_unpacklo_epi64(m2, m3), _mm256_unpackhi_epi64(m2, m3));
	__m256i sum = _mm256_add_epi64(_mm256_blend_epi32(m01, m23, 0xf0), _mm256_permute2x128_si256(m01, m23, 0x21));
	sum = _mm256_add_epi64(sum, _mm256_set1_epi64x((int64_t)P_LENGTH));
	sum = _mm256_xor_si256(sum, _mm256_srli_epi64(sum, 37));
	__m256i cross =
		_mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(sum, 32), q), _mm256_mul_epu32(sum, q_high));
	sum = _mm256_add_epi64(_mm256_mul_epu32(sum, q), _mm256_slli_epi64(cross, 32));
	sum = _mm256_xor_si256(sum, _mm256_srli_epi64(sum, 32));
	return _mm256_sub_epi64(sum, _mm256_cmpeq_epi64(sum, _mm256_setzero_si256())); /* 0 is stored as 1 */
}

/* The first 16 bytes of two slots. */
AVX2 static inline __m256i heads(const struct ul_slot *slot, const struct ul_slot *other)
{
	return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_load_si128((const __m128i *)slot)),
				       _mm_load_si128((const __m128i *)other), 1);
}

AVX2 static inline uint64_t lanes_equal(__m256i left, __m256i right)
{
	return (uint64_t)_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(left, right)));
}

AVX2 static struct ul_page_bits take_avx2(struct ul_slot copy[UL_PAGE_SLOTS], const uint8_t *page, uint64_t seed)
{
	struct ul_page_bits bits = {0, 0};
	struct keys keys = keys_of(seed);
	for (uint32_t i = 0; i < UL_PAGE_SLOTS; i += 4) {
		const uint8_t *slots = page + (size_t)i * UL_SLOT_BYTES;
		__m256i m0 = take_slot(copy + i, slots, &keys);
		__m256i m1 = take_slot(copy + i + 1, slots + UL_SLOT_BYTES, &keys);
		__m256i m2 = take_slot(copy + i + 2, slots + (size_t)2 * UL_SLOT_BYTES, &keys);
		__m256i m3 = take_slot(copy + i + 3, slots + (size_t)3 * UL_SLOT_BYTES, &keys);
		__m256i even = heads(copy + i, copy + i + 2), odd = heads(copy + i + 1, copy + i + 3);
		__m256i kinds =
			_mm256_and_si256(_mm256_unpackhi_epi64(even, odd), _mm256_set1_epi64x((int64_t)KIND_AND_FLAGS));
		bits.sealed |= lanes_equal(_mm256_unpacklo_epi64(even, odd), finish(m0, m1, m2, m3)) << i;
		bits.plain |= lanes_equal(kinds, _mm256_set1_epi64x((int64_t)PLAIN_CALL)) << i;
	}
	return bits;
}

struct ul_page_bits ul_page_take(struct ul_slot copy[UL_PAGE_SLOTS], const void *page, uint64_t segment_seed,
				 uint32_t first_slot)
{
	if (__builtin_cpu_supports("avx2"))
		return take_avx2(copy, page, ul_slot_seed(segment_seed, first_slot));
	return ul_page_take_scalar(copy, page, segment_seed, first_slot);
}

#else

struct ul_page_bits ul_page_take(struct ul_slot copy[UL_PAGE_SLOTS], const void *page, uint64_t segment_seed,
				 uint32_t first_slot)
{
	return ul_page_take_scalar(copy, page, segment_seed, first_slot);
}

#endif
