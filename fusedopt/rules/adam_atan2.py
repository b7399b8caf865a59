"""Adam-atan2. Everett et al. 2024, arXiv:2407.05872, section 5; the default ``a`` as in Wang's adam-atan2-pytorch."""

from typing import Unpack

from ..math import atan2, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging
from ..validation import check_betas, check_non_negative


def adam_atan2(g, p, m, v, beta1, rate1, beta2, rate2, debias1, a, b):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * g * g
    return a * atan2(debias1 * m, b * sqrt(v)), m, v


ADAM_ATAN2 = Rule(adam_atan2, states={"exp_avg": "signed", "exp_avg_sq": "positive"})


class AdamAtan2(Optimizer):
    """Adam with ``a * atan2(m, b * sqrt(v))`` of the unbiased moments for ``m / (sqrt(v) + eps)``: there is no eps.

    The step does not depend on the gradients' scale and is never longer than ``lr * a * pi / 2``. Decay is decoupled
    unless ``decoupled_weight_decay=False``.
    """

    def __init__(
        self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, *, a=1.27, b=1.0, **options: Unpack[Options]
    ):
        check_betas(betas)
        check_non_negative(a, "a")
        check_non_negative(b, "b")
        options = {"decoupled_weight_decay": True, **options}
        super().__init__(params, options, lr=lr, betas=tuple(betas), weight_decay=weight_decay, a=a, b=b)

    def rule(self, group, p):
        return ADAM_ATAN2

    def scalars(self, group, t):
        beta1, beta2 = group["betas"]
        return {
            **averaging(group["betas"]),
            "debias1": 1 / (1 - beta1**t),
            "a": group["a"],
            "b": group["b"] * (1 - beta2**t) ** -0.5,
        }
