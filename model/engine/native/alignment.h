// Which source token each step of a hypothesis attends to most: model/decoding/alignment.py.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "interface.h"
#include "search.h"
#include "simd.h"

namespace polyhead {

// Of one sequence: the attention of its rows in a step, and what came of the steps before.
class Alignment {
 public:
  explicit Alignment(const PhSequence& request)
      : first_(request.align_first),
        last_(request.align_last),
        stride_(static_cast<std::size_t>(round_up(request.source_len, kLanes))),
        beam_size_(static_cast<std::size_t>(request.beam_size)) {}

  bool wanted() const { return first_ < last_; }

  // Before a step: zeros, to which the alignment heads' weights of each row are added.
  void begin() {
    if (wanted()) weights_.assign(beam_size_ * stride_, 0.0f);
  }
  float* weights(int row) {
    return wanted() ? weights_.data() + stride_ * static_cast<std::size_t>(row) : nullptr;
  }
  // After it: the place of the largest weight of each row, the first of equals.
  void end(int num_rows) {
    if (!wanted()) return;
    for (int row = 0; row < num_rows; row++) {
      const float* of_row = weights(row);
      const float* most = std::max_element(of_row + first_, of_row + last_);
      places_.push_back(static_cast<std::int32_t>(most - of_row));
    }
    places_.resize(places_.size() + beam_size_ - static_cast<std::size_t>(num_rows));
  }

  // Of the last step; -1 if nobody asks.
  int attended(int row) const {
    if (!wanted()) return -1;
    return places_[places_.size() - beam_size_ + static_cast<std::size_t>(row)];
  }

  // The places of a finished hypothesis, from its first token that is not given to its end.
  void follow(const Search& search, FinishedHypothesis& hypothesis) const {
    if (!wanted()) return;
    const std::vector<int> rows = search.rows_of(hypothesis);
    for (std::size_t step = 0; step < rows.size(); step++) {
      hypothesis.attended.push_back(places_[step * beam_size_ + static_cast<std::size_t>(rows[step])]);
    }
  }

 private:
  int first_, last_;  // none: nobody asks
  std::size_t stride_, beam_size_;
  std::vector<float> weights_;        // [row][place]
  std::vector<std::int32_t> places_;  // [step][row]
};

}  // namespace polyhead
