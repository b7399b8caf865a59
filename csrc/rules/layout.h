// Written by `make rules` from fusedopt/scalars.py; a test fails when the two differ.
#pragma once

namespace fusedopt {

// Columns of the scalar table; a rule's own scalars follow.
namespace column {
enum : int { lr, decay, l2, gradient_sign, cautious, step, count };
}

}  // namespace fusedopt
