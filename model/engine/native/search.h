// Beam search over the projection's best continuations: section 6.1, the rules of
// model/decoding/search.py, which is the oracle. Greedy search is a beam of one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "interface.h"

namespace polyhead {

constexpr double kNever = -std::numeric_limits<double>::infinity();

struct Candidate {
  int parent;
  std::int32_t token;
  double log_prob;  // of the whole hypothesis
};

struct FinishedHypothesis {
  std::vector<std::int32_t> tokens;
  double score, log_prob;
  bool stopped;
};

class Search {
 public:
  explicit Search(const PhSequence& request, std::int32_t eos)
      : beam_size(request.beam_size),
        options_(request.options),
        max_new_tokens_(request.max_new_tokens),
        eos_(eos) {
    live_log_probs.assign(static_cast<std::size_t>(beam_size), kNever);
    live_log_probs[0] = 0.0;
  }

  // Takes one step with the best continuations, best first. Afterwards, unless it is done,
  // `survivors` names each row's parent and token.
  void advance(const std::vector<Candidate>& candidates) {
    num_tokens++;
    survivors.clear();
    const int width = beam_size;
    for (std::size_t rank = 0; rank < candidates.size(); rank++) {
      const Candidate& candidate = candidates[rank];
      if (candidate.token != eos_) {
        survivors.push_back(candidate);
      } else if (static_cast<int>(rank) < width && candidate.log_prob > kNever) {
        // An end token below the beam would have been pruned, had it not been an end token.
        finish(history(candidate.parent), candidate.log_prob, true);
      }
      if (static_cast<int>(survivors.size()) == width) break;
    }
    // Where fewer continuations are possible than the beam is wide, rows go on that nobody will choose.
    survivors.resize(static_cast<std::size_t>(width), {0, eos_, kNever});
    if (num_tokens >= max_new_tokens_) {
      finish_by_length();
    } else {
      done = cannot_improve();
    }
    if (done) return;
    for (int i = 0; i < width; i++) {
      tokens_.push_back(survivors[static_cast<std::size_t>(i)].token);
      parents_.push_back(survivors[static_cast<std::size_t>(i)].parent);
      live_log_probs[static_cast<std::size_t>(i)] = survivors[static_cast<std::size_t>(i)].log_prob;
    }
  }

  // The target tokens of a live hypothesis so far.
  std::vector<std::int32_t> history(int row) const {
    std::vector<std::int32_t> tokens;
    const auto width = static_cast<std::size_t>(beam_size);
    for (std::size_t step = tokens_.size() / width; step-- > 0;) {
      const std::size_t at = step * width + static_cast<std::size_t>(row);
      tokens.push_back(tokens_[at]);
      row = parents_[at];
    }
    std::reverse(tokens.begin(), tokens.end());
    return tokens;
  }

  // The best `num_hypotheses` of the finished ones to the front, best first; how many there are.
  int rank() {
    std::stable_sort(finished.begin(), finished.end(),
                     [](const auto& a, const auto& b) { return a.score > b.score; });
    return std::min(options_.num_hypotheses, static_cast<int>(finished.size()));
  }

  int beam_size;
  int num_tokens = 0;
  bool done = false;
  std::vector<double> live_log_probs;
  std::vector<Candidate> survivors;
  std::vector<FinishedHypothesis> finished;

 private:
  // ((5 + length) / 6) ** alpha, from Wu et al. (2016).
  double penalty(int length) const { return std::pow((5 + length) / 6.0, options_.length_penalty); }

  void finish(std::vector<std::int32_t> tokens, double log_prob, bool stopped) {
    finished.push_back({std::move(tokens), log_prob / penalty(num_tokens), log_prob, stopped});
  }
  void finish_by_length() {
    done = true;
    const int missing = options_.num_hypotheses - static_cast<int>(finished.size());
    for (int i = 0; i < std::min(missing, beam_size); i++) {
      const Candidate& candidate = survivors[static_cast<std::size_t>(i)];
      if (candidate.log_prob == kNever) break;  // as are all behind it
      std::vector<std::int32_t> tokens = history(candidate.parent);
      tokens.push_back(candidate.token);
      finish(std::move(tokens), candidate.log_prob, false);
    }
  }
  bool cannot_improve() {
    const bool exhausted = survivors.front().log_prob == kNever;
    if (exhausted || static_cast<int>(finished.size()) >= beam_size) return true;
    if (static_cast<int>(finished.size()) < options_.num_hypotheses) return false;
    // Log-probabilities only fall, and the penalty divides by at most its value at the limit.
    const double best_possible = survivors.front().log_prob / penalty(max_new_tokens_);
    std::vector<double> scores;
    for (const FinishedHypothesis& hypothesis : finished) scores.push_back(hypothesis.score);
    std::sort(scores.rbegin(), scores.rend());
    return best_possible <= scores[static_cast<std::size_t>(options_.num_hypotheses - 1)];
  }

  PhOptions options_;
  int max_new_tokens_;
  std::int32_t eos_;
  std::vector<std::int32_t> tokens_, parents_;  // [step][row]
};

}  // namespace polyhead
