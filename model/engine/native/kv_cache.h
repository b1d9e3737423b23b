// The KV cache: slots of keys and values, self-attention's and cross-attention's, in the blocks that
// attention.h describes. Pages that were never written take no memory.
#pragma once

#include <cstdint>
#include <new>

#include "arena.h"
#include "model.h"

namespace polyhead {

// T: what a number is stored as, float or bfloat16.
template <class T>
class Cache {
 public:
  Cache(const Model& model, int max_slots)
      : head_stride(static_cast<std::size_t>(2 * kLanes * model.head_width)),
        block_stride(head_stride * static_cast<std::size_t>(model.config.num_heads)),
        slot_stride(block_stride *
                    static_cast<std::size_t>((model.config.max_positions + kLanes - 1) / kLanes)),
        layer_stride_(slot_stride * static_cast<std::size_t>(max_slots)),
        memory_(size(2 * model.decoder.size() * slot_stride * sizeof(T), max_slots)) {
    self_ = static_cast<T*>(memory_.data());
    cross_ = self_ + model.decoder.size() * layer_stride_;
  }
  T* self(int layer, int slot) const { return self_ + at(layer, slot); }
  T* cross(int layer, int slot) const { return cross_ + at(layer, slot); }
  std::size_t bytes() const { return memory_.bytes(); }

  const std::size_t head_stride, block_stride, slot_stride;

 private:
  static std::size_t size(std::size_t bytes_of_slot, int max_slots) {
    const auto count = static_cast<std::size_t>(max_slots);
    if (count > PTRDIFF_MAX / bytes_of_slot) throw std::bad_alloc();
    return bytes_of_slot * count;
  }
  std::size_t at(int layer, int slot) const {
    return layer_stride_ * static_cast<std::size_t>(layer) +
           slot_stride * static_cast<std::size_t>(slot);
  }

  std::size_t layer_stride_;
  Pages memory_;
  T *self_ = nullptr, *cross_ = nullptr;
};

}  // namespace polyhead
