// y = x W^T + b.
#pragma once

#include <type_traits>

#include "linear.h"
#include "operand.h"
#include "team.h"

namespace polyhead {

// The activations that are no straight lines; tanh(y) is 2 sigmoid(2 y) - 1.
inline Floats smooth(Floats x, Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return gated(x, x);
    case Activation::kGeluSigmoid:
      return gated(x, x * 1.702f);
    case Activation::kGeluTanh:
      return gated(x, (x + x * x * x * 0.044715f) * 1.59576912f);
    default:
      return gelu(x);
  }
}

struct Destination {
  float* rows;  // the first of them begins with the outputs of `first_panel`
  std::size_t stride;
  Activation activation = Activation::kNone;
  bool add = false;  // to what is there: the residual connection
  int first_panel = 0;
};

// What becomes of a tile's sums, [num_rows][num_panels]. Compiled once, not once for each tile.
template <class Sums>
[[gnu::noinline]] void finish_tile(const Linear& linear, const Operand& x, int row, int num_rows,
                                   int panel, int num_panels, const Sums* sums,
                                   const Destination& y) {
  const float *biases = linear.bias + panel * kLanes, *scales = linear.scales + panel * kLanes;
  const float* row_scales = x.scales + row;
  const std::int32_t* row_sums = x.sums + row;
  const std::size_t stride = y.stride;
  float* corner = y.rows + stride * static_cast<std::size_t>(row) + (panel - y.first_panel) * kLanes;
  const Activation activation = y.activation;
  const Floats least = splat(activation == Activation::kRelu ? 0.0f : -INFINITY);
  const bool add = y.add;
  for (int n = 0; n < num_panels; n++) {
    const Floats bias = load(biases + n * kLanes), scale = load(scales + n * kLanes);
    float* out = corner + n * kLanes;
    for (int m = 0; m < num_rows; m++, out += stride) {
      const Sums& exact = sums[m * num_panels + n];
      Floats value;
      if constexpr (std::is_same_v<Sums, Ints>) {
        const Ints whole = kWeightsPlus128 ? exact - row_sums[m] : exact;
        value = multiply_add(to_floats(whole), scale * row_scales[m], bias);
      } else {
        value = exact + bias;
      }
      if (add) value += load(out);
      store(out, maximum(least, value));
    }
  }
  if (activation < Activation::kGelu) return;
  for (int m = 0; m < num_rows; m++, corner += stride) {
    for (int i = 0; i < num_panels * kLanes; i += kLanes) {
      store(corner + i, smooth(load(corner + i), activation));
    }
  }
}

// Weights that a later tile will read, to be fetched while this one computes: `step` bytes for each
// word, so that a group's fetches are spread over all row blocks of the group before it.
struct Ahead {
  std::uintptr_t from;  // an address, for it may lie behind the last weight
  std::size_t step;
};

// Panels in a group, which one block of rows after the other passes by. Few blocks: one tile wide, in
// the first-level cache, while the next group is fetched. Many: as much as the second-level cache
// holds with ease. With AVX-512 any number counts as few.
constexpr int kFewBlocks = kRegisterLanes == 16 ? INT32_MAX : 8;
constexpr int kGroupBytes = 128 << 10;
constexpr int kPanelRegisters = kLanes / kRegisterLanes;

// How many rows, and for so many rows how many panels, a tile has: what fits into the registers.
template <class Dot>
struct TileShape {
#if defined(__AVX512F__)
  static constexpr int kMostRows = 12;
  static constexpr int panels(int rows) {
    if (Dot::kHeavy) return rows == 1 ? 8 : rows <= 3 ? 4 : 2;
    return rows == 1 ? 8 : rows <= 3 ? 6 : rows <= 6 ? 4 : 2;
  }
#elif defined(__AVX2__)
  static constexpr int kMostRows = Dot::kHeavy ? 4 : 6;
  static constexpr int panels(int rows) {
    return rows == 1 ? 4 : rows == 2 || (rows == 3 && !Dot::kHeavy) ? 2 : 1;
  }
#elif defined(__aarch64__)
  static constexpr int kMostRows = Dot::kHeavy ? 4 : 6;
  static constexpr int panels(int rows) {
    if (RowPairs<Dot>) return rows <= 2 ? 2 : 1;
    return rows == 1 ? 4 : rows == 2 && !Dot::kHeavy ? 2 : 1;
  }
#else
  static constexpr int kMostRows = 2;
  static constexpr int panels(int rows) { return rows == 1 ? 2 : 1; }
#endif
};

// Sums of MR rows and NP panels, in registers. Not inlined: there GCC 12 would keep them in memory.
template <class Dot, int MR, int NP>
[[gnu::noinline]] void tile(const Linear& linear, const Operand& x, int row, int panel,
                            const Destination& y, Ahead ahead) {
  constexpr int NR = NP * kPanelRegisters;
  typename Dot::Sum sums[MR][NR] = {};
  const std::size_t num_words = static_cast<std::size_t>(linear.num_words), stride = x.stride;
  const auto* lines = reinterpret_cast<const IntRegister*>(
      linear.lines + static_cast<std::size_t>(panel) * num_words);
  const auto line = [&](std::size_t n) {
    return lines[n / kPanelRegisters * num_words * kPanelRegisters + n % kPanelRegisters];
  };
  // Every third row has a pointer, and the two behind it are reached by one and two strides: twelve
  // pointers would not fit into registers.
  const std::uint32_t* third[(MR + 2) / 3];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < (MR + 2) / 3; i++) {
    third[i] = x.words + stride * (static_cast<std::size_t>(row) + 3 * i);
  }
  const auto input = [&](std::size_t m) { return Dot::load(third[m / 3] + m % 3 * stride); };
  const auto next_word = [&]() __attribute__((always_inline)) {
    if constexpr (MR > 1 || kRegisterLanes == 16) {
#pragma GCC unroll 16
      for (std::size_t n = 0; n < NP; n++) {
        __builtin_prefetch(reinterpret_cast<const void*>(ahead.from + n * (ahead.step / NP)), 0, 2);
      }
      ahead.from += ahead.step;
    }
    if constexpr (kNumRegisters == 32 || NR <= 2) {
      IntRegister loaded[NR];
#pragma GCC unroll 16
      for (std::size_t n = 0; n < NR; n++) {
        IntRegister once = line(n);
#if defined(__AVX512F__)
        if (MR > 1) asm("" : "+v"(once));  // or GCC 12 loads it again for each row
#endif
        loaded[n] = once;
      }
#pragma GCC unroll 16
      for (std::size_t m = 0; m < MR; m++) {
        const typename Dot::Input word = input(m);
#pragma GCC unroll 16
        for (std::size_t n = 0; n < NR; n++) sums[m][n] = Dot::step(sums[m][n], loaded[n], word);
      }
    } else {
      typename Dot::Input words[MR];
#pragma GCC unroll 16
      for (std::size_t m = 0; m < MR; m++) words[m] = input(m);
#pragma GCC unroll 16
      for (std::size_t n = 0; n < NR; n++) {
        const IntRegister loaded = line(n);
#pragma GCC unroll 16
        for (std::size_t m = 0; m < MR; m++) sums[m][n] = Dot::step(sums[m][n], loaded, words[m]);
      }
    }
    lines += kPanelRegisters;
#pragma GCC unroll 4
    for (auto& word : third) word += Dot::kInputWords;
  };
  if constexpr (SplitsWords<Dot>) {
#pragma GCC unroll 2
    for (std::size_t w = 0; w < num_words; w++) next_word();
  } else {
    for (std::size_t w = 0; w < num_words; w++) next_word();
  }
  if constexpr (SplitsWords<Dot>) {
    lines -= num_words * kPanelRegisters;
    const Excess* excess = x.excess + stride * static_cast<std::size_t>(row);
    int most = 0;
#pragma GCC unroll 16
    for (int m = 0; m < MR; m++) most = std::max(most, x.num_excess[row + m]);
    for (int e = 0; e < most; e++, excess++) {
#pragma GCC unroll 16
      for (std::size_t m = 0; m < MR; m++) {
        const Excess& each = excess[stride * m];
        const typename Dot::Input word = Dot::load(&each.word);
        const auto* met = reinterpret_cast<const IntRegister*>(
            reinterpret_cast<const char*>(lines) + each.offset);
#pragma GCC unroll 16
        for (std::size_t n = 0; n < NR; n++) {
          const std::size_t at = n / kPanelRegisters * num_words * kPanelRegisters;
          sums[m][n] = Dot::step(sums[m][n], met[at + n % kPanelRegisters], word);
        }
      }
    }
  }
  typename Dot::Sum done[MR * NR];  // a copy, for `sums` must live in registers alone
#pragma GCC unroll 16
  for (std::size_t m = 0; m < MR; m++) {
#pragma GCC unroll 16
    for (std::size_t n = 0; n < NR; n++) done[m * NR + n] = sums[m][n];
  }
  using Lanes = std::conditional_t<std::is_same_v<typename Dot::Sum, IntRegister>, Ints, Floats>;
  finish_tile(linear, x, row, MR, panel, NP, reinterpret_cast<const Lanes*>(done), y);
}

#if defined(__ARM_FEATURE_MATMUL_INT8)
// The sums of a register: of one row and two outputs, then of the next row and the same two.
template <RowPairs Dot, int MR, int NP>
[[gnu::noinline]] void tile(const Linear& linear, const Operand& x, int row, int panel,
                            const Destination& y, Ahead) {
  constexpr int kPairs = (MR + 1) / 2, NR = NP * kLanes / 2;
  int32x4_t sums[kPairs][NR] = {};
  const std::size_t num_words = static_cast<std::size_t>(linear.num_words);
  const auto* lines = reinterpret_cast<const std::int8_t*>(
      linear.lines + static_cast<std::size_t>(panel) * num_words);
  const std::int8_t* rows[MR];
#pragma GCC unroll 6
  for (int m = 0; m < MR; m++) {
    const std::size_t at = x.stride * static_cast<std::size_t>(row + m);
    rows[m] = reinterpret_cast<const std::int8_t*>(x.words + at);
  }
  for (std::size_t w = 0; w < num_words; w += 2, lines += 2 * sizeof(Ints)) {
    int8x16_t pairs[kPairs];
#pragma GCC unroll 3
    for (int m = 0; m < kPairs; m++) {
      const int second = 2 * m + 1 < MR ? 2 * m + 1 : 2 * m;  // an odd row is its own partner
      pairs[m] = vcombine_s8(vld1_s8(rows[2 * m] + 4 * w), vld1_s8(rows[second] + 4 * w));
    }
#pragma GCC unroll 16
    for (std::size_t n = 0; n < NR; n++) {
      const std::size_t at = n / 8 * num_words * sizeof(Ints) + n % 8 * 16;
      const int8x16_t line = vld1q_s8(lines + at);
#pragma GCC unroll 3
      for (int m = 0; m < kPairs; m++) sums[m][n] = vmmlaq_s32(sums[m][n], pairs[m], line);
    }
  }
  int32x4_t done[2 * kPairs][NR / 2];
#pragma GCC unroll 3
  for (int m = 0; m < kPairs; m++) {
#pragma GCC unroll 8
    for (int n = 0; n < NR / 2; n++) {
      const int32x4_t a = sums[m][2 * n], b = sums[m][2 * n + 1];
      done[2 * m][n] = vcombine_s32(vget_low_s32(a), vget_low_s32(b));
      done[2 * m + 1][n] = vcombine_s32(vget_high_s32(a), vget_high_s32(b));
    }
  }
  finish_tile(linear, x, row, MR, panel, NP, reinterpret_cast<const Ints*>(done), y);
}
#endif

template <class Dot, int MR, int NP>
void panels(const Linear& linear, const Operand& x, int row, int first, int last,
            const Destination& y, Ahead ahead) {
  int panel = first;
  for (; panel + NP <= last; panel += NP) tile<Dot, MR, NP>(linear, x, row, panel, y, ahead);
  if constexpr (NP > 1) panels<Dot, MR, NP / 2>(linear, x, row, panel, last, y, ahead);
}

template <class Dot, int MR>
void rows_of(const Linear& linear, const Operand& x, int row, int count, int first, int last,
             const Destination& y, Ahead ahead) {
  if constexpr (MR > 1) {
    if (count < MR) return rows_of<Dot, MR - 1>(linear, x, row, count, first, last, y, ahead);
  }
  panels<Dot, MR, TileShape<Dot>::panels(MR)>(linear, x, row, first, last, y, ahead);
}

// Panels [first, last) of all rows: a group of panels stays in the cache while the rows pass by it, so
// the weights are read from memory once.
template <class Dot>
void product(const Linear& linear, const Operand& x, int num_rows, int first, int last,
             const Destination& y) {
  using Shape = TileShape<Dot>;
  const int blocks = (num_rows + Shape::kMostRows - 1) / Shape::kMostRows;
  const int narrowest = Shape::panels((num_rows + blocks - 1) / blocks);
  const auto num_words = static_cast<std::size_t>(linear.num_words);
  int group = narrowest;
  if (blocks > kFewBlocks) {
    const auto panel_bytes = static_cast<int>(sizeof(Ints) * num_words);
    group = std::max(narrowest, kGroupBytes / panel_bytes / narrowest * narrowest);
  }
  const std::size_t step = blocks > kFewBlocks ? 0
                           : sizeof(Ints) * static_cast<std::size_t>(group) /
                                 static_cast<std::size_t>(blocks);
  const int rows = num_rows / blocks, larger = num_rows % blocks;  // blocks as even as can be
  for (int panel = first; panel < last; panel += group) {
    const int end = panel + group < last ? panel + group : last;
    auto next = reinterpret_cast<std::uintptr_t>(linear.lines) +
                sizeof(Ints) * num_words * static_cast<std::size_t>(end);
    for (int block = 0, row = 0; block < blocks; block++, next += step * num_words) {
      const int count = rows + (block < larger ? 1 : 0);
      rows_of<Dot, Shape::kMostRows>(linear, x, row, count, panel, end, y, {next, step});
      row += count;
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
