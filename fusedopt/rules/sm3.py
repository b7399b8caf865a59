"""SM3. Anil et al. 2019, arXiv:1901.11150, Algorithms SM3-I and SM3-II."""

from typing import Unpack

from ..math import col_max, minimum, row_max, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule, averaged
from ..validation import check_non_negative


def sm3_ii(g, p, r, c, eps):
    v = minimum(r, c) + g * g
    return g / sqrt(v + eps), row_max(v), col_max(v)


def sm3_i(g, p, r, c, eps):
    r = r + row_max(g * g)
    c = c + col_max(g * g)
    return g / sqrt(minimum(r, c) + eps), r, c


def sm3_vector(g, p, v, eps):
    v = v + g * g
    return g / sqrt(v + eps), v


def _with_momentum(update, states):
    rule = Rule(update, states)
    return rule, averaged(rule)


COVERS = {"accumulator_0": "row", "accumulator_1": "col"}
MATRIX = {"II": _with_momentum(sm3_ii, COVERS), "I": _with_momentum(sm3_i, COVERS)}
VECTOR = _with_momentum(sm3_vector, {"accumulator": "exact"})


class SM3(Optimizer):
    """SM3: Adagrad with a bound of the squared sums for every row and every column instead of every element.

    State: ``accumulator_0`` (first dimension,) and ``accumulator_1`` (the other dimensions), float32; vectors keep all
    of Adagrad's ``accumulator``. Of three dimensions and more the cover is the first against all others, whose sets are
    subsets of the authors' (a set for every index of every axis), so that the bound is as tight or tighter.
    ``momentum`` averages the update. ``variant`` is ``"II"``, or ``"I"`` for the looser bound that needs two sweeps.
    There are no published defaults for ``lr`` and ``momentum``.
    """

    counts_steps = False

    def __init__(
        self, params, lr=0.1, momentum=0.0, eps=1e-30, weight_decay=0.0, *, variant="II", **options: Unpack[Options]
    ):
        super().__init__(params, options, lr=lr, momentum=momentum, eps=eps, weight_decay=weight_decay, variant=variant)

    def _check(self, group):
        if not 0.0 <= group["momentum"] < 1.0:
            raise ValueError(f"Invalid momentum: {group['momentum']}; it must be in [0, 1)")
        check_non_negative(group["eps"], "epsilon value")
        if group["variant"] not in MATRIX:
            raise ValueError(f"Invalid variant: {group['variant']!r}; choose from {', '.join(MATRIX)}")
        super()._check(group)

    def rule(self, group, p):
        rules = VECTOR if p.dim() < 2 else MATRIX[group["variant"]]
        return rules[group["momentum"] > 0]

    def scalars(self, group, t):
        return {"eps": group["eps"], "beta1": group["momentum"], "rate1": 1 - group["momentum"]}
