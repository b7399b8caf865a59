// The Python module fusedopt._C. Tensors cross as addresses that the Python engines take from live tensors.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>

#include "cpu/dispatch.h"
#include "table.h"
#ifdef FUSEDOPT_CUDA
#include "cuda/bindings.h"
#endif

namespace py = pybind11;
using namespace fusedopt;

namespace {

const double* doubles(uintptr_t address) { return reinterpret_cast<const double*>(address); }

// Copies the rows to `address`; tells whether they differ from what stood there.
bool write_rows(const Table& table, uintptr_t address) {
  const size_t bytes = table.rows().size() * sizeof(Row);
  void* to = reinterpret_cast<void*>(address);
  if (bytes == 0 || std::memcmp(to, table.rows().data(), bytes) == 0) return false;
  std::memcpy(to, table.rows().data(), bytes);
  return true;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
  py::class_<Table>(m, "Table")
      .def(py::init<const py::list&, const py::tuple&, const std::vector<int>&, bool, bool>(), py::arg("entries"),
           py::arg("keys"), py::arg("kinds"), py::arg("sees_matrices"), py::arg("counts_steps"))
      .def("refresh", &Table::refresh, py::arg("steps"))
      .def("advance", &Table::advance)
      .def("write", &write_rows, py::arg("address"));
  py::class_<Roster>(m, "Roster")
      .def(py::init<const py::list&, const py::dict&, const py::list&>())
      .def("unchanged", &Roster::unchanged);

  m.def(
      "cpu_step",
      [](const Table& table, const std::string& rule, bool fp64, uintptr_t scalars, int columns, double coefficient,
         int threads, uintptr_t seen) {
        py::gil_scoped_release release;
        cpu_step(table, rule, fp64, {doubles(scalars), columns, coefficient}, threads, reinterpret_cast<Seen*>(seen));
      },
      py::arg("table"), py::arg("rule"), py::arg("fp64"), py::arg("scalars"), py::arg("columns"),
      py::arg("coefficient"), py::arg("threads"), py::arg("seen"));
  m.def("cpu_sum_squares", &cpu_sum_squares, py::call_guard<py::gil_scoped_release>());
  m.def("isa", [] { return kernels().name; });
  m.def("isas", &compiled_isas);
  m.def("rules", &compiled_rules);
  m.def("load", &load_rules, py::arg("library"));
#ifdef FUSEDOPT_CUDA
  cuda::bind(m.def_submodule("cuda"));
#endif
}
