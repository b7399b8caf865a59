// Where a part of a stream is in memory.
#pragma once
#include "../random.h"
#include "../row.h"
#include "bytes.h"

namespace fusedopt::FUSEDOPT_ISA {

// Elements from `offset` on, which begin block `block` of the scales and random numbers.
struct Place {
  void* base;
  void* side;
  Codec codec;
  int64_t offset, block;
  uint32_t key;  // of random numbers

  template <class Stored>
  Stored* at() const {
    return static_cast<Stored*>(base) + offset;
  }
  template <class Stored>
  Stored* beside() const {
    return static_cast<Stored*>(side) + offset;
  }
  float& scale() const { return static_cast<float*>(side)[block]; }
  // What the block's first element draws.
  uint32_t start() const { return block_start(key, block); }
  // By whole blocks.
  void advance(int count) { offset += count, block += count / kBlock8; }
};

// Up to a block of elements as float: themselves, or copies.
inline const float* floats(const float* from, int, float*) { return from; }
inline const float* floats(const double* from, int count, float* copy) {
  for (int i = 0; i < count; ++i) copy[i] = static_cast<float>(from[i]);
  return copy;
}

// What the first lanes draw.
FUSEDOPT_INLINE Unsigned first_draws(uint32_t start) {
  Unsigned draw;
  for (int i = 0; i < kHalves / 2; ++i) draw[i] = start + kGolden * static_cast<uint32_t>(i);
  return draw;
}

}  // namespace fusedopt::FUSEDOPT_ISA
