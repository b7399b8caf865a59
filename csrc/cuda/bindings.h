#pragma once
#include <pybind11/pybind11.h>

namespace fusedopt::cuda {

void bind(pybind11::module_ m);

}  // namespace fusedopt::cuda
