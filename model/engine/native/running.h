// A sequence between its admission and its end, and which ones may be admitted.
#pragma once

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <vector>

#include "constraints.h"
#include "interface.h"
#include "search.h"

namespace polyhead {

// A sequence between its admission and its end.
struct Running {
  Running(const PhSequence& request, std::int32_t bos, std::int32_t eos)
      : id(request.id),
        search(request, eos),
        constraints(request.options),
        slots(request.slots, request.slots + request.beam_size),
        source_len(request.source_len),
        last_tokens(slots.size(), bos),
        ancestors(slots.size()),
        next_ancestors(slots.size()) {
    for (std::size_t i = 0; i < slots.size(); i++) ancestors[i].push_back(slots[i]);
  }

  // All rows of the first step would be copies of the first one.
  int num_rows() const { return position == 0 ? 1 : search.beam_size; }
  // Most candidates that its search looks at.
  int num_candidates() const { return search.beam_size == 1 ? 1 : 2 * search.beam_size; }

  std::int64_t id;
  Search search;
  Constraints constraints;
  std::vector<std::int32_t> slots;
  int source_len;
  int position = 0;
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
           std::all_of(request.source, request.source + request.source_len, known);
  }
  bool valid_search(const PhSequence& request) const {
    const PhOptions& options = request.options;
    return 0 < options.num_hypotheses && options.num_hypotheses <= request.beam_size &&
           0 < request.max_new_tokens && request.max_new_tokens <= config_.max_positions &&
           0 <= options.no_repeat_ngram_size &&
           0.0 <= options.length_penalty && options.length_penalty <= FLT_MAX &&
           1.0 <= options.repetition_penalty && options.repetition_penalty <= FLT_MAX;
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
