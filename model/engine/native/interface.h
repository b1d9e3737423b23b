// What Python hands over and gets back: plain C types, laid out like the structures of c_interface.py.
#pragma once

#include <cstdint>

extern "C" {

// What became of a call.
enum PhStatus : std::int32_t {
  kPhOk = 0,
  kPhNotFinite = 1,    // the model's predictions are no numbers
  kPhOutOfMemory = 2,
  // Nothing was done, because of
  kPhBadSource = 3,  // a newcomer's tokens, or how many there are
  kPhBadSearch = 4,  // a newcomer's limits or penalties
  kPhBadSlots = 5,   // a newcomer's slots: not in the cache, or not free
  kPhBadId = 6,      // a newcomer's id: that of another sequence
  kPhUnknownName = 7,
  kPhBadShape = 8,  // of a weight
};

struct PhModelConfig {
  std::int32_t precision;  // 0 float32, 1 bfloat16, 2 int8
  std::int32_t src_vocab_size, tgt_vocab_size, d_model, d_ff, num_heads;
  std::int32_t num_encoder_layers, num_decoder_layers, max_positions;
  std::int32_t pre_norm;    // 1, or 0 for post-norm
  std::int32_t activation;  // 1 ReLU, 2 GELU, 3 SiLU, 4 and 5 GELU by tanh and by sigmoid
  std::int32_t decoder_kind;  // 0 self-attention, 1 SSRU, 2 average attention
  std::int32_t d_average;     // inner width of the network over the mean; 0: none
  std::int32_t shared_embeddings, tied_projection;  // 1 or 0
  std::int32_t bos_id, eos_id;
  std::int32_t num_threads;  // that compute together when one runner works alone
  float embedding_scale, layer_norm_eps;
};

// The options of GenerationConfig that are read with each sequence, in its order. Python compares
// them with its own when it loads the library.
#define PH_OPTIONS(OPTION)                      \
  OPTION(double, length_penalty)                \
  OPTION(std::int32_t, length_normalization)    \
  OPTION(std::int32_t, search)                  \
  OPTION(std::int32_t, forced_end)              \
  OPTION(std::int32_t, num_hypotheses)          \
  OPTION(std::int32_t, no_repeat_ngram_size)    \
  OPTION(double, repetition_penalty)            \
  OPTION(std::int32_t, limit_repeats)

struct PhOptions {
#define PH_DECLARE(type, name) type name;
  PH_OPTIONS(PH_DECLARE)
#undef PH_DECLARE
};

// Where an option is in PhOptions, in bytes.
struct PhField {
  const char* name;
  std::int32_t offset, size;
};

// Token sequences one of which a target has once.
struct PhPhrase {
  std::int32_t num_forms;
  std::int32_t place_first, place_last;  // the source tokens that it stands for; equal: none
  std::int32_t required;                 // 1 or 0
};

struct PhSequence {
  std::int64_t id;
  const std::int32_t* source;  // token ids
  const std::int32_t* slots;   // beam_size of them
  const std::int32_t* prefix;     // the first target tokens, which are given
  const std::int32_t* shortlist;  // target tokens, ascending, that alone may be predicted; nullptr: all
  std::int32_t source_len, beam_size, max_new_tokens, prefix_len, shortlist_len;
  std::int32_t align_first, align_last;  // the source tokens that its own may come from; equal: not asked
  const PhPhrase* phrases;
  const std::int32_t *form_lengths, *form_tokens;  // of all phrases, one behind the other
  const std::uint8_t* guarded;  // of each target token: 0, 1 guarded, 3 guarded and joined; nullptr: 0
  const std::int32_t *banned_lengths, *banned_tokens;  // of all banned sequences
  std::int32_t num_phrases, num_forms, num_form_tokens, num_banned, num_banned_tokens;
  std::int32_t reports;  // 1: calls tell which of its tokens are decided; or 0
  PhOptions options;
};

struct PhHypothesis {
  std::int64_t id;            // of the sequence; its hypotheses come best first, side by side
  const std::int32_t* tokens;  // without the end token; valid until the next call
  const std::int32_t* attended;  // the source token that each step attends to most, if asked for
  std::int32_t num_tokens, num_attended;
  std::int32_t stopped;  // 1: the end token; 0: the limit
  std::int32_t missed_begin, missed_step;  // of the first phrase that has missed its place, or -1
  double score, log_prob;
};

// Tokens that the best hypothesis of a running sequence will have, whatever follows.
struct PhDecided {
  std::int64_t id;             // of the sequence
  const std::int32_t* tokens;  // behind those of earlier calls; valid until the next one
  std::int32_t num_tokens;
};

struct PhOutcome {
  const PhHypothesis* hypotheses;
  const PhDecided* decided;
  std::int32_t num_hypotheses;
  std::int32_t num_decided;
  std::int32_t steps;
  std::int64_t rows;              // summed over the steps
  double encode_seconds;          // of the newcomers
  double first_step_seconds;      // of the first decode step, projection and search included
  double decode_seconds;          // of all of them
  std::int32_t status;            // a PhStatus; after 1 and 2 every later call gives the same
};
}
