// The functions that Python calls.

#if defined(PH_PORTABLE)
#include "portable.h"
#endif

#include "interface.h"

#include <cstddef>
#include <iterator>

#include "model.h"
#include "runner.h"
#include "training.h"

#define PH_EXPORT __attribute__((visibility("default")))

// No exception may reach the caller, who is no C++.
extern "C" {

PH_EXPORT const PhField* ph_options(int* count) {
#define PH_FIELD(type, name) {#name, offsetof(PhOptions, name), sizeof(type)},
  static const PhField fields[] = {PH_OPTIONS(PH_FIELD)};
#undef PH_FIELD
  *count = static_cast<int>(std::size(fields));
  return fields;
}

PH_EXPORT void* ph_model_new(const PhModelConfig* config) {
  try {
    return new polyhead::Model(*config);
  } catch (...) {  // no memory, or no more threads
    return nullptr;
  }
}
PH_EXPORT void ph_model_free(void* model) { delete static_cast<polyhead::Model*>(model); }

PH_EXPORT int ph_model_set_linear(void* model, const char* name, const float* weight,
                                  const float* bias, int outputs, int inputs) {
  try {
    auto& target = *static_cast<polyhead::Model*>(model);
    return target.set_linear(name, weight, bias, outputs, inputs);
  } catch (...) {
    return kPhOutOfMemory;
  }
}
PH_EXPORT int ph_model_set_norm(void* model, const char* name, const float* gain,
                                const float* bias) {
  try {
    return static_cast<polyhead::Model*>(model)->set_norm(name, gain, bias);
  } catch (...) {
    return kPhOutOfMemory;
  }
}
// The tables stay the caller's and must outlive the model.
PH_EXPORT void ph_model_set_positions(void* model, const float* source, const float* target) {
  static_cast<polyhead::Model*>(model)->source.positions = source;
  static_cast<polyhead::Model*>(model)->target.positions = target;
}
// `count` pairs of a decoder layer and a head of its cross-attention.
PH_EXPORT int ph_model_set_alignment_heads(void* model, const std::int32_t* pairs, int count) {
  try {
    return static_cast<polyhead::Model*>(model)->set_alignment_heads(pairs, count);
  } catch (...) {
    return kPhOutOfMemory;
  }
}
PH_EXPORT const char* ph_model_missing(void* model) {
  return static_cast<polyhead::Model*>(model)->missing();
}
PH_EXPORT std::size_t ph_model_bytes(void* model) {
  return static_cast<polyhead::Model*>(model)->arena.bytes();
}

// The model must outlive its runners.
PH_EXPORT void* ph_runner_new(void* model, int max_slots) {
  try {
    const auto& target = *static_cast<polyhead::Model*>(model);
    polyhead::Runner* runner = nullptr;
    if (target.precision == polyhead::Precision::kFloat32) {
      runner = new polyhead::CachedRunner<float>(target, max_slots);
    } else {
      runner = new polyhead::CachedRunner<std::uint16_t>(target, max_slots);
    }
    return runner;
  } catch (...) {
    return nullptr;
  }
}
PH_EXPORT void ph_runner_free(void* runner) { delete static_cast<polyhead::Runner*>(runner); }
PH_EXPORT void ph_runner_interrupt(void* runner) {
  static_cast<polyhead::Runner*>(runner)->interrupt();
}
// `active` are the ids of those who take part in the steps; nullptr: everybody.
PH_EXPORT void ph_runner_execute(void* runner, const std::int64_t* removed, int num_removed,
                                 const PhSequence* newcomers, int num_newcomers,
                                 const std::int64_t* active, int num_active, int max_steps,
                                 PhOutcome* outcome) {
  try {
    *outcome = static_cast<polyhead::Runner*>(runner)->execute(
        removed, num_removed, newcomers, num_newcomers, active, num_active, max_steps);
  } catch (...) {
    *outcome = {};
    outcome->status = kPhOutOfMemory;
  }
}
PH_EXPORT std::size_t ph_runner_num_running(void* runner) {
  return static_cast<polyhead::Runner*>(runner)->num_running();
}
PH_EXPORT void* ph_runner_cache(void* runner, std::size_t* bytes) {
  return static_cast<polyhead::Runner*>(runner)->cache(bytes);
}

// For training: see training.h. With a seed of 0 numbers are rounded to the nearest, else at random.
PH_EXPORT void ph_quantise_rows(const float* x, std::size_t rows, std::size_t columns,
                                std::uint64_t seed, std::int8_t* out, float* scales) {
  if (seed == 0) {
    return polyhead::quantise_rows(x, rows, columns, polyhead::to_nearest, out, scales);
  }
  polyhead::Uniform uniform(seed);
  const auto round = [&](polyhead::Floats value) { return polyhead::at_random(value, uniform); };
  polyhead::quantise_rows(x, rows, columns, round, out, scales);
}
PH_EXPORT void ph_quantise_columns(const float* x, const float* row_factors, std::size_t rows,
                                   std::size_t columns, std::uint64_t seed, std::int8_t* out,
                                   float* scales) {
  if (seed == 0) {
    return polyhead::quantise_columns(x, row_factors, rows, columns, polyhead::to_nearest, out,
                                      scales);
  }
  polyhead::Uniform uniform(seed);
  const auto round = [&](polyhead::Floats value) { return polyhead::at_random(value, uniform); };
  polyhead::quantise_columns(x, row_factors, rows, columns, round, out, scales);
}
PH_EXPORT void ph_rescale(const std::int32_t* sums, std::size_t rows, std::size_t columns,
                          const float* row_scales, const float* column_scales, const float* bias,
                          float* out) {
  polyhead::rescale(sums, rows, columns, row_scales, column_scales, bias, out);
}
// `losses` gets the smoothed one and the plain one.
PH_EXPORT void ph_projection_gradient(const std::int32_t* sums, std::size_t rows, std::size_t vocab,
                                      const float* row_scales, const float* column_scales,
                                      const std::int64_t* targets, float smoothing,
                                      std::uint64_t seed, float* logits, std::int8_t* out,
                                      float* scales, double* losses) {
  const polyhead::Losses found = polyhead::projection_gradient(
      sums, rows, vocab, row_scales, column_scales, targets, smoothing, seed, logits, out, scales);
  losses[0] = found.smoothed;
  losses[1] = found.plain;
}
}
