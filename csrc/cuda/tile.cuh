// What a block takes of a tensor in a sweep.
#pragma once
#include "threads.cuh"
#include "tiling.h"

namespace fusedopt::cuda {

// Steps of so many to come to all of `count`, or as many as a tile has.
FUSEDOPT_DEVICE int steps_within(int64_t count, int64_t of) {
  if (count >= of * kDeep) return kDeep;
  return count <= 0 ? 0 : static_cast<int>(pieces(count, of));
}

struct Tile {
  int panel, band, steps;  // steps: rows that every team walks down
  int64_t matrix, row;     // the first ones; rows count within the matrix

  FUSEDOPT_DEVICE void find(const Tiling& t, int index) {
    panel = index % t.panels;
    band = index / t.panels % t.bands;
    matrix = static_cast<int64_t>(index / t.panels / t.bands) * t.matrices();
    row = static_cast<int64_t>(band) * t.teams * kDeep;
    steps = steps_within(t.rows - row, t.teams);
  }
};

// A pack in shared memory.
template <class T>
struct alignas(16) Pack {
  T at[kPack<T>];
};

// Packs of all threads of a block.
constexpr int kTilePacks = kThreads * kPacks;
constexpr int kWarps = kThreads / 32;

}  // namespace fusedopt::cuda
