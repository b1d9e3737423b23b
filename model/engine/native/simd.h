// Sixteen 32-bit lanes, the same on every instruction set: one AVX-512 register, two of AVX2, four
// of SSE or NEON, which no operation takes through memory. So sums have one order everywhere.
#pragma once

#include <cmath>
#include <type_traits>

#include "registers.h"

namespace polyhead {

constexpr int kLanes = 16;

// Lanes side by side. T: a register, or a pair again.
template <class T>
struct Pair {
  T low, high;
};
template <class T>
PH_INLINE Pair<T> pair(T low, T high) {
  return {low, high};
}
template <class Register, int kCount>
struct Joined {
  using Type = Pair<typename Joined<Register, kCount / 2>::Type>;
};
template <class Register>
struct Joined<Register, 1> {
  using Type = Register;
};
using Floats = Joined<FloatRegister, kLanes / kRegisterLanes>::Type;
using Ints = Joined<IntRegister, kLanes / kRegisterLanes>::Type;
template <class V>
constexpr int kLanesOf = sizeof(V) / 4;

#define PH_OPERATOR(op)                                        \
  template <class T>                                           \
  PH_INLINE auto operator op(Pair<T> a, Pair<T> b) {           \
    return pair(a.low op b.low, a.high op b.high);             \
  }                                                            \
  template <class T, class Scalar>                             \
    requires std::is_arithmetic_v<Scalar>                      \
  PH_INLINE auto operator op(Pair<T> a, Scalar b) {            \
    return pair(a.low op b, a.high op b);                      \
  }
PH_OPERATOR(+)
PH_OPERATOR(-)
PH_OPERATOR(*)
PH_OPERATOR(/)
PH_OPERATOR(&)
PH_OPERATOR(|)
PH_OPERATOR(^)
PH_OPERATOR(<<)
PH_OPERATOR(>>)
PH_OPERATOR(>)
PH_OPERATOR(<)
#undef PH_OPERATOR
template <class V, class Other>
PH_INLINE V& operator+=(V& a, Other b)
  requires requires { a.low; }
{
  return a = a + b;
}

// What registers.h has for registers.
#define PH_EACH(name)                                          \
  template <class T>                                           \
  PH_INLINE auto name(Pair<T> x) {                             \
    return pair(name(x.low), name(x.high));                    \
  }
#define PH_EACH_OF_TWO(name)                                   \
  template <class T>                                           \
  PH_INLINE auto name(Pair<T> a, Pair<T> b) {                  \
    return pair(name(a.low, b.low), name(a.high, b.high));     \
  }
#define PH_EACH_OF_THREE(name)                                                     \
  template <class A, class T>                                                      \
  PH_INLINE Pair<T> name(Pair<A> a, Pair<T> b, Pair<T> c) {                        \
    return {name(a.low, b.low, c.low), name(a.high, b.high, c.high)};              \
  }
PH_EACH(to_floats)
PH_EACH(to_ints)
PH_EACH(as_floats)
PH_EACH(as_ints)
PH_EACH(round_to_bfloat16)
PH_EACH_OF_TWO(maximum)
PH_EACH_OF_TWO(minimum)
PH_EACH_OF_THREE(multiply_add)
PH_EACH_OF_THREE(select)
#undef PH_EACH
#undef PH_EACH_OF_TWO
#undef PH_EACH_OF_THREE

template <class V = Floats>
PH_INLINE V load(const float* from) {
  if constexpr (std::is_same_v<V, FloatRegister>) {
    return load_register(from);
  } else {
    using Half = decltype(V::low);
    return {load<Half>(from), load<Half>(from + kLanesOf<Half>)};
  }
}
template <class T>
PH_INLINE void store(float* to, Pair<T> x) {
  store(to, x.low);
  store(to + kLanesOf<T>, x.high);
}

// Sixteen bfloat16 numbers. Where they are more than one register, two of them share a word, that of
// lane i with that of lane i + 8: it takes no shuffling to part them. `load` reads what `store` wrote.
#if defined(__AVX512F__)
PH_INLINE Floats load(const std::uint16_t* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return as_floats((Ints)_mm512_cvtepu16_epi32(halves) << 16);
}
PH_INLINE void store(std::uint16_t* to, Floats x) {
  const __m512i shifted = _mm512_srli_epi32((__m512i)round_to_bfloat16(x), 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(shifted));
}
#else
PH_INLINE Floats load(const std::uint16_t* from) {
  const auto words = as_ints(load<decltype(Floats::low)>(reinterpret_cast<const float*>(from)));
  return {as_floats(words << 16), as_floats(words & static_cast<std::int32_t>(0xffff0000))};
}
PH_INLINE void store(std::uint16_t* to, Floats x) {
  const auto low = round_to_bfloat16(x.low) >> 16 & 0xffff;
  store(reinterpret_cast<float*>(to), as_floats(low | round_to_bfloat16(x.high)));
}
#endif

template <class V>
PH_INLINE V splat_as(auto x) {
  if constexpr (requires(V v) { v.low; }) {
    const auto half = splat_as<decltype(V::low)>(x);
    return {half, half};
  } else {
    return register_of(x);
  }
}
PH_INLINE Floats splat(float x) { return splat_as<Floats>(x); }
PH_INLINE Ints splat(std::int32_t x) { return splat_as<Ints>(x); }
PH_INLINE Floats absolute(Floats x) { return as_floats(as_ints(x) & 0x7fffffff); }
inline constexpr int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// ---- Across lanes --------------------------------------------------------------------------------

template <int kDistance, class T>
PH_INLINE Pair<T> add_partners(Pair<T> a, Pair<T> b) {
  if constexpr (kLanesOf<T> == kDistance) {
    return {a.low + a.high, b.low + b.high};
  } else {
    return {add_partners<kDistance>(a.low, b.low), add_partners<kDistance>(a.high, b.high)};
  }
}
// Lane i of the result is the sum of x[i]: every lane adds in the same order, whatever the
// instruction set and whatever lies in the other vectors.
PH_INLINE Floats sums(const Floats (&x)[kLanes]) {
  Floats eights[8], fours[4], twos[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) eights[i] = add_partners<8>(x[i], x[i + 8]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) fours[i] = add_partners<4>(eights[i], eights[i + 4]);
#pragma GCC unroll 2
  for (int i = 0; i < 2; i++) twos[i] = add_partners<2>(fours[i], fours[i + 2]);
  return add_partners<1>(twos[0], twos[1]);
}
template <class V>
PH_INLINE FloatRegister first_register(V x) {
  if constexpr (std::is_same_v<V, FloatRegister>) {
    return x;
  } else {
    return first_register(x.low);
  }
}
PH_INLINE float sum(Floats x) {
  const Floats eight = add_partners<8>(x, x);
  const FloatRegister four = first_register(add_partners<4>(eight, eight));
  return (four[0] + four[2]) + (four[1] + four[3]);
}
template <int kDistance = kRegisterLanes / 2>
PH_INLINE float largest(FloatRegister x) {
  if constexpr (kDistance == 0) {
    return x[0];
  } else {
    using Numbers = typename CountLanes<kRegisterLanes>::Numbers;
    return largest<kDistance / 2>(maximum(keep<kDistance, false>(x, x, Numbers{}),
                                          keep<kDistance, true>(x, x, Numbers{})));
  }
}
template <class T>
PH_INLINE float largest(Pair<T> x) {
  return largest(maximum(x.low, x.high));
}
template <class T>
PH_INLINE unsigned bits_above(Pair<T> a, Pair<T> b) {
  return bits_above(a.low, b.low) | bits_above(a.high, b.high) << kLanesOf<T>;
}

// To the nearest whole number, of two the even one; for magnitudes below 2^22.
PH_INLINE Floats to_nearest(Floats x) {
  const float shifter = 12582912.0f;  // 1.5 * 2^23
  return (x + shifter) - shifter;
}

// exp(x) for x <= 88, relative error about 1e-7; below -87.3 the result is 0, of NaN it is NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2, then a polynomial in r, then 2^n through the exponent bits.
PH_INLINE Floats exponential(Floats x) {
  const Floats clamped = maximum(splat(-87.3f), minimum(splat(88.0f), x));
  const Floats shifter = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Floats shifted = multiply_add(clamped, splat(1.44269504f), shifter);
  const Floats n = shifted - shifter;
  Floats r = multiply_add(n, splat(-0.693145751953125f), clamped);
  r = multiply_add(n, splat(-1.428606765330187e-06f), r);
  Floats p = splat(1.0f / 720.0f);
  p = multiply_add(p, r, splat(1.0f / 120.0f));
  p = multiply_add(p, r, splat(1.0f / 24.0f));
  p = multiply_add(p, r, splat(1.0f / 6.0f));
  p = multiply_add(p, r, splat(0.5f));
  p = multiply_add(p, r, splat(1.0f));
  p = multiply_add(p, r, splat(1.0f));
  const Floats scaled = as_floats(as_ints(p) + (to_ints(n) << 23));
  return select(x < -87.3f, splat(0.0f), scaled);
}

// x sigmoid(y).
PH_INLINE Floats gated(Floats x, Floats y) { return x / (exponential(Floats{} - y) + 1.0f); }
PH_INLINE Floats sigmoid(Floats x) { return gated(splat(1.0f), x); }

// x times the share of a normal distribution that lies below x, which is 1 - erfc(x / sqrt 2) / 2;
// erfc by formula 7.1.26 of Abramowitz and Stegun. The error is at most 3e-7 times |x|, or 1e-6.
PH_INLINE Floats gelu(Floats x) {
  const Floats z = absolute(x) * 0.70710678f;
  const Floats one = splat(1.0f);
  const Floats t = one / multiply_add(z, splat(0.3275911f), one);
  Floats p = splat(1.061405429f);
  p = multiply_add(p, t, splat(-1.453152027f));
  p = multiply_add(p, t, splat(1.421413741f));
  p = multiply_add(p, t, splat(-0.284496736f));
  p = multiply_add(p, t, splat(0.254829592f));
  const Floats tail = p * t * exponential(Floats{} - z * z) * 0.5f;  // beyond |x|
  return x * select(x < 0.0f, tail, one - tail);
}

// The first `count` lanes of `from`, the others `rest`.
inline Floats load_partial(const float* from, int count, float rest) {
  float lanes[kLanes];
  store(lanes, splat(rest));
  std::memcpy(lanes, from, sizeof(float) * static_cast<std::size_t>(count));
  return load(lanes);
}

// The next 16, or the first `left` of them and zeros.
PH_INLINE Floats load_up_to(const float* from, int left) {
  return left >= kLanes ? load(from) : load_partial(from, left, 0.0f);
}

// Whole numbers from -127 to 127, a byte each.
PH_INLINE void store_bytes(std::int8_t* to, Ints x) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8((__m512i)x));
#elif defined(__AVX2__)
  const __m256i words = _mm256_packs_epi32((__m256i)x.low, (__m256i)x.high);
  const __m256i bytes = _mm256_packs_epi16(words, words);  // of both, every other four of the lanes
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes),
                                      _mm256_extracti128_si256(bytes, 1)));
#elif defined(__SSE2__)
  const __m128i first = _mm_packs_epi32((__m128i)x.low.low, (__m128i)x.low.high);
  const __m128i second = _mm_packs_epi32((__m128i)x.high.low, (__m128i)x.high.high);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_packs_epi16(first, second));
#elif defined(__aarch64__)
  const int16x8_t first = vcombine_s16(vmovn_s32(x.low.low), vmovn_s32(x.low.high));
  const int16x8_t second = vcombine_s16(vmovn_s32(x.high.low), vmovn_s32(x.high.high));
  vst1q_s8(to, vcombine_s8(vmovn_s16(first), vmovn_s16(second)));
#else
  std::int32_t lanes[kLanes];
  std::memcpy(lanes, &x, sizeof lanes);
  for (int i = 0; i < kLanes; i++) to[i] = static_cast<std::int8_t>(lanes[i]);
#endif
}

}  // namespace polyhead
