// Random bits for stochastic rounding, drawn from counters: the same on every engine, grid and thread. A block of 256
// elements has a random start and goes on by the golden ratio, so that every element's bits are uniform over steps.
#pragma once
#include <cstdint>

#include "math.h"

namespace fusedopt {

constexpr uint32_t kGolden = 0x9E3779B9;  // 2^32 over the golden ratio

// A bijection of 32 bits without visible bias (C. Wellons, "lowbias32").
FUSEDOPT_INLINE uint32_t mixed(uint32_t x) {
  x = (x ^ x >> 16) * 0x21F0AAADu;
  x = (x ^ x >> 15) * 0xD35A2D97u;
  return x ^ x >> 15;
}

// The key of one stream of a tensor in one step.
FUSEDOPT_INLINE uint32_t stream_key(uint32_t step, uint32_t seed, int stream) {
  return mixed(mixed(step) ^ (seed * 8 + static_cast<uint32_t>(stream)));
}

// Element i of the block draws `block_start(...) + i * kGolden`, and uses its highest bits.
FUSEDOPT_INLINE uint32_t block_start(uint32_t key, int64_t block) { return mixed(key ^ static_cast<uint32_t>(block)); }

}  // namespace fusedopt
