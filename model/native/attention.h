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

// Positions whose blocks follow each other at a fixed distance.
template <class T>
struct Contiguous {
  const T* first;  // the key of position 0
  std::size_t block_stride;
  int width;
  const T* key(int p) const {
    return first + static_cast<std::size_t>(p / kLanes) * block_stride +
           static_cast<std::size_t>(p % kLanes * width);
  }
  void skip(std::size_t numbers) { first += numbers; }
};

// Positions that were written by different slots: the past of a beam.
template <class T>
struct Scattered {
  const T* base;  // the key of position 0 in slot 0
  std::size_t slot_stride, block_stride;
  int width;
  const std::int32_t* slots;  // of each position
  const T* key(int p) const {
    return base + static_cast<std::size_t>(slots[p]) * slot_stride +
           static_cast<std::size_t>(p / kLanes) * block_stride +
           static_cast<std::size_t>(p % kLanes * width);
  }
  void skip(std::size_t numbers) { base += numbers; }
};

// `query` and `out` are kVectors * 16 wide; `scores` has room for `count`, rounded up to 16.
template <int kVectors, class Positions>
void attend_fixed(const float* query, int count, const Positions& past, float* scores, float* out) {
  Floats q[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; v++) q[v] = load(query + v * kLanes);
  for (int first = 0; first < count; first += kLanes) {
    Floats products[kLanes] = {};
    const int here = count - first < kLanes ? count - first : kLanes;
    for (int i = 0; i < here; i++) {
      const auto* key = past.key(first + i);
      Floats product = q[0] * load(key);
#pragma GCC unroll 8
      for (int v = 1; v < kVectors; v++) product += q[v] * load(key + v * kLanes);
      products[i] = product;
    }
    store(scores + first, sums(products));
  }
  softmax(scores, count);
  // Two chains of additions hide the latency of one.
  Floats even[kVectors] = {}, odd[kVectors] = {};
  const int value_offset = kLanes * kVectors * kLanes;
  int p = 0;
  for (; p + 2 <= count; p += 2) {
    const auto* first = past.key(p) + value_offset;
    const auto* second = past.key(p + 1) + value_offset;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) {
      even[v] += load(first + v * kLanes) * scores[p];
      odd[v] += load(second + v * kLanes) * scores[p + 1];
    }
  }
  if (p < count) {
    const auto* last = past.key(p) + value_offset;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) even[v] += load(last + v * kLanes) * scores[p];
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; v++) store(out + v * kLanes, even[v] + odd[v]);
}

// Any width, slowly.
template <class Positions>
void attend_any(int width, const float* query, int count, const Positions& past, float* scores,
                float* out) {
  for (int p = 0; p < count; p++) {
    Floats product = splat(0.0f);
    for (int v = 0; v < width; v += kLanes) product += load(query + v) * load(past.key(p) + v);
    scores[p] = sum(product);
  }
  softmax(scores, count);
  for (int v = 0; v < width; v += kLanes) {
    Floats total = splat(0.0f);
    for (int p = 0; p < count; p++) {
      total += load(past.key(p) + kLanes * width + v) * scores[p];
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
