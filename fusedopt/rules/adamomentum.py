"""AdaMomentum. Wang et al. 2021, arXiv:2106.11514, Algorithm 1."""

from typing import ClassVar, Unpack

from ..math import sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging
from ..validation import check_betas, check_non_negative


def adamomentum(g, p, m, v, beta1, rate1, beta2, rate2, debias1, root_debias2, eps):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * m * m + eps
    return debias1 * m / (root_debias2 * sqrt(v)), m, v


ADAMOMENTUM = Rule(adamomentum, states={"exp_avg": "signed", "exp_avg_sq": "positive"})


class AdaMomentum(Optimizer):
    """AdaMomentum: Adam whose second moment is that of the momentum, not of the gradient.

    ``eps`` joins the second moment in every step and none is added to its root: so the stored moment ends at no less
    than ``eps / (1 - betas[1])``. Moments of float16 cannot hold the default; choose ``state_format="fp32"`` there.
    """

    contradicts: ClassVar = {"decay='stable'": "its second moment is that of momenta, not of gradients"}

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, **options: Unpack[Options]):
        check_non_negative(eps, "epsilon value")
        check_betas(betas)
        super().__init__(params, options, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay)

    def rule(self, group, p):
        return ADAMOMENTUM

    def scalars(self, group, t):
        beta1, beta2 = group["betas"]
        return {
            **averaging(group["betas"]),
            "debias1": 1 / (1 - beta1**t),
            "root_debias2": (1 - beta2**t) ** -0.5,
            "eps": group["eps"],
        }
