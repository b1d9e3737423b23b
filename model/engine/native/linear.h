// The weights of y = x W^T + b, packed for products in float32, bfloat16 or int8.
//
// A "word" is 32 bits along the inner dimension: one float, two bfloat16, or four int8. Weights lie in
// panels of 16 outputs: for each word of the inner dimension a line of 16 words, one per output. Where
// an instruction takes two words of an output (`kWordsTogether`), two lines are mingled by outputs.
//
// int8: a weight row has one scale. Where the instruction set multiplies unsigned by signed bytes, the
// weights are stored plus 128, and the surplus, 128 times the sum of the input row, is taken off at
// the end.
#pragma once

#include <algorithm>
#include <cmath>

#include "arena.h"
#include "dots.h"
#include "simd.h"

namespace polyhead {

enum class Precision { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2 };
// From kGelu on they are no straight lines.
enum class Activation { kNone = 0, kRelu = 1, kGelu = 2, kSilu = 3, kGeluTanh = 4, kGeluSigmoid = 5 };

inline int values_per_word(Precision p) {
  return p == Precision::kInt8 ? 4 : p == Precision::kBfloat16 ? 2 : 1;
}

struct Linear {
  Precision precision = Precision::kFloat32;
  int inputs = 0, outputs = 0, num_words = 0, num_panels = 0;
  const Ints* lines = nullptr;     // [num_panels][num_words], each 16 words
  const float* scales = nullptr;   // int8: [num_panels * 16]
  const float* bias = nullptr;     // [num_panels * 16], zeros where there is none

  void pack(Arena& arena, Precision wanted, const float* weight, const float* bias_or_null,
            int num_outputs, int num_inputs);
  // The weights of one output, as rounded as products see them.
  void unpack(int output, float* to) const;
};

// ---- Packing -------------------------------------------------------------------------------------

// What the numbers of a row are multiplied by to become whole numbers from -127 to 127. Rows so small
// that this is no float are zeros.
inline float to_whole_numbers(float largest) {
  constexpr float kSmallest = 1e-36f;
  return largest > kSmallest ? 127.0f / largest : 0.0f;
}

// int8: the largest of a weight row, NaN if it has one.
inline float largest_of(const float* row, int count) {
  float most = 0.0f;
  for (int k = 0; k < count; k++) {
    if (!(std::fabs(row[k]) <= most)) most = std::fabs(row[k]);
    if (most != most) break;
  }
  return most;
}

// The `count` numbers from `x` on, at most as many as there are in a word; the others are zeros. To
// add 128 to a signed byte is to flip its highest bit.
inline std::uint32_t packed_word(Precision precision, const float* x, int count, float factor) {
  std::uint32_t word = precision == Precision::kInt8 && kWeightsPlus128 ? 0x80808080 : 0;
  for (int i = 0; i < count; i++) {
    if (precision == Precision::kInt8) {
      const float scaled = std::nearbyint(x[i] * factor);
      const int whole = std::fabs(scaled) <= 127.0f ? static_cast<int>(scaled) : 0;  // not so: NaN
      word ^= static_cast<std::uint32_t>(whole & 0xff) << (8 * i);
    } else if (precision == Precision::kBfloat16) {
      word |= static_cast<std::uint32_t>(to_bfloat16(x[i])) << (16 * i);
    } else {
      std::memcpy(&word, x, sizeof word);
    }
  }
  return word;
}

inline void Linear::pack(Arena& arena, Precision wanted, const float* weight,
                         const float* bias_or_null, int num_outputs, int num_inputs) {
  precision = wanted;
  inputs = num_inputs;
  outputs = num_outputs;
  const int values = values_per_word(wanted);
  num_words = (num_inputs + values - 1) / values;
  const int together = wanted == Precision::kInt8 ? kWordsTogether : 1;
  num_words = round_up(num_words, together);
  num_panels = (num_outputs + kLanes - 1) / kLanes;
  const std::size_t panel_words = static_cast<std::size_t>(num_words) * kLanes;
  const std::size_t columns = static_cast<std::size_t>(num_panels) * kLanes;
  auto* words = arena.allocate<std::uint32_t>(panel_words * static_cast<std::size_t>(num_panels));
  auto* column_scales = arena.allocate<float>(columns);
  auto* column_bias = arena.allocate<float>(columns);
  for (std::size_t column = 0; column < columns; column++) {
    // Behind the last output there are columns of zeros.
    const bool real = column < static_cast<std::size_t>(num_outputs);
    const float* row = real ? weight + column * static_cast<std::size_t>(num_inputs) : nullptr;
    const int count = real ? num_inputs : 0;
    const float largest = wanted == Precision::kInt8 ? largest_of(row, count) : 0.0f;
    column_scales[column] = largest / 127.0f;
    column_bias[column] = real && bias_or_null != nullptr ? bias_or_null[column] : 0.0f;
    std::uint32_t* panel = words + column / kLanes * panel_words;
    for (int w = 0; w < num_words; w++) {
      const int k = w * values, lane = static_cast<int>(column) % kLanes;
      panel[(w / together * kLanes + lane) * together + w % together] =
          packed_word(wanted, row + (k < count ? k : 0), std::min(values, std::max(count - k, 0)),
                      to_whole_numbers(largest));
    }
  }
  lines = reinterpret_cast<const Ints*>(words);
  scales = column_scales;
  bias = column_bias;
}

inline void Linear::unpack(int output, float* to) const {
  const int values = values_per_word(precision), lane = output % kLanes;
  const int together = precision == Precision::kInt8 ? kWordsTogether : 1;
  const auto* panel = reinterpret_cast<const char*>(lines) +
                      sizeof(Ints) * static_cast<std::size_t>(num_words) *
                          static_cast<std::size_t>(output / kLanes);
  for (int k = 0; k < inputs; k += values) {
    const int w = k / values;
    const auto at = static_cast<std::size_t>((w / together * kLanes + lane) * together + w % together);
    std::uint32_t word;
    std::memcpy(&word, panel + sizeof word * at, sizeof word);
    if (precision == Precision::kFloat32) {
      std::memcpy(to + k, &word, sizeof word);
      continue;
    }
    if (precision == Precision::kInt8 && kWeightsPlus128) word ^= 0x80808080;
    for (int i = 0; i < std::min(values, inputs - k); i++) {
      if (precision == Precision::kInt8) {
        to[k + i] = static_cast<float>(static_cast<std::int8_t>(word >> (8 * i))) * scales[output];
      } else {
        const std::uint32_t wide = word >> (16 * i) << 16;
        std::memcpy(to + k + i, &wide, sizeof wide);
      }
    }
  }
}

}  // namespace polyhead
