// y = x W^T + b with packed weights, in float32, bfloat16 or int8.
//
// All three share one loop. A "word" is 32 bits along the inner dimension: one float, two bfloat16,
// or four int8. Weights lie in panels of 16 outputs: for each word of the inner dimension a line of
// 16 words, one per output. A row of the input is its words in order. A tile of MR rows and NR
// panels lives in registers: per word NR lines are loaded, and each is multiplied by each row's
// broadcast word.
//
// int8: a weight row has one scale, an input row has one scale (so a row's result does not depend on
// its neighbours). Weights are stored plus 128, because the instruction wants one unsigned side; the
// surplus, 128 times the sum of the input row, is taken off at the end. All of it is exact integer
// arithmetic. float32 and bfloat16: every output is one chain of additions in the order of the inner
// dimension, whatever the tile, so neighbours do not matter there either.
#pragma once

#include <algorithm>
#include <type_traits>

#include "arena.h"
#include "simd.h"
#include "team.h"

namespace polyhead {

enum class Precision { kFloat32 = 0, kBfloat16 = 1, kInt8 = 2 };
enum class Activation { kNone = 0, kRelu = 1, kGelu = 2, kSilu = 3 };

inline int values_per_word(Precision p) {
  return p == Precision::kInt8 ? 4 : p == Precision::kBfloat16 ? 2 : 1;
}

// Rows prepared for products: what `Linear::apply` reads.
struct Operand {
  const std::uint32_t* words;
  std::size_t stride;         // words from row to row
  const float* scales;        // int8: of each row
  const std::int32_t* sums;   // int8: 128 times the sum of each row
};

struct Linear {
  Precision precision = Precision::kFloat32;
  int inputs = 0, outputs = 0, num_words = 0, num_panels = 0;
  const Ints* lines = nullptr;     // [num_panels][num_words]
  const float* scales = nullptr;   // int8: [num_panels * 16]
  const float* bias = nullptr;     // [num_panels * 16], zeros where there is none

  void pack(Arena& arena, Precision wanted, const float* weight, const float* bias_or_null,
            int num_outputs, int num_inputs);
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
  std::uint32_t word = precision == Precision::kInt8 ? 0x80808080 : 0;
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
    std::uint32_t* line = words + column / kLanes * panel_words + column % kLanes;
    for (int k = 0; k < num_words * values; k += values, line += kLanes) {
      *line = packed_word(wanted, row + (k < count ? k : 0), std::min(values, std::max(count - k, 0)),
                          to_whole_numbers(largest));
    }
  }
  lines = reinterpret_cast<const Ints*>(words);
  scales = column_scales;
  bias = column_bias;
}

// ---- Preparing input rows ------------------------------------------------------------------------

// Room for prepared rows; grows to the largest batch seen.
struct OperandBuffer {
  Buffer<std::uint32_t> words;
  Buffer<float> scales;
  Buffer<std::int32_t> sums;
  std::size_t stride = 0;

  void reserve(Precision precision, int rows, int columns) {
    const int values = values_per_word(precision);
    // Behind a row the vector loops may write a whole vector.
    stride = static_cast<std::size_t>(round_up((columns + values - 1) / values, kLanes));
    words.reserve(stride * static_cast<std::size_t>(rows) + kLanes);
    scales.reserve(static_cast<std::size_t>(rows));
    sums.reserve(static_cast<std::size_t>(rows));
  }
  Operand operand(int first_row = 0) const {
    return {words.data() + stride * static_cast<std::size_t>(first_row), stride,
            scales.data() + first_row, sums.data() + first_row};
  }
};

// int8. A row that is not finite gets a scale that is not, and so do its products.
inline void quantise_row(const float* row, int columns, std::int8_t* bytes, float* scale,
                         std::int32_t* sum_times_128) {
  typedef std::int8_t Bytes __attribute__((vector_size(16)));
  Floats most = splat(0.0f);
  for (int k = 0; k < columns; k += kLanes) most = maximum(most, absolute(load(row + k)));
  const float top = largest(most);
  const float factor = to_whole_numbers(top);
  const Floats shifter = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds half to even
  Floats totals = splat(0.0f);                // whole numbers below 2^24: exact
  for (int k = 0; k < columns; k += kLanes) {
    const Floats whole = (load(row + k) * factor + shifter) - shifter;
    totals += whole;
    const Bytes narrow = __builtin_convertvector(__builtin_convertvector(whole, Ints), Bytes);
    std::memcpy(bytes + k, &narrow, sizeof narrow);
  }
  const float total = sum(totals);  // NaN if the row has a NaN or an infinity
  *scale = total == total ? top / 127.0f : total;
  *sum_times_128 = total == total ? 128 * static_cast<std::int32_t>(total) : 0;
}

// `row` must be readable up to the next multiple of 16, and zero behind `columns`.
inline void prepare_row(Precision precision, const float* row, int columns, OperandBuffer& out,
                        int index) {
  std::uint32_t* words = out.words.data() + out.stride * static_cast<std::size_t>(index);
  if (precision == Precision::kFloat32) {
    std::memcpy(words, row, sizeof(float) * static_cast<std::size_t>(columns));
    return;
  }
  if (precision == Precision::kBfloat16) {
    auto* halves = reinterpret_cast<std::uint16_t*>(words);
    for (int k = 0; k < columns; k += kLanes) store(halves + k, load(row + k));
    return;
  }
  quantise_row(row, columns, reinterpret_cast<std::int8_t*>(words), out.scales.data() + index,
               out.sums.data() + index);
}

// ---- The product ---------------------------------------------------------------------------------

// The activations that are no straight lines.
inline Floats smooth(Floats x, Activation activation) {
  if (activation == Activation::kSilu) return x / (exponential(-x) + 1.0f);
  Floats y;
  for (int i = 0; i < kLanes; i++) y[i] = 0.5f * x[i] * (1.0f + std::erf(x[i] * 0.70710678f));
  return y;
}

struct Destination {
  float* rows;  // the first of them begins with the outputs of `first_panel`
  std::size_t stride;
  Activation activation = Activation::kNone;
  bool add = false;  // to what is there: the residual connection
  int first_panel = 0;
};

// How a word of 16 outputs' weights meets a word of the input.
struct Float32Dot {
  using Sums = Floats;
  static Sums step(Sums sums, Ints b, std::int32_t a) {
    float x;
    std::memcpy(&x, &a, sizeof x);
    return sums + (Floats)b * x;
  }
};
struct Bfloat16Dot {
  using Sums = Floats;
  static Sums step(Sums sums, Ints b, std::int32_t a) { return dot_bfloat16(sums, b, a); }
};
struct Int8Dot {
  using Sums = Ints;
  static Sums step(Sums sums, Ints b, std::int32_t a) { return dot_bytes(sums, b, a); }
};

// What becomes of a tile's sums, [num_rows][num_panels]. Compiled once, not once for each tile.
template <class Sums>
[[gnu::noinline]] void finish_tile(const Linear& linear, const Operand& x, int row, int num_rows,
                                   int panel, int num_panels, const Sums* sums,
                                   const Destination& y) {
  const float* bias = linear.bias + panel * kLanes;
  const int width = num_panels * kLanes;
  for (int m = row; m < row + num_rows; m++) {
    float* out = y.rows + y.stride * static_cast<std::size_t>(m) + (panel - y.first_panel) * kLanes;
    for (int i = 0; i < width; i += kLanes, sums++) {
      Floats value;
      if constexpr (std::is_same_v<Sums, Ints>) {
        const Floats scales = load(linear.scales + panel * kLanes + i) * x.scales[m];
        value = to_floats(*sums - x.sums[m]) * scales;
      } else {
        value = *sums;
      }
      value += load(bias + i);
      if (y.add) value += load(out + i);
      store(out + i, y.activation == Activation::kRelu ? maximum(splat(0.0f), value) : value);
    }
    if (y.activation == Activation::kGelu || y.activation == Activation::kSilu) {
      for (int i = 0; i < width; i += kLanes) store(out + i, smooth(load(out + i), y.activation));
    }
  }
}

// Weights that a later tile will read, to be fetched while this one computes: `step` bytes for each
// word, so that a group's fetches are spread over all row blocks of the group before it.
struct Ahead {
  std::uintptr_t from;  // an address, for it may lie behind the last weight
  std::size_t step;
};

template <class Dot, int MR, int NR>
void tile(const Linear& linear, const Operand& x, int row, int panel, const Destination& y,
          Ahead ahead) {
  typename Dot::Sums sums[MR][NR] = {};
  const std::size_t num_words = static_cast<std::size_t>(linear.num_words), stride = x.stride;
  const Ints* lines = linear.lines + static_cast<std::size_t>(panel) * num_words;
  // Every third row has a pointer, and the two behind it are reached by one and two strides: twelve
  // pointers would not fit into registers.
  const std::uint32_t* third[(MR + 2) / 3];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < (MR + 2) / 3; i++) {
    third[i] = x.words + stride * (static_cast<std::size_t>(row) + 3 * i);
  }
  for (std::size_t w = 0; w < num_words; w++) {
    Ints line[NR];
#pragma GCC unroll 16
    for (std::size_t n = 0; n < NR; n++) {
      __builtin_prefetch(reinterpret_cast<const void*>(ahead.from + n * (ahead.step / NR)), 0, 2);
      line[n] = lines[n * num_words];
    }
    lines++;
    ahead.from += ahead.step;
#pragma GCC unroll 16
    for (std::size_t m = 0; m < MR; m++) {
      const auto word = static_cast<std::int32_t>(third[m / 3][m % 3 * stride]);
#pragma GCC unroll 16
      for (std::size_t n = 0; n < NR; n++) sums[m][n] = Dot::step(sums[m][n], line[n], word);
    }
#pragma GCC unroll 4
    for (auto& word : third) word++;
  }
  typename Dot::Sums done[MR * NR];  // a copy, for `sums` must live in registers alone
#pragma GCC unroll 16
  for (std::size_t m = 0; m < MR; m++) {
#pragma GCC unroll 16
    for (std::size_t n = 0; n < NR; n++) done[m * NR + n] = sums[m][n];
  }
  finish_tile(linear, x, row, MR, panel, NR, done, y);
}

#if defined(__AVX512F__)
constexpr int kMostRows = 12;
constexpr int panels_for(int rows) { return rows == 1 ? 8 : rows <= 3 ? 6 : rows <= 6 ? 4 : 2; }
#else
constexpr int kMostRows = 4;
constexpr int panels_for(int rows) { return rows <= 2 ? 2 : 1; }
#endif

template <class Dot, int MR, int NR>
void panels(const Linear& linear, const Operand& x, int row, int first, int last,
            const Destination& y, Ahead ahead) {
  int panel = first;
  for (; panel + NR <= last; panel += NR) tile<Dot, MR, NR>(linear, x, row, panel, y, ahead);
  if constexpr (NR > 1) panels<Dot, MR, NR / 2>(linear, x, row, panel, last, y, ahead);
}

template <class Dot, int MR>
void rows_of(const Linear& linear, const Operand& x, int row, int count, int first, int last,
             const Destination& y, Ahead ahead) {
  if constexpr (MR > 1) {
    if (count < MR) return rows_of<Dot, MR - 1>(linear, x, row, count, first, last, y, ahead);
  }
  panels<Dot, MR, panels_for(MR)>(linear, x, row, first, last, y, ahead);
}

// Panels [first, last) of all rows: a group of panels stays in the first-level cache while the rows
// pass by it, so the weights are read from memory once.
template <class Dot>
void product(const Linear& linear, const Operand& x, int num_rows, int first, int last,
             const Destination& y) {
  const int blocks = (num_rows + kMostRows - 1) / kMostRows;
  const int group = panels_for((num_rows + blocks - 1) / blocks);
  const auto num_words = static_cast<std::size_t>(linear.num_words);
  const std::size_t step =
      sizeof(Ints) * static_cast<std::size_t>(group) / static_cast<std::size_t>(blocks);
  const auto first_row = [&](int block) {  // of blocks as even as can be
    return static_cast<int>(static_cast<std::int64_t>(num_rows) * block / blocks);
  };
  for (int panel = first; panel < last; panel += group) {
    const int end = panel + group < last ? panel + group : last;
    auto next = reinterpret_cast<std::uintptr_t>(linear.lines) +
                sizeof(Ints) * num_words * static_cast<std::size_t>(end);
    for (int block = 0; block < blocks; block++, next += step * num_words) {
      const int row = first_row(block);
      rows_of<Dot, kMostRows>(linear, x, row, first_row(block + 1) - row, panel, end, y,
                              {next, step});
    }
  }
}

inline void product_of_precision(const Linear& linear, const Operand& x, int num_rows, int first,
                                 int last, const Destination& y) {
  switch (linear.precision) {
    case Precision::kFloat32:
      return product<Float32Dot>(linear, x, num_rows, first, last, y);
    case Precision::kBfloat16:
      return product<Bfloat16Dot>(linear, x, num_rows, first, last, y);
    case Precision::kInt8:
      return product<Int8Dot>(linear, x, num_rows, first, last, y);
  }
}

// Panels [first, last) of `num_rows` rows. A team, where there is one, shares them; no output's
// arithmetic depends on that.
inline void apply_panels(const Linear& linear, const Operand& x, int num_rows, int first, int last,
                         const Destination& y, Team* team) {
  constexpr int kLeastPanels = 8;
  constexpr std::size_t kLeastBytes = 48 << 10;  // takes about as long as handing it over
  const std::size_t bytes = static_cast<std::size_t>(last - first) *
                            static_cast<std::size_t>(linear.num_words) * sizeof(Ints);
  if (team == nullptr || last - first < 2 * kLeastPanels || bytes < 2 * kLeastBytes) {
    return product_of_precision(linear, x, num_rows, first, last, y);
  }
  const int units = (last - first) / kLeastPanels;
  const int parts = units < 2 * team->size() ? units : 2 * team->size();
  auto part = [&](int index) {
    const int from = first + units * index / parts * kLeastPanels;
    const int to = index + 1 == parts ? last : first + units * (index + 1) / parts * kLeastPanels;
    product_of_precision(linear, x, num_rows, from, to, y);
  };
  team->run(parts, part);
}

inline void apply(const Linear& linear, const Operand& x, int num_rows, float* rows,
                  std::size_t stride, Team* team, Activation activation = Activation::kNone,
                  bool add = false) {
  apply_panels(linear, x, num_rows, 0, linear.num_panels, {rows, stride, activation, add}, team);
}

}  // namespace polyhead
