// A sequence between its admission and its end, and which ones may be admitted.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "alignment.h"
#include "constraints.h"
#include "interface.h"
#include "lexical_constraints.h"
#include "search.h"
#include "shortlist.h"

namespace polyhead {

// A sequence between its admission and its end.
struct Running {
  Running(const PhSequence& request, const Linear& projection, const PhModelConfig& config)
      : id(request.id),
        search(request, config.eos_id),
        constraints(request),
        alignment(request),
        slots(request.slots, request.slots + request.beam_size),
        source_len(request.source_len),
        prefix(request.prefix, request.prefix + request.prefix_len),
        position(request.prefix_len),
        last_tokens(slots.size(), prefix.empty() ? config.bos_id : prefix.back()),
        ancestors(slots.size()),
        next_ancestors(slots.size()),
        reports(request.reports != 0) {
    ancestors[0].assign(prefix.size() + 1, slots[0]);
    if (request.shortlist != nullptr) {
      shortlist = std::make_unique<Shortlist>(projection, request.shortlist, request.shortlist_len);
    }
    if (request.num_phrases + request.num_banned > 0 || request.guarded != nullptr) {
      lexical = std::make_unique<LexicalConstraints>(request, projection, config.tgt_vocab_size,
                                                      config.eos_id);
    }
  }

  // All rows of the first step would be copies of the first one.
  int num_rows() const {
    return position == static_cast<int>(prefix.size()) ? 1 : search.beam_size;
  }
  // Most candidates that its search looks at.
  int num_candidates() const { return search.beam_size == 1 ? 1 : 2 * search.beam_size; }
  // Tokens that its hypotheses may still have, the end token included.
  std::size_t room() const {
    return static_cast<std::size_t>(search.max_new_tokens() - search.num_tokens);
  }

  std::int64_t id;
  Search search;
  Constraints constraints;
  Alignment alignment;
  std::vector<std::int32_t> slots;
  int source_len;
  std::vector<std::int32_t> prefix;
  std::unique_ptr<const Shortlist> shortlist;  // nullptr: all of the vocabulary
  std::unique_ptr<LexicalConstraints> lexical;  // nullptr: none
  int position;                                // of the tokens that are read next
  std::vector<std::int32_t> last_tokens;
  // [row][position]: whose slot holds the keys and values. Beams trade places by trading this list;
  // what is in the cache stays where it is.
  std::vector<std::vector<std::int32_t>> ancestors, next_ancestors;
  bool reports;  // whether calls tell which of its tokens are decided
  std::vector<std::int32_t> decided;  // those that have been told
};

// Who runs and what they hold. A request that nobody checked could otherwise read or write anywhere, or
// what is somebody else's.
class Occupancy {
 public:
  Occupancy(const PhModelConfig& config, int max_slots)
      : config_(config), taken_(static_cast<std::size_t>(max_slots)) {}

  void add(const Running& sequence) {
    ids_.push_back(sequence.id);
    for (const std::int32_t slot : sequence.slots) taken_[static_cast<std::size_t>(slot)] = true;
  }
  // kPhOk, and it is one of them; or what is wrong with it.
  PhStatus admit(const PhSequence& request) {
    if (!valid_source(request)) return kPhBadSource;
    if (!valid_search(request)) return kPhBadSearch;
    if (!take_slots(request)) return kPhBadSlots;
    if (std::find(ids_.begin(), ids_.end(), request.id) != ids_.end()) return kPhBadId;
    ids_.push_back(request.id);
    return kPhOk;
  }

 private:
  bool valid_source(const PhSequence& request) const {
    const auto known = [this](std::int32_t token) {
      return 0 <= token && token < config_.src_vocab_size;
    };
    return 0 < request.source_len && request.source_len <= config_.max_positions &&
           0 <= request.align_first && request.align_first <= request.align_last &&
           request.align_last <= request.source_len &&
           std::all_of(request.source, request.source + request.source_len, known);
  }
  bool valid_search(const PhSequence& request) const {
    const PhOptions& options = request.options;
    return 0 < options.num_hypotheses && options.num_hypotheses <= request.beam_size &&
           0 < request.max_new_tokens && request.max_new_tokens <= config_.max_positions &&
           valid_prefix(request) && valid_shortlist(request) && valid_phrases(request) &&
           valid_lists(request.banned_lengths, request.num_banned, request.banned_tokens,
                       request.num_banned_tokens) &&
           0 <= options.no_repeat_ngram_size &&
           0.0 <= options.length_penalty && options.length_penalty <= FLT_MAX &&
           1.0 <= options.repetition_penalty && options.repetition_penalty <= FLT_MAX;
  }
  bool valid_prefix(const PhSequence& request) const {
    return 0 <= request.prefix_len && request.prefix_len < request.max_new_tokens &&
           valid_tokens(request.prefix, request.prefix_len);
  }
  bool valid_tokens(const std::int32_t* tokens, int count) const {
    return std::all_of(tokens, tokens + count, [this](std::int32_t token) {
      return 0 <= token && token < config_.tgt_vocab_size && token != config_.eos_id;
    });
  }
  bool valid_phrases(const PhSequence& request) const {
    std::int64_t forms = 0;
    for (int i = 0; i < request.num_phrases; i++) {
      const PhPhrase& phrase = request.phrases[i];
      if (phrase.num_forms < 1 || phrase.place_first < 0 || phrase.place_first > phrase.place_last ||
          phrase.place_last > request.source_len) {
        return false;
      }
      forms += phrase.num_forms;
    }
    return forms == request.num_forms &&
           (request.guarded == nullptr || request.guarded[config_.eos_id] == 0) &&
           valid_lists(request.form_lengths, request.num_forms, request.form_tokens,
                       request.num_form_tokens) &&
           predictable(request, request.form_tokens, request.num_form_tokens);
  }
  static bool predictable(const PhSequence& request, const std::int32_t* tokens, int count) {
    return request.shortlist == nullptr || std::all_of(tokens, tokens + count, [&](auto token) {
      return std::binary_search(request.shortlist, request.shortlist + request.shortlist_len, token);
    });
  }
  // Lists of at least one token each, one behind the other.
  bool valid_lists(const std::int32_t* lengths, int count, const std::int32_t* tokens,
                   int num_tokens) const {
    std::int64_t total = 0;
    for (int i = 0; i < count; i++) {
      if (lengths[i] < 1) return false;
      total += lengths[i];
    }
    return total == num_tokens && valid_tokens(tokens, num_tokens);
  }
  bool valid_shortlist(const PhSequence& request) const {
    if (request.shortlist == nullptr) return true;
    const std::int32_t *first = request.shortlist, *last = first + request.shortlist_len;
    const bool ascending = std::adjacent_find(first, last, std::greater_equal<>()) == last;
    return request.shortlist_len > 0 && ascending && *first >= 0 &&
           last[-1] < config_.tgt_vocab_size && std::binary_search(first, last, config_.eos_id);
  }
  bool take_slots(const PhSequence& request) {
    for (int i = 0; i < request.beam_size; i++) {
      const std::int32_t slot = request.slots[i];
      if (slot < 0 || static_cast<std::size_t>(slot) >= taken_.size()) return false;
      if (taken_[static_cast<std::size_t>(slot)]) return false;
      taken_[static_cast<std::size_t>(slot)] = true;
    }
    return true;
  }

  const PhModelConfig& config_;
  std::vector<bool> taken_;  // of each slot
  std::vector<std::int64_t> ids_;
};

}  // namespace polyhead
