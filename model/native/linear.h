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

inline void Linear::pack(Arena& arena, Precision wanted, const float* weight,
                         const float* bias_or_null, int num_outputs, int num_inputs) {
  precision = wanted;
  inputs = num_inputs;
  outputs = num_outputs;
  const int values = values_per_word(wanted);
  num_words = (num_inputs + values - 1) / values;
  num_panels = (num_outputs + kLanes - 1) / kLanes;
  const std::size_t columns = static_cast<std::size_t>(num_panels) * kLanes;
  auto* words = arena.allocate<std::uint32_t>(columns * static_cast<std::size_t>(num_words));
  auto* column_scales = arena.allocate<float>(columns);
  auto* column_bias = arena.allocate<float>(columns);
  for (std::size_t column = 0; column < columns; column++) {
    const bool real = column < static_cast<std::size_t>(num_outputs);
    const float* row = weight + column * static_cast<std::size_t>(num_inputs);
    float most = 0.0f;
    for (int k = 0; real && k < num_inputs; k++) most = std::fmax(most, std::fabs(row[k]));
    const float inverse = most > 0.0f ? 127.0f / most : 0.0f;
    column_scales[column] = most / 127.0f;
    column_bias[column] = real && bias_or_null ? bias_or_null[column] : 0.0f;
    std::uint32_t* line =
        words + (column / kLanes) * static_cast<std::size_t>(num_words) * kLanes + column % kLanes;
    for (int w = 0; w < num_words; w++) {
      std::uint32_t word = 0;
      for (int v = 0; v < values; v++) {
        const int k = w * values + v;
        const float x = real && k < num_inputs ? row[k] : 0.0f;
        if (wanted == Precision::kInt8) {
          const auto q = static_cast<std::uint8_t>(static_cast<int>(std::nearbyint(x * inverse)) + 128);
          word |= static_cast<std::uint32_t>(q) << (8 * v);
        } else if (wanted == Precision::kBfloat16) {
          word |= static_cast<std::uint32_t>(to_bfloat16(x)) << (16 * v);
        } else {
          std::memcpy(&word, &x, sizeof word);
        }
      }
      line[static_cast<std::size_t>(w) * kLanes] = word;
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
    for (int k = 0; k < round_up(columns, 2); k++) halves[k] = to_bfloat16(row[k]);
    return;
  }
  Floats most = splat(0.0f);
  for (int k = 0; k < columns; k += kLanes) most = maximum(most, absolute(load(row + k)));
  const float top = largest(most);
  const float inverse = top > 0.0f ? 127.0f / top : 0.0f;
  typedef std::int8_t Bytes __attribute__((vector_size(16)));
  auto* bytes = reinterpret_cast<std::int8_t*>(words);
  Ints total = splat(0);
  const Floats shifter = splat(12582912.0f);  // rounds half to even
  for (int k = 0; k < columns; k += kLanes) {
    const Floats rounded = (load(row + k) * inverse + shifter) - shifter;
    const Ints q = __builtin_convertvector(rounded, Ints);
    total += q;
    const Bytes narrow = __builtin_convertvector(q, Bytes);
    std::memcpy(bytes + k, &narrow, sizeof narrow);
  }
  std::int32_t sum_of_row = 0;
  for (int i = 0; i < kLanes; i++) sum_of_row += total[i];
  out.scales.data()[index] = top / 127.0f;
  out.sums.data()[index] = 128 * sum_of_row;
}

// ---- The product ---------------------------------------------------------------------------------

inline Floats activate(Floats x, Activation activation) {
  switch (activation) {
    case Activation::kRelu:
      return maximum(x, splat(0.0f));
    case Activation::kSilu:
      return x / (exponential(-x) + 1.0f);
    case Activation::kGelu: {
      Floats y;
      for (int i = 0; i < kLanes; i++) y[i] = 0.5f * x[i] * (1.0f + std::erf(x[i] * 0.70710678f));
      return y;
    }
    case Activation::kNone:
      break;
  }
  return x;
}

struct Destination {
  float* rows;
  std::size_t stride;
  Activation activation;
  bool add;  // to what is there: the residual connection
};

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

// Weights that a later tile will read, to be fetched while this one computes: `step` bytes for each
// word, so that a group's fetches are spread over all row blocks of the group before it.
struct Ahead {
  const char* from;
  std::size_t step;
};

template <class Dot, int MR, int NR>
void tile(const Linear& linear, const Operand& x, int row, int panel, const Destination& y,
          Ahead ahead) {
  typename Dot::Sums sums[MR][NR] = {};
  const std::size_t num_words = static_cast<std::size_t>(linear.num_words);
  const Ints* lines = linear.lines + static_cast<std::size_t>(panel) * num_words;
  const std::uint32_t* words = x.words + x.stride * static_cast<std::size_t>(row);
  for (std::size_t w = 0; w < num_words; w++) {
    Ints line[NR];
#pragma GCC unroll 16
    for (int n = 0; n < NR; n++) {
      __builtin_prefetch(ahead.from + w * ahead.step + n * (ahead.step / NR), 0, 2);
      line[n] = lines[static_cast<std::size_t>(n) * num_words + w];
    }
#pragma GCC unroll 16
    for (int m = 0; m < MR; m++) {
      const auto word = static_cast<std::int32_t>(words[static_cast<std::size_t>(m) * x.stride + w]);
#pragma GCC unroll 16
      for (int n = 0; n < NR; n++) sums[m][n] = Dot::step(sums[m][n], line[n], word);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < MR; m++) {
#pragma GCC unroll 16
    for (int n = 0; n < NR; n++) {
      const int column = (panel + n) * kLanes;
      Floats value;
      if constexpr (std::is_same_v<Dot, Int8Dot>) {
        const Ints exact = sums[m][n] - x.sums[row + m];
        value = to_floats(exact) * (load(linear.scales + column) * x.scales[row + m]);
      } else {
        value = sums[m][n];
      }
      value += load(linear.bias + column);
      float* out = y.rows + y.stride * static_cast<std::size_t>(row + m) + column;
      if (y.activation != Activation::kNone) value = activate(value, y.activation);
      store(out, y.add ? load(out) + value : value);
    }
  }
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
  const std::size_t panel_bytes = static_cast<std::size_t>(linear.num_words) * sizeof(Ints);
  const std::size_t step = sizeof(Ints) * static_cast<std::size_t>(group) / static_cast<std::size_t>(blocks);
  for (int panel = first; panel < last; panel += group) {
    const int end = panel + group < last ? panel + group : last;
    const char* next = reinterpret_cast<const char*>(linear.lines) + panel_bytes * static_cast<std::size_t>(end);
    for (int block = 0; block < blocks; block++) {
      const int row = num_rows * block / blocks;
      const int count = num_rows * (block + 1) / blocks - row;
      const std::size_t done = step * static_cast<std::size_t>(linear.num_words * block);
      rows_of<Dot, kMostRows>(linear, x, row, count, panel, end, y, {next + done, step});
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

// Outputs [16 * first, 16 * last) of `num_rows` rows; `y.rows` is indexed by output column. A team,
// where there is one, shares the panels; no output's arithmetic depends on that.
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
