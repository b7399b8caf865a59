// Compiled once per ISA with FUSEDOPT_ISA and FUSEDOPT_VECTOR_BYTES defined; instantiates the engine for every rule.
// Rules that come at run time are compiled from a header that FUSEDOPT_RULES names, for one ISA and FUSEDOPT_ARITHMETIC
// alone.
#include "kernels.h"

#include <type_traits>

#ifdef FUSEDOPT_RULES
#include FUSEDOPT_RULES
#else
#include "../rules/all.h"
#endif
#include "matrix.h"

namespace fusedopt::FUSEDOPT_ISA {
namespace {

template <class Rule, class T>
struct Steps {
  static int64_t scratch(const Row& row) { return Values<Rule, T>(row, nullptr).bytes; }
  static constexpr Phases<Rule, T> phases{};
  static constexpr MatrixSteps value{phases.phase, phases.count, scratch};
};

#ifdef FUSEDOPT_ARITHMETIC
template <class T>
constexpr bool kWanted = std::is_same_v<T, FUSEDOPT_ARITHMETIC>;
#else
template <class T>
constexpr bool kWanted = true;
#endif

template <class Rule, class T>
constexpr StepKernel step_of() {
  if constexpr (kWanted<T>) return step<Rule, T>;
  return nullptr;
}
template <class Rule, class T>
constexpr MatrixSteps steps_of() {
  if constexpr (kWanted<T>) return Steps<Rule, T>::value;
  return {};
}

template <class Element, class Matrix>
struct Tables;
// Constant data: no instruction of the ISA may run before the CPU is known to have it.
template <class... Element, class... Matrix>
struct Tables<Rules<Element...>, Rules<Matrix...>> {
  static constexpr int rule_count = sizeof...(Element), matrix_rule_count = sizeof...(Matrix);
  static constexpr RuleKernels rules[rule_count + 1] = {
      {Element::name, step_of<Element, float>(), step_of<Element, double>()}...};
  static constexpr MatrixKernels matrix_rules[matrix_rule_count + 1] = {
      {Matrix::name, steps_of<Matrix, float>(), steps_of<Matrix, double>()}...};
};

#define FUSEDOPT_NAME_OF(isa) #isa
#define FUSEDOPT_NAME(isa) FUSEDOPT_NAME_OF(isa)
using All = Tables<ElementRules, MatrixRules>;
constexpr Isa kIsa = {FUSEDOPT_NAME(FUSEDOPT_ISA), All::rules,         All::rule_count,    All::matrix_rules,
                      All::matrix_rule_count,      sum_squares<float>, sum_squares<double>};

}  // namespace

const Isa& kernels() { return kIsa; }

}  // namespace fusedopt::FUSEDOPT_ISA

#ifdef FUSEDOPT_RULES
extern "C" __attribute__((visibility("default"))) const fusedopt::Isa* fusedopt_kernels() {
  return &fusedopt::FUSEDOPT_ISA::kernels();
}
#endif
