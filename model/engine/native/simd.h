// Sixteen 32-bit lanes, the same on every instruction set: one AVX-512 register, two of AVX2, four
// of SSE or NEON. The compiler lowers the vector types; only the dot products of narrow numbers are
// written per instruction set.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace polyhead {

constexpr int kLanes = 16;

typedef float Floats __attribute__((vector_size(64)));
typedef std::int32_t Ints __attribute__((vector_size(64)));
typedef float UnalignedFloats __attribute__((vector_size(64), aligned(4), may_alias));

inline Floats load(const float* from) { return *reinterpret_cast<const UnalignedFloats*>(from); }
inline void store(float* to, Floats x) { *reinterpret_cast<UnalignedFloats*>(to) = x; }
inline Floats splat(float x) { return x - Floats{}; }
inline Ints splat(std::int32_t x) { return x - Ints{}; }
inline Floats to_floats(Ints x) { return __builtin_convertvector(x, Floats); }
// Where either is not a number, the result is `b`: what comes second is not lost by being NaN.
inline Floats maximum(Floats a, Floats b) { return a > b ? a : b; }
inline Floats minimum(Floats a, Floats b) { return a < b ? a : b; }
inline Floats absolute(Floats x) { return (Floats)((Ints)x & 0x7fffffff); }
inline constexpr int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// ---- Across lanes --------------------------------------------------------------------------------
#if defined(__clang__)
#define PH_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PH_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Ints){__VA_ARGS__})
#endif

// One stage of a butterfly: the lanes of `a` and of `b`, each added to its partner at distance 8, 4,
// 2 or 1, interleaved. Four stages turn 16 vectors into the vector of their sums; every lane adds in
// the same order, whatever the instruction set and whatever lies in the other vectors.
inline Floats add_at_8(Floats a, Floats b) {
  return PH_SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
         PH_SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
}
inline Floats add_at_4(Floats a, Floats b) {
  return PH_SHUFFLE(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
         PH_SHUFFLE(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
}
inline Floats add_at_2(Floats a, Floats b) {
  return PH_SHUFFLE(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
         PH_SHUFFLE(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
}
inline Floats add_at_1(Floats a, Floats b) {
  return PH_SHUFFLE(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
         PH_SHUFFLE(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}
// Lane i of the result is the sum of x[i].
inline Floats sums(const Floats (&x)[kLanes]) {
  Floats eights[8], fours[4], twos[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) eights[i] = add_at_8(x[i], x[i + 8]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) fours[i] = add_at_4(eights[i], eights[i + 4]);
  for (int i = 0; i < 2; i++) twos[i] = add_at_2(fours[i], fours[i + 2]);
  return add_at_1(twos[0], twos[1]);
}
inline float sum(Floats x) {
  const Floats four = add_at_4(add_at_8(x, x), add_at_8(x, x));
  return (four[0] + four[2]) + (four[1] + four[3]);
}
inline float largest(Floats x) {
  x = maximum(x, PH_SHUFFLE(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  x = maximum(x, PH_SHUFFLE(x, x, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  x = maximum(x, PH_SHUFFLE(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  return x[0] > x[1] ? x[0] : x[1];
}
// Bit i is set where x[i] > threshold.
inline unsigned lanes_above(Floats x, float threshold) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(threshold), _CMP_GT_OQ);
#else
  unsigned bits = 0;
  for (int i = 0; i < kLanes; i++) bits |= static_cast<unsigned>(x[i] > threshold) << i;
  return bits;
#endif
}

// exp(x) for x <= 88, relative error about 1e-7; below -87.3 the result is 0, of NaN it is NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2, then a polynomial in r, then 2^n through the exponent bits.
inline Floats exponential(Floats x) {
  const Floats clamped = maximum(splat(-87.3f), minimum(splat(88.0f), x));
  const Floats shifter = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Floats shifted = clamped * 1.44269504f + shifter;
  const Floats n = shifted - shifter;
  const Floats r = (clamped - n * 0.693145751953125f) - n * 1.428606765330187e-06f;
  Floats p = splat(1.0f / 720.0f);
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Ints exponent = __builtin_convertvector(n, Ints) << 23;
  const Floats scaled = (Floats)((Ints)p + exponent);
  return x < -87.3f ? splat(0.0f) : scaled;
}

// The first `count` lanes of `from`, the others `rest`.
inline Floats load_partial(const float* from, int count, float rest) {
  Floats x = splat(rest);
  std::memcpy(&x, from, sizeof(float) * static_cast<std::size_t>(count));
  return x;
}

// ---- Dot products of four bytes ------------------------------------------------------------------
// sums[i] += the four unsigned bytes of b[i] times the four signed bytes of `a`; exact.
inline Ints dot_bytes(Ints sums, Ints b, std::int32_t a) {
#if defined(__AVX512VNNI__)
  return (Ints)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)b, _mm512_set1_epi32(a));
#elif defined(__AVX2__)
  // vpmaddubsw would saturate, so both sides are widened to 16 bits first.
  const __m256i even_mask = _mm256_set1_epi16(0x00ff);
  const __m256i spread = _mm256_set1_epi32(a);
  const __m256i a_even = _mm256_srai_epi16(_mm256_slli_epi16(spread, 8), 8);
  const __m256i a_odd = _mm256_srai_epi16(spread, 8);
  __m256i halves[2], out[2];
  std::memcpy(halves, &b, sizeof b);
  std::memcpy(out, &sums, sizeof sums);
  for (int i = 0; i < 2; i++) {
    const __m256i b_even = _mm256_and_si256(halves[i], even_mask);
    const __m256i b_odd = _mm256_srli_epi16(halves[i], 8);
    out[i] = _mm256_add_epi32(out[i], _mm256_madd_epi16(b_even, a_even));
    out[i] = _mm256_add_epi32(out[i], _mm256_madd_epi16(b_odd, a_odd));
  }
  std::memcpy(&sums, out, sizeof sums);
  return sums;
#else
  for (int byte = 0; byte < 4; byte++) {
    const std::int32_t signed_a = static_cast<std::int8_t>(a >> (8 * byte));
    sums += ((b >> (8 * byte)) & 0xff) * signed_a;
  }
  return sums;
#endif
}

// ---- bfloat16, and dot products of two -----------------------------------------------------------
inline std::uint16_t to_bfloat16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;  // rounding could make an infinity of a NaN
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);  // to even
}

typedef std::uint16_t Halves __attribute__((vector_size(32), aligned(2), may_alias));
typedef std::uint32_t Words __attribute__((vector_size(64)));

inline Floats load(const std::uint16_t* bfloat16) {
  const Halves halves = *reinterpret_cast<const Halves*>(bfloat16);
#if defined(__AVX512F__)  // what GCC 12 makes of the general form takes five instructions
  const Words words = (Words)_mm512_cvtepu16_epi32((__m256i)halves);
#else
  const Words words = __builtin_convertvector(halves, Words);
#endif
  return (Floats)(words << 16);
}
// The same, lane by lane.
inline void store(std::uint16_t* bfloat16, Floats x) {
  const Words bits = (Words)x;
  const Words to_even = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Words rounded = x == x ? to_even : Words{} + 0x7fc0u;
#if defined(__AVX512F__)
  *reinterpret_cast<Halves*>(bfloat16) = (Halves)_mm512_cvtepi32_epi16((__m512i)rounded);
#else
  *reinterpret_cast<Halves*>(bfloat16) = __builtin_convertvector(rounded, Halves);
#endif
}

// sums[i] += the two bfloat16 of b[i] times the two of `a`.
inline Floats dot_bfloat16(Floats sums, Ints b, std::int32_t a) {
#if defined(__AVX512BF16__)
  return (Floats)_mm512_dpbf16_ps((__m512)sums, (__m512bh)(__m512i)b,
                                  (__m512bh)_mm512_set1_epi32(a));
#else
  const Ints spread = splat(a);
  const Ints high = splat(static_cast<std::int32_t>(0xffff0000));
  sums += (Floats)(b << 16) * (Floats)(spread << 16);
  sums += (Floats)(b & high) * (Floats)(spread & high);
  return sums;
#endif
}

}  // namespace polyhead
