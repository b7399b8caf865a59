// One parameter as the engines see it: the same bytes on the CPU, in CUDA kernels and in Triton's pointer table.
#pragma once
#include <cstdint>

namespace fusedopt {

constexpr int kGrad = 0, kParam = 1, kFirstState = 2, kMaxStreams = 10;
constexpr int kBlock8 = 256;  // elements that share a scale, or a start of the random numbers

// How a stream is stored; fusedopt/codecs.py has the same list, and says what each is for.
// kBits: one bit an element, eight columns a byte, every row of the matrix from a new byte; reads as 1 or -1.
// kSigned8, kPositive8: eight bits an element and, on the side, a float32 scale for every 256; blocks begin anew in
// every row of the matrix; kDynamic*: the same with bitsandbytes' codes. The pairs (Kahan, split) keep on the side what
// rounding to 16 bits takes from a weight.
enum Codec : uint32_t {
  kFloat32,
  kBFloat16,
  kFloat16,
  kFloat64,
  kBits,
  kSigned8,
  kSigned8Stochastic,
  kPositive8,
  kPositive8Stochastic,
  kBFloat16Stochastic,
  kFloat16Stochastic,
  kBFloat16Kahan,
  kFloat16Kahan,
  kSplit24,
  kSplit32,
  kDynamicSigned,
  kDynamicPositive,
};

constexpr bool is_scaled(Codec codec) {
  return (codec >= kSigned8 && codec <= kPositive8Stochastic) || codec == kDynamicSigned || codec == kDynamicPositive;
}

// What a state is: a value for every element, its sign, or one for every row, column, matrix or tensor.
enum Kind : uint32_t { kElement, kSign, kPerRow, kPerCol, kPerMatrix, kPerTensor };

struct Row {
  void* stream[kMaxStreams];  // grad, param, states
  void* side[kMaxStreams];    // what a codec keeps beside them
  int64_t numel;
  int64_t rows, cols;  // of one matrix; 1 and numel for rules that tell no rows apart
  uint64_t codecs;     // six bits a stream
  int32_t scalars;     // row of the scalar table
  uint32_t seed;       // tells the tensors of an optimizer apart in random numbers

#ifdef __CUDACC__
  __host__ __device__
#endif
      Codec codec(int stream) const {
    return static_cast<Codec>(codecs >> (6 * stream) & 63);
  }
  void add_codec(int stream, Codec codec) { codecs |= uint64_t{codec} << (6 * stream); }
};
static_assert(sizeof(Row) == 200, "Triton's table addresses rows as 25 64-bit words");

// Elements [begin, end) of one row.
struct Chunk {
  int32_t row;
  int64_t begin, end;
};

}  // namespace fusedopt
