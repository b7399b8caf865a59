"""Adafactor. Shazeer & Stern 2018, arXiv:1804.04235, Algorithms 4 (matrices) and 5 (vectors).

The root mean squares of update and parameter are over the whole tensor; row and column statistics over each matrix.
"""

from typing import ClassVar, Unpack

import torch

from ..combinations import OWN_STEP_SIZE
from ..math import col_mean, maximum, mean, row_mean, rsqrt, select, sqrt
from ..matrix import flatten, last_two, one_row
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import smaller


def late_sqrt(g, r, c, eps1, floor):
    """A root for every row and every column, and no product of the two: finite wherever g * g is."""
    return g * (sqrt(col_mean(r)) / sqrt(maximum(r, floor))) * (1 / sqrt(maximum(c, floor)))


def hf(g, r, c, eps1, floor):
    """As transformers computes it."""
    return g * (rsqrt(r / col_mean(r)) * rsqrt(c))


def reference(g, r, c, eps1, floor):
    """As torch.optim computes it, with eps1 as lower bound of mean and root."""
    return g * rsqrt(maximum(r * c / maximum(col_mean(r), eps1), floor))


def relative(u, p, rate, eps2, bound, scaled):
    """The step size: bounds the update's root mean square, and is relative to the parameter's own where ``scaled``."""
    size = rate * select(scaled > 0, maximum(eps2, sqrt(mean(p * p))), 1)
    return size, size / maximum(1, sqrt(mean(u * u)) / bound) * u


def _matrix_rules(name, form):
    """The rule and its variant with momentum; ``form`` makes the update of gradient, row and column means."""

    def moments(g, r, c, beta2, rate2, added):
        s = g * g + added
        return beta2 * r + rate2 * row_mean(s), beta2 * c + rate2 * col_mean(s)

    def plain(g, p, r, c, beta2, rate2, added, eps1, floor, rate, eps2, bound, scaled, decay_scaled):
        r, c = moments(g, r, c, beta2, rate2, added)
        size, u = relative(form(g, r, c, eps1, floor), p, rate, eps2, bound, scaled)
        return u + size * decay_scaled * p, r, c

    def momentum(
        g, p, m, r, c, beta1, rate1, beta2, rate2, added, eps1, floor, rate, eps2, bound, scaled, decay_scaled
    ):
        r, c = moments(g, r, c, beta2, rate2, added)
        size, u = relative(form(g, r, c, eps1, floor), p, rate, eps2, bound, scaled)
        m = beta1 * m + rate1 * u
        return m + size * decay_scaled * p, m, r, c

    factors = {"row_var": "row", "col_var": "col"}
    plain.__name__, momentum.__name__ = f"adafactor_{name}", f"adafactor_{name}_momentum"
    return Rule(plain, factors), Rule(momentum, {"exp_avg": "signed", **factors})


def adafactor_vector(g, p, v, beta2, rate2, added, eps1, floor, rate, eps2, bound, scaled, decay_scaled):
    v = beta2 * v + rate2 * (g * g + added)
    size, u = relative(g / sqrt(maximum(v, floor)), p, rate, eps2, bound, scaled)
    return u + size * decay_scaled * p, v


def adafactor_vector_momentum(
    g, p, m, v, beta1, rate1, beta2, rate2, added, eps1, floor, rate, eps2, bound, scaled, decay_scaled
):
    v = beta2 * v + rate2 * (g * g + added)
    size, u = relative(g / sqrt(maximum(v, floor)), p, rate, eps2, bound, scaled)
    m = beta1 * m + rate1 * u
    return m + size * decay_scaled * p, m, v


MATRIX = {
    "late_sqrt": _matrix_rules("late_sqrt", late_sqrt),
    "torch": _matrix_rules("torch", reference),
    "hf": _matrix_rules("hf", hf),
}
VECTOR = (
    Rule(adafactor_vector, {"variance": "exact"}),
    Rule(adafactor_vector_momentum, {"exp_avg": "signed", "variance": "exact"}),
)
MATRICES = {"last2": last_two, "flatten": flatten}


class Adafactor(Optimizer):
    """Adafactor; a drop-in for :class:`torch.optim.Adafactor`, and by :meth:`from_hf` for transformers' class.

    State: for two dimensions and more ``row_var`` (the parameter's shape, last dimension 1) and ``col_var`` (last but
    one dimension 1), else ``variance``; float32, float64 for float64 parameters. ``exp_avg`` with ``beta1``.

    ``second_moment_form`` is the arithmetic of the update from these means: ``"late_sqrt"`` takes the root of rows and
    columns apart and is finite for every gradient whose square is; ``"torch"`` and ``"hf"`` are the two libraries'.
    ``eps[0]`` is added to the squared gradient (None: 1e-30), but in the form ``"torch"`` bounds mean and root from
    below (None: the epsilon of the parameter's dtype), where gradients smaller than it make steps that are too large,
    then none at all. ``weight_decay`` is multiplied by ``lr``; in the form ``"hf"`` by the whole step size.

    The step size is the smaller of ``lr`` and ``1 / sqrt(t)``, or ``lr`` itself with ``relative_step=False``; with
    ``warmup_init`` the smaller of ``1e-6 * t`` and ``1 / sqrt(t)``. ``scale_parameter`` multiplies it by the
    parameter's root mean square, ``eps[1]`` at least. ``clip_threshold`` is another name of ``d``, the bound of the
    update's root mean square. ``beta1`` keeps a momentum of the scaled update, without bias correction.
    ``factor_mode`` factors the last two dimensions (``"last2"``), or the first against all others (``"flatten"``),
    which for convolutions keeps far less. Further building blocks: :class:`fusedopt.optimizer.Options`.
    """

    own_decay = True
    contradicts: ClassVar = OWN_STEP_SIZE

    def __init__(
        self,
        params,
        lr=1e-2,
        beta2_decay=-0.8,
        eps=(None, 1e-3),
        d=1.0,
        weight_decay=0.0,
        *,
        second_moment_form="late_sqrt",
        factor_mode="last2",
        beta1=None,
        scale_parameter=True,
        relative_step=True,
        warmup_init=False,
        clip_threshold=None,
        **options: Unpack[Options],
    ):
        options = {"decoupled_weight_decay": True, **options}
        d = d if clip_threshold is None else clip_threshold
        super().__init__(
            params,
            options,
            lr=lr,
            beta2_decay=beta2_decay,
            eps=tuple(eps),
            d=d,
            weight_decay=weight_decay,
            second_moment_form=second_moment_form,
            factor_mode=factor_mode,
            beta1=beta1,
            scale_parameter=scale_parameter,
            relative_step=relative_step,
            warmup_init=warmup_init,
        )

    @classmethod
    def from_hf(
        cls,
        params,
        lr=None,
        eps=(1e-30, 1e-3),
        clip_threshold=1.0,
        decay_rate=-0.8,
        beta1=None,
        weight_decay=0.0,
        scale_parameter=True,
        relative_step=True,
        warmup_init=False,
        **options: Unpack[Options],
    ):
        """An Adafactor that steps as ``transformers.Adafactor`` does with the same arguments."""
        if lr is not None and relative_step:
            raise ValueError("Cannot combine manual `lr` and `relative_step=True` options")
        return cls(
            params,
            1e-2 if lr is None else lr,
            decay_rate,
            eps,
            clip_threshold,
            weight_decay,
            second_moment_form="hf",
            beta1=beta1,
            scale_parameter=scale_parameter,
            relative_step=relative_step,
            warmup_init=warmup_init,
            **options,
        )

    def _check(self, group):
        _check_as_torch(group)
        if group["beta1"] is not None and not 0.0 <= group["beta1"] < 1.0:
            raise ValueError(f"Invalid beta1: {group['beta1']}; it must be in [0, 1), or None for no momentum")
        if group["warmup_init"] and not group["relative_step"]:
            raise ValueError("`warmup_init=True` requires `relative_step=True`")
        for key, choices in (("second_moment_form", MATRIX), ("factor_mode", MATRICES)):
            if group[key] not in choices:
                raise ValueError(f"Invalid {key}: {group[key]!r}; choose from {', '.join(choices)}")
        super()._check(group)

    def rule(self, group, p):
        rules = VECTOR if p.dim() < 2 else MATRIX[group["second_moment_form"]]
        return rules[group["beta1"] is not None]

    def matrix(self, group, p):
        return one_row(p) if p.dim() < 2 else MATRICES[group["factor_mode"]](p)

    def constants(self, group, p):
        eps1, as_torch = group["eps"][0], group["second_moment_form"] == "torch"
        if eps1 is None:
            eps1 = torch.finfo(p.dtype).eps if as_torch else 1e-30
        floors = {"torch": eps1 * eps1, "late_sqrt": 1e-37, "hf": 0.0}  # 1e-37: a normal float32
        return {"eps1": eps1, "added": 0.0 if as_torch else eps1, "floor": floors[group["second_moment_form"]]}

    def scalars(self, group, t):
        lr, rate2, beta1 = group["lr"], t ** group["beta2_decay"], group["beta1"]
        largest = 1e-6 * t * (lr > 0) if group["warmup_init"] else lr  # lr = 0 must not move
        as_hf = group["second_moment_form"] == "hf"
        decay = group["weight_decay"] if group["decoupled_weight_decay"] else 0.0
        return {
            "lr": 1.0,  # the rule's own step size is all of it
            "decay": 0.0 if as_hf else lr * decay,
            "beta1": beta1,
            "rate1": None if beta1 is None else 1 - beta1,
            "beta2": 1 - rate2,
            "rate2": rate2,
            "rate": smaller(largest, t**-0.5) if group["relative_step"] else lr,
            "eps2": group["eps"][1],
            "bound": group["d"],
            "scaled": float(group["scale_parameter"]),
            "decay_scaled": decay if as_hf else 0.0,
        }


def _check_as_torch(group):
    """What torch checks, in its words."""
    lr, d, limit = group["lr"], group["d"], 0.0 if group["second_moment_form"] == "hf" else 1.0
    if isinstance(lr, torch.Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not lr >= 0.0:
        raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
    if not group["beta2_decay"] <= 0.0:
        raise ValueError(f"beta2_decay should be <= 0 but is: {group['beta2_decay']}")
    for i, epsilon in enumerate(group["eps"]):
        if epsilon is not None and not epsilon >= 0.0:
            raise ValueError(f"epsilon{i + 1} should be >= 0 but is: {epsilon}")
    if not d >= limit:
        raise ValueError(f"Clipping threshold d should be >= {limit:g} but is: {d}")
    if not group["weight_decay"] >= 0.0:
        raise ValueError(f"weight_decay should be >= 0 but is: {group['weight_decay']}")
