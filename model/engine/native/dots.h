// How a word of the weights meets a word of the input: for each precision and instruction set the
// sums, what is kept of an input word, and one step of a product.
//
// int8 is exact everywhere. float32 and bfloat16: an output is one chain of additions in the order of
// the inner dimension; only the instruction for bfloat16 rounds in its own way.
#pragma once

#include "registers.h"

namespace polyhead {

template <class Dot>
concept RowPairs = Dot::kRowPairs;
template <class Dot>
concept SplitsWords = Dot::kSplitsWords;

// A word of the input, in all lanes. N: what it is, float or std::int32_t.
template <class N>
PH_INLINE auto broadcast(const std::uint32_t* word) {
  N x;
  std::memcpy(&x, word, sizeof x);
  return register_of(x);
}

struct Float32Dot {
  using Sum = FloatRegister;
  static constexpr int kInputWords = 1;  // for each word of the weights
  static constexpr bool kHeavy = false;  // whether a step wants more registers than its operands
  using Input = FloatRegister;
  static PH_INLINE Input load(const std::uint32_t* word) { return broadcast<float>(word); }
  static PH_INLINE Sum step(Sum sum, IntRegister line, Input x) {
    return multiply_add((FloatRegister)line, x, sum);
  }
};

#if defined(__AVX512BF16__)
struct Bfloat16Dot {
  using Sum = FloatRegister;
  static constexpr int kInputWords = 1;
  static constexpr bool kHeavy = false;
  using Input = IntRegister;
  static PH_INLINE Input load(const std::uint32_t* word) { return broadcast<std::int32_t>(word); }
  static PH_INLINE Sum step(Sum sum, IntRegister line, Input x) {
    return (Sum)_mm512_dpbf16_ps((__m512)sum, (__m512bh)(__m512i)line, (__m512bh)(__m512i)x);
  }
};
#else
// Input numbers are rounded to bfloat16 but kept as floats.
struct Bfloat16Dot {
  using Sum = FloatRegister;
  static constexpr int kInputWords = 2;
  static constexpr bool kHeavy = true;
  struct Input {
    FloatRegister first, second;
  };
  static PH_INLINE Input load(const std::uint32_t* word) {
    return {broadcast<float>(word), broadcast<float>(word + 1)};
  }
  static PH_INLINE Sum step(Sum sum, IntRegister line, Input x) {
    const IntRegister upper = register_of(static_cast<std::int32_t>(0xffff0000));
    sum = multiply_add((FloatRegister)(line << 16), x.first, sum);
    return multiply_add((FloatRegister)(line & upper), x.second, sum);
  }
};
#endif

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
constexpr bool kWeightsPlus128 = true;
struct Int8Dot {
  using Sum = IntRegister;
  static constexpr int kInputWords = 1;
  static constexpr bool kHeavy = false;
  using Input = IntRegister;
  static PH_INLINE Input load(const std::uint32_t* word) { return broadcast<std::int32_t>(word); }
  static PH_INLINE Sum step(Sum sum, IntRegister line, Input x) {
#if defined(__AVX512VNNI__)
    return (Sum)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)line, (__m512i)x);
#else
    return (Sum)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)line, (__m256i)x);
#endif
  }
};
#elif defined(__AVX2__)
// vpmaddubsw adds two products in 16 bits. Weights are 1 to 255 here: there is room for two inputs of
// different sign, and for those whose sum is at most 128, for 128 * 255 is 32,640. Words without room,
// some 4 % with normally distributed numbers, are split: into halves of their numbers, and what is
// left, which follows when all words have been there (excess.h).
constexpr bool kWeightsPlus128 = true;
struct Int8Dot {
  using Sum = IntRegister;
  static constexpr int kInputWords = 1;
  static constexpr bool kHeavy = true;
  static constexpr bool kSplitsWords = true;
  using Input = IntRegister;
  static PH_INLINE Input load(const std::uint32_t* word) { return broadcast<std::int32_t>(word); }
  static PH_INLINE Sum step(Sum sum, IntRegister line, Input x) {
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)line, (__m256i)x);
    sum += (Sum)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    asm("" : "+x"(sum));  // GCC 12 would regroup the sums of several steps, and spill them
    return sum;
  }
};
#elif defined(__SSE2__)
// Bytes of even and of odd place, each widened to 16 bits.
constexpr bool kWeightsPlus128 = true;
struct Int8Dot {
  using Sum = IntRegister;
  static constexpr int kInputWords = 2;
  static constexpr bool kHeavy = true;
  struct Input {
    IntRegister even, odd;
  };
  static PH_INLINE Input load(const std::uint32_t* word) {
    return {broadcast<std::int32_t>(word), broadcast<std::int32_t>(word + 1)};
  }
  static PH_INLINE Sum step(Sum sum, IntRegister line, Input x) {
    const __m128i even = _mm_and_si128((__m128i)line, _mm_set1_epi16(0xff));
    const __m128i odd = _mm_srli_epi16((__m128i)line, 8);
    sum += (Sum)_mm_madd_epi16(even, (__m128i)x.even);
    asm("" : "+x"(sum));
    sum += (Sum)_mm_madd_epi16(odd, (__m128i)x.odd);
    asm("" : "+x"(sum));
    return sum;
  }
};
#elif defined(__ARM_FEATURE_MATMUL_INT8)
// Two rows of the input by two outputs in one instruction, eight bytes of each: see `tile`.
constexpr bool kWeightsPlus128 = false;
struct Int8Dot {
  using Sum = IntRegister;
  static constexpr int kInputWords = 1;
  static constexpr bool kHeavy = false;
  static constexpr bool kRowPairs = true;
};
#elif defined(__aarch64__)
constexpr bool kWeightsPlus128 = false;
struct Int8Dot {
  using Sum = IntRegister;
  static constexpr int kInputWords = 1;
  using Input = IntRegister;
  static PH_INLINE Input load(const std::uint32_t* word) { return broadcast<std::int32_t>(word); }
#if defined(__ARM_FEATURE_DOTPROD)
  static constexpr bool kHeavy = false;
  static PH_INLINE Sum step(Sum sum, IntRegister line, Input x) {
    return vdotq_s32(sum, (int8x16_t)line, (int8x16_t)x);
  }
#else
  // Two products added up take 16 bits.
  static constexpr bool kHeavy = true;
  static PH_INLINE Sum step(Sum sum, IntRegister line, Input x) {
    const auto a = (int8x16_t)line, b = (int8x16_t)x;
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    return vpadalq_s16(sum, vpaddq_s16(low, vmull_high_s8(a, b)));
  }
#endif
};
#else
constexpr bool kWeightsPlus128 = false;
struct Int8Dot {
  using Sum = IntRegister;
  static constexpr int kInputWords = 1;
  static constexpr bool kHeavy = true;
  using Input = IntRegister;
  static PH_INLINE Input load(const std::uint32_t* word) { return broadcast<std::int32_t>(word); }
  static PH_INLINE Sum step(Sum sum, IntRegister line, Input x) {
    for (int shift = 0; shift < 32; shift += 8) {
      sum += (line << (24 - shift) >> 24) * (x << (24 - shift) >> 24);
    }
    return sum;
  }
};
#endif

// int8: words of one output that lie side by side.
constexpr int kWordsTogether = RowPairs<Int8Dot> ? 2 : 1;

}  // namespace polyhead
