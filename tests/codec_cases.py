"""Optimizers whose states or weights are in a codec; engines must agree on them bit for bit."""

from references import Case

import fusedopt

WEIGHTS = ("stochastic", "kahan", "split24", "split32")
STATES = [
    Case(fusedopt.AdamW, {"lr": 0.03, "state_format": "8bit"}),
    Case(fusedopt.AdamW, {"lr": 0.03, "state_format": "8bit", "state_rounding": "nearest"}),
    Case(fusedopt.AdamW, {"lr": 0.03, "state_format": "8bit", "amsgrad": True}),
    Case(fusedopt.AdamW, {"lr": 0.03, "state_format": "8bit_dynamic"}),
    Case(fusedopt.AdamW, {"lr": 0.03, "state_format": "bf16"}),
    Case(fusedopt.Lion8bit, {"lr": 0.03, "weight_decay": 0.1}),
    Case(fusedopt.Lion8bit, {"lr": 0.03, "state_rounding": "nearest"}),
    Case(fusedopt.SGD8bit, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "nesterov": False}),
]
CODED = [
    *STATES,
    *(Case(fusedopt.AdamW8bit, {"lr": 0.03, "weight_format": name}) for name in WEIGHTS),
    *(Case(fusedopt.Lion, {"lr": 0.03, "weight_format": name}) for name in WEIGHTS),
    Case(fusedopt.SGD, {"lr": 0.1, "weight_format": "split24"}),
]
