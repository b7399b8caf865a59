"""Amos. Tian & Parikh 2022, arXiv:2210.11693, Algorithm 1; constants as in the authors' code."""

import math
from typing import ClassVar, Unpack

from ..combinations import OWN_STEP_SIZE
from ..math import maximum, mean, row_mean, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule, averaged
from ..validation import check_non_negative


def _rule(name, average, shape):
    def amos(g, p, v, b, beta, rate, debias, xi, eta, root_xi, root_eta, c_coef, d_coef, extra_l2, eps):
        q = average(g * g)
        v = beta * v + rate * q
        w = debias / maximum(v, eps)  # one over the unbiased mean of squares
        gamma = xi * xi * w * q / sqrt(1 + c_coef * root_xi * b)
        shrink = 1 / (1 + d_coef * (root_xi * root_eta) * b)
        size = shrink * (xi * eta) * sqrt(w)
        decay = shrink * (gamma / 2 + extra_l2)
        return size * g + decay * p, v, b + gamma * (1 + b)

    amos.__name__ = name
    rule = Rule(amos, {"v": shape, "b": shape})
    return rule, averaged(rule)


RULES = {"tensor": _rule("amos", mean, "tensor"), "row": _rule("amos_rows", row_mean, "row")}


class Amos(Optimizer):
    """Amos: an adaptive step whose weight decay is learnt from the gradients; the authors' formulas and defaults.

    State ``v`` and ``b``, float32: one value a row (first dimension) for two dimensions and more, else one a tensor;
    ``reduction="tensor"`` keeps one for every tensor. ``exp_avg`` with ``momentum``.

    ``eta`` is the size that entries are expected to reach: a number, or ``"auto"`` for 0.5 in vectors and scalars and
    ``sqrt(2 / fan_in)`` in all others. ``lr`` is best near one over the root of the number of batches in an epoch.
    """

    own_decay = True
    contradicts: ClassVar = OWN_STEP_SIZE

    def __init__(
        self,
        params,
        lr=1e-3,
        eta="auto",
        beta=0.999,
        momentum=0.0,
        extra_l2=0.0,
        c_coef=0.25,
        d_coef=0.25,
        eps=2.0**-125,
        *,
        reduction="row",
        **options: Unpack[Options],
    ):
        super().__init__(
            params,
            options,
            lr=lr,
            eta=eta,
            beta=beta,
            momentum=momentum,
            extra_l2=extra_l2,
            c_coef=c_coef,
            d_coef=d_coef,
            eps=eps,
            reduction=reduction,
            weight_decay=0.0,
        )

    def _check(self, group):
        for key in ("beta", "momentum"):
            if not 0.0 <= group[key] < 1.0:
                raise ValueError(f"Invalid {key}: {group[key]}; it must be in [0, 1)")
        for key in ("extra_l2", "c_coef", "d_coef", "eps"):
            check_non_negative(group[key], key)
        if group["reduction"] not in RULES:
            raise ValueError(f"Invalid reduction: {group['reduction']!r}; choose from {', '.join(RULES)}")
        if isinstance(group["eta"], str):
            if group["eta"] != "auto":
                raise ValueError(f"Invalid eta: {group['eta']!r}; it must be a number or 'auto'")
        else:
            check_non_negative(group["eta"], "eta")
        super()._check(group)

    def rule(self, group, p):
        if group["weight_decay"]:
            raise ValueError(
                f"Amos learns its decay, and weight_decay={group['weight_decay']} would be a second one; "
                "set weight_decay to 0 and extra_l2 to what is to be added"
            )
        rules = RULES[group["reduction"] if p.dim() > 1 else "tensor"]
        return rules[group["momentum"] > 0]

    def constants(self, group, p):
        fan_in = math.prod(p.shape[1:]) if p.dim() > 1 else 8  # sqrt(2 / 8) = 0.5
        eta = math.sqrt(2 / max(fan_in, 1)) if group["eta"] == "auto" else group["eta"]
        return {"eta": eta, "root_eta": math.sqrt(eta)}

    def scalars(self, group, t):
        xi = group["lr"]
        return {
            "lr": 1.0,  # the rule's own step size is all of it
            "beta": group["beta"],
            "rate": 1 - group["beta"],
            "debias": 1 - group["beta"] ** t,
            "xi": xi,
            "root_xi": xi**0.5,
            "beta1": group["momentum"],
            "rate1": 1 - group["momentum"],
            "extra_l2": group["extra_l2"] * (xi > 0),  # lr = 0 must not move: so state is made before it is loaded
            **{key: group[key] for key in ("c_coef", "d_coef", "eps")},
        }
