// Written by `make rules` from fusedopt/rules; a test fails when the two differ.
#pragma once
#include "adam.h"
#include "lion.h"
#include "sgd.h"

namespace fusedopt {

template <class...>
struct Rules {};
using AllRules = Rules<adam, amsgrad, lion, sgd, sgd_momentum, sgd_nesterov>;

}  // namespace fusedopt
