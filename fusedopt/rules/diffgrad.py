"""diffGrad. Dubey et al. 2020, arXiv:1909.11015, Algorithm 1; eps and the stored gradient as in the authors' code."""

from typing import Unpack

from ..math import abs, sigmoid, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging
from ..validation import check_betas, check_non_negative


def diffgrad(g, p, m, v, previous, beta1, rate1, beta2, rate2, debias, eps):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * g * g
    friction = sigmoid(abs(previous - g))
    return friction * (debias * m / (sqrt(v) + eps)), m, v, g


DIFFGRAD = Rule(diffgrad, states={"exp_avg": "signed", "exp_avg_sq": "positive", "previous_grad": "bound"})


class DiffGrad(Optimizer):
    """diffGrad: Adam whose step is halved where the gradient stays as it was in the step before.

    ``eps`` is added to the root before its bias correction. ``previous_grad`` includes the coupled ``weight_decay``.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, **options: Unpack[Options]):
        check_non_negative(eps, "epsilon value")
        check_betas(betas)
        super().__init__(params, options, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay)

    def rule(self, group, p):
        return DIFFGRAD

    def scalars(self, group, t):
        beta1, beta2 = group["betas"]
        return {
            **averaging(group["betas"]),
            "debias": (1 - beta2**t) ** 0.5 / (1 - beta1**t),
            "eps": group["eps"],
        }
