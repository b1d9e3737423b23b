// The repetition guard on one row of log-probabilities: the rules of model/decoding/constraints.py,
// which is the oracle.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "interface.h"

namespace polyhead {

class Constraints {
 public:
  explicit Constraints(const PhSequence& request)
      : options_(request.options),
        source_copies_(options_.limit_repeats != 0 ? most_copies(request) : 1) {}

  bool any() const { return penalises() || bans(); }

  // Whether `apply` would change anything, after this history.
  bool concern(const std::vector<std::int32_t>& history, std::int32_t eos) const {
    if (penalises()) return !history.empty();
    bool any = false;
    if (bans()) each_banned(history, eos, [&](std::int32_t) { any = true; });
    return any;
  }

  // `history`: the target so far, as places in `log_probs`; those without a place are negative. The
  // end token is never banned: a hypothesis must be able to end.
  void apply(const std::vector<std::int32_t>& history, std::int32_t eos, float* log_probs) const {
    if (penalises()) penalise(history, log_probs);
    if (bans()) {
      each_banned(history, eos, [&](std::int32_t token) {
        if (token >= 0) log_probs[token] = -INFINITY;
      });
    }
  }

 private:
  static constexpr std::size_t kLongestBlock = 32;

  // How many copies of a block are one behind the other in the source.
  static std::size_t most_copies(const PhSequence& request) {
    const auto count = static_cast<std::size_t>(request.source_len);
    std::size_t most = 1;
    for (std::size_t size = 1; size <= std::min(kLongestBlock, count / 2); size++) {
      std::size_t alike = 0;
      for (std::size_t place = size; place < count; place++) {
        alike = request.source[place] == request.source[place - size] ? alike + 1 : 0;
        most = std::max(most, 1 + alike / size);
      }
    }
    return most;
  }

  bool penalises() const { return options_.repetition_penalty != 1.0; }
  bool bans() const { return options_.no_repeat_ngram_size > 0 || options_.limit_repeats != 0; }

  // Each token once, however often it was said.
  void penalise(std::vector<std::int32_t> history, float* log_probs) const {
    std::sort(history.begin(), history.end());
    history.erase(std::unique(history.begin(), history.end()), history.end());
    for (const std::int32_t token : history) {
      if (token >= 0) log_probs[token] *= static_cast<float>(options_.repetition_penalty);
    }
  }
  template <typename Use>
  void each_banned(const std::vector<std::int32_t>& history, std::int32_t eos, Use use) const {
    if (options_.no_repeat_ngram_size > 0) each_of_ngrams(history, eos, use);
    if (options_.limit_repeats != 0) each_of_repeats(history, eos, use);
  }
  // Tokens that would begin one copy too many of the block that the history ends with.
  template <typename Use>
  void each_of_repeats(const std::vector<std::int32_t>& history, std::int32_t eos, Use use) const {
    const auto last = history.rbegin();
    for (std::size_t size = 1; size <= kLongestBlock && size < history.size(); size++) {
      if (last[static_cast<std::ptrdiff_t>(size)] != *last) continue;  // no copy: most are none
      const std::size_t needed = size * (source_copies_ + (size < 3 ? 4 - size : 1) - 1);
      if (history.size() < needed + size) continue;
      const auto begin = static_cast<std::ptrdiff_t>(size), count = static_cast<std::ptrdiff_t>(needed);
      const std::int32_t token = last[begin - 1];
      if (token != eos && std::equal(last, last + count, last + begin)) use(token);
    }
  }
  // Tokens that would complete an n-gram which the history already has.
  template <typename Use>
  void each_of_ngrams(const std::vector<std::int32_t>& history, std::int32_t eos, Use use) const {
    const std::int64_t tail = options_.no_repeat_ngram_size - 1;
    const auto last = static_cast<std::int64_t>(history.size()) - tail;
    for (std::int64_t start = 0; start < last; start++) {
      const auto from = history.begin() + start;
      const std::int32_t token = from[tail];
      if (token != eos && std::equal(from, from + tail, history.end() - tail)) use(token);
    }
  }

  PhOptions options_;
  std::size_t source_copies_;
};

}  // namespace polyhead
