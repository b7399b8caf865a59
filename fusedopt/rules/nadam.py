"""NAdam. Dozat 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ, Algorithm 2 with its momentum schedule."""

import math
from typing import Unpack

import torch

from ..denominators import over
from ..math import sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging, expm1
from ..validation import check_betas, check_non_negative


def nadam(g, p, m, v, beta1, rate1, beta2, rate2, share_g, share_m, root_debias2, eps, *, divide=over):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * g * g
    return divide(share_g * g + share_m * m, root_debias2 * sqrt(v), eps), m, v


NADAM = Rule(nadam, states={"exp_avg": "signed", "exp_avg_sq": "positive"})


def momentum(group, t):
    return group["betas"][0] * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"]))


def momentum_product(group, t):
    """The product of the first ``t`` momenta: the series of ln(1 - x / 2) for each, summed over the steps."""
    log_decay = group["momentum_decay"] * math.log(0.96)
    logarithm = sum(0.5**k / k * _powers(k * log_decay, t) for k in range(1, 50))
    return group["betas"][0] ** t * math.e**-logarithm


def _powers(log_x, t):
    """x + x**2 + ... + x**t."""
    return math.exp(log_x) * expm1(t * log_x) / math.expm1(log_x) if log_x else t


class NAdam(Optimizer):
    """NAdam; a drop-in for :class:`torch.optim.NAdam`.

    ``eps`` is added outside the bias-corrected root. The product of all momenta, torch's state ``mu_product``, is
    computed from the step count and the present ``betas`` and ``momentum_decay``; so it stands in state dicts only.
    """

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        momentum_decay=4e-3,
        decoupled_weight_decay=False,
        **options: Unpack[Options],  # pyright: ignore[reportGeneralTypeIssues]  torch's order has a flag
    ):
        check_non_negative(eps, "epsilon value")
        check_betas(betas)
        check_non_negative(momentum_decay, "momentum_decay value")
        super().__init__(
            params,
            {**options, "decoupled_weight_decay": decoupled_weight_decay},
            lr=lr,
            betas=tuple(betas),
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
        )

    def rule(self, group, p):
        return NADAM

    def scalars(self, group, t):
        product, following = momentum_product(group, t), momentum(group, t + 1)
        return {
            **averaging(group["betas"]),
            "share_g": (1 - momentum(group, t)) / (1 - product),
            "share_m": following / (1 - product * following),
            "root_debias2": (1 - group["betas"][1] ** t) ** -0.5,
            "eps": group["eps"],
        }

    def translated(self, group, p, record):
        return {key: value for key, value in record.items() if key != "mu_product"}

    def exported(self, group, record):
        if "step" not in record:
            return record
        product = momentum_product(group, float(record["step"]))
        return {"step": record["step"], "mu_product": torch.tensor(product, dtype=torch.float64), **record}
