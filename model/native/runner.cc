// The runner: running sequences, their rows, and the loop of decode steps over them.

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <unordered_map>

#include "candidates.h"
#include "interface.h"
#include "search.h"
#include "transformer.h"

namespace polyhead {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A sequence between its admission and its end.
struct Running {
  Running(const PhSequence& request, std::int32_t bos, std::int32_t eos)
      : id(request.id),
        search(request, eos),
        slots(request.slots, request.slots + request.beam_size),
        source_len(request.source_len),
        repetition_penalty(request.repetition_penalty),
        ngram_size(request.no_repeat_ngram_size),
        last_tokens(slots.size(), bos),
        ancestors(slots.size()),
        next_ancestors(slots.size()) {
    for (std::size_t i = 0; i < slots.size(); i++) ancestors[i].push_back(slots[i]);
  }

  bool constrained() const { return repetition_penalty != 1.0 || ngram_size > 0; }
  // All rows of the first step would be copies of the first one.
  int num_rows() const { return position == 0 ? 1 : search.beam_size; }

  std::int64_t id;
  Search search;
  std::vector<std::int32_t> slots;
  int source_len;
  double repetition_penalty;
  int ngram_size;
  int position = 0;
  std::vector<std::int32_t> last_tokens;
  // [row][position]: whose slot holds the keys and values. Beams trade places by trading this list;
  // what is in the cache stays where it is.
  std::vector<std::vector<std::int32_t>> ancestors, next_ancestors;
};

// What Python holds; the cache's type depends on the model's precision.
class Runner {
 public:
  virtual ~Runner() = default;
  virtual PhOutcome execute(const std::int64_t* removed, int num_removed,
                            const PhSequence* newcomers, int num_newcomers, int max_steps) = 0;
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
      : model_(model), cache_(model, max_slots), network_(model, cache_) {}

  PhOutcome execute(const std::int64_t* removed, int num_removed, const PhSequence* newcomers,
                    int num_newcomers, int max_steps) override {
    finished_.clear();
    hypotheses_.clear();
    PhOutcome outcome{};
    const Attendance attendance(*this);
    for (int i = 0; i < num_removed; i++) forget(removed[i]);
    if (num_newcomers > 0) {
      const auto started = Clock::now();
      seek_help();
      admit(newcomers, num_newcomers);
      outcome.encode_seconds = seconds_since(started);
    }
    const auto started = Clock::now();
    while (!running_.empty() && outcome.steps < max_steps && finished_.empty()) {
      if (outcome.steps > 0 && interrupted_.load(std::memory_order_relaxed)) break;
      seek_help();
      outcome.rows += step();
      outcome.steps++;
      if (outcome.steps == 1) outcome.first_step_seconds = seconds_since(started);
      if (!finite_) break;
    }
    interrupted_.store(false, std::memory_order_relaxed);
    outcome.decode_seconds = seconds_since(started);
    list_hypotheses();
    outcome.error = finite_ ? 0 : 1;
    outcome.hypotheses = hypotheses_.data();
    outcome.num_hypotheses = static_cast<std::int32_t>(hypotheses_.size());
    return outcome;
  }
  std::size_t num_running() const override { return running_.size(); }
  void* cache(std::size_t* bytes) const override {
    *bytes = cache_.bytes();
    return cache_.self(0, 0);
  }

 private:
  // Counts this runner among those that work, however the call ends.
  class Attendance {
   public:
    explicit Attendance(CachedRunner& runner) : runner_(runner) { runner_.model_.team.arrive(); }
    ~Attendance() {
      runner_.dismiss_help();
      runner_.model_.team.leave();
    }
    Attendance(const Attendance&) = delete;
    Attendance& operator=(const Attendance&) = delete;

   private:
    CachedRunner& runner_;
  };

  // Another runner may have begun or ended to work since the last step.
  void seek_help() {
    if (!model_.team.alone()) return dismiss_help();
    if (network_.team == nullptr && model_.team.engage()) network_.team = &model_.team;
  }
  void dismiss_help() {
    if (network_.team != nullptr) model_.team.release();
    network_.team = nullptr;
  }
  void forget(std::int64_t id) {
    std::erase_if(running_, [&](const auto& sequence) { return sequence->id == id; });
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
    for (int i = 0; i < count; i++) {
      running_.push_back(std::make_unique<Running>(newcomers[i], model_.config.bos_id,
                                                   model_.config.eos_id));
    }
  }

  int step() {
    rows_.clear();
    for (const auto& sequence : running_) add_rows(*sequence);
    network_.decode(rows_);
    scores_.resize(rows_.size());
    prepare_scores();
    score_vocabulary(model_.projection, network_.operand().operand(), scores_, logits_,
                     network_.team);
    std::size_t row = 0;
    for (const auto& sequence : running_) {
      const int count = sequence->num_rows();
      advance(*sequence, row);
      row += static_cast<std::size_t>(count);
    }
    for (auto& sequence : running_) {
      if (sequence->search.done) finished_.push_back(std::move(sequence));
    }
    std::erase(running_, nullptr);
    return static_cast<int>(rows_.size());
  }

  void add_rows(const Running& sequence) {
    for (int i = 0; i < sequence.num_rows(); i++) {
      const auto beam = static_cast<std::size_t>(i);
      rows_.push_back({sequence.last_tokens[beam], sequence.position, sequence.slots[beam],
                       sequence.slots[0], sequence.source_len,
                       sequence.search.beam_size == 1 ? nullptr : sequence.ancestors[beam].data()});
    }
  }

  void prepare_scores() {
    std::size_t row = 0, kept = 0;
    const auto vocabulary = static_cast<std::size_t>(model_.config.tgt_vocab_size);
    for (const auto& sequence : running_) {
      if (sequence->constrained()) kept += static_cast<std::size_t>(sequence->num_rows());
    }
    all_logits_.reserve(kept * vocabulary);
    kept = 0;
    for (const auto& sequence : running_) {
      for (int i = 0; i < sequence->num_rows(); i++, row++) {
        RowScores& scores = scores_[row];
        const int width = sequence->search.beam_size == 1 ? 1 : 2 * sequence->search.beam_size;
        scores.best.clear(width);
        scores.most = -INFINITY;
        scores.total = 0.0f;
        scores.all = nullptr;
        if (sequence->constrained()) scores.all = all_logits_.data() + vocabulary * kept++;
      }
    }
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
      if (scores.all != nullptr) {
        constrain(sequence, i, scores, log_normaliser);
        log_normaliser = 0.0f;
      }
      const double past = search.live_log_probs[static_cast<std::size_t>(i)];
      for (const Scored& scored : scores.best.kept()) {
        candidates_.push_back({i, scored.token, past + (scored.logit - log_normaliser)});
      }
    }
    std::stable_sort(candidates_.begin(), candidates_.end(), [](const auto& a, const auto& b) {
      return a.log_prob > b.log_prob;
    });
    const std::size_t most = search.beam_size == 1 ? 1 : 2 * static_cast<std::size_t>(search.beam_size);
    if (candidates_.size() > most) candidates_.resize(most);
    search.advance(candidates_);
    if (!search.done) follow(sequence);
  }

  // The rows of the next step take over their parents' pasts.
  void follow(Running& sequence) {
    sequence.position++;
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

  // The repetition guard, on log-probabilities, as model/decoding/constraints.py defines it.
  void constrain(const Running& sequence, int beam, RowScores& scores, float log_normaliser) {
    const int vocabulary = model_.config.tgt_vocab_size;
    for (int token = 0; token < vocabulary; token++) scores.all[token] -= log_normaliser;
    const std::vector<std::int32_t> history = sequence.search.history(beam);
    if (sequence.repetition_penalty != 1.0) {
      std::vector<std::int32_t> seen = history;
      std::sort(seen.begin(), seen.end());
      seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
      for (const std::int32_t token : seen) {
        scores.all[token] *= static_cast<float>(sequence.repetition_penalty);
      }
    }
    if (sequence.ngram_size > 0) ban_ngrams(history, sequence.ngram_size, scores.all);
    for (int token = 0; token < vocabulary; token++) scores.best.offer(scores.all[token], token);
  }
  // Tokens that would complete an n-gram that the history already has; never the end token.
  void ban_ngrams(const std::vector<std::int32_t>& history, int size, float* log_probs) const {
    const int tail = size - 1, length = static_cast<int>(history.size());
    if (length < tail) return;
    for (int start = 0; start + size <= length; start++) {
      const bool same = std::equal(history.end() - tail, history.end(), history.begin() + start);
      const std::int32_t token = history[static_cast<std::size_t>(start + tail)];
      if (same && token != model_.config.eos_id) log_probs[token] = -INFINITY;
    }
  }

  void list_hypotheses() {
    for (const auto& sequence : finished_) {
      const int count = sequence->search.rank();
      for (int i = 0; i < count; i++) {
        const FinishedHypothesis& hypothesis = sequence->search.finished[static_cast<std::size_t>(i)];
        hypotheses_.push_back({sequence->id, hypothesis.tokens.data(),
                               static_cast<std::int32_t>(hypothesis.tokens.size()),
                               hypothesis.stopped, hypothesis.score, hypothesis.log_prob});
      }
      // Every candidate was minus infinity.
      if (count == 0) finite_ = false;
    }
  }

  const Model& model_;
  Cache<T> cache_;
  Network<T> network_;
  std::vector<std::unique_ptr<Running>> running_, finished_;
  std::vector<PhHypothesis> hypotheses_;
  std::vector<Row> rows_;
  std::vector<RowScores> scores_;
  std::vector<Candidate> candidates_;
  std::vector<std::int32_t> source_tokens_, source_lengths_, source_slots_;
  Buffer<float> logits_, all_logits_;
  bool finite_ = true;
};

}  // namespace polyhead

// ---- The interface -------------------------------------------------------------------------------

#define PH_EXPORT __attribute__((visibility("default")))

extern "C" {

PH_EXPORT void* ph_model_new(const PhModelConfig* config) {
  try {
    return new polyhead::Model(*config);
  } catch (const std::exception&) {  // no memory, or no more threads
    return nullptr;
  }
}
PH_EXPORT void ph_model_free(void* model) { delete static_cast<polyhead::Model*>(model); }

// 0, or 1 for an unknown name, 2 when memory runs out.
PH_EXPORT int ph_model_set_linear(void* model, const char* name, const float* weight,
                                  const float* bias, int outputs, int inputs) {
  try {
    auto& target = *static_cast<polyhead::Model*>(model);
    return target.set_linear(name, weight, bias, outputs, inputs) ? 0 : 1;
  } catch (const std::bad_alloc&) {
    return 2;
  }
}
PH_EXPORT int ph_model_set_norm(void* model, const char* name, const float* gain,
                                const float* bias) {
  try {
    return static_cast<polyhead::Model*>(model)->set_norm(name, gain, bias) ? 0 : 1;
  } catch (const std::bad_alloc&) {
    return 2;
  }
}
// The tables stay the caller's and must outlive the model.
PH_EXPORT void ph_model_set_embeddings(void* model, const float* source_tokens,
                                       const float* source_positions, const float* target_tokens,
                                       const float* target_positions) {
  auto& target = *static_cast<polyhead::Model*>(model);
  target.source.tokens = source_tokens;
  target.source.positions = source_positions;
  target.target.tokens = target_tokens;
  target.target.positions = target_positions;
}
PH_EXPORT const char* ph_model_missing(void* model) {
  return static_cast<polyhead::Model*>(model)->missing();
}
PH_EXPORT std::size_t ph_model_bytes(void* model) {
  return static_cast<polyhead::Model*>(model)->arena.bytes();
}

PH_EXPORT void* ph_runner_new(void* model, int max_slots) {
  try {
    const auto& target = *static_cast<polyhead::Model*>(model);
    const auto precision = static_cast<polyhead::Precision>(target.config.precision);
    polyhead::Runner* runner = nullptr;
    if (precision == polyhead::Precision::kFloat32) {
      runner = new polyhead::CachedRunner<float>(target, max_slots);
    } else {
      runner = new polyhead::CachedRunner<std::uint16_t>(target, max_slots);
    }
    return runner;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
PH_EXPORT void ph_runner_free(void* runner) { delete static_cast<polyhead::Runner*>(runner); }
PH_EXPORT void ph_runner_interrupt(void* runner) {
  static_cast<polyhead::Runner*>(runner)->interrupt();
}
PH_EXPORT void ph_runner_execute(void* runner, const std::int64_t* removed, int num_removed,
                                 const PhSequence* newcomers, int num_newcomers, int max_steps,
                                 PhOutcome* outcome) {
  try {
    *outcome = static_cast<polyhead::Runner*>(runner)->execute(removed, num_removed, newcomers,
                                                               num_newcomers, max_steps);
  } catch (const std::bad_alloc&) {
    *outcome = {};
    outcome->error = 2;
  }
}
PH_EXPORT std::size_t ph_runner_num_running(void* runner) {
  return static_cast<polyhead::Runner*>(runner)->num_running();
}
PH_EXPORT void* ph_runner_cache(void* runner, std::size_t* bytes) {
  return static_cast<polyhead::Runner*>(runner)->cache(bytes);
}
}
