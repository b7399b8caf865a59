// Written by `make rules` from fusedopt/rules; a test fails when the two differ.
#pragma once
#include "adadelta.h"
#include "adafactor.h"
#include "adagrad.h"
#include "adalo.h"
#include "adam.h"
#include "adam_atan2.h"
#include "adam_mini.h"
#include "adamax.h"
#include "adamomentum.h"
#include "adanorm.h"
#include "adaptive_memory.h"
#include "amos.h"
#include "asgd.h"
#include "came.h"
#include "diffgrad.h"
#include "lamb.h"
#include "lion.h"
#include "nadam.h"
#include "novograd.h"
#include "nsgda.h"
#include "radam.h"
#include "rmsprop.h"
#include "rprop.h"
#include "sadam.h"
#include "sgd.h"
#include "sm3.h"
#include "smmf.h"

namespace fusedopt {

template <class...>
struct Rules {};

using ElementRules = Rules<adadelta, adagrad, adalo, adam, amsgrad, adam_atan2, adamax, adamomentum, am_sgd, asgd, diffgrad, lion, nadam, radam, rmsprop, rmsprop_centered, rmsprop_centered_momentum, rmsprop_momentum, rprop, sadam, samsgrad, sgd, sgd_momentum, sgd_nesterov, sm3_vector, sm3_vector_momentum, smmf, smmf_without_momentum>;

using MatrixRules = Rules<adafactor_hf, adafactor_hf_momentum, adafactor_late_sqrt, adafactor_late_sqrt_momentum, adafactor_torch, adafactor_torch_momentum, adafactor_vector, adafactor_vector_momentum, adam_nnmf, adam_mini, adam_mini_rows, adabeliefnorm, adamnorm, diffgradnorm, radamnorm, am_adamw, am_sgd_per_tensor, amos, amos_momentum, amos_rows, amos_rows_momentum, came, came_vector, lamb, lion_nnmf, novograd, novograd_amsgrad, nsgda, sgd_momentum_nnmf, sgd_nesterov_nnmf, sm3_i, sm3_i_momentum, sm3_ii, sm3_ii_momentum, smmf_nnmf, smmf_without_momentum_nnmf>;

}  // namespace fusedopt
