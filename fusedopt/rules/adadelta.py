"""Adadelta. Zeiler 2012, arXiv:1212.5701, Algorithm 1."""

from typing import Unpack

from ..math import sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..validation import check_non_negative


def adadelta(g, p, v, d, rho, rate, eps):
    v = rho * v + rate * g * g
    u = sqrt(d + eps) / sqrt(v + eps) * g
    return u, v, rho * d + rate * u * u


ADADELTA = Rule(adadelta, states={"square_avg": "positive", "acc_delta": "positive"})


class Adadelta(Optimizer):
    """Adadelta; a drop-in for :class:`torch.optim.Adadelta`. ``eps`` is inside the roots, and ``lr`` outside of all."""

    def __init__(
        self,
        params,
        lr=1.0,
        rho=0.9,
        eps=1e-6,
        weight_decay=0,
        foreach=None,
        **options: Unpack[Options],  # pyright: ignore[reportGeneralTypeIssues]  torch's order has a flag
    ):
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_non_negative(eps, "epsilon value")
        super().__init__(params, {**options, "foreach": foreach}, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)

    def rule(self, group, p):
        return ADADELTA

    def scalars(self, group, t):
        return {"rho": group["rho"], "rate": 1 - group["rho"], "eps": group["eps"]}
