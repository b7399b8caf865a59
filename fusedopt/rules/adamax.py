"""Adamax. Kingma & Ba 2015, arXiv:1412.6980, Algorithm 2."""

from typing import Unpack

from ..math import abs, maximum
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging
from ..validation import check_betas, check_non_negative


def adamax(g, p, m, v, beta1, rate1, beta2, debias1, eps):
    m = beta1 * m + rate1 * g
    v = maximum(beta2 * v, abs(g) + eps)
    return debias1 * m / v, m, v


ADAMAX = Rule(adamax, states={"exp_avg": "signed", "exp_inf": "positive"})


class Adamax(Optimizer):
    """Adamax; a drop-in for :class:`torch.optim.Adamax`. ``eps`` is added to the gradient inside the maximum."""

    def __init__(
        self,
        params,
        lr=2e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        foreach=None,
        **options: Unpack[Options],  # pyright: ignore[reportGeneralTypeIssues]  torch's order has a flag
    ):
        check_non_negative(eps, "epsilon value")
        check_betas(betas)
        super().__init__(
            params, {**options, "foreach": foreach}, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay
        )

    def rule(self, group, p):
        return ADAMAX

    def scalars(self, group, t):
        return {
            **averaging(group["betas"]),
            "debias1": 1 / (1 - group["betas"][0] ** t),
            "eps": group["eps"],
        }
