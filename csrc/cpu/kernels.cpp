// Compiled once per ISA with FUSEDOPT_ISA and FUSEDOPT_VECTOR_BYTES defined; instantiates the engine for every rule.
#include "kernels.h"

#include <iterator>

#include "../rules/all.h"
#include "matrix.h"

namespace fusedopt::FUSEDOPT_ISA {
namespace {

template <class Rule, class T>
struct Steps {
  static int64_t scratch(const Row& row) { return Values<Rule, T>(row, nullptr).bytes; }
  static constexpr Phases<Rule, T> phases{};
  static constexpr MatrixSteps value{phases.phase, phases.count, scratch};
};

template <class Element, class Matrix>
struct Tables;
// Constant data: no instruction of the ISA may run before the CPU is known to have it.
template <class... Element, class... Matrix>
struct Tables<Rules<Element...>, Rules<Matrix...>> {
  static constexpr RuleKernels rules[] = {{Element::name, step<Element, float>, step<Element, double>}...};
  static constexpr MatrixKernels matrix_rules[] = {
      {Matrix::name, Steps<Matrix, float>::value, Steps<Matrix, double>::value}...};
};

#define FUSEDOPT_NAME_OF(isa) #isa
#define FUSEDOPT_NAME(isa) FUSEDOPT_NAME_OF(isa)
using All = Tables<ElementRules, MatrixRules>;
constexpr Isa kIsa = {FUSEDOPT_NAME(FUSEDOPT_ISA),  All::rules,         std::size(All::rules), All::matrix_rules,
                      std::size(All::matrix_rules), sum_squares<float>, sum_squares<double>};

}  // namespace

const Isa& kernels() { return kIsa; }

}  // namespace fusedopt::FUSEDOPT_ISA
