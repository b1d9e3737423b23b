// Memory that outlives a step: weights in one place, buffers that only grow.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace polyhead {

// Zeroed pages straight from the system: what is never written takes no memory.
class Pages {
 public:
  Pages() = default;
  explicit Pages(std::size_t bytes, bool huge = false) : bytes_(bytes) {
    if (bytes == 0) return;
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    data_ = at;
#if defined(MADV_HUGEPAGE)
    if (huge) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
  }
  Pages(Pages&& other) noexcept { *this = std::move(other); }
  Pages& operator=(Pages&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Pages() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Weights, side by side on large pages, so that reading them costs few address translations.
class Arena {
 public:
  template <class T>
  T* allocate(std::size_t count) {
    const std::size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
    total_ += bytes;
    if (bytes >= kLarge) {
      large_.emplace_back(bytes, true);
      return static_cast<T*>(large_.back().data());
    }
    if (blocks_.empty() || used_ + bytes > kBlock) {
      blocks_.emplace_back(kBlock, true);
      used_ = 0;
    }
    void* at = static_cast<char*>(blocks_.back().data()) + used_;
    used_ += bytes;
    return static_cast<T*>(at);
  }
  std::size_t bytes() const { return total_; }

 private:
  // What is large has pages of its own: else a block's end would be left over each time.
  static constexpr std::size_t kBlock = std::size_t{16} << 20, kLarge = kBlock / 4;
  std::vector<Pages> blocks_, large_;
  std::size_t used_ = 0, total_ = 0;
};

// A scratch array aligned to a cache line. Growing loses what was in it.
template <class T>
class Buffer {
 public:
  void reserve(std::size_t count) {
    if (count <= capacity_) return;
    memory_.reset();  // first, so that the old and the new are never held together
    capacity_ = 0;
    const std::size_t wanted = count + count / 2;
    memory_.reset(static_cast<T*>(std::aligned_alloc(64, (wanted * sizeof(T) + 63) / 64 * 64)));
    if (!memory_) throw std::bad_alloc();
    capacity_ = wanted;
    std::fill_n(memory_.get(), wanted, T{});
  }
  T* data() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(T* at) const { std::free(at); }
  };
  std::unique_ptr<T, Free> memory_;
  std::size_t capacity_ = 0;
};

}  // namespace polyhead
