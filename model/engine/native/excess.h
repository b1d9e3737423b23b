// int8: what words of the input lack where the instruction set has no room for all of them: see
// Int8Dot.
#pragma once

#include <algorithm>

#include "dots.h"
#include "simd.h"

namespace polyhead {

struct Excess {
  std::uint32_t offset;  // in bytes, of the line of weights that it meets, in each panel
  std::uint32_t word;
};

// Splits the words of a row that have no room, and lists what they then lack; returns how many there
// are. Behind them the list has zeros, up to `num_words`. Words can be read up to a multiple of 8.
#if defined(__AVX2__)
inline int split_words(std::uint32_t* words, int num_words, Excess* excess) {
  constexpr int kMostPair = 128;
  constexpr int kWordsOfVector = 8, kBits = 64;
  int count = 0;
  for (int first = 0; first < num_words; first += kBits) {
    std::uint64_t large = 0;  // a bit for each word
    for (int w = first; w < std::min(first + kBits, num_words); w += kWordsOfVector) {
      const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + w));
      const __m256i pairs = _mm256_abs_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes));
      const __m256i above = _mm256_cmpgt_epi16(pairs, _mm256_set1_epi16(kMostPair));
      const __m256i either = _mm256_or_si256(above, _mm256_slli_epi32(above, 16));
      const int bits = _mm256_movemask_ps(_mm256_castsi256_ps(either));
      large |= static_cast<std::uint64_t>(bits) << (w - first);
    }
    // What a vector holds behind the last word is none.
    if (num_words - first < kBits) large &= (std::uint64_t{1} << (num_words - first)) - 1;
    for (; large != 0; large &= large - 1) {
      const int place = first + __builtin_ctzll(large);
      std::int8_t kept[4], rest[4];
      std::memcpy(kept, words + place, sizeof kept);
      for (int i = 0; i < 4; i++) {
        rest[i] = static_cast<std::int8_t>(kept[i] - kept[i] / 2);
        kept[i] /= 2;
      }
      std::memcpy(words + place, kept, sizeof kept);
      excess[count].offset = static_cast<std::uint32_t>(place) * sizeof(Ints);
      std::memcpy(&excess[count++].word, rest, sizeof rest);
    }
  }
  std::memset(excess + count, 0, sizeof *excess * static_cast<std::size_t>(num_words - count));
  return count;
}
#else
inline int split_words(std::uint32_t*, int, Excess*) { return 0; }
#endif

}  // namespace polyhead
