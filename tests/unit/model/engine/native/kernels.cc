// Single kernels of the engine, for test_kernels.py.

#include <vector>

#include "attention.h"
#include "product.h"

using namespace polyhead;

namespace {

// Rows as kernels want them: zeros up to a multiple of 16.
std::vector<float> padded_rows(const float* rows, int count, int width) {
  const auto stride = static_cast<std::size_t>(round_up(width, kLanes));
  std::vector<float> padded(stride * static_cast<std::size_t>(count));
  for (int i = 0; i < count; i++) {
    std::memcpy(padded.data() + stride * static_cast<std::size_t>(i), rows + i * width,
                sizeof(float) * static_cast<std::size_t>(width));
  }
  return padded;
}

template <class T>
void attend_cached(int head_dim, const float* query, int count, const float* keys,
                   const float* values, float* out) {
  const int width = round_up(head_dim, kLanes), blocks = (count + kLanes - 1) / kLanes;
  const auto block = static_cast<std::size_t>(2 * kLanes * width);
  std::vector<T> cache(block * static_cast<std::size_t>(blocks));
  for (int p = 0; p < count; p++) {
    T* to = cache.data() + block * static_cast<std::size_t>(p / kLanes) + p % kLanes * width;
    copy_head(keys + p * head_dim, head_dim, width, 1.0f, to);
    copy_head(values + p * head_dim, head_dim, width, 1.0f, to + kLanes * width);
  }
  const std::vector<float> row = padded_rows(query, 1, head_dim);
  std::vector<float> scores(static_cast<std::size_t>(blocks * kLanes));
  std::vector<float> result(static_cast<std::size_t>(width));
  attend(width, row.data(), count, Contiguous<T>{cache.data(), block}, scores.data(),
         result.data());
  std::memcpy(out, result.data(), sizeof(float) * static_cast<std::size_t>(head_dim));
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int has_fused_multiply_add() { return kFused; }

// y (rows, outputs) = x (rows, inputs) times weight (outputs, inputs) transposed + bias; `add`: to y.
__attribute__((visibility("default"))) void product_of(int precision, int rows, int inputs,
                                                       int outputs, const float* x,
                                                       const float* weight, const float* bias,
                                                       int activation, int add, float* y) {
  Arena arena;
  Linear linear;
  linear.pack(arena, static_cast<Precision>(precision), weight, bias, outputs, inputs);
  OperandBuffer operand;
  operand.reserve(linear.precision, rows, inputs);
  const std::vector<float> from = padded_rows(x, rows, inputs);
  for (int i = 0; i < rows; i++) {
    prepare_row(linear.precision, from.data() + i * round_up(inputs, kLanes), inputs, operand, i);
  }
  std::vector<float> to = padded_rows(y, rows, outputs);
  const auto stride = static_cast<std::size_t>(round_up(outputs, kLanes));
  apply(linear, operand.operand(), rows, to.data(), stride, nullptr,
        static_cast<Activation>(activation), add != 0);
  for (int i = 0; i < rows; i++) {
    std::memcpy(y + i * outputs, to.data() + stride * static_cast<std::size_t>(i),
                sizeof(float) * static_cast<std::size_t>(outputs));
  }
}

// Of `count` positions' keys and values (count, head_dim).
__attribute__((visibility("default"))) void attention_of(int narrow, int head_dim, int count,
                                                         const float* query, const float* keys,
                                                         const float* values, float* out) {
  if (narrow != 0) return attend_cached<std::uint16_t>(head_dim, query, count, keys, values, out);
  attend_cached<float>(head_dim, query, count, keys, values, out);
}

// Of 16 numbers each: kind 0 is the exponential, others are Activations.
__attribute__((visibility("default"))) void function_of(int kind, const float* x, float* y) {
  store(y, kind == 0 ? exponential(load(x)) : smooth(load(x), static_cast<Activation>(kind)));
}
}
