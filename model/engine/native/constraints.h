// The repetition guard on one row of log-probabilities: the rules of model/decoding/constraints.py,
// which is the oracle.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace polyhead {

struct Constraints {
  double repetition_penalty;  // 1: off
  int no_repeat_ngram_size;   // 0: off

  bool any() const { return repetition_penalty != 1.0 || no_repeat_ngram_size > 0; }

  // Whether `apply` would change anything, after this history.
  bool concern(const std::vector<std::int32_t>& history, std::int32_t eos) const {
    if (repetition_penalty != 1.0) return !history.empty();
    bool any = false;
    if (no_repeat_ngram_size > 0) each_banned(history, eos, [&](std::int32_t) { any = true; });
    return any;
  }

  // `history`: the target so far. The end token is never banned: a hypothesis must be able to end.
  void apply(const std::vector<std::int32_t>& history, std::int32_t eos, float* log_probs) const {
    if (repetition_penalty != 1.0) penalise(history, log_probs);
    if (no_repeat_ngram_size > 0) {
      each_banned(history, eos, [&](std::int32_t token) { log_probs[token] = -INFINITY; });
    }
  }

 private:
  // Each token once, however often it was said.
  void penalise(std::vector<std::int32_t> history, float* log_probs) const {
    std::sort(history.begin(), history.end());
    history.erase(std::unique(history.begin(), history.end()), history.end());
    for (const std::int32_t token : history) {
      log_probs[token] *= static_cast<float>(repetition_penalty);
    }
  }
  // Tokens that would complete an n-gram which the history already has.
  template <typename Use>
  void each_banned(const std::vector<std::int32_t>& history, std::int32_t eos, Use use) const {
    const std::int64_t tail = no_repeat_ngram_size - 1;
    const auto last = static_cast<std::int64_t>(history.size()) - tail;
    for (std::int64_t start = 0; start < last; start++) {
      const auto from = history.begin() + start;
      const std::int32_t token = from[tail];
      if (token != eos && std::equal(from, from + tail, history.end() - tail)) use(token);
    }
  }
};

}  // namespace polyhead
