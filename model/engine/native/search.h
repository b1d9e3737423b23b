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
  int length, last_row;  // its steps, those of the prefix included; the row of the last one
  std::vector<std::int32_t> attended = {};
  int missed_begin = -1, missed_step = -1;  // see LexicalConstraints::find_missed
};

class Search {
 public:
  explicit Search(const PhSequence& request, std::int32_t eos)
      : beam_size(request.beam_size),
        num_tokens(request.prefix_len),
        options_(request.options),
        max_new_tokens_(request.max_new_tokens),
        prefix_len_(request.prefix_len),
        eos_(eos) {
    live_log_probs.assign(static_cast<std::size_t>(beam_size), kNever);
    live_log_probs[0] = 0.0;
    for (int i = 0; i < prefix_len_; i++) {
      for (int row = 0; row < beam_size; row++) {
        tokens_.push_back(request.prefix[i]);
        parents_.push_back(row);
      }
    }
  }

  int max_new_tokens() const { return max_new_tokens_; }
  // Whether the next token is the end token, whatever the predictions.
  bool end_is_forced() const {
    return options_.forced_end != 0 && num_tokens + 1 == max_new_tokens_;
  }
  // All continuations that there are then.
  void forced_ends(std::vector<Candidate>& candidates) const {
    for (int i = 0; i < beam_size; i++) {
      candidates.push_back({i, eos_, live_log_probs[static_cast<std::size_t>(i)]});
    }
  }

  // Takes one step with the best continuations, best first. Afterwards, unless it is done,
  // `survivors` names each row's parent and token.
  void advance(const std::vector<Candidate>& candidates) {
    num_tokens++;
    survivors.clear();
    const int width = beam_size - (as_marian() ? static_cast<int>(finished.size()) : 0);
    const bool full = num_tokens >= max_new_tokens_;
    const bool compete = full && (as_transformers() || as_marian());
    for (std::size_t rank = 0; rank < candidates.size(); rank++) {
      if (as_marian() && static_cast<int>(rank) == width) break;
      const Candidate& candidate = candidates[rank];
      const bool ends = candidate.token == eos_;
      // An end token below the beam would have been pruned, had it not been an end token.
      if ((ends || compete) && static_cast<int>(rank) < width && candidate.log_prob > kNever) {
        finish(candidate);
      }
      if (!ends) survivors.push_back(candidate);
      if (static_cast<int>(survivors.size()) == width) break;
    }
    // Where fewer continuations are possible than the beam is wide, rows go on that nobody will choose.
    survivors.resize(static_cast<std::size_t>(beam_size), {0, eos_, kNever});
    if (full && !compete) cut_off();
    done = full || cannot_improve();
    if (done) return;
    for (int i = 0; i < beam_size; i++) {
      tokens_.push_back(survivors[static_cast<std::size_t>(i)].token);
      parents_.push_back(survivors[static_cast<std::size_t>(i)].parent);
      live_log_probs[static_cast<std::size_t>(i)] = survivors[static_cast<std::size_t>(i)].log_prob;
    }
  }

  // The target tokens of a live hypothesis so far.
  std::vector<std::int32_t> history(int row) const {
    return history(row, tokens_.size() / static_cast<std::size_t>(beam_size));
  }

  // The first tokens, behind the prefix, of whatever hypothesis becomes the best: those that all live
  // ones have, and the best of the finished ones.
  std::vector<std::int32_t> decided() const {
    const auto width = static_cast<std::size_t>(beam_size);
    std::vector<bool> rows(width), parents(width);
    for (std::size_t i = 0; i < width; i++) rows[i] = live_log_probs[i] > kNever;
    // Back to where all are one. Live hypotheses differ, so they have no more in common than that.
    std::size_t step = tokens_.size() / width;
    while (step > 0 && std::count(rows.begin(), rows.end(), true) != 1) {
      step--;
      std::fill(parents.begin(), parents.end(), false);
      for (std::size_t i = 0; i < width; i++) {
        if (rows[i]) parents[static_cast<std::size_t>(parents_[step * width + i])] = true;
      }
      rows.swap(parents);
    }
    const auto given = static_cast<std::size_t>(prefix_len_);
    if (step <= given) return {};
    const auto row = std::find(rows.begin(), rows.end(), true) - rows.begin();
    std::vector<std::int32_t> tokens = history(static_cast<int>(row), step);
    tokens.erase(tokens.begin(), tokens.begin() + prefix_len_);
    const FinishedHypothesis* best = nullptr;
    for (const FinishedHypothesis& each : finished) {
      if (best == nullptr || each.score > best->score) best = &each;
    }
    if (best == nullptr) return tokens;
    const auto differs = std::mismatch(tokens.begin(), tokens.end(), best->tokens.begin(),
                                       best->tokens.end());
    tokens.erase(differs.first, tokens.end());
    return tokens;
  }

  // The rows of a finished hypothesis, from the first step behind the prefix on.
  std::vector<int> rows_of(const FinishedHypothesis& hypothesis) const {
    std::vector<int> rows(static_cast<std::size_t>(hypothesis.length - prefix_len_));
    int row = hypothesis.last_row;
    for (std::size_t i = rows.size(); i-- > 0;) {
      rows[i] = row;
      const std::size_t before = i + static_cast<std::size_t>(prefix_len_);
      if (before == 0) break;
      row = parents_[(before - 1) * static_cast<std::size_t>(beam_size) +
                     static_cast<std::size_t>(row)];
    }
    return rows;
  }

  // The best `num_hypotheses` of the finished ones to the front, best first; how many there are.
  int rank() {
    sort_finished();
    return std::min(options_.num_hypotheses, static_cast<int>(finished.size()));
  }

  int beam_size;
  int num_tokens;  // of every live hypothesis, its prefix included
  bool done = false;
  std::vector<double> live_log_probs;
  std::vector<Candidate> survivors;
  std::vector<FinishedHypothesis> finished;

 private:
  // The tokens of its first `steps` steps, of which `row` is the last one's.
  std::vector<std::int32_t> history(int row, std::size_t steps) const {
    std::vector<std::int32_t> tokens(steps);
    while (steps-- > 0) {
      const std::size_t at = steps * static_cast<std::size_t>(beam_size) + static_cast<std::size_t>(row);
      tokens[steps] = tokens_[at];
      row = parents_[at];
    }
    return tokens;
  }

  bool as_transformers() const { return options_.search == 1; }
  bool as_marian() const { return options_.search == 2; }
  // ((5 + length) / 6) ** alpha, from Wu et al. (2016), or length ** alpha.
  double penalty(int length) const {
    const double base = options_.length_normalization == 0 ? (5 + length) / 6.0 : length;
    return std::pow(base, options_.length_penalty);
  }

  // It has ended, by the end token unless the limit forced that, or was cut off.
  void finish(const Candidate& candidate) {
    std::vector<std::int32_t> tokens = history(candidate.parent);
    const bool ends = candidate.token == eos_;
    if (!ends) tokens.push_back(candidate.token);
    tokens.erase(tokens.begin(), tokens.begin() + prefix_len_);
    const bool forced = options_.forced_end != 0 && num_tokens >= max_new_tokens_;
    finished.push_back({std::move(tokens), candidate.log_prob / penalty(num_tokens),
                        candidate.log_prob, ends && !forced, num_tokens, candidate.parent});
    if (as_transformers()) {
      sort_finished();
      if (finished.size() > static_cast<std::size_t>(beam_size)) finished.pop_back();
    }
  }
  void sort_finished() {
    std::stable_sort(finished.begin(), finished.end(),
                     [](const auto& a, const auto& b) { return a.score > b.score; });
  }
  void cut_off() {
    const int missing = options_.num_hypotheses - static_cast<int>(finished.size());
    for (int i = 0; i < std::min(missing, beam_size); i++) {
      const Candidate& candidate = survivors[static_cast<std::size_t>(i)];
      if (candidate.log_prob == kNever) break;  // as are all behind it
      finish(candidate);
    }
  }
  bool cannot_improve() {
    if (survivors.front().log_prob == kNever) return true;
    if (as_marian()) return false;
    const int num_finished = static_cast<int>(finished.size());
    if (!as_transformers() && num_finished >= beam_size) return true;
    const int wanted = as_transformers() ? beam_size : options_.num_hypotheses;
    if (num_finished < wanted) return false;
    // Log-probabilities only fall, and the penalty divides by at most its value at the limit. What
    // transformers guesses is that a hypothesis becomes no better than it is by now.
    const int length = as_transformers() ? num_tokens : max_new_tokens_;
    const double best_possible = survivors.front().log_prob / penalty(length);
    std::vector<double> scores;
    for (const FinishedHypothesis& hypothesis : finished) scores.push_back(hypothesis.score);
    std::sort(scores.rbegin(), scores.rend());
    return best_possible <= scores[static_cast<std::size_t>(wanted - 1)];
  }

  PhOptions options_;
  int max_new_tokens_, prefix_len_;
  std::int32_t eos_;
  std::vector<std::int32_t> tokens_, parents_;  // [step][row]
};

}  // namespace polyhead
