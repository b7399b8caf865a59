"""SAdam and SAMSGrad. Tong et al. 2019, arXiv:1908.00700, Algorithms 1 and 2; constants as in the authors' code."""

from typing import Unpack

from ..math import maximum, softplus, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging
from ..validation import check_betas


def sadam(g, p, m, v, beta1, rate1, beta2, rate2, scale, smooth):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * g * g
    return scale * m / softplus(smooth * sqrt(v)), m, v


def samsgrad(g, p, m, v, v_max, beta1, rate1, beta2, rate2, scale, smooth):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * g * g
    v_max = maximum(v_max, v)
    return scale * m / softplus(smooth * sqrt(v_max)), m, v, v_max


SADAM = Rule(sadam, states={"exp_avg": "signed", "exp_avg_sq": "positive"})
SAMSGRAD = Rule(samsgrad, states={"exp_avg": "signed", "exp_avg_sq": "positive", "max_exp_avg_sq": "bound"})


class SAdam(Optimizer):
    """SAdam: Adam whose denominator is ``softplus(smooth * sqrt(v)) / smooth`` instead of ``sqrt(v) + eps``.

    It is at least ``log(2) / smooth``, so that small second moments make no large steps; v is not bias-corrected inside
    it. ``amsgrad`` (SAMSGrad, the authors' default) takes the running maximum of v. The authors switch softplus to its
    asymptote above ``smooth * sqrt(v) = 20``, which differs by 1e-10; here it is exact.
    """

    def __init__(
        self,
        params,
        lr=1e-1,
        betas=(0.9, 0.999),
        smooth=50.0,
        weight_decay=0.0,
        amsgrad=True,
        **options: Unpack[Options],
    ):
        check_betas(betas)
        if not smooth > 0.0:
            raise ValueError(f"Invalid smooth: {smooth}; it must be positive")
        super().__init__(
            params, options, lr=lr, betas=tuple(betas), smooth=smooth, weight_decay=weight_decay, amsgrad=amsgrad
        )

    def rule(self, group, p):
        return SAMSGRAD if group["amsgrad"] else SADAM

    def scalars(self, group, t):
        beta1, beta2 = group["betas"]
        return {
            **averaging(group["betas"]),
            "scale": group["smooth"] * (1 - beta2**t) ** 0.5 / (1 - beta1**t),
            "smooth": group["smooth"],
        }
