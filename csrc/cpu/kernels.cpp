// Compiled once per ISA with FUSEDOPT_ISA and FUSEDOPT_VECTOR_BYTES defined; instantiates the engine for every rule.
#include "kernels.h"

#include "../rules/all.h"
#include "engine.h"

namespace fusedopt::FUSEDOPT_ISA {
namespace {

template <class... Rule>
Kernels instantiate(Rules<Rule...>) {
  static const RuleKernels rules[] = {{Rule::name, step<Rule, float>, step<Rule, double>, Rule::scalars}...};
#define FUSEDOPT_NAME_OF(isa) #isa
#define FUSEDOPT_NAME(isa) FUSEDOPT_NAME_OF(isa)
  return {FUSEDOPT_NAME(FUSEDOPT_ISA), rules, sizeof...(Rule), sum_squares<float>, sum_squares<double>};
}

}  // namespace

Kernels kernels() { return instantiate(AllRules{}); }

}  // namespace fusedopt::FUSEDOPT_ISA
