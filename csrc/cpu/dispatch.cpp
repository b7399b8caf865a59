#include "dispatch.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "isas.h"
#include "phases.h"

namespace fusedopt {

#define FUSEDOPT_DECLARE(isa) \
  namespace isa {             \
  const Isa& kernels();       \
  }
FUSEDOPT_FOR_EACH_ISA(FUSEDOPT_DECLARE)

namespace {

bool runs_here(const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "avx512")
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (isa == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return true;
}

std::vector<const Isa*> compiled() {  // best last
#define FUSEDOPT_LIST(isa) &isa::kernels(),
  return {FUSEDOPT_FOR_EACH_ISA(FUSEDOPT_LIST)};
}

const Isa& choose() {
  const char* wanted = std::getenv("FUSEDOPT_ISA");
  const std::vector<const Isa*> all = compiled();
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    const Isa& isa = **it;
    if (runs_here(isa.name) && (!wanted || !*wanted || std::string(wanted) == isa.name)) return isa;
  }
  throw std::runtime_error("FUSEDOPT_ISA=" + std::string(wanted) + " is not compiled in or does not run on this CPU");
}

// The rule of this name, or null.
template <class Entry>
const Entry* find(const Entry* rules, int count, const std::string& name) {
  const Entry* end = rules + count;
  const Entry* found = std::find_if(rules, end, [&](const Entry& rule) { return name == rule.name; });
  return found == end ? nullptr : found;
}

// The ISA's own rules, and those of libraries.
std::vector<const Isa*>& loaded() {
  static std::vector<const Isa*> all = {&kernels()};
  return all;
}

const RuleKernels* find_rule(const std::string& name) {
  for (const Isa* isa : loaded())
    if (const RuleKernels* found = find(isa->rules, isa->rule_count, name)) return found;
  return nullptr;
}

const MatrixKernels* find_matrix_rule(const std::string& name) {
  for (const Isa* isa : loaded())
    if (const MatrixKernels* found = find(isa->matrix_rules, isa->matrix_rule_count, name)) return found;
  return nullptr;
}

}  // namespace

const Isa& kernels() {
  static const Isa& chosen = choose();
  return chosen;
}

std::vector<std::string> compiled_isas() {
  std::vector<std::string> names;
  for (const Isa* isa : compiled()) names.push_back(isa->name);
  return names;
}

std::vector<std::string> compiled_rules() {
  const Isa& all = kernels();
  std::vector<std::string> names;
  for (int i = 0; i < all.rule_count; ++i) names.push_back(all.rules[i].name);
  for (int i = 0; i < all.matrix_rule_count; ++i) names.push_back(all.matrix_rules[i].name);
  return names;
}

void load_rules(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = handle ? dlsym(handle, "fusedopt_kernels") : nullptr;
  if (!entry) throw std::runtime_error("cannot load " + library + ": " + dlerror());
  loaded().push_back(reinterpret_cast<const Isa* (*)()>(entry)());
}

namespace {

void step_elements(const Table& table, StepKernel kernel, const Scalars& scalars, int threads, Seen* seen) {
  const int64_t tasks = static_cast<int64_t>(table.tasks().size()) - 1;
  std::vector<Seen> of_chunks(seen ? table.chunks().size() : 0);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (tasks > 1)
  for (int64_t task = 0; task < tasks; ++task) {
    const int64_t first = table.tasks()[task], end = table.tasks()[task + 1];
    kernel({table.rows().data(), table.chunks().data() + first, end - first, scalars.table, scalars.columns,
            scalars.coefficient, seen ? of_chunks.data() + first : nullptr});
  }
  for (size_t c = 0; c < of_chunks.size(); ++c) seen[table.chunks()[c].row].add(of_chunks[c]);
}

}  // namespace

void cpu_step(const Table& table, const std::string& rule, bool fp64, const Scalars& scalars, int threads, Seen* seen) {
  if (const RuleKernels* found = find_rule(rule))
    return step_elements(table, fp64 ? found->fp64 : found->fp32, scalars, threads, seen);
  const MatrixKernels* found = find_matrix_rule(rule);
  if (!found)
    throw std::runtime_error("rule '" + rule + "' is not compiled into fusedopt._C; run `make rules` and rebuild");
  const MatrixSteps& steps = fp64 ? found->fp64 : found->fp32;
  step_matrices(table.rows(), steps, scalars, threads, seen);
}

double cpu_sum_squares(const Table& table, bool fp64, int threads) {
  const SumSquaresKernel kernel = fp64 ? kernels().sum_squares_fp64 : kernels().sum_squares_fp32;
  const int64_t chunks = static_cast<int64_t>(table.chunks().size());
  std::vector<double> partial(chunks);
#pragma omp parallel for schedule(dynamic, 4) num_threads(threads) if (chunks > 4)
  for (int64_t c = 0; c < chunks; ++c) {
    const Chunk& chunk = table.chunks()[c];
    partial[c] = kernel(table.rows()[chunk.row], chunk.begin, chunk.end);
  }
  double sum = 0;
  for (double x : partial) sum += x;
  return sum;
}

}  // namespace fusedopt
