// One vector register of the instruction set: the operations that the compiler does not know by
// itself, or does badly. Whatever is computed, the same numbers come out on every instruction set;
// only where there is no fused multiply-add (`kFused` is false) floats may differ in the last bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define PH_INLINE __attribute__((always_inline)) inline

namespace polyhead {

#if defined(__AVX512F__)
constexpr int kRegisterLanes = 16, kNumRegisters = 32;
#elif defined(__AVX2__)
constexpr int kRegisterLanes = 8, kNumRegisters = 16;
#elif defined(__aarch64__)
constexpr int kRegisterLanes = 4, kNumRegisters = 32;
#else
constexpr int kRegisterLanes = 4, kNumRegisters = 16;
#endif
#if defined(__AVX2__) || defined(__AVX512F__) || defined(__aarch64__)
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

typedef float FloatRegister __attribute__((vector_size(4 * kRegisterLanes)));
typedef std::int32_t IntRegister __attribute__((vector_size(4 * kRegisterLanes)));
typedef float UnalignedFloatRegister
    __attribute__((vector_size(4 * kRegisterLanes), aligned(4), may_alias));

PH_INLINE FloatRegister load_register(const float* from) {
  return *reinterpret_cast<const UnalignedFloatRegister*>(from);
}
PH_INLINE void store(float* to, FloatRegister x) {
  *reinterpret_cast<UnalignedFloatRegister*>(to) = x;
}
PH_INLINE FloatRegister register_of(float x) { return x - FloatRegister{}; }
PH_INLINE IntRegister register_of(std::int32_t x) { return x - IntRegister{}; }
PH_INLINE FloatRegister to_floats(IntRegister x) { return __builtin_convertvector(x, FloatRegister); }
PH_INLINE IntRegister to_ints(FloatRegister x) { return __builtin_convertvector(x, IntRegister); }
PH_INLINE FloatRegister as_floats(IntRegister x) { return (FloatRegister)x; }
PH_INLINE IntRegister as_ints(FloatRegister x) { return (IntRegister)x; }
PH_INLINE FloatRegister select(IntRegister mask, FloatRegister yes, FloatRegister no) {
  return mask ? yes : no;
}

// a * b + c, rounded once where there is such an instruction.
PH_INLINE FloatRegister multiply_add(FloatRegister a, FloatRegister b, FloatRegister c) {
#if defined(__AVX512F__)
  return (FloatRegister)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__)
  return (FloatRegister)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return vfmaq_f32(c, a, b);
#else
  return a * b + c;
#endif
}

// Where either is not a number, the result is `b`: what comes second is not lost by being NaN.
PH_INLINE FloatRegister maximum(FloatRegister a, FloatRegister b) {
#if defined(__AVX512F__)
  return (FloatRegister)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (FloatRegister)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
  return (FloatRegister)_mm_max_ps((__m128)a, (__m128)b);
#else
  return a > b ? a : b;
#endif
}
PH_INLINE FloatRegister minimum(FloatRegister a, FloatRegister b) {
#if defined(__AVX512F__)
  return (FloatRegister)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (FloatRegister)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
  return (FloatRegister)_mm_min_ps((__m128)a, (__m128)b);
#else
  return a < b ? a : b;
#endif
}

// Bit i is set where a[i] > b[i].
PH_INLINE unsigned bits_above(FloatRegister a, FloatRegister b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
#elif defined(__AVX2__)
  return static_cast<unsigned>(
      _mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ)));
#elif defined(__SSE2__)
  return static_cast<unsigned>(_mm_movemask_ps(_mm_cmpgt_ps((__m128)a, (__m128)b)));
#elif defined(__aarch64__)
  const std::uint32_t bit[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vcgtq_f32(a, b), vld1q_u32(bit)));
#else
  unsigned bits = 0;
  for (int i = 0; i < kRegisterLanes; i++) bits |= static_cast<unsigned>(a[i] > b[i]) << i;
  return bits;
#endif
}

// ---- Across lanes --------------------------------------------------------------------------------

template <int... kLane>
struct LaneNumbers {};
template <int kCount, int... kLane>
struct CountLanes : CountLanes<kCount - 1, kCount - 1, kLane...> {};
template <int... kLane>
struct CountLanes<0, kLane...> {
  using Numbers = LaneNumbers<kLane...>;
};

// Which lane of `a`, or behind them of `b`, lands in `lane` when both are cut into pieces of
// `distance` lanes, and of each two pieces the first or the second is kept, those of `b` behind those
// of `a`.
constexpr int kept_lane(int lane, int distance, bool second) {
  const bool from_b = lane / distance % 2 != 0;
  return lane / (2 * distance) * 2 * distance + lane % distance + (second ? distance : 0) +
         (from_b ? kRegisterLanes : 0);
}
template <int kDistance, bool kSecond, int... kLane>
PH_INLINE FloatRegister keep(FloatRegister a, FloatRegister b, LaneNumbers<kLane...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, kept_lane(kLane, kDistance, kSecond)...);
#else
  return __builtin_shuffle(a, b, (IntRegister){kept_lane(kLane, kDistance, kSecond)...});
#endif
}

// One stage of a butterfly: the lanes of `a` and of `b`, each added to its partner at `kDistance`,
// interleaved.
template <int kDistance>
PH_INLINE FloatRegister add_partners(FloatRegister a, FloatRegister b) {
  using Numbers = typename CountLanes<kRegisterLanes>::Numbers;
  return keep<kDistance, false>(a, b, Numbers{}) + keep<kDistance, true>(a, b, Numbers{});
}

// ---- bfloat16 ------------------------------------------------------------------------------------

inline std::uint16_t to_bfloat16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;  // rounding could make an infinity of a NaN
  return static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);  // to even
}

// The bits of bfloat16 numbers, in the upper halves of the lanes; below them zeros.
PH_INLINE IntRegister round_to_bfloat16(FloatRegister x) {
  typedef std::uint32_t Words __attribute__((vector_size(4 * kRegisterLanes)));
  const Words bits = (Words)x;
  const Words even = bits + 0x7fffu + ((bits >> 16) & 1u);
  return (IntRegister)((x == x ? even : Words{} + 0x7fc00000u) & 0xffff0000u);
}

}  // namespace polyhead
