"""RAdam. Liu et al. 2020, arXiv:1908.03265, Algorithm 2."""

from typing import Unpack

from ..math import select, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging, larger
from ..validation import check_betas, check_non_negative


def radam(g, p, m, v, beta1, rate1, beta2, rate2, debias1, rectified, eps):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * g * g
    return debias1 * select(rectified > 0, rectified * m / (sqrt(v) + eps), m), m, v


RADAM = Rule(radam, states={"exp_avg": "signed", "exp_avg_sq": "positive"})


def rectification(beta2, t):
    """r_t times the root of the bias correction; zero while the variance of 1 / sqrt(v) is unbounded (rho_t <= 5)."""
    debias2 = 1 - beta2**t
    limit = 2 / (1 - beta2) - 1
    rho = limit - 2 * t * beta2**t / debias2
    known = rho > 5
    rho, limit = larger(rho, 5.0), larger(limit, 5.0)
    return known * ((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho) * debias2) ** 0.5


class RAdam(Optimizer):
    """RAdam; a drop-in for :class:`torch.optim.RAdam`.

    ``eps`` is added to the root before its bias correction, unlike Adam's. The first steps, five with the default
    ``betas``, are plain momentum, not divided by the second moment. With ``weight_decay`` as in Adam.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        decoupled_weight_decay=False,
        **options: Unpack[Options],  # pyright: ignore[reportGeneralTypeIssues]  torch's order has a flag
    ):
        check_non_negative(eps, "epsilon value")
        check_betas(betas)
        super().__init__(
            params,
            {**options, "decoupled_weight_decay": decoupled_weight_decay},
            lr=lr,
            betas=tuple(betas),
            eps=eps,
            weight_decay=weight_decay,
        )

    def rule(self, group, p):
        return RADAM

    def scalars(self, group, t):
        beta1, beta2 = group["betas"]
        return {
            **averaging(group["betas"]),
            "debias1": 1 / (1 - beta1**t),
            "rectified": rectification(beta2, t),
            "eps": group["eps"],
        }
