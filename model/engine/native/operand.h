// Rows prepared for products.
#pragma once

#include "arena.h"
#include "excess.h"
#include "linear.h"
#include "simd.h"

namespace polyhead {

struct Operand {
  const std::uint32_t* words;
  std::size_t stride;        // words from row to row
  const float* scales;       // int8: of each row
  const std::int32_t* sums;  // int8: 128 times the sum of each row
  // int8 with split words: of each row as many as words, and behind those that count zeros.
  const Excess* excess;
  const int* num_excess;
};

inline int input_words(Precision precision) {
  return precision == Precision::kInt8       ? Int8Dot::kInputWords
         : precision == Precision::kBfloat16 ? Bfloat16Dot::kInputWords
                                             : Float32Dot::kInputWords;
}

// Room for prepared rows; grows to the largest batch seen.
struct OperandBuffer {
  Buffer<std::uint32_t> words;
  Buffer<float> scales;
  Buffer<std::int32_t> sums;
  Buffer<Excess> excess;
  Buffer<int> num_excess;
  std::size_t stride = 0;
  bool splits_words = false;

  void reserve(Precision precision, int rows, int columns) {
    const int values = values_per_word(precision);
    // Behind a row the vector loops may write a whole vector.
    stride = static_cast<std::size_t>(
        round_up((columns + values - 1) / values * input_words(precision), 2 * kLanes));
    words.reserve(stride * static_cast<std::size_t>(rows) + kLanes);
    scales.reserve(static_cast<std::size_t>(rows));
    sums.reserve(static_cast<std::size_t>(rows));
    splits_words = SplitsWords<Int8Dot> && precision == Precision::kInt8;
    if (splits_words) {
      excess.reserve(stride * static_cast<std::size_t>(rows));
      num_excess.reserve(static_cast<std::size_t>(rows));
    }
  }
  Operand operand(int first_row = 0) const {
    const std::size_t at = stride * static_cast<std::size_t>(first_row);
    return {words.data() + at,
            stride,
            scales.data() + first_row,
            sums.data() + first_row,
            splits_words ? excess.data() + at : nullptr,
            splits_words ? num_excess.data() + first_row : nullptr};
  }
};

// int8. What a product reads of 16 whole numbers from -127 to 127: see Int8Dot.
inline void store_whole_numbers(std::uint32_t* words, Ints x) {
  std::int8_t bytes[kLanes];
  store_bytes(bytes, x);
  if constexpr (Int8Dot::kInputWords == 1) {
    std::memcpy(words, bytes, sizeof bytes);
  }
#if defined(__SSE2__)
  if constexpr (Int8Dot::kInputWords == 2) {
    const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
    const __m128i even = _mm_srai_epi16(_mm_slli_epi16(all, 8), 8), odd = _mm_srai_epi16(all, 8);
    auto* to = reinterpret_cast<__m128i*>(words);
    _mm_storeu_si128(to, _mm_unpacklo_epi32(even, odd));
    _mm_storeu_si128(to + 1, _mm_unpackhi_epi32(even, odd));
  }
#endif
}

// int8. A row that is not finite gets a scale that is not, and so do its products.
inline void quantise_row(const float* row, int columns, std::uint32_t* words, float* scale,
                         std::int32_t* sum_times_128) {
  Floats most = splat(0.0f);
  for (int k = 0; k < columns; k += kLanes) most = maximum(most, absolute(load(row + k)));
  const float top = largest(most);
  const float factor = to_whole_numbers(top);
  Floats totals = splat(0.0f);  // whole numbers below 2^24: exact
  for (int k = 0; k < columns; k += kLanes) {
    const Floats whole = to_nearest(load(row + k) * factor);
    totals += whole;
    store_whole_numbers(words, to_ints(whole));
    words += kLanes / 4 * Int8Dot::kInputWords;
  }
  const float total = sum(totals);  // NaN if the row has a NaN or an infinity
  *scale = total == total ? top / 127.0f : total;
  *sum_times_128 = total == total ? 128 * static_cast<std::int32_t>(total) : 0;
}

// `row` must be readable up to the next multiple of 16, and zero behind `columns`.
inline void prepare_row(Precision precision, const float* row, int columns, OperandBuffer& out,
                        int index) {
  std::uint32_t* words = out.words.data() + out.stride * static_cast<std::size_t>(index);
  switch (precision) {
    case Precision::kFloat32:
      std::memcpy(words, row, sizeof(float) * static_cast<std::size_t>(columns));
      return;
    case Precision::kBfloat16:
      for (int k = 0; k < columns; k += kLanes) {
        if constexpr (Bfloat16Dot::kInputWords == 1) {
          store(reinterpret_cast<std::uint16_t*>(words) + k, load(row + k));
        } else {
          store(reinterpret_cast<float*>(words) + k, as_floats(round_to_bfloat16(load(row + k))));
        }
      }
      return;
    case Precision::kInt8:
      quantise_row(row, columns, words, out.scales.data() + index, out.sums.data() + index);
      if (out.splits_words) {
        Excess* excess = out.excess.data() + out.stride * static_cast<std::size_t>(index);
        out.num_excess.data()[index] = split_words(words, (columns + 3) / 4, excess);
      }
  }
}

}  // namespace polyhead
