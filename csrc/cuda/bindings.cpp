// The Python module fusedopt._C.cuda. Addresses come from tensors that the Python engine keeps alive.
#include "bindings.h"

#include <algorithm>

#include "launch.h"

namespace py = pybind11;

namespace fusedopt::cuda {
namespace {

template <class T>
T* at(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

}  // namespace

void bind(py::module_ m) {
  using release = py::call_guard<py::gil_scoped_release>;
  py::class_<Work>(m, "Work").def(py::init([](uintptr_t rows, uintptr_t chunks, int count) {
    return Work{at<const Row>(rows), at<const Chunk>(chunks), count};
  }));
  py::class_<ScalarTable>(m, "ScalarTable").def(py::init([](uintptr_t values, int columns, uintptr_t coefficient) {
    return ScalarTable{at<const double>(values), columns, at<const double>(coefficient)};
  }));
  py::class_<Place>(m, "Place").def(py::init([](int device, uintptr_t stream) {
    return Place{device, at<void>(stream)};
  }));

  py::class_<MatrixWork>(m, "MatrixWork").def(py::init([](uintptr_t rows, uintptr_t words, uintptr_t scratch) {
    return MatrixWork{at<const Row>(rows), at<const int64_t>(words), at<void>(scratch)};
  }));
  py::class_<Schedule>(m, "Schedule")
      .def(py::init([](const std::string& rule, bool fp64, uintptr_t rows, int count) {
        return schedule(rule, fp64, at<const Row>(rows), count);
      }))
      .def_readonly("scratch", &Schedule::scratch)
      .def("__len__", [](const Schedule& schedule) { return schedule.words.size(); })
      .def("write", [](const Schedule& schedule, uintptr_t to) {
        std::copy(schedule.words.begin(), schedule.words.end(), at<int64_t>(to));
      });

  m.def("step", &step, release());
  m.def("step_matrices", &step_matrices, release());
  m.def(
      "sum_squares",
      [](bool fp64, const Work& work, uintptr_t partials, uintptr_t sum, Place place) {
        sum_squares(fp64, work, at<double>(partials), at<double>(sum), place);
      },
      release());
  m.def(
      "upload",
      [](uintptr_t from, int64_t words, uintptr_t to, Place place) {
        upload(at<const int64_t>(from), words, at<int64_t>(to), place);
      },
      release());
  m.def("unavailable", &unavailable);
  m.def("targets", &targets);
  m.attr("CHUNK") = kChunk;
  m.attr("ROW_WORDS") = sizeof(Row) / sizeof(int64_t);
}

}  // namespace fusedopt::cuda
