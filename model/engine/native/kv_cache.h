// The KV cache: slots of keys and values, self-attention's and cross-attention's, in the blocks that
// attention.h describes. Decoders without self-attention have a vector of state in its place. Pages
// that were never written take no memory.
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
        state_width_(static_cast<std::size_t>(model.row_width)),
        state_stride_(state_width_ * static_cast<std::size_t>(max_slots)),
        attention_(model.kind == DecoderKind::kAttention),
        memory_(size(model.decoder.size() *
                         ((attention_ ? 2 : 1) * slot_stride * sizeof(T) +
                          (attention_ ? 0 : 2 * state_width_ * sizeof(float))),
                     max_slots)) {
    cross_ = static_cast<T*>(memory_.data());
    self_ = cross_ + model.decoder.size() * layer_stride_;
    states_ = reinterpret_cast<float*>(self_);
  }
  T* self(int layer, int slot) const { return self_ + at(layer, slot); }
  T* cross(int layer, int slot) const { return cross_ + at(layer, slot); }
  // Behind a position. Positions take turns in two vectors, so that beams can read their parents'
  // states while these write their next.
  float* state(int layer, int slot, int position) const {
    return states_ + state_stride_ * static_cast<std::size_t>(2 * layer + position % 2) +
           state_width_ * static_cast<std::size_t>(slot);
  }
  void* data() const { return memory_.data(); }
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

  const std::size_t layer_stride_, state_width_, state_stride_;
  const bool attention_;
  Pages memory_;
  T *cross_ = nullptr, *self_ = nullptr;
  float* states_ = nullptr;  // where `self_` would be
};

}  // namespace polyhead
