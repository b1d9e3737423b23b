// What the registers of one CPU can do: multiply-adds that wait for nothing and touch no memory.
//
// Compiled like the engine, for the instruction set that is measured.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#define IN_REGISTER(x) asm volatile("" : "+x"(x))
#elif defined(__aarch64__)
#include <arm_neon.h>
#define IN_REGISTER(x) asm volatile("" : "+w"(x))
#else
#define IN_REGISTER(x) asm volatile("" : "+m"(x))
#endif

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The most of `amount` a second in any call of `once` within `seconds`.
template <typename Once>
double best_rate(double amount, double seconds, const Once& once) {
  const Clock::time_point start = Clock::now();
  double best = 0;
  do {
    const Clock::time_point before = Clock::now();
    once();
    best = std::max(best, amount / seconds_since(before));
  } while (seconds_since(start) < seconds);
  return best;
}

// Operations a second of `step(sum, a, b)`, which does `operations` of them. Ten sums: more than an
// instruction's latency times those that begin in a cycle, and with the operands in 16 registers.
// They are no array, which GCC 12 would keep in memory.
template <typename Sum, typename Operand, typename Step>
double peak(int operations, double seconds, const Step& step) {
  constexpr int kSums = 10, kSteps = 10000;
  return best_rate(1.0 * operations * kSums * kSteps, seconds, [&] {
    Sum s0 = {}, s1 = {}, s2 = {}, s3 = {}, s4 = {}, s5 = {}, s6 = {}, s7 = {}, s8 = {}, s9 = {};
    Operand a = {}, b = {};
    const auto add = [&](Sum& sum) __attribute__((always_inline)) {
      IN_REGISTER(a);
      IN_REGISTER(b);
      sum = step(sum, a, b);
      IN_REGISTER(sum);
    };
    for (int n = 0; n < kSteps; n++) {
      add(s0), add(s1), add(s2), add(s3), add(s4), add(s5), add(s6), add(s7), add(s8), add(s9);
    }
  });
}

#define PEAK(Sum, Operand, operations, step) \
  return peak<Sum, Operand>(operations, seconds, [&](auto sum, auto a, auto b) { return step; })

double float32(double seconds) {
#if defined(__AVX512F__)
  PEAK(__m512, __m512, 32, _mm512_fmadd_ps(a, b, sum));
#elif defined(__FMA__)
  PEAK(__m256, __m256, 16, _mm256_fmadd_ps(a, b, sum));
#elif defined(__aarch64__)
  PEAK(float32x4_t, float32x4_t, 8, vfmaq_f32(sum, a, b));
#else
  typedef float Floats __attribute__((vector_size(16)));
  PEAK(Floats, Floats, 8, sum + a * b);
#endif
}

double bfloat16([[maybe_unused]] double seconds) {
#if defined(__AVX512BF16__)
  PEAK(__m512, __m512i, 64, _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b));
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  PEAK(float32x4_t, uint16x8_t, 32, vbfmmlaq_f32(sum, (bfloat16x8_t)a, (bfloat16x8_t)b));
#else
  return 0;
#endif
}

double int8([[maybe_unused]] double seconds) {
#if defined(__AVX512VNNI__)
  PEAK(__m512i, __m512i, 128, _mm512_dpbusd_epi32(sum, a, b));
#elif defined(__AVXVNNI__)
  PEAK(__m256i, __m256i, 64, _mm256_dpbusd_avx_epi32(sum, a, b));
#elif defined(__AVX2__)
  const __m256i ones = _mm256_set1_epi16(1);
  PEAK(__m256i, __m256i, 64,
       _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones)));
#elif defined(__x86_64__)  // SSE2 has no product of bytes
  PEAK(__m128i, __m128i, 16, _mm_add_epi32(sum, _mm_madd_epi16(a, b)));
#elif defined(__ARM_FEATURE_MATMUL_INT8)
  PEAK(int32x4_t, int8x16_t, 64, vmmlaq_s32(sum, a, b));
#elif defined(__ARM_FEATURE_DOTPROD)
  PEAK(int32x4_t, int8x16_t, 32, vdotq_s32(sum, a, b));
#else
  return 0;
#endif
}

}  // namespace

// Each on the calling thread alone.
extern "C" {
#define EXPORT __attribute__((visibility("default")))

// Operations a second, a multiply-add being two; 0 where there is no such instruction.
EXPORT double peak_float32(double seconds) { return float32(seconds); }
EXPORT double peak_bfloat16(double seconds) { return bfloat16(seconds); }
EXPORT double peak_int8(double seconds) { return int8(seconds); }

// Bytes read a second, from start to end of a buffer of whole cache lines.
EXPORT double read_rate(const char* from, std::size_t bytes, double seconds) {
  return best_rate(static_cast<double>(bytes), seconds, [&] {
    for (std::size_t at = 0; at < bytes; at += 64) {
      std::uint64_t first;
      std::memcpy(&first, from + at, sizeof first);  // a line comes whole
      asm volatile("" : : "r"(first));
    }
  });
}
}
