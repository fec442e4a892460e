/*
 * The method is that of Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
 * Instruction" (Intel, 2009): four blocks of 16 bytes are carried along side by side, each multiplied by
 * what its distance comes to modulo the polynomial, and reduced at the end.
 */
#include "db/checksum.h"

#include <zlib.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define WITH_CLMUL __attribute__((target("pclmul,sse4.1")))

enum { BLOCK = 16, LANES = 4, STRIDE = BLOCK * LANES };

// The two halves of a block, each moved on by the distance that k is for, and the block there.
WITH_CLMUL static __m128i fold(__m128i block, __m128i k, __m128i next)
{
    return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(block, k, 0x00),
                                       _mm_clmulepi64_si128(block, k, 0x11)), next);
}

WITH_CLMUL static __m128i load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

// Of 128 bits to 32: to 96, to 64, and Barrett's reduction.
WITH_CLMUL static uint32_t reduce(__m128i x, __m128i by_block)
{
    const __m128i low_words = _mm_setr_epi32(-1, 0, -1, 0);
    const __m128i by_word = _mm_set_epi64x(0, 0x163cd6124);
    const __m128i polynomial = _mm_set_epi64x(0x1f7011641, 0x1db710641); // its inverse, and itself
    __m128i q;

    x = _mm_xor_si128(_mm_srli_si128(x, 8), _mm_clmulepi64_si128(x, by_block, 0x10));
    x = _mm_xor_si128(_mm_srli_si128(x, 4),
                      _mm_clmulepi64_si128(_mm_and_si128(x, low_words), by_word, 0x00));
    q = _mm_clmulepi64_si128(_mm_and_si128(x, low_words), polynomial, 0x10);
    q = _mm_clmulepi64_si128(_mm_and_si128(q, low_words), polynomial, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(x, q), 1);
}

// Of n bytes, a multiple of BLOCK and at least STRIDE.
WITH_CLMUL static uint32_t of_blocks(const char *p, size_t n)
{
    const __m128i by_stride = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i by_block = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    const char *end = p + n;
    __m128i lane[LANES];

    for (size_t i = 0; i < LANES; i++)
        lane[i] = load(p + i * BLOCK);
    lane[0] = _mm_xor_si128(lane[0], _mm_cvtsi32_si128(-1)); // a checksum begins with all bits set
    for (p += STRIDE; end - p >= STRIDE; p += STRIDE)
        for (size_t i = 0; i < LANES; i++)
            lane[i] = fold(lane[i], by_stride, load(p + i * BLOCK));
    for (size_t i = 1; i < LANES; i++)
        lane[0] = fold(lane[0], by_block, lane[i]);
    for (; p < end; p += BLOCK)
        lane[0] = fold(lane[0], by_block, load(p));
    return ~reduce(lane[0], by_block);
}

static size_t take_blocks(struct str bytes, uint32_t *sum)
{
    size_t n = bytes.n & ~(size_t)(BLOCK - 1);

    if (n < STRIDE || !__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1"))
        return 0;
    *sum = of_blocks(bytes.p, n);
    return n;
}
#else
static size_t take_blocks(struct str bytes, uint32_t *sum)
{
    (void)bytes, (void)sum;
    return 0;
}
#endif

uint32_t checksum(struct str bytes)
{
    uint32_t sum = 0;
    size_t n = take_blocks(bytes, &sum);

    return n == bytes.n ? sum
                        : (uint32_t)crc32_z(sum, (const unsigned char *)bytes.p + n, bytes.n - n);
}
