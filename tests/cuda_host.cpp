// The CUDA engine's thread bodies as host code: one thread after the other plays a launch, on CPU tensors.
#include "cuda/engine.cuh"
#include "cuda/reduce.cuh"
#include "rules/all.h"

using namespace fusedopt;
using namespace fusedopt::cuda;

template <class Visit>
void each_thread(const Work& work, const Visit& visit) {
  for (int chunk = 0; chunk < work.count; ++chunk) {
    Span span;
    span.read(work, chunk);
    for (int thread = 0; thread < kThreads; ++thread) visit(span, thread);
  }
}

// Whether a GPU could make every access of the span; a CPU forgives misaligned ones.
template <class T, int Streams>
bool is_aligned(const Span& span, int thread) {
  bool aligned = true;
  walk<T, Streams>(span, thread, [&](auto width, int64_t element) {
    for (int s = 0; s < Streams; ++s) {
      const int64_t size = size_of(span.row.dtype(s));
      const int64_t address = reinterpret_cast<int64_t>(span.row.stream[s]) + element * size;
      aligned = aligned && address % (size * decltype(width)::value) == 0;
    }
  });
  return aligned;
}

template <class Rule, class T>
bool play(const Work& work, const ScalarTable& table) {
  bool aligned = true;
  each_thread(work, [&](const Span& span, int thread) {
    Scalars<Rule, T> k;
    k.read(table, span.row.scalars);
    step_span(span, k, thread);
    aligned = aligned && is_aligned<T, kFirstState + Rule::states>(span, thread);
  });
  return aligned;
}

template <class... Rule>
bool play_any(Rules<Rule...>, const std::string& rule, bool fp64, const Work& work, const ScalarTable& table) {
  return ((rule == Rule::name && (fp64 ? play<Rule, double>(work, table) : play<Rule, float>(work, table))) || ...);
}

// False for an unknown rule or a misaligned access.
extern "C" bool step(const char* rule, bool fp64, const Work* work, const ScalarTable* table) {
  return play_any(AllRules{}, rule, fp64, *work, *table);
}

extern "C" double sum_squares(bool fp64, const Work* work) {
  double sum = 0;
  each_thread(*work, [&](const Span& span, int thread) {
    sum += fp64 ? squares<double>(span, thread) : squares<float>(span, thread);
  });
  return sum;
}

extern "C" int64_t chunk() { return kChunk; }
