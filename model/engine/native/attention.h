// Attention of one query over cached positions, in float32; what is cached may be bfloat16.
//
// Positions lie in blocks of 16: for each head the 16 keys, then the 16 values, each a vector of
// `width` numbers (a multiple of 16, zeros behind the model's own head width).
#pragma once

#include "arena.h"
#include "simd.h"

namespace polyhead {

// scores[0..count) -> weights that sum to 1; up to the next multiple of 16 it writes zeros.
inline void softmax(float* scores, int count) {
  const int padded = round_up(count, kLanes);
  for (int i = count; i < padded; i++) scores[i] = -INFINITY;
  Floats most = load(scores);
  for (int i = kLanes; i < padded; i += kLanes) most = maximum(most, load(scores + i));
  const float top = largest(most);
  Floats total = splat(0.0f);
  for (int i = 0; i < padded; i += kLanes) {
    const Floats e = exponential(load(scores + i) - top);
    store(scores + i, e);
    total += e;
  }
  const float inverse = 1.0f / sum(total);
  for (int i = 0; i < padded; i += kLanes) store(scores + i, load(scores + i) * inverse);
}

// The keys of the 16 positions of a block; a value lies 16 keys behind its key.
template <class T>
struct ContiguousBlock {
  const T* keys;
  const T* key(int i, int width) const { return keys + i * width; }
};

// Positions whose blocks follow each other at a fixed distance.
template <class T>
struct Contiguous {
  const T* keys;  // of position 0
  std::size_t block_stride;
  ContiguousBlock<T> block(int index) const {
    return {keys + static_cast<std::size_t>(index) * block_stride};
  }
  void skip(std::size_t numbers) { keys += numbers; }
};

template <class T>
struct ScatteredBlock {
  const T* keys;  // in slot 0
  std::size_t slot_stride;
  const std::int32_t* slots;
  const T* key(int i, int width) const {
    return keys + static_cast<std::size_t>(slots[i]) * slot_stride + i * width;
  }
};

// Positions that were written by different slots: the past of a beam.
template <class T>
struct Scattered {
  const T* keys;  // of position 0 in slot 0
  std::size_t slot_stride, block_stride;
  const std::int32_t* slots;  // of each position
  ScatteredBlock<T> block(int index) const {
    return {keys + static_cast<std::size_t>(index) * block_stride, slot_stride,
            slots + index * kLanes};
  }
  void skip(std::size_t numbers) { keys += numbers; }
};

inline int in_block(int index, int count) {
  const int left = count - index * kLanes;
  return left < kLanes ? left : kLanes;
}

// scores[p] = query . key(p), of `count` positions rounded up to 16.
template <int kVectors, class Positions>
void score(const float* query, int count, const Positions& past, float* scores) {
  Floats q[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; v++) q[v] = load(query + v * kLanes);
  for (int index = 0; index * kLanes < count; index++) {
    const auto block = past.block(index);
    const int here = in_block(index, count);
    Floats products[kLanes];
    for (int i = 0; i < here; i++) {
      const auto* key = block.key(i, kVectors * kLanes);
      Floats product = q[0] * load(key);
#pragma GCC unroll 8
      for (int v = 1; v < kVectors; v++) product = multiply_add(q[v], load(key + v * kLanes), product);
      products[i] = product;
    }
    for (int i = here; i < kLanes; i++) products[i] = splat(0.0f);
    store(scores + index * kLanes, sums(products));
  }
}

// out = the sum over p of weights[p] value(p), of kVectors * 16 numbers that begin at number `first`
// of a value. Two chains of additions hide the latency of one.
template <int kVectors, class Positions>
void average(const float* weights, int count, const Positions& past, int width, int first,
             float* out) {
  Floats even[kVectors] = {}, odd[kVectors] = {};
  const int offset = kLanes * width + first;
  for (int index = 0; index * kLanes < count; index++) {
    const auto block = past.block(index);
    const int here = in_block(index, count);
    const float* weight = weights + index * kLanes;
    int i = 0;
    for (; i + 2 <= here; i += 2) {
      const auto* value = block.key(i, width) + offset;
      const auto* next = block.key(i + 1, width) + offset;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) {
        even[v] = multiply_add(load(value + v * kLanes), splat(weight[i]), even[v]);
        odd[v] = multiply_add(load(next + v * kLanes), splat(weight[i + 1]), odd[v]);
      }
    }
    if (i < here) {
      const auto* value = block.key(i, width) + offset;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; v++) {
        even[v] = multiply_add(load(value + v * kLanes), splat(weight[i]), even[v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; v++) store(out + first + v * kLanes, even[v] + odd[v]);
}

// `query` and `out` are kVectors * 16 wide; `scores` has room for `count`, rounded up to 16.
template <int kVectors, class Positions>
void attend_fixed(const float* query, int count, const Positions& past, float* scores, float* out) {
  score<kVectors>(query, count, past, scores);
  softmax(scores, count);
  // At a time, as much as half of the registers hold.
  constexpr int kMost = kNumRegisters * kRegisterLanes / (4 * kLanes);
  constexpr int kPart = kVectors < kMost ? kVectors : kMost;
  for (int v = 0; v < kVectors; v += kPart) {
    average<kPart>(scores, count, past, kVectors * kLanes, v * kLanes, out);
  }
}

// Any width, slowly.
template <class Positions>
void attend_any(int width, const float* query, int count, const Positions& past, float* scores,
                float* out) {
  for (int p = 0; p < count; p++) {
    const auto* key = past.block(p / kLanes).key(p % kLanes, width);
    Floats product = splat(0.0f);
    for (int v = 0; v < width; v += kLanes) {
      product = multiply_add(load(query + v), load(key + v), product);
    }
    scores[p] = sum(product);
  }
  softmax(scores, count);
  for (int v = 0; v < width; v += kLanes) {
    Floats total = splat(0.0f);
    for (int p = 0; p < count; p++) {
      const auto* value = past.block(p / kLanes).key(p % kLanes, width) + kLanes * width;
      total = multiply_add(load(value + v), splat(scores[p]), total);
    }
    store(out + v, total);
  }
}

template <class Positions>
void attend(int width, const float* query, int count, const Positions& past, float* scores,
            float* out) {
  switch (width / kLanes) {
    case 1:
      return attend_fixed<1>(query, count, past, scores, out);
    case 2:
      return attend_fixed<2>(query, count, past, scores, out);
    case 4:
      return attend_fixed<4>(query, count, past, scores, out);
    case 8:
      return attend_fixed<8>(query, count, past, scores, out);
    default:
      return attend_any(width, query, count, past, scores, out);
  }
}

// Copies one head out of a projected row, times `factor`, zeros behind it.
template <class T>
void copy_head(const float* from, int head_dim, int width, float factor, T* to) {
  int d = 0;
  for (; d + kLanes <= head_dim; d += kLanes) store(to + d, load(from + d) * factor);
  if (d < head_dim) {
    store(to + d, load_partial(from + d, head_dim - d, 0.0f) * factor);
    d += kLanes;
  }
  for (; d < width; d += kLanes) store(to + d, splat(0.0f));
}

}  // namespace polyhead
