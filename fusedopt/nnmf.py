"""Rank-1 state: a rule whose states are kept as row means, column means and one sign bit an element.

SMMF, arXiv:2412.08894, Algorithms 3 and 4. The update uses the state before it is compressed, so one pass remains one.
"""

import functools

from .math import abs, col_mean, maximum, row_mean
from .rule import REGISTRY, composed

MAX_RATIO = 64  # rows per column beyond which factors save too little: a prime size would have as many rows as elements
PARTS = {"signed": {"row": "row", "col": "col", "sign": "sign"}, "positive": {"row": "row", "col": "col"}}
TINY = 1e-37  # a normal float32; a matrix of smaller mean is stored as zero


def refusal(rule):
    """Why a rule's states cannot be rank-1 matrices, or None if they can."""
    if not rule.states:
        return "it keeps no state"
    for name, kind in rule.states.items():
        if kind not in PARTS:
            return f"a rank-1 matrix cannot stand for its state {name!r}, which is of kind {kind!r}"
    return None


@functools.cache
def nnmf(rule):
    """``rule`` over rank-1 state; every state ``x`` becomes ``x_row``, ``x_col`` and, if signed, ``x_sign``.

    The column means are divided by their mean, so that an element is the product of its row's and its column's value.
    """
    parts = [PARTS[kind] for kind in rule.states.values()]

    def update(g, p, *values):
        values = list(values)
        dense = [_decoded(*(values.pop(0) for _ in part)) for part in parts]
        u, *states = rule.update(g, p, *dense, *values)
        return u, *(x for part, state in zip(parts, states, strict=True) for x in _encoded(state, "sign" in part))

    names = [f"{x}_{part}" for x, own in zip(rule.state_parameters, parts, strict=True) for part in own]
    owners = zip(rule.states, parts, strict=True)
    kinds = {f"{state}_{part}": kind for state, own in owners for part, kind in own.items()}
    module = None if rule.name in COMPILED else __name__
    return composed(update, rule, "nnmf", (*names, *rule.scalars), kinds, module=module)


def _decoded(row, col, sign=None):
    return row * col if sign is None else row * col * sign


def _encoded(x, signed):
    size = abs(x) if signed else x
    row, col = row_mean(size), col_mean(size)
    factors = row, col / maximum(col_mean(row), TINY)
    return (*factors, x) if signed else factors


# Rules whose rank-1 form is compiled into the C++ engines: each costs seconds of every installation. The others' forms
# are compiled when they are first stepped.
COMPILED = ("adam", "lion", "sgd_momentum", "sgd_nesterov", "smmf", "smmf_without_momentum")


def build_all():
    """Makes the rank-1 forms that C++ engines are compiled for."""
    for name in COMPILED:
        nnmf(REGISTRY[name])
