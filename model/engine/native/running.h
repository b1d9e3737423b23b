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
#include "search.h"
#include "shortlist.h"

namespace polyhead {

// A sequence between its admission and its end.
struct Running {
  Running(const PhSequence& request, const Linear& projection, std::int32_t bos, std::int32_t eos)
      : id(request.id),
        search(request, eos),
        constraints(request.options),
        alignment(request),
        slots(request.slots, request.slots + request.beam_size),
        source_len(request.source_len),
        prefix(request.prefix, request.prefix + request.prefix_len),
        position(request.prefix_len),
        last_tokens(slots.size(), prefix.empty() ? bos : prefix.back()),
        ancestors(slots.size()),
        next_ancestors(slots.size()) {
    ancestors[0].assign(prefix.size() + 1, slots[0]);
    if (request.shortlist != nullptr) {
      shortlist = std::make_unique<Shortlist>(projection, request.shortlist, request.shortlist_len);
    }
  }

  // All rows of the first step would be copies of the first one.
  int num_rows() const {
    return position == static_cast<int>(prefix.size()) ? 1 : search.beam_size;
  }
  // Most candidates that its search looks at.
  int num_candidates() const { return search.beam_size == 1 ? 1 : 2 * search.beam_size; }

  std::int64_t id;
  Search search;
  Constraints constraints;
  Alignment alignment;
  std::vector<std::int32_t> slots;
  int source_len;
  std::vector<std::int32_t> prefix;
  std::unique_ptr<const Shortlist> shortlist;  // nullptr: all of the vocabulary
  int position;                                // of the tokens that are read next
  std::vector<std::int32_t> last_tokens;
  // [row][position]: whose slot holds the keys and values. Beams trade places by trading this list;
  // what is in the cache stays where it is.
  std::vector<std::vector<std::int32_t>> ancestors, next_ancestors;
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
           valid_prefix(request) && valid_shortlist(request) &&
           0 <= options.no_repeat_ngram_size &&
           0.0 <= options.length_penalty && options.length_penalty <= FLT_MAX &&
           1.0 <= options.repetition_penalty && options.repetition_penalty <= FLT_MAX;
  }
  bool valid_prefix(const PhSequence& request) const {
    const auto possible = [this](std::int32_t token) {
      return 0 <= token && token < config_.tgt_vocab_size && token != config_.eos_id;
    };
    return 0 <= request.prefix_len && request.prefix_len < request.max_new_tokens &&
           std::all_of(request.prefix, request.prefix + request.prefix_len, possible);
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
