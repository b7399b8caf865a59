// What one ISA offers. Only kernels.cpp is compiled with ISA flags; everything else runs on any CPU.
#pragma once
#include "../row.h"

namespace fusedopt {

// A (rows, columns) float64 table. Every gradient is multiplied by coefficient.
struct Scalars {
  const double* table;
  int columns;
  double coefficient;
};

// What a step did: squared norms of gradient and update, and how many elements did not fit their storage or were not
// finite.
struct Seen {
  double gradient = 0, update = 0, saturated = 0, flushed = 0, nonfinite = 0;

  void add(const Seen& other) {
    gradient += other.gradient, update += other.update, saturated += other.saturated;
    flushed += other.flushed, nonfinite += other.nonfinite;
  }
};

// What a kernel steps in one call. Every gradient is multiplied by coefficient.
struct Work {
  const Row* rows;
  const Chunk* chunks;
  int64_t count;          // chunks
  const double* scalars;  // a (rows, columns) table
  int columns;
  double coefficient;
  Seen* seen = nullptr;  // of every chunk, where that is asked for
};

// One tensor, for a rule with row and column statistics.
struct MatrixWork {
  const Row& row;
  const double* scalars;  // of this tensor
  double coefficient;
  void* scratch;
  Seen* seen = nullptr;  // of every piece, where that is asked for
};

// Such a rule's step is a sequence of phases; the pieces of one may run in any order, on any thread.
struct Phase {
  int64_t (*pieces)(const Row& row);
  void (*run)(const MatrixWork& work, int64_t piece);
  bool backward;  // from the last piece to the first: the sweep before ended there, so it is in cache

  int64_t nth(int64_t n, int64_t first, int64_t last) const { return backward ? last - 1 - n : first + n; }
};

using StepKernel = void (*)(const Work& work);
using SumSquaresKernel = double (*)(const Row& row, int64_t begin, int64_t end);

struct RuleKernels {
  const char* name;
  StepKernel fp32, fp64;  // by arithmetic type
};

struct MatrixSteps {
  const Phase* phases;
  int count;
  int64_t (*scratch)(const Row& row);  // bytes
};

struct MatrixKernels {
  const char* name;
  MatrixSteps fp32, fp64;
};

struct Isa {
  const char* name;
  const RuleKernels* rules;
  int rule_count;
  const MatrixKernels* matrix_rules;
  int matrix_rule_count;
  SumSquaresKernel sum_squares_fp32, sum_squares_fp64;
};

}  // namespace fusedopt
