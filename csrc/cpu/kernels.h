// What one ISA offers. Only kernels.cpp is compiled with ISA flags; everything else runs on any CPU.
#pragma once
#include "../row.h"

namespace fusedopt {

// What a kernel steps in one call. Every gradient is multiplied by coefficient.
struct Work {
  const Row* rows;
  const Chunk* chunks;
  int64_t count;          // chunks
  const double* scalars;  // a (rows, columns) table
  int columns;
  double coefficient;
};

using StepKernel = void (*)(const Work& work);
using SumSquaresKernel = double (*)(const Row& row, int64_t begin, int64_t end);

struct RuleKernels {
  const char* name;
  StepKernel fp32, fp64;  // by arithmetic type
  int scalars;
};

struct Kernels {
  const char* isa;
  const RuleKernels* rules;
  int rule_count;
  SumSquaresKernel sum_squares_fp32, sum_squares_fp64;
};

}  // namespace fusedopt
