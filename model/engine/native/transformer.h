// The Transformer of "Attention Is All You Need", for inference: what one encoding and one decode
// step compute. Everything is float32 but the products, which have the model's precision.
#pragma once

#include <algorithm>
#include <vector>

#include "attention.h"
#include "kv_cache.h"
#include "product.h"
#include "model.h"

namespace polyhead {

// One row of a decode step: a live hypothesis and the token it reads.
struct Row {
  int token, position, slot;
  int source_slot, source_len;
  // For each position, this one included, the slot that holds its keys and values, or the state
  // behind it; nullptr: its own.
  const std::int32_t* ancestors;
  float* attention;  // source_len numbers, to which the alignment heads' weights are added; or nullptr
};

// The scratch memory of one thread, and the computations in it. T: what the cache stores.
template <class T>
class Network {
 public:
  Network(const Model& model, Cache<T>& cache) : model_(model), cache_(cache) {
    const auto positions = static_cast<std::size_t>(round_up(model.config.max_positions, kLanes));
    scores_.reserve(positions);
    query_.reserve(static_cast<std::size_t>(model.head_width));
    attended_head_.reserve(static_cast<std::size_t>(model.head_width));
    normed_.reserve(static_cast<std::size_t>(round_up(
        model.config.d_model > model.config.d_ff ? model.config.d_model : model.config.d_ff, kLanes)));
  }

  // Encodes `num_sources` sources, packed one behind the other, and fills their cross-attention
  // entries in the cache.
  void encode(const std::int32_t* tokens, const std::int32_t* lengths, const std::int32_t* slots,
              int num_sources) {
    int rows = 0;
    for (int i = 0; i < num_sources; i++) rows += lengths[i];
    reserve(rows);
    int row = 0;
    for (int i = 0; i < num_sources; i++) {
      for (int p = 0; p < lengths[i]; p++, row++) embed(model_.source, tokens[row], p, row);
    }
    for (const EncoderLayer& layer : model_.encoder) encode_layer(layer, lengths, num_sources, rows);
    if (model_.encoder_norm.gain != nullptr) normalise(model_.encoder_norm, rows);
    fill_cross(lengths, slots, num_sources, rows);
  }

  // Feeds each row's token; leaves the last layer's output, ready for the projection, in `operand`.
  void decode(const std::vector<Row>& rows) {
    const int count = static_cast<int>(rows.size());
    reserve(count);
    for (int i = 0; i < count; i++) embed(model_.target, rows[i].token, rows[i].position, i);
    for (std::size_t i = 0; i < model_.decoder.size(); i++) {
      decode_layer(model_.decoder[i], static_cast<int>(i), rows);
    }
    if (model_.decoder_norm.gain != nullptr) normalise(model_.decoder_norm, count);
    prepare(x_.data(), width(), count, model_.config.d_model);
  }
  const OperandBuffer& operand() const { return operand_; }

  Team* team = nullptr;  // who helps with products just now

 private:
  std::size_t width() const { return static_cast<std::size_t>(model_.row_width); }
  float* row(int index) const { return x_.data() + width() * static_cast<std::size_t>(index); }

  void reserve(int rows) {
    const auto count = static_cast<std::size_t>(rows);
    const PhModelConfig& config = model_.config;
    const int inner = std::max(config.d_ff, config.d_average);
    x_.reserve(count * width());
    attended_.reserve(count * width());
    wide_stride_ = static_cast<std::size_t>(round_up(std::max(inner, 3 * config.d_model), kLanes));
    wide_.reserve(count * wide_stride_);
    operand_.reserve(model_.precision, rows, std::max(inner, config.d_model));
    if (model_.kind == DecoderKind::kAverageAttention) gate_.reserve(count * width());
  }

  void embed(const Embedding& embedding, int token, int position, int index) {
    const int d_model = model_.config.d_model;
    const float* positions =
        embedding.positions + static_cast<std::size_t>(position) * static_cast<std::size_t>(d_model);
    float* x = row(index);
    embedding.tokens->unpack(token, x);
    clear_tail(x);
    const Floats scale = splat(model_.config.embedding_scale);
    for (int d = 0; d < d_model; d += kLanes) {
      store(x + d, multiply_add(load(x + d), scale, load_up_to(positions + d, d_model - d)));
    }
    if (embedding.norm.gain != nullptr) normalise_row(embedding.norm, x, x);
  }

  // LayerNorm of one row; what lies behind d_model is zero before and after.
  void normalise_row(const LayerNorm& norm, const float* from, float* to) const {
    const int d_model = model_.config.d_model;
    const float count = static_cast<float>(d_model);
    Floats total = splat(0.0f);
    for (int d = 0; d < model_.row_width; d += kLanes) total += load(from + d);
    const float mean = sum(total) / count;
    Floats squares = splat(0.0f);
    int d = 0;
    for (; d + kLanes <= d_model; d += kLanes) {
      const Floats centred = load(from + d) - mean;
      squares = multiply_add(centred, centred, squares);
    }
    if (d < d_model) {
      const Floats centred = load_partial(from + d, d_model - d, mean) - mean;
      squares = multiply_add(centred, centred, squares);
    }
    const float scale = 1.0f / std::sqrt(sum(squares) / count + model_.config.layer_norm_eps);
    for (d = 0; d < model_.row_width; d += kLanes) {
      store(to + d, multiply_add((load(from + d) - mean) * scale, load(norm.gain + d),
                                 load(norm.bias + d)));
    }
  }
  void normalise(const LayerNorm& norm, int rows) {
    for (int i = 0; i < rows; i++) normalise_row(norm, row(i), row(i));
  }

  void prepare(const float* from, std::size_t stride, int rows, int columns) {
    for (int i = 0; i < rows; i++) {
      prepare_row(model_.precision, from + stride * static_cast<std::size_t>(i), columns, operand_, i);
    }
  }
  // What a sub-layer reads: the rows themselves (post-norm), or normalised (pre-norm).
  void begin(const LayerNorm& norm, int rows) {
    if (!model_.config.pre_norm) return prepare(x_.data(), width(), rows, model_.config.d_model);
    for (int i = 0; i < rows; i++) {
      normalise_row(norm, row(i), normed_.data());
      prepare_row(model_.precision, normed_.data(), model_.config.d_model, operand_, i);
    }
  }
  // The end of a sub-layer: project, add to the rows, normalise (post-norm).
  void finish(const Linear& linear, const LayerNorm& norm, int rows) {
    apply(linear, operand_.operand(), rows, x_.data(), width(), team, Activation::kNone, true);
    if (!model_.config.pre_norm) normalise(norm, rows);
  }
  void wide_product(const Linear& linear, int rows, Activation activation = Activation::kNone) {
    apply(linear, operand_.operand(), rows, wide_.data(), wide_stride_, team, activation);
  }
  void feed_forward(const LayerNorm& norm, const Linear& inner, const Linear& outer, int rows) {
    begin(norm, rows);
    wide_product(inner, rows, static_cast<Activation>(model_.config.activation));
    prepare(wide_.data(), wide_stride_, rows, model_.config.d_ff);
    finish(outer, norm, rows);
  }

  void encode_layer(const EncoderLayer& layer, const std::int32_t* lengths, int num_sources,
                    int rows) {
    begin(layer.self_norm, rows);
    wide_product(layer.self_qkv, rows);
    int first = 0;
    for (int i = 0; i < num_sources; i++) {
      attend_source(first, lengths[i]);
      first += lengths[i];
    }
    prepare(attended_.data(), width(), rows, model_.config.d_model);
    finish(layer.self_out, layer.self_norm, rows);
    feed_forward(layer.feed_forward_norm, layer.inner, layer.outer, rows);
  }

  // Self-attention within one source, whose projected rows begin at `first`.
  void attend_source(int first, int length) {
    const auto block = static_cast<std::size_t>(2 * kLanes * model_.head_width);
    source_block_.reserve(block * static_cast<std::size_t>((length + kLanes - 1) / kLanes));
    const Contiguous<float> past{source_block_.data(), block};
    const float* projected = wide_.data() + wide_stride_ * static_cast<std::size_t>(first);
    const auto d_model = static_cast<std::size_t>(model_.config.d_model);
    for (int head = 0; head < model_.config.num_heads; head++) {
      const auto column = static_cast<std::size_t>(head * model_.head_dim);
      for (int p = 0; p < length; p++) {
        const float* from = projected + wide_stride_ * static_cast<std::size_t>(p) + column;
        write_head(from + d_model, from + 2 * d_model,
                   source_block_.data() + static_cast<std::size_t>(p / kLanes) * block +
                       static_cast<std::size_t>(p % kLanes * model_.head_width));
      }
      for (int p = 0; p < length; p++) {
        const float* query = projected + wide_stride_ * static_cast<std::size_t>(p) + column;
        attend_head(query, length, past, attended_row(first + p) + column);
      }
    }
    for (int p = 0; p < length; p++) clear_tail(attended_row(first + p));
  }
  template <class U>
  void write_head(const float* key, const float* value, U* to) const {
    copy_head(key, model_.head_dim, model_.head_width, 1.0f, to);
    copy_head(value, model_.head_dim, model_.head_width, 1.0f, to + kLanes * model_.head_width);
  }
  template <class Positions>
  void attend_head(const float* query, int count, const Positions& past, float* out) {
    copy_head(query, model_.head_dim, model_.head_width,
              1.0f / std::sqrt(static_cast<float>(model_.head_dim)), query_.data());
    attend(model_.head_width, query_.data(), count, past, scores_.data(), attended_head_.data());
    std::memcpy(out, attended_head_.data(), sizeof(float) * static_cast<std::size_t>(model_.head_dim));
  }
  float* attended_row(int index) const {
    return attended_.data() + width() * static_cast<std::size_t>(index);
  }
  void clear_tail(float* values) const {
    for (int d = model_.config.d_model; d < model_.row_width; d++) values[d] = 0.0f;
  }

  // Keys and values of all decoder layers from the encoder's output, one product for each layer.
  void fill_cross(const std::int32_t* lengths, const std::int32_t* slots, int num_sources, int rows) {
    prepare(x_.data(), width(), rows, model_.config.d_model);
    const auto d_model = static_cast<std::size_t>(model_.config.d_model);
    const auto stride = static_cast<std::size_t>(model_.cross_keys_values.num_panels) * kLanes;
    cross_.reserve(static_cast<std::size_t>(rows) * stride);
    apply(model_.cross_keys_values, operand_.operand(), rows, cross_.data(), stride, team);
    for (std::size_t layer = 0; layer < model_.decoder.size(); layer++) {
      int row = 0;
      for (int i = 0; i < num_sources; i++) {
        T* entry = cache_.cross(static_cast<int>(layer), slots[i]);
        for (int p = 0; p < lengths[i]; p++, row++) {
          const float* from =
              cross_.data() + stride * static_cast<std::size_t>(row) + 2 * layer * d_model;
          write_position(entry, p, from, from + d_model);
        }
      }
    }
  }
  void write_position(T* entry, int position, const float* keys, const float* values) {
    T* block = entry + cache_.block_stride * static_cast<std::size_t>(position / kLanes) +
               static_cast<std::size_t>(position % kLanes * model_.head_width);
    for (int head = 0; head < model_.config.num_heads; head++) {
      const auto column = static_cast<std::size_t>(head * model_.head_dim);
      write_head(keys + column, values + column,
                 block + cache_.head_stride * static_cast<std::size_t>(head));
    }
  }

  void decode_layer(const DecoderLayer& layer, int index, const std::vector<Row>& rows) {
    const int count = static_cast<int>(rows.size());
    switch (model_.kind) {
      case DecoderKind::kAttention:
        attend_to_past(layer, index, rows);
        break;
      case DecoderKind::kSsru:
        recur(layer, index, rows);
        break;
      case DecoderKind::kAverageAttention:
        average_past(layer, index, rows);
    }
    begin(layer.cross_norm, count);
    wide_product(layer.cross_query, count);
    attend_cross(index, rows);
    prepare(attended_.data(), width(), count, model_.config.d_model);
    finish(layer.cross_out, layer.cross_norm, count);

    feed_forward(layer.feed_forward_norm, layer.inner, layer.outer, count);
  }

  void attend_to_past(const DecoderLayer& layer, int index, const std::vector<Row>& rows) {
    const int count = static_cast<int>(rows.size());
    begin(layer.past_norm, count);
    wide_product(layer.self_qkv, count);
    attend_past(index, rows);
    prepare(attended_.data(), width(), count, model_.config.d_model);
    finish(layer.self_out, layer.past_norm, count);
  }

  // SSRU: c = f c' + (1 - f) u with the state c' behind the position before; the layer adds relu(c).
  void recur(const DecoderLayer& layer, int index, const std::vector<Row>& rows) {
    const int count = static_cast<int>(rows.size()), d_model = model_.config.d_model;
    begin(layer.past_norm, count);
    wide_product(layer.ssru, count);
    for (int i = 0; i < count; i++) {
      const Row& each = rows[static_cast<std::size_t>(i)];
      const float* update = wide_.data() + wide_stride_ * static_cast<std::size_t>(i);
      const float *forget = update + d_model, *past = state_before(index, each);
      float *state = cache_.state(index, each.slot, each.position), *x = row(i);
      for (int d = 0; d < d_model; d += kLanes) {
        const Floats u = load_up_to(update + d, d_model - d);
        const Floats f = sigmoid(load_up_to(forget + d, d_model - d));
        const Floats c = multiply_add(f, (past == nullptr ? Floats{} : load(past + d)) - u, u);
        store(state + d, c);
        store(x + d, load(x + d) + maximum(Floats{}, c));
      }
    }
    if (!model_.config.pre_norm) normalise(layer.past_norm, count);
  }

  // Average attention: see AverageAttention in model/network/recurrence.py. The state is the sum.
  void average_past(const DecoderLayer& layer, int index, const std::vector<Row>& rows) {
    const int count = static_cast<int>(rows.size()), d_model = model_.config.d_model;
    prepare(x_.data(), width(), count, d_model);
    apply(layer.input_gate, operand_.operand(), count, gate_.data(), width(), team);
    for (int i = 0; i < count; i++) {
      const Row& each = rows[static_cast<std::size_t>(i)];
      const float* past = state_before(index, each);
      float *total = cache_.state(index, each.slot, each.position), *mean = attended_row(i);
      for (int d = 0; d < d_model; d += kLanes) {
        const Floats x = load(row(i) + d);
        const Floats added = past == nullptr ? x : load(past + d) + x;
        store(total + d, added);
        store(mean + d, added / static_cast<float>(each.position + 1));
      }
      if (model_.config.pre_norm) normalise_row(layer.past_norm, mean, mean);
    }
    prepare(attended_.data(), width(), count, d_model);
    if (model_.config.d_average > 0) {
      wide_product(layer.average_inner, count, Activation::kSilu);
      prepare(wide_.data(), wide_stride_, count, model_.config.d_average);
      apply(layer.average_outer, operand_.operand(), count, attended_.data(), width(), team);
      prepare(attended_.data(), width(), count, d_model);
    }
    wide_product(layer.forget_gate, count);
    for (int i = 0; i < count; i++) {
      const auto at = static_cast<std::size_t>(i);
      const float *input_gate = gate_.data() + width() * at, *mean = attended_row(i);
      const float* forget_gate = wide_.data() + wide_stride_ * at;
      float* x = row(i);
      for (int d = 0; d < d_model; d += kLanes) {
        const Floats own = load(x + d), forget = load_up_to(forget_gate + d, d_model - d);
        const Floats y = multiply_add(sigmoid(load(input_gate + d)), own, own);
        store(x + d, multiply_add(sigmoid(forget), load(mean + d), y));
      }
    }
    if (!model_.config.pre_norm) normalise(layer.past_norm, count);
  }
  // Behind the position before, of the hypothesis that a row continues; nullptr: it is the first.
  const float* state_before(int layer, const Row& row) const {
    if (row.position == 0) return nullptr;
    const int before = row.position - 1;
    return cache_.state(layer, row.ancestors == nullptr ? row.slot : row.ancestors[before], before);
  }

  void attend_past(int layer, const std::vector<Row>& rows) {
    const auto d_model = static_cast<std::size_t>(model_.config.d_model);
    // All rows are written before any is read: the beams of a source read each other's past.
    for (std::size_t i = 0; i < rows.size(); i++) {
      const float* projected = wide_.data() + wide_stride_ * i;
      write_position(cache_.self(layer, rows[i].slot), rows[i].position, projected + d_model,
                     projected + 2 * d_model);
    }
    for_each_source(rows, [&](std::size_t first, std::size_t last) {
      const int count = rows[first].position + 1;
      if (rows[first].ancestors == nullptr) {
        const T* own = cache_.self(layer, rows[first].slot);
        return attend_rows(first, last, count,
                           [&](std::size_t) { return Contiguous<T>{own, cache_.block_stride}; });
      }
      attend_rows(first, last, count, [&](std::size_t i) {
        return Scattered<T>{cache_.self(layer, 0), cache_.slot_stride, cache_.block_stride,
                            rows[i].ancestors};
      });
    });
  }
  void attend_cross(int layer, const std::vector<Row>& rows) {
    const std::vector<bool>& aligns = model_.decoder[static_cast<std::size_t>(layer)].aligns;
    for_each_source(rows, [&](std::size_t first, std::size_t last) {
      const T* source = cache_.cross(layer, rows[first].source_slot);
      const auto past_of = [&](std::size_t) { return Contiguous<T>{source, cache_.block_stride}; };
      const int count = rows[first].source_len;
      if (rows[first].attention == nullptr) return attend_rows(first, last, count, past_of);
      attend_rows(first, last, count, past_of, [&](int head, std::size_t i) {
        if (aligns[static_cast<std::size_t>(head)]) add(scores_.data(), count, rows[i].attention);
      });
    });
  }
  static void add(const float* weights, int count, float* total) {
    for (int p = 0; p < count; p++) total[p] += weights[p];
  }
  // Calls with the first and behind the last row of each source: its beams stand side by side.
  template <class Visit>
  static void for_each_source(const std::vector<Row>& rows, Visit visit) {
    for (std::size_t first = 0, last = 0; first < rows.size(); first = last) {
      while (last < rows.size() && rows[last].source_slot == rows[first].source_slot) last++;
      visit(first, last);
    }
  }
  // The beams of a source read much the same: head by head, what one has read is in the first-level
  // cache for the next. A row's query is at the start of its projection. `weighed` is called with a head
  // and a row while `scores_` are its weights.
  template <class PastOf>
  void attend_rows(std::size_t first, std::size_t last, int count, PastOf past_of) {
    attend_rows(first, last, count, past_of, [](int, std::size_t) {});
  }
  template <class PastOf, class Weighed>
  void attend_rows(std::size_t first, std::size_t last, int count, PastOf past_of,
                   Weighed weighed) {
    for (int head = 0; head < model_.config.num_heads; head++) {
      const auto column = static_cast<std::size_t>(head * model_.head_dim);
      for (std::size_t i = first; i < last; i++) {
        auto past = past_of(i);
        past.skip(cache_.head_stride * static_cast<std::size_t>(head));
        attend_head(wide_.data() + wide_stride_ * i + column, count, past,
                    attended_row(static_cast<int>(i)) + column);
        weighed(head, i);
      }
    }
    for (std::size_t i = first; i < last; i++) clear_tail(attended_row(static_cast<int>(i)));
  }

  const Model& model_;
  Cache<T>& cache_;
  Buffer<float> x_, attended_, wide_, gate_, cross_;            // of all rows
  Buffer<float> query_, attended_head_, scores_, normed_;       // of one row
  Buffer<float> source_block_;                                  // keys, values of one source's head
  OperandBuffer operand_;
  std::size_t wide_stride_ = 0;
};

}  // namespace polyhead
