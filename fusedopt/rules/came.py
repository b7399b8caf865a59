"""CAME. Luo et al. 2023, arXiv:2307.02047, Algorithm 2; vectors and constants as in the authors' code."""

from typing import Unpack

from ..math import col_mean, maximum, mean, row_mean, sqrt
from ..matrix import last_two, one_row
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..validation import check_non_negative


def factored(x, r, c):
    """``x`` over the root of r c / mean(r), by a root for every row and every column."""
    return x * (sqrt(col_mean(r)) / sqrt(r)) * (1 / sqrt(c))


def clipped(u, bound):
    return u / maximum(1, sqrt(mean(u * u)) / bound)


def came(g, p, m, r, c, x, y, beta1, rate1, beta2, rate2, beta3, rate3, eps1, eps2, bound):
    s = g * g + eps1
    r = beta2 * r + rate2 * row_mean(s)
    c = beta2 * c + rate2 * col_mean(s)
    u = clipped(factored(g, r, c), bound)
    m = beta1 * m + rate1 * u
    instability = (u - m) * (u - m) + eps2
    x = beta3 * x + rate3 * row_mean(instability)
    y = beta3 * y + rate3 * col_mean(instability)
    return factored(m, x, y), m, r, c, x, y


def came_vector(g, p, m, v, beta1, rate1, beta2, rate2, eps1, bound):
    v = beta2 * v + rate2 * (g * g + eps1)
    m = beta1 * m + rate1 * clipped(g / sqrt(v), bound)
    return m, m, v


FACTORS = {"exp_avg_sq_row": "row", "exp_avg_sq_col": "col", "exp_avg_res_row": "row", "exp_avg_res_col": "col"}
MATRIX = Rule(came, {"exp_avg": "signed", **FACTORS})
VECTOR = Rule(came_vector, {"exp_avg": "signed", "exp_avg_sq": "exact"})


class CAME(Optimizer):
    """CAME: Adafactor whose momentum is divided by the root of how far updates stray from it; the authors' formulas.

    State: ``exp_avg``, and for two dimensions and more row and column means over the last two, float32:
    ``exp_avg_sq_row`` and ``exp_avg_res_row`` (the parameter's shape, last dimension 1), ``exp_avg_sq_col`` and
    ``exp_avg_res_col`` (last but one dimension 1). Vectors keep ``exp_avg_sq`` and step by the momentum itself.

    ``eps`` is added to the squared gradient and to the squared distance; both must be above zero, as nothing else
    keeps the factors from it. ``clip_threshold`` bounds the update's root mean square: without bias correction, the
    first update would otherwise be ``1 / sqrt(1 - betas[1])`` times too large. Weight decay is decoupled. The
    authors give ``lr`` no default; 2e-4 is that of their examples.
    """

    def __init__(
        self,
        params,
        lr=2e-4,
        betas=(0.9, 0.999, 0.9999),
        eps=(1e-30, 1e-16),
        clip_threshold=1.0,
        weight_decay=0.0,
        **options: Unpack[Options],
    ):
        options = {"decoupled_weight_decay": True, **options}
        super().__init__(
            params,
            options,
            lr=lr,
            betas=tuple(betas),
            eps=tuple(eps),
            clip_threshold=clip_threshold,
            weight_decay=weight_decay,
        )

    def _check(self, group):
        if len(group["betas"]) != 3 or not all(0.0 <= beta < 1.0 for beta in group["betas"]):
            raise ValueError(f"Invalid betas: {group['betas']}; they must be three numbers in [0, 1)")
        if len(group["eps"]) != 2 or not all(eps > 0.0 for eps in group["eps"]):
            raise ValueError(f"Invalid eps: {group['eps']}; they must be two numbers above 0")
        check_non_negative(group["clip_threshold"], "clip_threshold")
        super()._check(group)

    def rule(self, group, p):
        return VECTOR if p.dim() < 2 else MATRIX

    def matrix(self, group, p):
        return one_row(p) if p.dim() < 2 else last_two(p)

    def scalars(self, group, t):
        averages = {f"beta{i}": beta for i, beta in enumerate(group["betas"], 1)}
        rates = {f"rate{i}": 1 - beta for i, beta in enumerate(group["betas"], 1)}
        eps1, eps2 = group["eps"]
        return {**averages, **rates, "eps1": eps1, "eps2": eps2, "bound": group["clip_threshold"]}
