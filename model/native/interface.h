// What Python calls: plain C types, the same layout as the ctypes structures in binding.py.
#pragma once

#include <cstdint>

extern "C" {

struct PhModelConfig {
  std::int32_t precision;  // 0 float32, 1 bfloat16, 2 int8
  std::int32_t src_vocab_size, tgt_vocab_size, d_model, d_ff, num_heads;
  std::int32_t num_encoder_layers, num_decoder_layers, max_positions;
  std::int32_t pre_norm;    // 1, or 0 for post-norm
  std::int32_t activation;  // 1 ReLU, 2 GELU, 3 SiLU
  std::int32_t bos_id, eos_id;
  std::int32_t num_threads;  // that compute together when one runner works alone
  float embedding_scale, layer_norm_eps;
};

struct PhSequence {
  std::int64_t id;
  const std::int32_t* source;  // token ids
  const std::int32_t* slots;   // beam_size of them
  std::int32_t source_len, beam_size, max_new_tokens, num_hypotheses;
  std::int32_t no_repeat_ngram_size;  // 0: off
  double length_penalty, repetition_penalty;
};

struct PhHypothesis {
  std::int64_t id;            // of the sequence; its hypotheses come best first, side by side
  const std::int32_t* tokens;  // without the end token; valid until the next call
  std::int32_t num_tokens;
  std::int32_t stopped;  // 1: the end token; 0: the limit
  double score, log_prob;
};

struct PhOutcome {
  const PhHypothesis* hypotheses;
  std::int32_t num_hypotheses;
  std::int32_t steps;
  std::int64_t rows;              // summed over the steps
  double encode_seconds;          // of the newcomers
  double first_step_seconds;      // of the first decode step, projection and search included
  double decode_seconds;          // of all of them
  std::int32_t error;             // 0; 1: numbers that are not finite; 2: out of memory
};
}
