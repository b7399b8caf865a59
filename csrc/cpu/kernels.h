// What one ISA offers. Only kernels.cpp is compiled with ISA flags; everything else runs on any CPU.
#pragma once
#include "../row.h"

namespace fusedopt {

using StepKernel = void (*)(const Row& row, const double* scalars, double coefficient, int64_t begin, int64_t end);
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
