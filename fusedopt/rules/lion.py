"""Lion. Chen et al. 2023, arXiv:2302.06675, Algorithm 2."""

from typing import ClassVar, Unpack

from ..math import sign
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging
from ..validation import check_betas


def lion(g, p, m, beta1, rate1, beta2, rate2):
    u = sign(beta1 * m + rate1 * g)
    return u, beta2 * m + rate2 * g


LION = Rule(lion, states={"exp_avg": "signed"})


class Lion(Optimizer):
    """Lion: the sign of an interpolated momentum. Its lr is typically 3 to 10 times smaller than AdamW's.

    Decay is decoupled unless ``decoupled_weight_decay=False``. A NaN gradient gives NaN, not a silent zero step.
    """

    counts_steps = False
    pointless: ClassVar = {"trust_ratio": "its direction is as long in every step, so the ratio goes by |p| alone"}

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, **options: Unpack[Options]):
        check_betas(betas)
        options = {"decoupled_weight_decay": True, **options}
        super().__init__(params, options, lr=lr, betas=tuple(betas), weight_decay=weight_decay)

    def rule(self, group, p):
        return LION

    def scalars(self, group, t):
        return averaging(group["betas"])
