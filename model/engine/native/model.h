// The weights of an encoder-decoder Transformer, set one by one under their names.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "interface.h"
#include "product.h"
#include "team.h"

namespace polyhead {

struct LayerNorm {
  const float* gain = nullptr;  // padded with zeros to a multiple of 16, as is `bias`
  const float* bias = nullptr;
};

struct EncoderLayer {
  LayerNorm self_norm, feed_forward_norm;
  Linear self_qkv, self_out, inner, outer;
};

enum class DecoderKind { kAttention = 0, kSsru = 1, kAverageAttention = 2 };

struct DecoderLayer {
  LayerNorm past_norm, cross_norm, feed_forward_norm;
  // What reads the target's past: of these, those of the decoder's kind.
  Linear self_qkv, self_out;
  Linear ssru;  // what goes in, and the gate
  Linear average_inner, average_outer, input_gate, forget_gate;
  Linear cross_query, cross_out, inner, outer;
  std::vector<bool> aligns;  // each head of cross-attention
};

struct Embedding {
  const Linear* tokens = nullptr;    // (V, D); perhaps the projection, or the other side's
  const float* positions = nullptr;  // (max_positions, D), the caller's, offset applied
  LayerNorm norm;
};

class Model {
 public:
  explicit Model(const PhModelConfig& shape)
      : config(shape),
        precision(static_cast<Precision>(shape.precision)),
        kind(static_cast<DecoderKind>(shape.decoder_kind)),
        head_dim(shape.d_model / shape.num_heads),
        head_width(round_up(head_dim, kLanes)),
        row_width(round_up(shape.d_model, kLanes)),
        encoder(static_cast<std::size_t>(shape.num_encoder_layers)),
        decoder(static_cast<std::size_t>(shape.num_decoder_layers)),
        team(Team::of_process(shape.num_threads - 1)) {
    const int d_model = shape.d_model, d_ff = shape.d_ff;
    for (std::size_t i = 0; i < encoder.size(); i++) {
      EncoderLayer& layer = encoder[i];
      name("encoder." + std::to_string(i) + ".",
           {{"self_qkv", {&layer.self_qkv, 3 * d_model, d_model}},
            {"self_out", {&layer.self_out, d_model, d_model}},
            {"inner", {&layer.inner, d_ff, d_model}},
            {"outer", {&layer.outer, d_model, d_ff}}},
           {{"self_norm", &layer.self_norm}, {"feed_forward_norm", &layer.feed_forward_norm}});
    }
    for (std::size_t i = 0; i < decoder.size(); i++) {
      DecoderLayer& layer = decoder[i];
      layer.aligns.resize(static_cast<std::size_t>(shape.num_heads));
      const std::string prefix = "decoder." + std::to_string(i) + ".";
      name_past(prefix, layer);
      name(prefix,
           {{"cross_query", {&layer.cross_query, d_model, d_model}},
            {"cross_out", {&layer.cross_out, d_model, d_model}},
            {"inner", {&layer.inner, d_ff, d_model}},
            {"outer", {&layer.outer, d_model, d_ff}}},
           {{"past_norm", &layer.past_norm}, {"cross_norm", &layer.cross_norm},
            {"feed_forward_norm", &layer.feed_forward_norm}});
    }
    name("",
         {{"cross_keys_values", {&cross_keys_values, 2 * shape.num_decoder_layers * d_model, d_model}},
          {"projection", {&projection, shape.tgt_vocab_size, d_model}}},
         {});
    target.tokens = &projection;
    if (!shape.tied_projection) target.tokens = name_tokens("target_tokens", shape.tgt_vocab_size);
    source.tokens = target.tokens;
    if (!shape.shared_embeddings) source.tokens = name_tokens("source_tokens", shape.src_vocab_size);
    optional_norms_ = {{"encoder_norm", &encoder_norm}, {"decoder_norm", &decoder_norm},
                       {"source_embedding_norm", &source.norm},
                       {"target_embedding_norm", &target.norm}};
  }

  PhStatus set_linear(const char* name, const float* weight, const float* bias, int outputs,
                      int inputs) {
    const auto found = linears_.find(name);
    if (found == linears_.end()) return kPhUnknownName;
    const NamedLinear& known = found->second;
    if (outputs != known.outputs || inputs != known.inputs) return kPhBadShape;
    known.linear->pack(arena, precision, weight, bias, outputs, inputs);
    return kPhOk;
  }
  PhStatus set_norm(const char* name, const float* gain, const float* bias) {
    for (const auto* norms : {&norms_, &optional_norms_}) {
      const auto found = norms->find(name);
      if (found == norms->end()) continue;
      *found->second = {padded(gain), padded(bias)};
      return kPhOk;
    }
    return kPhUnknownName;
  }
  PhStatus set_alignment_heads(const std::int32_t* pairs, int count) {
    for (int i = 0; i < count; i++) {
      const std::int32_t layer = pairs[2 * i], head = pairs[2 * i + 1];
      if (layer < 0 || layer >= config.num_decoder_layers) return kPhBadShape;
      if (head < 0 || head >= config.num_heads) return kPhBadShape;
      decoder[static_cast<std::size_t>(layer)].aligns[static_cast<std::size_t>(head)] = true;
    }
    return kPhOk;
  }
  // What has not been set: a name, or nullptr.
  const char* missing() const {
    for (const auto& [name, known] : linears_) {
      if (known.linear->lines == nullptr) return name.c_str();
    }
    for (const auto& [name, norm] : norms_) {
      if (norm->gain == nullptr) return name.c_str();
    }
    return source.positions == nullptr || target.positions == nullptr ? "positions" : nullptr;
  }

  const PhModelConfig config;
  const Precision precision;  // of the products, and of the embeddings
  const DecoderKind kind;
  const int head_dim, head_width, row_width;  // `width`: with zeros up to a multiple of 16
  Arena arena;
  Embedding source, target;
  std::vector<EncoderLayer> encoder;
  std::vector<DecoderLayer> decoder;
  LayerNorm encoder_norm, decoder_norm;  // without gain: absent
  Linear cross_keys_values;              // of all decoder layers: [layer][keys, values][D]
  Linear projection;
  const std::shared_ptr<Team> team;

 private:
  struct NamedLinear {
    Linear* linear;
    int outputs, inputs;
  };

  void name(const std::string& prefix,
            std::initializer_list<std::pair<const char*, NamedLinear>> linears,
            std::initializer_list<std::pair<const char*, LayerNorm*>> norms) {
    for (const auto& [suffix, linear] : linears) linears_[prefix + suffix] = linear;
    for (const auto& [suffix, norm] : norms) norms_[prefix + suffix] = norm;
  }
  void name_past(const std::string& prefix, DecoderLayer& layer) {
    const int d_model = config.d_model, d_average = config.d_average;
    switch (kind) {
      case DecoderKind::kAttention:
        return name(prefix,
                    {{"self_qkv", {&layer.self_qkv, 3 * d_model, d_model}},
                     {"self_out", {&layer.self_out, d_model, d_model}}},
                    {});
      case DecoderKind::kSsru:
        return name(prefix, {{"ssru", {&layer.ssru, 2 * d_model, d_model}}}, {});
      case DecoderKind::kAverageAttention:
        if (d_average > 0) {
          name(prefix,
               {{"average_inner", {&layer.average_inner, d_average, d_model}},
                {"average_outer", {&layer.average_outer, d_model, d_average}}},
               {});
        }
        return name(prefix,
                    {{"input_gate", {&layer.input_gate, d_model, d_model}},
                     {"forget_gate", {&layer.forget_gate, d_model, d_model}}},
                    {});
    }
  }
  const Linear* name_tokens(const char* name, int vocab_size) {
    own_tokens_.push_back(std::make_unique<Linear>());
    linears_[name] = {own_tokens_.back().get(), vocab_size, config.d_model};
    return own_tokens_.back().get();
  }
  const float* padded(const float* values) {
    float* copy = arena.allocate<float>(static_cast<std::size_t>(row_width));
    std::memcpy(copy, values, sizeof(float) * static_cast<std::size_t>(config.d_model));
    return copy;
  }

  std::vector<std::unique_ptr<Linear>> own_tokens_;
  std::unordered_map<std::string, NamedLinear> linears_;
  std::unordered_map<std::string, LayerNorm*> norms_, optional_norms_;
};

}  // namespace polyhead
