// Does with a compiled engine what was recorded with another, and prints what comes of it: a line for
// each hypothesis, `id stopped score log_prob tokens...`, both numbers as the bits of a double.
//
// replay LIBRARY RECORDING

#include <dlfcn.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "../../model/engine/native/interface.h"

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

class Library {
 public:
  explicit Library(const char* path) : handle_(dlopen(path, RTLD_NOW)) {
    if (handle_ == nullptr) fail(dlerror());
  }
  template <class Result, class... Arguments>
  Result call(const char* name, Arguments... arguments) const {
    void* function = dlsym(handle_, name);
    if (function == nullptr) fail(dlerror());
    return reinterpret_cast<Result (*)(Arguments...)>(function)(arguments...);
  }

 private:
  void* handle_;
};

class Recording {
 public:
  explicit Recording(const char* path) : file_(path, std::ios::binary) {
    if (!file_) fail(std::string("cannot read ") + path);
  }
  bool ended() { return file_.peek() == std::ifstream::traits_type::eof(); }
  template <class T>
  T read() {
    return read<T>(1)[0];
  }
  template <class T>
  std::vector<T> read(std::size_t count) {
    std::vector<T> values(count);
    const std::size_t bytes = count * sizeof(T);
    if (!file_.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(bytes))) {
      fail("the recording ends too early");
    }
    return values;
  }
  std::string name() {
    std::string text;
    if (!std::getline(file_, text, '\0')) fail("the recording ends too early");
    return text;
  }

 private:
  std::ifstream file_;
};

struct Newcomer {
  std::vector<std::int32_t> source, slots, prefix, shortlist;
};

class Replay {
 public:
  Replay(const char* library, const char* recording) : library_(library), recording_(recording) {}

  void run() {
    while (!recording_.ended()) {
      switch (recording_.read<std::int32_t>()) {
        case 1: new_model(); break;
        case 2: set_linear(); break;
        case 3: set_norm(); break;
        case 4: set_positions(); break;
        case 5:
          runner_ = library_.call<void*>("ph_runner_new", model_, recording_.read<int>());
          if (runner_ == nullptr) fail("ph_runner_new: no memory");
          break;
        case 6: execute(); break;
        case 7: set_alignment_heads(); break;
        default: fail("the recording holds an unknown call");
      }
    }
    // Where numbers differ, some may take more steps than in the recording.
    const std::vector<PhSequence> nobody;
    for (int calls = 0; library_.call<std::size_t>("ph_runner_num_running", runner_) > 0; calls++) {
      if (calls == config_.max_positions) fail("some do not end");
      step({}, nobody, nullptr, 0, config_.max_positions);
    }
    library_.call<void>("ph_runner_free", runner_);
    library_.call<void>("ph_model_free", model_);
  }

 private:
  void new_model() {
    config_ = recording_.read<PhModelConfig>();
    model_ = library_.call<void*>("ph_model_new", static_cast<const PhModelConfig*>(&config_));
    if (model_ == nullptr) fail("ph_model_new: no memory");
  }
  void set_linear() {
    const std::string name = recording_.name();
    const int outputs = recording_.read<int>(), inputs = recording_.read<int>();
    const auto weight = recording_.read<float>(std::size_t(outputs) * inputs);
    const bool has_bias = recording_.read<std::int32_t>() != 0;
    const auto bias = recording_.read<float>(has_bias ? outputs : 0);
    check(name, library_.call<int>("ph_model_set_linear", model_, name.c_str(), weight.data(),
                                   has_bias ? bias.data() : nullptr, outputs, inputs));
  }
  void set_norm() {
    const std::string name = recording_.name();
    const auto gain = recording_.read<float>(config_.d_model);
    const auto bias = recording_.read<float>(config_.d_model);
    check(name, library_.call<int>("ph_model_set_norm", model_, name.c_str(), gain.data(),
                                   bias.data()));
  }
  void set_positions() {
    const std::size_t size = std::size_t(config_.max_positions) * config_.d_model;
    for (auto& table : positions_) table = recording_.read<float>(size);
    library_.call<void>("ph_model_set_positions", model_, positions_[0].data(), positions_[1].data());
    const char* missing = library_.call<const char*>("ph_model_missing", model_);
    if (missing != nullptr) fail(std::string(missing) + " was not recorded");
  }

  void set_alignment_heads() {
    const int count = recording_.read<int>();
    const auto pairs = recording_.read<std::int32_t>(2 * static_cast<std::size_t>(count));
    check("alignment_heads",
          library_.call<int>("ph_model_set_alignment_heads", model_, pairs.data(), count));
  }

  void execute() {
    const auto removed = recording_.read<std::int64_t>(recording_.read<int>());
    std::vector<PhSequence> newcomers(recording_.read<int>());
    std::vector<Newcomer> kept(newcomers.size());
    for (std::size_t i = 0; i < newcomers.size(); i++) read_newcomer(newcomers[i], kept[i]);
    const int num_active = recording_.read<int>();
    const auto active = recording_.read<std::int64_t>(num_active < 0 ? 0 : num_active);
    const int max_steps = recording_.read<int>();
    step(removed, newcomers, num_active < 0 ? nullptr : active.data(), int(active.size()), max_steps);
  }
  void step(const std::vector<std::int64_t>& removed, const std::vector<PhSequence>& newcomers,
            const std::int64_t* active, int num_active, int max_steps) {
    PhOutcome outcome{};
    library_.call<void>("ph_runner_execute", runner_, removed.data(), int(removed.size()),
                        newcomers.data(), int(newcomers.size()), active, num_active, max_steps,
                        &outcome);
    if (outcome.status != kPhOk) fail("status " + std::to_string(outcome.status));
    for (int i = 0; i < outcome.num_hypotheses; i++) print(outcome.hypotheses[i]);
  }
  void read_newcomer(PhSequence& sequence, Newcomer& kept) {
    sequence.id = recording_.read<std::int64_t>();
    sequence.source_len = recording_.read<std::int32_t>();
    sequence.beam_size = recording_.read<std::int32_t>();
    sequence.max_new_tokens = recording_.read<std::int32_t>();
    kept.source = recording_.read<std::int32_t>(sequence.source_len);
    kept.slots = recording_.read<std::int32_t>(sequence.beam_size);
    kept.prefix = recording_.read<std::int32_t>(sequence.prefix_len = recording_.read<int>());
    kept.shortlist = recording_.read<std::int32_t>(sequence.shortlist_len = recording_.read<int>());
    sequence.prefix = kept.prefix.data();
    sequence.shortlist = kept.shortlist.empty() ? nullptr : kept.shortlist.data();
    sequence.source = kept.source.data();
    sequence.slots = kept.slots.data();
    sequence.align_first = recording_.read<int>();
    sequence.align_last = recording_.read<int>();
    sequence.options = recording_.read<PhOptions>();
  }

  static void print(const PhHypothesis& hypothesis) {
    std::printf("%" PRId64 " %d %016" PRIx64 " %016" PRIx64, hypothesis.id, hypothesis.stopped,
                bits(hypothesis.score), bits(hypothesis.log_prob));
    for (int i = 0; i < hypothesis.num_tokens; i++) std::printf(" %d", hypothesis.tokens[i]);
    for (int i = 0; i < hypothesis.num_attended; i++) std::printf(" @%d", hypothesis.attended[i]);
    std::printf("\n");
  }
  static std::uint64_t bits(double x) {
    std::uint64_t copy;
    std::memcpy(&copy, &x, sizeof copy);
    return copy;
  }
  static void check(const std::string& name, int status) {
    if (status != kPhOk) fail(name + ": status " + std::to_string(status));
  }

  Library library_;
  Recording recording_;
  PhModelConfig config_{};
  std::vector<float> positions_[2];
  void* model_ = nullptr;
  void* runner_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) fail("usage: replay LIBRARY RECORDING");
  Replay(argv[1], argv[2]).run();
}
