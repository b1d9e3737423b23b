// The runner: running sequences, their rows, and the loop of decode steps over them.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "candidates.h"
#include "interface.h"
#include "kv_cache.h"
#include "model.h"
#include "running.h"
#include "transformer.h"

namespace polyhead {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What Python holds; the cache's type depends on the model's precision.
class Runner {
 public:
  virtual ~Runner() = default;
  virtual PhOutcome execute(const std::int64_t* removed, int num_removed,
                            const PhSequence* newcomers, int num_newcomers,
                            const std::int64_t* active, int num_active, int max_steps) = 0;
  virtual std::size_t num_running() const = 0;
  virtual void* cache(std::size_t* bytes) const = 0;
  void interrupt() { interrupted_.store(true, std::memory_order_relaxed); }

 protected:
  std::atomic<bool> interrupted_{false};
};

template <class T>
class CachedRunner : public Runner {
 public:
  CachedRunner(const Model& model, int max_slots)
      : model_(model), max_slots_(max_slots), cache_(model, max_slots), network_(model, cache_) {}

  PhOutcome execute(const std::int64_t* removed, int num_removed, const PhSequence* newcomers,
                    int num_newcomers, const std::int64_t* active, int num_active,
                    int max_steps) override {
    finished_.clear();
    hypotheses_.clear();
    PhOutcome outcome{};
    // What was under way when a call failed is neither here nor there.
    if ((outcome.status = status_) != kPhOk) return outcome;
    outcome.status = check(removed, num_removed, newcomers, num_newcomers);
    if (outcome.status != kPhOk) return outcome;
    status_ = kPhOutOfMemory;  // should an exception end this call
    const ActiveRunnerGuard guard(*this);
    for (int i = 0; i < num_removed; i++) drop(removed[i]);
    if (num_newcomers > 0) {
      const auto started = Clock::now();
      acquire_threads();
      admit(newcomers, num_newcomers);
      outcome.encode_seconds = seconds_since(started);
    }
    activate(active, num_active);
    take_steps(max_steps, outcome);
    list_hypotheses();
    list_decided();
    status_ = finite_ ? kPhOk : kPhNotFinite;
    outcome.status = status_;
    outcome.hypotheses = hypotheses_.data();
    outcome.num_hypotheses = static_cast<std::int32_t>(hypotheses_.size());
    outcome.decided = decided_.data();
    outcome.num_decided = static_cast<std::int32_t>(decided_.size());
    return outcome;
  }
  std::size_t num_running() const override { return running_.size(); }
  void* cache(std::size_t* bytes) const override {
    *bytes = cache_.bytes();
    return cache_.data();
  }

 private:
  // Counts this runner among those that work, however the call ends.
  class ActiveRunnerGuard {
   public:
    explicit ActiveRunnerGuard(CachedRunner& runner) : runner_(runner) {
      runner_.model_.team->arrive();
    }
    ~ActiveRunnerGuard() {
      runner_.release_threads();
      runner_.model_.team->leave();
    }
    ActiveRunnerGuard(const ActiveRunnerGuard&) = delete;
    ActiveRunnerGuard& operator=(const ActiveRunnerGuard&) = delete;

   private:
    CachedRunner& runner_;
  };

  // Whether all newcomers can be admitted, once the removed are gone.
  PhStatus check(const std::int64_t* removed, int num_removed, const PhSequence* newcomers,
                 int num_newcomers) const {
    if (num_newcomers == 0) return kPhOk;
    Occupancy occupancy(model_.config, max_slots_);
    for (const auto& sequence : running_) {
      const auto* end = removed + num_removed;
      if (std::find(removed, end, sequence->id) == end) occupancy.add(*sequence);
    }
    for (int i = 0; i < num_newcomers; i++) {
      if (const PhStatus status = occupancy.admit(newcomers[i]); status != kPhOk) return status;
    }
    return kPhOk;
  }

  // Another runner may have begun or ended to work since the last step.
  void acquire_threads() {
    const int num_helpers = model_.config.num_threads - 1;
    if (num_helpers == 0 || !model_.team->alone()) return release_threads();
    if (network_.team == nullptr && model_.team->engage(num_helpers)) {
      network_.team = model_.team.get();
    }
  }
  void release_threads() {
    if (network_.team != nullptr) model_.team->release();
    network_.team = nullptr;
  }
  void drop(std::int64_t id) {
    std::erase_if(running_, [id](const auto& sequence) { return sequence->id == id; });
  }

  // Those who take part in the steps of this call: those named, or everybody.
  void activate(const std::int64_t* ids, int count) {
    active_.clear();
    for (const auto& sequence : running_) {
      if (ids == nullptr || std::find(ids, ids + count, sequence->id) != ids + count) {
        active_.push_back(sequence.get());
      }
    }
  }

  // Until a sequence finishes, `max_steps` are taken, an interrupt comes, or nobody takes part.
  void take_steps(int max_steps, PhOutcome& outcome) {
    const auto started = Clock::now();
    while (!active_.empty() && outcome.steps < max_steps && finished_.empty() && finite_) {
      if (outcome.steps > 0 && interrupted()) break;
      outcome.rows += step();
      outcome.steps++;
      if (outcome.steps == 1) outcome.first_step_seconds = seconds_since(started);
    }
    interrupted_.store(false, std::memory_order_relaxed);
    outcome.decode_seconds = seconds_since(started);
  }

  // Encodes in portions whose activations stay in the second-level cache.
  void admit(const PhSequence* newcomers, int count) {
    constexpr int kMostTokens = 192;
    int first = 0;
    while (first < count) {
      source_tokens_.clear();
      source_lengths_.clear();
      source_slots_.clear();
      int last = first;
      do {
        const PhSequence& newcomer = newcomers[last];
        source_tokens_.insert(source_tokens_.end(), newcomer.source,
                              newcomer.source + newcomer.source_len);
        source_lengths_.push_back(newcomer.source_len);
        source_slots_.push_back(newcomer.slots[0]);
        last++;
      } while (last < count && static_cast<int>(source_tokens_.size()) +
                                       newcomers[last].source_len <= kMostTokens);
      network_.encode(source_tokens_.data(), source_lengths_.data(), source_slots_.data(),
                      last - first);
      first = last;
    }
    const PhModelConfig& config = model_.config;
    for (int i = 0; i < count; i++) {
      running_.push_back(std::make_unique<Running>(newcomers[i], model_.projection, config));
    }
    read_prefixes(std::span(running_).last(static_cast<std::size_t>(count)));
  }

  // What the first prediction reads of a prefix, all but its last token, goes into the cache.
  void read_prefixes(std::span<const std::unique_ptr<Running>> newcomers) {
    for (int position = 0;; position++) {
      bool any = false;
      rows_.clear();
      for (const auto& newcomer : newcomers) {
        const auto& prefix = newcomer->prefix;
        const auto at = static_cast<std::size_t>(position);
        if (at >= prefix.size()) continue;
        rows_.push_back(row(*newcomer, 0, at == 0 ? model_.config.bos_id : prefix[at - 1], position));
        any = true;
        if (rows_.size() == kMostRows) {
          network_.decode(rows_);
          rows_.clear();
        }
      }
      if (!rows_.empty()) network_.decode(rows_);
      if (!any) return;
    }
  }

  // One token more for each hypothesis, of a few sequences at a time: an interrupt is heard between two
  // portions. Whoever then has had no token has the first turn in the next step.
  int step() {
    std::size_t first = 0;
    int total = 0;
    while (first < active_.size() && finite_ && !(first > 0 && interrupted())) {
      std::size_t last = first;
      int rows = 0;
      do {
        rows += active_[last++]->num_rows();
      } while (last < active_.size() && rows + active_[last]->num_rows() <= kMostRows);
      acquire_threads();
      decode(std::span(active_).subspan(first, last - first));
      first = last;
      total += rows;
    }
    if (first < active_.size()) defer(std::span(active_).first(first));
    for (auto& sequence : running_) {
      if (sequence->search.done) finished_.push_back(std::move(sequence));
    }
    std::erase(running_, nullptr);
    return total;
  }
  bool interrupted() const { return interrupted_.load(std::memory_order_relaxed); }

  void defer(std::span<Running* const> sequences) {
    std::stable_partition(running_.begin(), running_.end(), [&](const auto& each) {
      return std::find(sequences.begin(), sequences.end(), each.get()) == sequences.end();
    });
  }

  void decode(std::span<Running* const> sequences) {
    rows_.clear();
    for (Running* sequence : sequences) add_rows(*sequence);
    network_.decode(rows_);
    for (Running* sequence : sequences) sequence->alignment.end(sequence->num_rows());
    scores_.resize(rows_.size());
    prepare_scores(sequences);
    score(sequences);
    std::size_t row = 0;
    for (Running* sequence : sequences) {
      const int count = sequence->num_rows();
      advance(*sequence, row);
      row += static_cast<std::size_t>(count);
    }
  }

  // One product for sequences side by side that may predict everything, and one for each other.
  void score(std::span<Running* const> sequences) {
    std::size_t next = 0;
    int first_row = 0;
    while (next < sequences.size()) {
      const Shortlist* shortlist = sequences[next]->shortlist.get();
      int count = 0;
      do {
        count += sequences[next++]->num_rows();
      } while (shortlist == nullptr && next < sequences.size() && !sequences[next]->shortlist);
      score_vocabulary(shortlist == nullptr ? model_.projection : shortlist->projection(),
                       network_.operand().operand(first_row), scores_.data() + first_row, count,
                       logits_, network_.team);
      first_row += count;
    }
  }

  void add_rows(Running& sequence) {
    sequence.alignment.begin();
    for (int i = 0; i < sequence.num_rows(); i++) {
      rows_.push_back(row(sequence, i, sequence.last_tokens[static_cast<std::size_t>(i)],
                          sequence.position));
      rows_.back().attention = sequence.alignment.weights(i);
    }
  }
  static Row row(const Running& sequence, int beam, int token, int position) {
    const auto at = static_cast<std::size_t>(beam);
    return {token, position, sequence.slots[at], sequence.slots[0], sequence.source_len,
            sequence.search.beam_size == 1 ? nullptr : sequence.ancestors[at].data(), nullptr};
  }

  // All logits of a row are kept only where the repetition guard is about to change some: seldom.
  void prepare_scores(std::span<Running* const> sequences) {
    std::size_t row = 0, kept = 0;
    const auto vocabulary = static_cast<std::size_t>(model_.config.tgt_vocab_size);
    guarded_.clear();
    for (const Running* sequence : sequences) {
      for (int i = 0; i < sequence->num_rows(); i++, row++) {
        RowScores& scores = scores_[row];
        scores.best.clear(sequence->num_candidates() + (sequence->lexical ? kSpareCandidates : 0));
        scores.most = -INFINITY;
        scores.total = 0.0f;
        scores.all = nullptr;
        if (guarded(*sequence, i)) guarded_.push_back(row);
      }
    }
    all_logits_.reserve(guarded_.size() * vocabulary);
    for (const std::size_t each : guarded_) {
      scores_[each].all = all_logits_.data() + vocabulary * kept++;
    }
  }

  bool guarded(const Running& sequence, int beam) const {
    if (lexical(sequence, beam)) {
      const auto row = static_cast<std::size_t>(beam);
      if (sequence.lexical->only(row, sequence.room()) >= 0) return false;
      if (sequence.lexical->concern(row, sequence.room())) return true;
    }
    return sequence.constraints.any() &&
           sequence.constraints.concern(sequence.search.history(beam), model_.config.eos_id);
  }
  // Whether lexical constraints concern what follows a row.
  static bool lexical(const Running& sequence, int beam) {
    return sequence.lexical && !sequence.search.end_is_forced() &&
           sequence.search.live_log_probs[static_cast<std::size_t>(beam)] > kNever;
  }
  std::int32_t place(const Running& sequence, std::int32_t token) const {
    return sequence.shortlist ? sequence.shortlist->place(token) : token;
  }
  static std::int32_t token(const Running& sequence, std::int32_t place) {
    return sequence.shortlist ? sequence.shortlist->token(place) : place;
  }

  // Lets one sequence's search choose among its rows' best.
  void advance(Running& sequence, std::size_t first_row) {
    Search& search = sequence.search;
    candidates_.clear();
    for (int i = 0; i < sequence.num_rows(); i++) {
      RowScores& scores = scores_[first_row + static_cast<std::size_t>(i)];
      float log_normaliser = scores.log_normaliser();
      if (!std::isfinite(log_normaliser)) {
        finite_ = false;
        return;
      }
      if (lexical(sequence, i)) offer_beginnings(sequence, i, first_row);
      const std::int32_t only =
          lexical(sequence, i) && scores.all == nullptr ? constrain_best(sequence, i, first_row) : -1;
      if (only >= 0) {
        candidates_.push_back({i, only, search.live_log_probs[static_cast<std::size_t>(i)]});
        continue;
      }
      if (scores.all != nullptr) {
        constrain(sequence, i, scores);
        log_normaliser = 0.0f;
      }
      const double past = search.live_log_probs[static_cast<std::size_t>(i)];
      for (const Scored& scored : scores.best.kept()) {
        candidates_.push_back(
            {i, token(sequence, scored.token), past + (scored.logit - log_normaliser)});
      }
    }
    if (search.end_is_forced()) {
      candidates_.clear();
      search.forced_ends(candidates_);
    }
    std::stable_sort(candidates_.begin(), candidates_.end(), [](const auto& a, const auto& b) {
      return a.log_prob > b.log_prob;
    });
    const auto most = static_cast<std::size_t>(sequence.num_candidates());
    if (candidates_.size() > most) candidates_.resize(most);
    search.advance(candidates_);
    if (sequence.lexical) {
      for (FinishedHypothesis& hypothesis : search.finished) {
        if (hypothesis.length != search.num_tokens) continue;  // it ended before
        sequence.lexical->find_missed(hypothesis, static_cast<int>(sequence.prefix.size()));
      }
    }
    if (!search.done) follow(sequence);
  }

  void offer_beginnings(Running& sequence, int beam, std::size_t first_row) {
    const auto row = static_cast<std::size_t>(beam);
    const Shortlist* beginnings = sequence.lexical->beginnings(row);
    if (beginnings == nullptr) return;
    const Linear& projection = beginnings->projection();
    row_logits_.reserve(static_cast<std::size_t>(projection.num_panels * kLanes));
    apply(projection, network_.operand().operand(static_cast<int>(first_row) + beam), 1,
          row_logits_.data(), static_cast<std::size_t>(projection.num_panels * kLanes), nullptr);
    sequence.lexical->offer(row, row_logits_.data(), scores_[first_row + row].log_normaliser());
  }

  // The one token that can follow a row, or -1. If its best token is impossible, or so many of the best
  // that others are needed, its logits are computed once more, and all of them kept.
  std::int32_t constrain_best(const Running& sequence, int beam, std::size_t first_row) {
    const auto row = static_cast<std::size_t>(beam);
    const std::int32_t only = sequence.lexical->only(row, sequence.room());
    if (only >= 0) return only;
    RowScores& scores = scores_[first_row + row];
    const auto forbidden = [&](const Scored& scored) {
      return sequence.lexical->forbids(row, sequence.room(), token(sequence, scored.token),
                                       [&] { return sequence.search.history(beam); });
    };
    const std::vector<Scored>& kept = scores.best.kept();
    if (!kept.empty() && !forbidden(kept.front())) {
      scores.best.drop(forbidden);
      if (static_cast<int>(kept.size()) >= sequence.num_candidates()) return -1;
    }
    const Linear& projection =
        sequence.shortlist ? sequence.shortlist->projection() : model_.projection;
    row_logits_.reserve(static_cast<std::size_t>(projection.outputs));
    scores.best.clear(sequence.num_candidates());
    scores.most = -INFINITY;
    scores.total = 0.0f;
    scores.all = row_logits_.data();
    score_vocabulary(projection, network_.operand().operand(static_cast<int>(first_row) + beam),
                     &scores, 1, logits_, network_.team);
    return -1;
  }

  // The rows of the next step take over their parents' pasts.
  void follow(Running& sequence) {
    sequence.position++;
    if (sequence.lexical) sequence.lexical->follow(sequence.search.survivors);
    if (sequence.search.beam_size == 1) {
      sequence.last_tokens[0] = sequence.search.survivors[0].token;
      return;
    }
    for (std::size_t i = 0; i < sequence.slots.size(); i++) {
      const Candidate& survivor = sequence.search.survivors[i];
      const auto parent = static_cast<std::size_t>(survivor.parent);
      sequence.next_ancestors[i] = sequence.ancestors[parent];
      sequence.next_ancestors[i].push_back(sequence.slots[i]);
      sequence.last_tokens[i] = survivor.token;
    }
    std::swap(sequence.ancestors, sequence.next_ancestors);
  }

  // The guard and the constraints work on log-probabilities.
  void constrain(Running& sequence, int beam, RowScores& scores) {
    const int count = sequence.shortlist ? sequence.shortlist->projection().outputs
                                         : model_.config.tgt_vocab_size;
    const float log_normaliser = scores.log_normaliser();
    for (int i = 0; i < count; i++) scores.all[i] -= log_normaliser;
    const std::vector<std::int32_t> history = sequence.search.history(beam);
    const float* free = scores.all;
    if (sequence.lexical && (sequence.lexical->bans() || sequence.constraints.any())) {
      free_.assign(scores.all, scores.all + count);
      free = free_.data();
    }
    if (sequence.constraints.any()) {
      std::vector<std::int32_t> places;
      for (const std::int32_t token : history) places.push_back(place(sequence, token));
      sequence.constraints.apply(places, place(sequence, model_.config.eos_id), scores.all);
    }
    if (lexical(sequence, beam)) {
      sequence.lexical->apply(static_cast<std::size_t>(beam),
                              {scores.all, free, count, sequence.shortlist.get()}, history,
                              sequence.room(), sequence.alignment.attended(beam));
    }
    for (int i = 0; i < count; i++) scores.best.offer(scores.all[i], i);
  }

  void list_hypotheses() {
    for (const auto& sequence : finished_) {
      const int count = sequence->search.rank();
      for (int i = 0; i < count; i++) {
        FinishedHypothesis& hypothesis = sequence->search.finished[static_cast<std::size_t>(i)];
        sequence->alignment.follow(sequence->search, hypothesis);
        hypotheses_.push_back({sequence->id, hypothesis.tokens.data(), hypothesis.attended.data(),
                               static_cast<std::int32_t>(hypothesis.tokens.size()),
                               static_cast<std::int32_t>(hypothesis.attended.size()),
                               hypothesis.stopped, hypothesis.missed_begin,
                               hypothesis.missed_step, hypothesis.score, hypothesis.log_prob});
      }
      // Every candidate was minus infinity.
      if (count == 0) finite_ = false;
    }
  }

  void list_decided() {
    decided_.clear();
    for (const auto& sequence : running_) {
      if (!sequence->reports) continue;
      const std::size_t told = sequence->decided.size();
      sequence->decided = sequence->search.decided();
      const auto count = static_cast<std::int32_t>(sequence->decided.size() - told);
      if (count > 0) decided_.push_back({sequence->id, sequence->decided.data() + told, count});
    }
  }

  static constexpr int kMostRows = 32;  // that are decoded together
  static constexpr int kSpareCandidates = 8;  // for those that lexical constraints take away

  const Model& model_;
  const int max_slots_;
  Cache<T> cache_;
  Network<T> network_;
  std::vector<std::unique_ptr<Running>> running_, finished_;
  std::vector<Running*> active_;  // in this call; of no use once a sequence has finished
  std::vector<PhHypothesis> hypotheses_;
  std::vector<PhDecided> decided_;
  std::vector<Row> rows_;
  std::vector<RowScores> scores_;
  std::vector<std::size_t> guarded_;
  std::vector<Candidate> candidates_;
  std::vector<std::int32_t> source_tokens_, source_lengths_, source_slots_;
  Buffer<float> logits_, all_logits_, row_logits_;
  std::vector<float> free_;  // log-probabilities before the repetition guard
  bool finite_ = true;
  PhStatus status_ = kPhOk;
};

}  // namespace polyhead
