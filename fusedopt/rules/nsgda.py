"""nSGDA. Jelassi et al. 2022, arXiv:2210.04319, with the norm of every tensor by itself."""

from typing import Unpack

from ..math import mean, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..validation import check_non_negative


def nsgda(g, p, m, beta, rate, debias, eps, root_size):
    m = beta * m + rate * g
    u = debias * m
    return u / (root_size * sqrt(mean(u * u)) + eps), m


NSGDA_RULE = Rule(nsgda, states={"m": "signed"})


class NSGDA(Optimizer):
    """Normalized gradient descent and ascent: every tensor moves by ``lr`` along its momentum.

    State: ``m``. ``momentum=0`` is normalized gradient descent. For two players construct one optimizer each, the
    ascending one with ``maximize=True``. ``weight_decay`` is added to the gradient.
    """

    def __init__(self, params, lr=4e-5, momentum=0.9, eps=1e-8, weight_decay=1e-2, **options: Unpack[Options]):
        super().__init__(params, options, lr=lr, momentum=momentum, eps=eps, weight_decay=weight_decay)

    def _check(self, group):
        if not 0.0 <= group["momentum"] < 1.0:
            raise ValueError(f"Invalid momentum: {group['momentum']}; it must be in [0, 1)")
        check_non_negative(group["eps"], "epsilon value")
        super()._check(group)

    def rule(self, group, p):
        return NSGDA_RULE

    def constants(self, group, p):
        return {"root_size": p.numel() ** 0.5}

    def scalars(self, group, t):
        beta = group["momentum"]
        return {"beta": beta, "rate": 1 - beta, "debias": 1 / (1 - beta**t), "eps": group["eps"]}
