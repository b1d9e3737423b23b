// Whole numbers from -127 to 127 for products in int8 while a model is trained, and back from their
// sums. Matrices are (rows, columns) without gaps; columns are a multiple of 16.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "linear.h"
#include "simd.h"

namespace polyhead {

// Uniform numbers of [0, 1), a stream for each lane: xorshift (Marsaglia, 2003).
class Uniform {
 public:
  explicit Uniform(std::uint64_t seed) {
    std::int32_t lanes[kLanes];
    for (auto& lane : lanes) {  // splitmix64 (Steele et al., 2014)
      std::uint64_t z = (seed += 0x9e3779b97f4a7c15);
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      lane = static_cast<std::int32_t>(z >> 32 | 1);  // never zero, where xorshift would stay
    }
    std::memcpy(&state_, lanes, sizeof lanes);
  }
  PH_INLINE Floats next() {
    state_ = state_ ^ state_ << 13;
    state_ = state_ ^ ((state_ >> 17) & 0x7fff);
    state_ = state_ ^ state_ << 5;
    return as_floats((state_ & 0x7fffff) | 0x3f800000) - 1.0f;
  }

 private:
  Ints state_;
};

// A whole number next to x that is x in the mean.
PH_INLINE Floats at_random(Floats x, Uniform& uniform) {
  const Floats whole = to_nearest(x + (uniform.next() - 0.5f));
  return maximum(minimum(whole, splat(127.0f)), splat(-127.0f));
}

// The largest magnitude, lane by lane; NaN where there was a NaN or an infinity.
struct Magnitude {
  Floats most = splat(0.0f), not_finite = splat(0.0f);
  PH_INLINE void see(Floats x) {
    most = maximum(most, absolute(x));
    not_finite += x * 0.0f;
  }
};

// One row by one scale, which is returned. `round` takes and gives Floats.
template <class Round>
float quantise_row(const float* x, std::size_t columns, Round round, std::int8_t* out) {
  Magnitude magnitude;
  for (std::size_t k = 0; k < columns; k += kLanes) magnitude.see(load(x + k));
  const float top = largest(magnitude.most) + sum(magnitude.not_finite);
  const float factor = to_whole_numbers(top);
  for (std::size_t k = 0; k < columns; k += kLanes) {
    store_bytes(out + k, to_ints(round(load(x + k) * factor)));
  }
  return top / 127.0f;
}

template <class Round>
void quantise_rows(const float* x, std::size_t rows, std::size_t columns, Round round,
                   std::int8_t* out, float* scales) {
  for (std::size_t row = 0; row < rows; row++, x += columns, out += columns) {
    scales[row] = quantise_row(x, columns, round, out);
  }
}

// Each column by its own scale, after each row was multiplied by its factor (null: 1).
template <class Round>
void quantise_columns(const float* x, const float* row_factors, std::size_t rows,
                      std::size_t columns, Round round, std::int8_t* out, float* scales) {
  constexpr std::size_t kMostLines = 8;  // of 16 columns, side by side: 512 bytes of a row
  const auto row_factor = [&](std::size_t row) { return row_factors ? row_factors[row] : 1.0f; };
  for (std::size_t first = 0; first < columns; first += kMostLines * kLanes) {
    const std::size_t lines = std::min(kMostLines, (columns - first) / kLanes);
    Magnitude magnitudes[kMostLines];
    for (std::size_t row = 0; row < rows; row++) {
      const float* from = x + row * columns + first;
      const float factor = row_factor(row);
      for (std::size_t i = 0; i < lines; i++) magnitudes[i].see(load(from + i * kLanes) * factor);
    }
    Floats factors[kMostLines];
    for (std::size_t i = 0; i < lines; i++) {
      const Floats top = magnitudes[i].most + magnitudes[i].not_finite;
      float lanes[kLanes];
      store(lanes, top);
      store(scales + first + i * kLanes, top / splat(127.0f));
      for (float& lane : lanes) lane = to_whole_numbers(lane);
      factors[i] = load(lanes);
    }
    for (std::size_t row = 0; row < rows; row++) {
      const std::size_t at = row * columns + first;
      const float factor = row_factor(row);
      for (std::size_t i = 0; i < lines; i++) {
        const Floats scaled = load(x + at + i * kLanes) * factor * factors[i];
        store_bytes(out + at + i * kLanes, to_ints(round(scaled)));
      }
    }
  }
}

// Sums of products -> out = sums * row scale * column scale + bias. No row scales: 1; no bias: 0.
inline void rescale(const std::int32_t* sums, std::size_t rows, std::size_t columns,
                    const float* row_scales, const float* column_scales, const float* bias,
                    float* out) {
  for (std::size_t row = 0; row < rows; row++, sums += columns, out += columns) {
    const float row_scale = row_scales != nullptr ? row_scales[row] : 1.0f;
    for (std::size_t k = 0; k < columns; k += kLanes) {
      Ints whole;
      std::memcpy(&whole, sums + k, sizeof whole);
      const Floats scale = load(column_scales + k) * row_scale;
      const Floats start = bias != nullptr ? load(bias + k) : splat(0.0f);
      store(out + k, multiply_add(to_floats(whole), scale, start));
    }
  }
}

struct Losses {
  double smoothed = 0.0, plain = 0.0;
};

// The logits of a row -> the gradient of its smoothed cross-entropy, in place: softmax - (1 - e) *
// one_hot - e / V.
inline Losses softmax_gradient(float* logits, std::size_t vocab, std::size_t target,
                               float smoothing) {
  Floats most = splat(-INFINITY), all = splat(0.0f), total = splat(0.0f);
  for (std::size_t v = 0; v < vocab; v += kLanes) {
    const Floats x = load(logits + v);
    most = maximum(most, x);
    all += x;
  }
  const float top = largest(most), wanted = logits[target];
  for (std::size_t v = 0; v < vocab; v += kLanes) {
    const Floats weight = exponential(load(logits + v) - top);
    total += weight;
    store(logits + v, weight);
  }
  const auto size = static_cast<float>(vocab);
  const float mass = sum(total), mean = sum(all) / size;
  const Floats share = splat(1.0f / mass), spread = splat(-smoothing / size);
  for (std::size_t v = 0; v < vocab; v += kLanes) {
    store(logits + v, multiply_add(load(logits + v), share, spread));
  }
  logits[target] -= 1.0f - smoothing;
  const double normaliser = top + std::log(mass), plain = normaliser - wanted;
  return {(1.0 - smoothing) * plain + smoothing * (normaliser - mean), plain};
}

// Sums of products of hidden states and projection -> the gradient by each logit, in whole numbers
// at random with a scale for each row. Returns the sums of the losses. `logits` is room for a row.
inline Losses projection_gradient(const std::int32_t* sums, std::size_t rows, std::size_t vocab,
                                  const float* row_scales, const float* column_scales,
                                  const std::int64_t* targets, float smoothing, std::uint64_t seed,
                                  float* logits, std::int8_t* out, float* scales) {
  Uniform uniform(seed);
  const auto round = [&](Floats value) { return at_random(value, uniform); };
  Losses losses;
  for (std::size_t row = 0; row < rows; row++, sums += vocab, out += vocab) {
    rescale(sums, 1, vocab, row_scales + row, column_scales, nullptr, logits);
    const auto target = static_cast<std::size_t>(targets[row]);
    const Losses of_row = softmax_gradient(logits, vocab, target, smoothing);
    losses.smoothed += of_row.smoothed;
    losses.plain += of_row.plain;
    scales[row] = quantise_row(logits, vocab, round, out);
  }
  return losses;
}

}  // namespace polyhead
