"""AdamNorm and its kin. Dubey et al. 2023, arXiv:2210.06364; constants as in the authors' code."""

from typing import Unpack

from ..math import abs, mean, select, sigmoid, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging
from ..validation import check_betas, check_non_negative
from .radam import rectification


def corrected(g, e, gamma, rate, root_size):
    """``g``, lengthened to the average ``e`` of its norm where it is shorter, and that average."""
    norm = root_size * sqrt(mean(g * g))
    e = gamma * e + rate * norm
    return select(e > norm, e / select(norm > 0, norm, 1), 1) * g, e


def adamnorm(g, p, m, v, e, beta1, rate1, beta2, rate2, gamma, rate3, debias1, root_debias2, eps, root_size):
    s, e = corrected(g, e, gamma, rate3, root_size)
    m = beta1 * m + rate1 * s
    v = beta2 * v + rate2 * g * g
    return debias1 * m / (root_debias2 * sqrt(v) + eps), m, v, e


def adabeliefnorm(g, p, m, v, e, beta1, rate1, beta2, rate2, gamma, rate3, debias1, root_debias2, eps, root_size):
    s, e = corrected(g, e, gamma, rate3, root_size)
    m = beta1 * m + rate1 * s
    v = beta2 * v + rate2 * (s - m) * (s - m) + eps
    return debias1 * m / (root_debias2 * sqrt(v) + eps), m, v, e


def diffgradnorm(
    g, p, m, v, previous, e, beta1, rate1, beta2, rate2, gamma, rate3, debias1, root_debias2, eps, root_size
):
    s, e = corrected(g, e, gamma, rate3, root_size)
    m = beta1 * m + rate1 * s
    v = beta2 * v + rate2 * g * g
    friction = sigmoid(abs(previous - g))
    return friction * (debias1 * m / (root_debias2 * (sqrt(v) + eps))), m, v, g, e


def radamnorm(g, p, m, v, e, beta1, rate1, beta2, rate2, gamma, rate3, debias1, rectified, eps, root_size):
    s, e = corrected(g, e, gamma, rate3, root_size)
    m = beta1 * m + rate1 * s
    v = beta2 * v + rate2 * g * g
    return debias1 * select(rectified > 0, rectified * m / (sqrt(v) + eps), m), m, v, e


MOMENTS, NORM = {"exp_avg": "signed", "exp_avg_sq": "positive"}, {"exp_grad_norm": "tensor"}
ADAM = Rule(adamnorm, {**MOMENTS, **NORM})
BELIEF = Rule(adabeliefnorm, {"exp_avg": "signed", "exp_avg_var": "positive", **NORM})
DIFFGRAD = Rule(diffgradnorm, {**MOMENTS, "previous_grad": "bound", **NORM})
RADAM = Rule(radamnorm, {**MOMENTS, **NORM})


class AdamNorm(Optimizer):
    """Adam whose first moment takes gradients that are no shorter than their norm is on average.

    State: ``exp_avg``, ``exp_avg_sq``, and ``exp_grad_norm`` (0-dim, float32; float64 for float64 parameters), the
    average of the norm of the whole tensor with weight ``gamma``, from zero and without bias correction.

    The second moment takes the gradient as it is. ``weight_decay`` is added to the gradient before its norm is taken.
    The authors' code adds ``eps`` to the stored second moment in every step too; the paper and this class do not.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        *,
        gamma=0.95,
        **options: Unpack[Options],
    ):
        super().__init__(params, options, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay, gamma=gamma)

    def _check(self, group):
        check_betas(group["betas"], group["foreach"], group["capturable"])
        check_non_negative(group["eps"], "epsilon value")
        if not 0.0 <= group["gamma"] < 1.0:
            raise ValueError(f"Invalid gamma: {group['gamma']}; it must be in [0, 1)")
        super()._check(group)

    def rule(self, group, p):
        return ADAM

    def constants(self, group, p):
        return {"root_size": p.numel() ** 0.5}

    def scalars(self, group, t):
        beta1, beta2 = group["betas"]
        return {
            **averaging(group["betas"]),
            "gamma": group["gamma"],
            "rate3": 1 - group["gamma"],
            "debias1": 1 / (1 - beta1**t),
            "root_debias2": (1 - beta2**t) ** -0.5,
            "eps": group["eps"],
        }


class AdaBeliefNorm(AdamNorm):
    """AdaBelief with AdamNorm's first moment.

    The second, ``exp_avg_var``, is of the distance between corrected gradient and first moment; ``eps`` joins it in
    every step, as in AdaBelief.
    """

    def rule(self, group, p):
        return BELIEF


class DiffGradNorm(AdamNorm):
    """DiffGrad with AdamNorm's first moment; ``previous_grad`` is the gradient as it was."""

    def rule(self, group, p):
        return DIFFGRAD


class RAdamNorm(AdamNorm):
    """RAdam with AdamNorm's first moment.

    It keeps the average norm, which the authors' code forgets in every step, so that nothing is corrected there.
    """

    def rule(self, group, p):
        return RADAM

    def scalars(self, group, t):
        return {**super().scalars(group, t), "rectified": rectification(group["betas"][1], t)}


AdaNorm = AdamNorm  # the name by which the correction is known
