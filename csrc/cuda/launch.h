// The CUDA engine as plain C++ sees it. All addresses are in device memory unless they say otherwise.
#pragma once
#include <string>
#include <vector>

#include "../row.h"

namespace fusedopt::cuda {

// Elements that a block takes at a time: a model of one million parameters still reaches all but a few of the 132
// multiprocessors of an H100, and the blocks beside it hide the look-up of row and scalars.
constexpr int64_t kChunk = 8192;

constexpr int kThreads = 256;  // of a block

struct Chunk {
  int32_t row, index;  // elements [index * kChunk, (index + 1) * kChunk) of the row, as far as it has them
};

struct Work {
  const Row* rows;
  const Chunk* chunks;
  int count;  // chunks
};

struct ScalarTable {
  const double* values;
  int columns;
  const double* coefficient;  // multiplies every gradient; null without clipping
};

// The launches of one step of a rule that sees matrices, worked out from the shapes of a bucket's tensors: for every
// kernel one over its domain, and one that ends its sums.
struct Schedule {
  struct Launch {
    int64_t begin, end;  // its chunks, a block for each, among the words
  };
  std::vector<int64_t> words;  // for device memory: a Plan for every tensor, then chunks, and Terms ahead of theirs
  std::vector<Launch> launches;
  int64_t scratch = 0;  // numbers of the arithmetic type that a step needs
};

// Where a step of such a rule finds its tensors, what the schedule says of them, and room for the values in between.
struct MatrixWork {
  const Row* rows;
  const int64_t* words;
  void* scratch;
};

struct Place {
  int device;
  void* stream;  // a cudaStream_t
};

// Each call enqueues on `place.stream` and returns; it throws std::runtime_error when CUDA refuses.
// `coded`: whether any stream is in a codec that is more than plain floats.
void step(const std::string& rule, bool fp64, bool coded, const Work& work, const ScalarTable& scalars, Place place);
// The rows are in host memory; only shapes and dtypes are read.
Schedule schedule(const std::string& rule, bool fp64, const Row* rows, int count);
void step_matrices(const std::string& rule, bool fp64, const Schedule& schedule, const MatrixWork& work,
                   const ScalarTable& scalars, Place place);
// sum = the squares of all gradients, added in an order that only the work decides; `partials` has one slot a chunk.
void sum_squares(bool fp64, const Work& work, double* partials, double* sum, Place place);
// Copies 64-bit words from host memory, which may be reused at once and may be captured into a graph.
void upload(const int64_t* from, int64_t words, int64_t* to, Place place);

// Why this build cannot run on the device, or an empty string.
std::string unavailable(int device);
// The architectures compiled in, such as "sm_80 sm_90"; newer ones than the last are served by its PTX.
std::string targets();

}  // namespace fusedopt::cuda
