// Threads that lend a hand when only one runner works: it then has the products of its few rows
// computed by all of them, so that a sentence alone is translated by the whole machine. All models of
// a process share them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <pthread.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace polyhead {

inline void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

class Team {
 public:
  // The process's own, with at least so many helpers; it ends with the last who holds it.
  static std::shared_ptr<Team> of_process(int num_helpers) {
    static std::mutex mutex;
    static std::weak_ptr<Team> known;
    const std::lock_guard guard(mutex);
    std::shared_ptr<Team> team = known.lock();
    if (!team) known = team = std::make_shared<Team>();
    team->grow(num_helpers);
    return team;
  }

  Team() = default;
  ~Team() {
    state_.store(kEnding);
    state_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Threads that compute, the caller's own among them; for the one who has engaged them.
  int size() const { return state_.load(std::memory_order_relaxed) + 1; }

  // A runner that works counts, of whatever model; only one that works alone may call `run`, and only
  // between `engage` and `release`.
  void arrive() { working_.fetch_add(1); }
  void leave() { working_.fetch_sub(1); }
  bool alone() const {
    return working_.load(std::memory_order_relaxed) == 1 &&
           Clock::now().time_since_epoch().count() >= rest_until_.load(std::memory_order_relaxed);
  }

  // False when another runner has the helpers.
  bool engage(int num_helpers) {
    int idle = kIdle;
    if (!state_.compare_exchange_strong(idle, num_helpers)) return false;
    state_.notify_all();
    return true;
  }
  void release() { state_.store(kIdle); }

  // Calls work(part) for each part in [0, parts), on this thread and on whichever helpers come in
  // time; returns when all are done. `work` must not throw.
  template <class Work>
  void run(int parts, Work& work) {
    context_ = &work;
    call_ = [](void* context, int part) { (*static_cast<Work*>(context))(part); };
    unfinished_.store(parts, std::memory_order_relaxed);
    round_++;
    const Clock::time_point began = Clock::now();
    ticket_.store(round_ << 32 | static_cast<std::uint64_t>(parts) << 16, std::memory_order_release);
    while (take_part()) {
    }
    if (unfinished_.load(std::memory_order_acquire) > 0) wait_for_helpers(began);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int kEnding = -1, kIdle = 0;

  // Those that did start stay, should one not.
  void grow(int num_helpers) {
    for (int i = static_cast<int>(helpers_.size()); i < num_helpers; i++) {
      helpers_.emplace_back([this, i] { help(i); });
#if defined(__linux__)
      pthread_setname_np(helpers_.back().native_handle(), "polyhead-team");
#endif
    }
  }

  // A helper should need as long as this thread did. One that needs much longer has lost its CPU in
  // the middle of a part, which costs a time slice: others want that CPU, and will want it again, so
  // for a while there is no help.
  void wait_for_helpers(Clock::time_point began) {
    const Clock::time_point own_end = Clock::now();
    const Clock::time_point late = own_end + 4 * (own_end - began) + std::chrono::microseconds(50);
    for (int spins = 1; unfinished_.load(std::memory_order_acquire) > 0; spins++) {
      if (spins % 1024 != 0) {
        pause_briefly();
      } else if (Clock::now() > late) {
        const Clock::time_point rest = Clock::now() + std::chrono::milliseconds(100);
        rest_until_.store(rest.time_since_epoch().count(), std::memory_order_relaxed);
        std::this_thread::yield();  // perhaps it is this CPU that the helper needs
      }
    }
  }

  // A ticket is the round, the number of parts, and the next part: whoever takes a part of a round
  // keeps the round from ending, and so what it reads from changing.
  bool take_part() {
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    do {
      if ((ticket & 0xffff) >= (ticket >> 16 & 0xffff)) return false;
    } while (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel,
                                            std::memory_order_acquire));
    call_(context_, static_cast<int>(ticket & 0xffff));
    unfinished_.fetch_sub(1, std::memory_order_release);
    return true;
  }
  void help(int index) {
    constexpr int kPatience = 4096;  // pauses: longer than a runner needs from product to product
    for (int spins = 0;;) {
      const int engaged = state_.load(std::memory_order_relaxed);
      if (engaged == kEnding) return;
      if (index >= engaged) {
        state_.wait(engaged);
        spins = 0;
      } else if (take_part()) {
        spins = 0;
      } else if (spins < kPatience) {
        pause_briefly();
        spins++;
      } else {
        std::this_thread::yield();  // perhaps it is this CPU that the runner needs
      }
    }
  }

  std::atomic<int> state_{kIdle};  // or how many helpers are engaged
  std::atomic<int> working_{0}, unfinished_{0};
  std::atomic<std::uint64_t> ticket_{0};
  std::atomic<Clock::rep> rest_until_{Clock::time_point::min().time_since_epoch().count()};
  std::uint64_t round_ = 0;
  void* context_ = nullptr;
  void (*call_)(void*, int) = nullptr;
  std::vector<std::thread> helpers_;
};

}  // namespace polyhead
