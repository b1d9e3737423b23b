// The vocabulary projection and what a search wants of it: each row's log-normaliser and its few
// best tokens. The projection runs in chunks of columns whose logits stay in the cache; logits of a
// whole row are kept only where a repetition guard must change them.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "product.h"

namespace polyhead {

struct Scored {
  float logit;
  std::int32_t token;
};

// The best `width` tokens seen, best first; of equal ones the lowest token first.
class Best {
 public:
  void clear(int width) {
    width_ = width;
    kept_.clear();
    threshold = -INFINITY;
  }
  void offer(float logit, std::int32_t token) {
    if (!(logit > threshold)) return;
    const auto before = [](const Scored& a, float value) { return a.logit >= value; };
    kept_.insert(std::lower_bound(kept_.begin(), kept_.end(), logit, before), {logit, token});
    if (static_cast<int>(kept_.size()) > width_) kept_.pop_back();
    if (static_cast<int>(kept_.size()) == width_) threshold = kept_.back().logit;
  }
  const std::vector<Scored>& kept() const { return kept_; }
  template <typename Predicate>
  void drop(Predicate predicate) {
    std::erase_if(kept_, predicate);
  }
  float threshold = -INFINITY;  // what does not exceed it is not among the best

 private:
  int width_ = 1;
  std::vector<Scored> kept_;
};

struct RowScores {
  Best best;
  float most = -INFINITY;  // the largest logit
  float total = 0.0f;      // of exp(logit - most)
  float* all = nullptr;    // where to keep every logit, if anywhere
  float log_normaliser() const { return most + std::log(total); }
};

inline void scan(RowScores& row, const float* logits, int first, int count) {
  const int padded = round_up(count, kLanes);
  Floats largest_lanes = load(logits);
  for (int i = kLanes; i < padded; i += kLanes) {
    largest_lanes = maximum(largest_lanes, load(logits + i));
  }
  const float top = largest(largest_lanes);
  if (!(top <= row.most)) {  // also when it is not a number
    row.total *= std::exp(row.most - top);
    row.most = top;
  }
  // Logits that are all minus infinity so far have no finite largest one to subtract.
  const float base = std::max(row.most, std::numeric_limits<float>::lowest());
  Floats total = splat(0.0f);
  for (int i = 0; i < padded; i += kLanes) total += exponential(load(logits + i) - base);
  row.total += sum(total);
  if (row.all != nullptr) {
    std::memcpy(row.all + first, logits, sizeof(float) * static_cast<std::size_t>(count));
    return;
  }
  if (!(top > row.best.threshold)) return;
  for (int i = 0; i < padded; i += kLanes) {
    // The padding is minus infinity, which is above no threshold.
    unsigned above = bits_above(load(logits + i), splat(row.best.threshold));
    for (; above != 0; above &= above - 1) {
      const int at = i + __builtin_ctz(above);
      row.best.offer(logits[at], first + at);
    }
  }
}

// Fills `count` rows, whose `best` and `all` are set up, from the prepared `x`.
//
// Logits are computed a chunk at a time and scanned a piece at a time: few rows have large chunks, to
// be shared by a team, but the pieces, and so every sum, are always the same.
inline void score_vocabulary(const Linear& projection, const Operand& x, RowScores* rows, int count,
                             Buffer<float>& scratch, Team* team) {
  constexpr int kPiecePanels = 24;
  constexpr int kChunkPanelRows = 2048;  // 128 KiB of logits
  const int pieces = std::max(kChunkPanelRows / (kPiecePanels * count), 1);
  const int chunk_panels = kPiecePanels * pieces;
  const auto stride = static_cast<std::size_t>(chunk_panels * kLanes);
  scratch.reserve(stride * static_cast<std::size_t>(count));
  for (int first = 0; first < projection.num_panels; first += chunk_panels) {
    const int last = std::min(first + chunk_panels, projection.num_panels);
    apply_panels(projection, x, count, first, last,
                 {scratch.data(), stride, Activation::kNone, false, first}, team);
    for (int i = 0; i < count; i++) {
      float* logits = scratch.data() + stride * static_cast<std::size_t>(i);
      for (int panel = first; panel < last; panel += kPiecePanels) {
        const int column = panel * kLanes;
        const int end = std::min(std::min(panel + kPiecePanels, last) * kLanes, projection.outputs);
        float* piece = logits + (panel - first) * kLanes;
        for (int pad = end - column; pad < round_up(end - column, kLanes); pad++) {
          piece[pad] = -INFINITY;
        }
        scan(rows[i], piece, column, end - column);
      }
    }
  }
}

}  // namespace polyhead
