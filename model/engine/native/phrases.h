// Phrases, and where a hypothesis has them: the rules of model/decoding/phrases.py, which is the oracle.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "interface.h"

namespace polyhead {

using Tokens = std::vector<std::int32_t>;

struct Phrase {
  std::vector<Tokens> forms;
  int first_place, last_place;  // of the source; equal: none
  bool required;
  std::size_t shortest;  // of its forms
};

// What of its phrases a hypothesis has written.
struct PhraseState {
  bool written(std::size_t number) const { return begins[number] >= 0; }

  std::vector<int> begins;  // of each phrase: its first token's place, or -1
  int num_tokens = 0;
  Tokens run;              // the last tokens, if they begin a form of one that is left
  std::int32_t last = -1;  // token
  bool bound = false;      // whether `run` must become a form
};

class PhraseMatcher {
 public:
  PhraseMatcher(const PhSequence& request, int vocab_size) {
    if (request.guarded != nullptr) guarded_.assign(request.guarded, request.guarded + vocab_size);
    const std::int32_t* length = request.form_lengths;
    const std::int32_t* token = request.form_tokens;
    for (int i = 0; i < request.num_phrases; i++) {
      const PhPhrase& given = request.phrases[i];
      Phrase phrase{{}, given.place_first, given.place_last, given.required != 0, 0};
      for (int j = 0; j < given.num_forms; j++, token += *length++) {
        phrase.forms.emplace_back(token, token + *length);
      }
      phrase.shortest = std::min_element(phrase.forms.begin(), phrase.forms.end(),
                                         [](const Tokens& a, const Tokens& b) {
                                           return a.size() < b.size();
                                         })->size();
      phrases.push_back(std::move(phrase));
    }
  }

  PhraseState start() const {
    PhraseState state;
    state.begins.assign(phrases.size(), -1);
    return state;
  }
  bool guards_any() const { return !guarded_.empty(); }
  bool guards(std::int32_t token) const {
    return guards_any() && token >= 0 && guarded_[static_cast<std::size_t>(token)] != 0;
  }
  // Whether it would be one word with the guarded token before it.
  bool joins(const PhraseState& state, std::int32_t token) const {
    return guards(state.last) && (guarded_[static_cast<std::size_t>(token)] & 2) != 0;
  }

  void advance(PhraseState& state, std::int32_t token, bool begun) const {
    Tokens& run = state.run;
    run.push_back(token);
    state.num_tokens++;
    while (!run.empty() && !continued(state, run.size(), false)) {
      take_longest(state);
      state.bound = false;
    }
    const int number = complete(state);
    if (number >= 0 && !continued(state, run.size(), true)) take(state, number, run.size());
    state.bound = !run.empty() &&
                  (state.bound || begun ||
                   std::any_of(run.begin(), run.end(), [this](auto each) { return guards(each); }));
    state.last = token;
  }
  // If nothing follows.
  void end(PhraseState& state) const {
    while (!state.run.empty()) take_longest(state);
  }

  // The phrase that is left and has the form `run`, or -1.
  int complete(const PhraseState& state) const { return form(state, state.run.size()); }

  std::vector<Phrase> phrases;

 private:
  static bool begins(const Tokens& form, const Tokens& run, std::size_t length) {
    return form.size() >= length &&
           std::equal(form.begin(), form.begin() + static_cast<std::ptrdiff_t>(length), run.begin());
  }
  // The longest form that the run begins with, or else its first token.
  void take_longest(PhraseState& state) const {
    std::size_t length = state.run.size();
    int number = -1;
    while (length > 0 && (number = form(state, length)) < 0) length--;
    take(state, number, std::max<std::size_t>(length, 1));
  }
  static void take(PhraseState& state, int number, std::size_t length) {
    if (number >= 0) {
      state.begins[static_cast<std::size_t>(number)] =
          state.num_tokens - static_cast<int>(state.run.size());
    }
    state.run.erase(state.run.begin(), state.run.begin() + static_cast<std::ptrdiff_t>(length));
  }
  // Whether a form that is left begins with so much of the run; `on`: and goes on.
  bool continued(const PhraseState& state, std::size_t length, bool on) const {
    for (std::size_t i = 0; i < phrases.size(); i++) {
      if (state.written(i)) continue;
      for (const Tokens& form : phrases[i].forms) {
        if (form.size() >= length + (on ? 1 : 0) && begins(form, state.run, length)) return true;
      }
    }
    return false;
  }
  // The phrase that is left and has the first tokens of the run as a form, or -1.
  int form(const PhraseState& state, std::size_t length) const {
    if (length == 0) return -1;
    for (std::size_t i = 0; i < phrases.size(); i++) {
      if (state.written(i)) continue;
      for (const Tokens& form : phrases[i].forms) {
        if (form.size() == length && begins(form, state.run, length)) return static_cast<int>(i);
      }
    }
    return -1;
  }

  std::vector<std::uint8_t> guarded_;  // of each token: 1 is guarded, 2 joined
};

}  // namespace polyhead
