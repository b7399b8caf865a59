// One parameter as the engines see it: the same bytes on the CPU, in CUDA kernels and in Triton's pointer table.
#pragma once
#include <cstdint>

namespace fusedopt {

constexpr int kGrad = 0, kParam = 1, kFirstState = 2, kMaxStreams = 8;

// kBits: one bit an element, eight columns a byte, every row of the matrix from a new byte; reads as 1 or -1.
enum DType : uint32_t { kFloat32, kBFloat16, kFloat16, kFloat64, kBits };

// What a state is: a value for every element, its sign, or one for every row, column, matrix or tensor.
enum Kind : uint32_t { kElement, kSign, kPerRow, kPerCol, kPerMatrix, kPerTensor };

struct Row {
  void* stream[kMaxStreams];  // grad, param, states
  int64_t numel;
  int64_t rows, cols;  // of one matrix; 1 and numel for rules that tell no rows apart
  int32_t scalars;     // row of the scalar table
  uint32_t dtypes;     // four bits a stream

#ifdef __CUDACC__
  __host__ __device__
#endif
      DType dtype(int stream) const {
    return static_cast<DType>(dtypes >> (4 * stream) & 15);
  }
};
static_assert(sizeof(Row) == 96, "Triton's table addresses rows as twelve 64-bit words");

// Elements [begin, end) of one row.
struct Chunk {
  int32_t row;
  int64_t begin, end;
};

}  // namespace fusedopt
