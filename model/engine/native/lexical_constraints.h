// Lexically constrained search: the rules of model/decoding/lexical_constraints.py, which is the oracle.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "phrases.h"
#include "search.h"
#include "shortlist.h"

namespace polyhead {

// A set of few tokens.
class TokenSet {
 public:
  Tokens::const_iterator begin() const { return tokens_.begin(); }
  Tokens::const_iterator end() const { return tokens_.end(); }
  void add(std::int32_t token) {
    if (!has(token)) tokens_.push_back(token);
  }
  void add(const TokenSet& others) {
    for (const std::int32_t token : others) add(token);
  }
  bool has(std::int32_t token) const {
    return std::find(tokens_.begin(), tokens_.end(), token) != tokens_.end();
  }
  bool empty() const { return tokens_.empty(); }
  std::size_t size() const { return tokens_.size(); }

 private:
  Tokens tokens_;
};

// What may be written next in a state, with room for so many tokens, the end token included.
struct LexicalStep {
  LexicalStep(const PhraseMatcher& matcher, const PhraseState& state, std::size_t room)
      : complete(matcher.complete(state)), starts(matcher.phrases.size()) {
    const std::vector<Phrase>& phrases = matcher.phrases;
    std::size_t need = 0;
    for (std::size_t i = 0; i < phrases.size(); i++) {
      const Phrase& phrase = phrases[i];
      if (state.written(i) || static_cast<int>(i) == complete) continue;
      if (!phrase.required || phrase.shortest >= room) continue;
      required.push_back(i);
      need += phrase.shortest;
    }
    const auto fits = [&](std::size_t number, std::size_t length) {
      if (need >= room && phrases[number].required) return length < room;
      const bool counted = std::find(required.begin(), required.end(), number) != required.end();
      return length + need - (counted ? phrases[number].shortest : 0) < room;
    };
    find_continuing(phrases, state, fits);
    bool any = !unbound().empty();
    for (std::size_t i = 0; i < phrases.size(); i++) {
      if (state.written(i) || static_cast<int>(i) == complete) continue;
      for (const Tokens& form : phrases[i].forms) {
        if (fits(i, form.size()) && !matcher.joins(state, form[0])) starts[i].add(form[0]);
      }
    }
    for (const std::size_t i : required) any = any || !starts[i].empty();
    urgent = !required.empty() && need + 1 >= room && any;
  }

  // Whether the token continues the run or begins a phrase.
  bool possible(std::int32_t token) const {
    return continuing.has(token) ||
           std::any_of(starts.begin(), starts.end(), [&](const auto& each) { return each.has(token); });
  }
  // What begins, or goes on with, one of the phrases: if there is one, that attended to.
  template <typename Among>
  TokenSet beginning(const std::vector<Phrase>& phrases, int attended, Among among) const {
    TokenSet all = unbound();
    for (std::size_t i = 0; i < phrases.size(); i++) {
      if (!among(i) || starts[i].empty()) continue;
      if (phrases[i].first_place <= attended && attended < phrases[i].last_place) return starts[i];
      all.add(starts[i]);
    }
    return all;
  }
  bool requires_phrase(std::size_t number) const {
    return std::find(required.begin(), required.end(), number) != required.end();
  }

  int complete;                       // the phrase that the run is, where it may go on; or -1
  std::vector<std::size_t> required;  // phrases that must be written before the end, and fit
  TokenSet continuing;                // what continues the run
  std::vector<TokenSet> starts;       // what begins each phrase that is left
  bool urgent;                        // whether there is room for the required phrases only

 private:
  TokenSet unbound() const { return complete < 0 ? continuing : TokenSet(); }

  template <typename Fits>
  void find_continuing(const std::vector<Phrase>& phrases, const PhraseState& state, Fits fits) {
    const Tokens& run = state.run;
    if (run.empty()) return;
    TokenSet all;
    for (std::size_t i = 0; i < phrases.size(); i++) {
      if (state.written(i)) continue;
      for (const Tokens& form : phrases[i].forms) {
        if (form.size() <= run.size() || !std::equal(run.begin(), run.end(), form.begin())) continue;
        all.add(form[run.size()]);
        if (fits(i, form.size() - run.size())) continuing.add(form[run.size()]);
      }
    }
    if (continuing.empty() && complete < 0) continuing = std::move(all);
  }
};

// A row of log-probabilities, of all tokens or of a shortlist.
struct LexicalRow {
  float* log_probs;   // under the repetition guard
  const float* free;  // without it, and before banned sequences are; else the same row
  int count;
  const Shortlist* shortlist;

  std::int32_t token(int place) const { return shortlist ? shortlist->token(place) : place; }
  std::int32_t place(std::int32_t token) const {
    return shortlist ? shortlist->place(token) : token;
  }
};

// What the constraints know of a hypothesis.
struct LexicalState {
  PhraseState phrases;
  std::vector<float> best_offers;  // of each phrase, of those that were not taken
  std::vector<int> best_steps;     // theirs; -1: there was none
  std::vector<int> begun_at_end;   // the steps at which phrases were begun because it would have ended
};

// What they say of the next token of a hypothesis, beside its probabilities.
struct Ruling {
  TokenSet begun;             // tokens that begin a phrase which must then be written
  bool at_end = false;        // whether they are begun because the hypothesis would have ended
  std::vector<float> offers;  // of each phrase, the log-probability of its likeliest beginning
};

class LexicalConstraints {
 public:
  LexicalConstraints(const PhSequence& request, const Linear& projection, int vocab_size,
                     std::int32_t eos)
      : matcher_(request, vocab_size), eos_(eos) {
    LexicalState start{matcher_.start(), std::vector<float>(matcher_.phrases.size()),
                       std::vector<int>(matcher_.phrases.size(), -1), {}};
    for (int i = 0; i < request.prefix_len; i++) {
      matcher_.advance(start.phrases, request.prefix[i], false);
    }
    states_.assign(static_cast<std::size_t>(request.beam_size), start);
    next_states_ = states_;
    rulings_.resize(states_.size());
    find_beginnings(projection);
    const std::int32_t* token = request.banned_tokens;
    for (int i = 0; i < request.num_banned; i++) {
      banned_.emplace_back(token, token + request.banned_lengths[i]);
      token += request.banned_lengths[i];
    }
    for (const Phrase& phrase : matcher_.phrases) {
      bool guarded = false;
      for (const Tokens& form : phrase.forms) {
        for (const std::int32_t each : form) guarded = guarded || matcher_.guards(each);
      }
      guarded_.push_back(guarded);
    }
  }

  bool bans() const { return !banned_.empty(); }

  // The one token that can follow a row, or -1.
  std::int32_t only(std::size_t row, std::size_t room) const {
    const PhraseState& state = states_[row].phrases;
    if (!state.bound || matcher_.complete(state) >= 0) return -1;
    const LexicalStep step(matcher_, state, room);
    return step.continuing.size() == 1 ? *step.continuing.begin() : -1;
  }
  // Whether a row's predictions are changed, whatever they are.
  bool concern(std::size_t row, std::size_t room) const {
    const PhraseState& state = states_[row].phrases;
    if (state.bound || matcher_.guards(state.last)) return true;
    if (bans() && !state.run.empty()) return true;  // what continues a phrase may be banned
    std::size_t need = 0;
    for (std::size_t i = 0; i < matcher_.phrases.size(); i++) {
      if (required(state, i)) need += matcher_.phrases[i].shortest;
    }
    return need > 0 && need + 1 >= room;
  }
  // Whether one of its best tokens is impossible; `history` gives those of the hypothesis.
  template <typename History>
  bool forbids(std::size_t row, std::size_t room, std::int32_t token, History history) const {
    const PhraseState& state = states_[row].phrases;
    if (token == eos_) {
      for (std::size_t i = 0; i < matcher_.phrases.size(); i++) {
        if (required(state, i)) return !LexicalStep(matcher_, state, room).required.empty();
      }
      return false;
    }
    if (matcher_.guards(token)) return !LexicalStep(matcher_, state, room).possible(token);
    const auto completed = [&](const Tokens& tokens) {
      return tokens.back() == token && ends_with(history(), tokens);
    };
    return std::any_of(banned_.begin(), banned_.end(), completed);
  }

  // Changes a row, whose hypothesis has the tokens `history`. `attended`: the place in the source to
  // which it attends most, or -1.
  void apply(std::size_t row, const LexicalRow& scores, const Tokens& history, std::size_t room,
             int attended) {
    const PhraseState& state = states_[row].phrases;
    const LexicalStep step(matcher_, state, room);
    if (state.bound && step.complete < 0) return keep_only(scores, step.continuing);
    lift_guard(scores, step.continuing);
    const auto is_required = [&](std::size_t i) { return step.requires_phrase(i); };
    if (step.urgent) {
      rulings_[row].begun = step.beginning(matcher_.phrases, attended, is_required);
      return keep_only(scores, rulings_[row].begun);
    }
    ban(scores, history, step);
    const float* most = std::max_element(scores.log_probs, scores.log_probs + scores.count);
    const std::int32_t best = scores.token(static_cast<int>(most - scores.log_probs));
    rulings_[row].at_end = best == eos_;
    if (best == eos_ && !step.required.empty()) {
      rulings_[row].begun = step.beginning(matcher_.phrases, attended, is_required);
    } else if (matcher_.guards(best) && !step.possible(best)) {
      rulings_[row].begun = step.beginning(matcher_.phrases, attended, [&](std::size_t i) { return guarded_[i]; });
    }
    if (!rulings_[row].begun.empty()) raise(scores, rulings_[row].begun, *most);
    bind_banned(history, step, rulings_[row].begun);
    take_away(scores, step);
    if (matcher_.guards(state.last)) normalise(scores);
    if (*std::max_element(scores.log_probs, scores.log_probs + scores.count) == -INFINITY) {
      scores.log_probs[scores.place(eos_)] = 0.0f;
    }
  }

  // The first tokens of required phrases, if some are left that a row could begin; else nullptr.
  const Shortlist* beginnings(std::size_t row) const {
    const PhraseState& state = states_[row].phrases;
    if (!beginnings_ || !state.run.empty()) return nullptr;
    for (std::size_t i = 0; i < matcher_.phrases.size(); i++) {
      if (required(state, i)) return beginnings_.get();
    }
    return nullptr;
  }
  // Their logits in this step.
  void offer(std::size_t row, const float* logits, float log_normaliser) {
    const PhraseState& state = states_[row].phrases;
    std::vector<float>& offers = rulings_[row].offers;
    offers.assign(matcher_.phrases.size(), NAN);
    for (std::size_t i = 0; i < offers.size(); i++) {
      if (!required(state, i)) continue;
      float most = -INFINITY;
      for (const Tokens& form : matcher_.phrases[i].forms) {
        most = std::max(most, logits[beginnings_->place(form[0])]);
      }
      offers[i] = most - log_normaliser;
    }
  }

  // The rows of the next step.
  void follow(const std::vector<Candidate>& survivors) {
    for (std::size_t i = 0; i < states_.size(); i++) {
      const auto parent = static_cast<std::size_t>(survivors[i].parent);
      next_states_[i] = advanced(parent, survivors[i].token);
    }
    std::swap(states_, next_states_);
    std::fill(rulings_.begin(), rulings_.end(), Ruling());
  }

  // The first phrase that has missed its place in a hypothesis that ends with this step.
  void find_missed(FinishedHypothesis& hypothesis, int prefix_len) const {
    const auto row = static_cast<std::size_t>(hypothesis.last_row);
    const bool cut_off = static_cast<int>(hypothesis.tokens.size()) + prefix_len == hypothesis.length;
    LexicalState state = cut_off ? advanced(row, hypothesis.tokens.back()) : states_[row];
    matcher_.end(state.phrases);
    int first = -1;
    for (std::size_t i = 0; i < matcher_.phrases.size(); i++) {
      const int begin = state.phrases.begins[i];
      const auto& late = state.begun_at_end;
      if (begin < 0 || std::find(late.begin(), late.end(), begin) == late.end()) continue;
      if (state.best_steps[i] < 0 || (first >= 0 && begin > first)) continue;
      first = begin;
      hypothesis.missed_begin = begin - prefix_len;
      hypothesis.missed_step = state.best_steps[i] - prefix_len;
    }
  }

 private:
  bool required(const PhraseState& state, std::size_t number) const {
    return matcher_.phrases[number].required && !state.written(number);
  }
  static bool ends_with(const Tokens& history, const Tokens& tokens) {
    const std::size_t before = tokens.size() - 1;
    return history.size() >= before &&
           std::equal(tokens.begin(), tokens.end() - 1,
                      history.end() - static_cast<std::ptrdiff_t>(before));
  }

  LexicalState advanced(std::size_t row, std::int32_t token) const {
    const Ruling& ruling = rulings_[row];
    LexicalState state = states_[row];
    const bool begun = ruling.begun.has(token);
    const int step = state.phrases.num_tokens;
    const std::vector<int> begins = state.phrases.begins;
    matcher_.advance(state.phrases, token, begun);
    if (begun && ruling.at_end) {
      state.begun_at_end.push_back(step);
      return state;
    }
    if (!state.phrases.run.empty() || begins != state.phrases.begins) return state;
    for (std::size_t i = 0; i < ruling.offers.size(); i++) {
      const float offer = ruling.offers[i];
      if (std::isnan(offer)) continue;
      if (state.best_steps[i] >= 0 && !(offer > state.best_offers[i])) continue;
      state.best_offers[i] = offer;
      state.best_steps[i] = step;
    }
    return state;
  }
  void find_beginnings(const Linear& projection) {
    Tokens tokens;
    for (const Phrase& phrase : matcher_.phrases) {
      for (const Tokens& form : phrase.forms) {
        if (phrase.required) tokens.push_back(form[0]);
      }
    }
    std::sort(tokens.begin(), tokens.end());
    tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
    if (tokens.empty()) return;
    beginnings_ = std::make_unique<Shortlist>(projection, tokens.data(), static_cast<int>(tokens.size()));
  }

  // What no repetition guard concerns.
  void lift_guard(const LexicalRow& scores, const TokenSet& continuing) const {
    if (scores.free == scores.log_probs) return;
    for (int i = 0; i < scores.count; i++) {
      if (matcher_.guards(scores.token(i))) scores.log_probs[i] = scores.free[i];
    }
    for (const std::int32_t token : continuing) {
      scores.log_probs[scores.place(token)] = scores.free[scores.place(token)];
    }
  }
  void ban(const LexicalRow& scores, const Tokens& history, const LexicalStep& step) const {
    for (const Tokens& tokens : banned_) {
      const std::int32_t token = tokens.back();
      const std::int32_t place = scores.place(token);
      if (place < 0 || !ends_with(history, tokens) || step.continuing.has(token)) continue;
      if (matcher_.guards(token) && step.possible(token)) continue;
      scores.log_probs[place] = -INFINITY;
    }
  }
  // Banned tokens that continue the run may only be written as the phrase's.
  void bind_banned(const Tokens& history, const LexicalStep& step, TokenSet& begun) const {
    for (const Tokens& tokens : banned_) {
      const std::int32_t token = tokens.back();
      if (step.continuing.has(token) && ends_with(history, tokens)) begun.add(token);
    }
  }
  // Guarded tokens, but for those that are possible, and the end where something is left.
  void take_away(const LexicalRow& scores, const LexicalStep& step) const {
    if (matcher_.guards_any()) {
      for (int i = 0; i < scores.count; i++) {
        const std::int32_t token = scores.token(i);
        if (matcher_.guards(token) && !step.possible(token)) scores.log_probs[i] = -INFINITY;
      }
    }
    if (!step.required.empty()) scores.log_probs[scores.place(eos_)] = -INFINITY;
  }
  void keep_only(const LexicalRow& scores, const TokenSet& tokens) const {
    std::vector<float> values;
    for (const std::int32_t token : tokens) values.push_back(scores.free[scores.place(token)]);
    const float total = log_sum(values.data(), static_cast<int>(values.size()));
    std::fill(scores.log_probs, scores.log_probs + scores.count, -INFINITY);
    std::size_t i = 0;
    for (const std::int32_t token : tokens) {
      const float value = values[i++];
      scores.log_probs[scores.place(token)] =
          total > -INFINITY ? value - total : -std::log(static_cast<float>(values.size()));
    }
  }
  // The likeliest of the tokens gets the value, the others as much more.
  static void raise(const LexicalRow& scores, const TokenSet& tokens, float value) {
    float most = -INFINITY;
    for (const std::int32_t token : tokens) most = std::max(most, scores.free[scores.place(token)]);
    std::vector<float> raised;  // before one is written: `free` may be the same row
    for (const std::int32_t token : tokens) {
      const float own = scores.free[scores.place(token)];
      raised.push_back(most > -INFINITY ? own + (value - most) : value);
    }
    std::size_t i = 0;
    for (const std::int32_t token : tokens) scores.log_probs[scores.place(token)] = raised[i++];
  }
  static void normalise(const LexicalRow& scores) {
    const float total = log_sum(scores.log_probs, scores.count);
    if (total == -INFINITY) return;
    for (int i = 0; i < scores.count; i++) scores.log_probs[i] -= total;
  }
  static float log_sum(const float* values, int count) {
    const float most = *std::max_element(values, values + count);
    if (most == -INFINITY) return most;
    float total = 0.0f;
    for (int i = 0; i < count; i++) total += std::exp(values[i] - most);
    return most + std::log(total);
  }

  PhraseMatcher matcher_;
  std::int32_t eos_;
  std::vector<Tokens> banned_;
  std::vector<bool> guarded_;                    // whether a phrase has guarded tokens
  std::unique_ptr<const Shortlist> beginnings_;    // first tokens of required phrases
  std::vector<LexicalState> states_, next_states_;  // of each row
  std::vector<Ruling> rulings_;
};

}  // namespace polyhead
