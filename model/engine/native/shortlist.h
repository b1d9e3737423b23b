// The vocabulary projection of one sequence that may predict some tokens only: a packed copy of their
// weights, of which products know nothing. Bits are those of the whole projection's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "linear.h"

namespace polyhead {

class Shortlist {
 public:
  // `tokens` in ascending order.
  Shortlist(const Linear& whole, const std::int32_t* tokens, int count)
      : tokens_(tokens, tokens + count), projection_(whole) {
    projection_.outputs = count;
    projection_.num_panels = (count + kLanes - 1) / kLanes;
    const auto columns = static_cast<std::size_t>(projection_.num_panels) * kLanes;
    const std::size_t words = columns * static_cast<std::size_t>(whole.num_words);
    const std::size_t bytes = (words + 2 * columns) * sizeof(std::uint32_t);  // 64 for each panel
    memory_.reset(static_cast<std::uint32_t*>(std::aligned_alloc(64, bytes)));
    if (!memory_) throw std::bad_alloc();
    auto* const lines = memory_.get();
    auto* const scales = reinterpret_cast<float*>(lines + words);
    for (int panel = 0; panel < projection_.num_panels; panel++) {
      copy_panel(whole, panel, lines, scales, scales + columns);
    }
    projection_.lines = reinterpret_cast<const Ints*>(lines);
    projection_.scales = scales;
    projection_.bias = scales + columns;
  }

  const Linear& projection() const { return projection_; }
  std::int32_t token(int place) const { return tokens_[static_cast<std::size_t>(place)]; }
  // Where the token is among the outputs; a negative number, one for each token, if it is not.
  std::int32_t place(std::int32_t token) const {
    const auto at = std::lower_bound(tokens_.begin(), tokens_.end(), token);
    if (at == tokens_.end() || *at != token) return -1 - token;
    return static_cast<std::int32_t>(at - tokens_.begin());
  }

 private:
  struct Free {
    void operator()(std::uint32_t* at) const { std::free(at); }
  };

  // Words that lie together are of one output, and stay together.
  void copy_panel(const Linear& whole, int panel, std::uint32_t* lines, float* scales,
                  float* biases) const {
    const auto together = static_cast<std::size_t>(
        whole.precision == Precision::kInt8 ? kWordsTogether : 1);
    const auto num_words = static_cast<std::size_t>(whole.num_words);
    const auto first = static_cast<std::size_t>(panel) * kLanes;
    const auto* all = reinterpret_cast<const std::uint32_t*>(whole.lines);
    const std::uint32_t* from[kLanes];
    for (std::size_t lane = 0; lane < kLanes; lane++) {
      // Behind the last token it comes again; nobody reads what is made of it.
      const auto column = static_cast<std::size_t>(tokens_[std::min(first + lane, tokens_.size() - 1)]);
      from[lane] = all + column / kLanes * num_words * kLanes + column % kLanes * together;
      scales[first + lane] = whole.scales[column];
      biases[first + lane] = whole.bias[column];
    }
    std::uint32_t* to = lines + first * num_words;
    for (std::size_t w = 0; w < num_words * kLanes; w += together * kLanes) {
      for (std::size_t lane = 0; lane < kLanes; lane++, to += together) {
        std::memcpy(to, from[lane] + w, together * sizeof *to);
      }
    }
  }

  std::vector<std::int32_t> tokens_;
  Linear projection_;
  std::unique_ptr<std::uint32_t, Free> memory_;
};

}  // namespace polyhead
