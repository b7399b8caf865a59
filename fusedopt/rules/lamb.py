"""LAMB. You et al. 2020, arXiv:1904.00962, Algorithm 2; variants as in the authors' code, apex and timm."""

import math
from typing import ClassVar, Unpack

from ..denominators import unmasked
from ..math import maximum, mean, minimum, select, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import averaging
from ..validation import check_betas, check_non_negative
from .adam import ADAM


def trust(p, u, lowest, highest, limit):
    """The ratio of the norms of ``p``, within bounds, and ``u``: of their root mean squares, as the sizes cancel."""
    weight, size = sqrt(mean(p * p)), sqrt(mean(u * u))
    ratio = minimum(minimum(maximum(weight, lowest), highest) / size, limit)
    return select(weight > 0, select(size > 0, ratio, 1), 1)


def lamb(
    g, p, m, v, beta1, rate1, beta2, rate2, debias1, root_debias2, eps, shrink, lowest, highest, limit, *, mask=unmasked
):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * g * g
    u = mask(debias1 * m / (root_debias2 * sqrt(v) + eps), g) + shrink * p
    return trust(p, u, lowest, highest, limit) * u, m, v


LAMB_RULE = Rule(lamb, states={"exp_avg": "signed", "exp_avg_sq": "positive"})


class LAMB(Optimizer):
    """LAMB: Adam whose step for every tensor is as long as the tensor's own norm.

    The direction ``u = m / (sqrt(v) + eps) + weight_decay * p`` is multiplied by ``norm(p) / norm(u)``, by 1 where
    either is zero. ``adapt="if_wd"`` does so only in groups with weight decay, as apex and timm; ``"always"`` in all.
    ``decoupled_weight_decay=True`` leaves the decay out of ``u`` and of the ratio. State: ``exp_avg``, ``exp_avg_sq``.

    ``phi_bounds``, two numbers, bound ``norm(p)`` in the ratio; ``trust_clip`` bounds the ratio by 1.
    ``grad_averaging=False`` adds the gradient to the first moment undampened. ``max_grad_norm`` is 1 unless given. The
    authors' code is ``bias_correction=False, max_grad_norm=None, adapt="always", weight_decay=0.0``. ``cautious`` masks
    the quotient, before decay and ratio, as in timm.
    """

    own_decay = True
    contradicts: ClassVar = dict.fromkeys(("trust_ratio", "normalize='layer'"), "it has a trust ratio of its own")

    presets: ClassVar = {"max_grad_norm": 1.0}

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-6,
        weight_decay=0.01,
        *,
        bias_correction=True,
        grad_averaging=True,
        adapt="if_wd",
        phi_bounds=None,
        trust_clip=False,
        **options: Unpack[Options],
    ):
        super().__init__(
            params,
            options,
            lr=lr,
            betas=tuple(betas),
            eps=eps,
            weight_decay=weight_decay,
            bias_correction=bias_correction,
            grad_averaging=grad_averaging,
            adapt=adapt,
            phi_bounds=None if phi_bounds is None else tuple(phi_bounds),
            trust_clip=trust_clip,
        )

    def _check(self, group):
        check_betas(group["betas"], group["foreach"], group["capturable"])
        check_non_negative(group["eps"], "epsilon value")
        if group["adapt"] not in ("if_wd", "always"):
            raise ValueError(f"Invalid adapt: {group['adapt']!r}; choose from if_wd, always")
        bounds = group["phi_bounds"]
        if bounds is not None and not (len(bounds) == 2 and 0.0 <= bounds[0] <= bounds[1]):
            raise ValueError(
                f"Invalid phi_bounds: {bounds}; they must be two numbers, none negative, the smaller first, or None"
            )
        super()._check(group)

    def rule(self, group, p):
        return LAMB_RULE if group["adapt"] == "always" or group["weight_decay"] else ADAM

    def constants(self, group, p):
        lowest, highest = group["phi_bounds"] or (0.0, math.inf)
        root_size = max(p.numel(), 1) ** 0.5 if group["phi_bounds"] else 1.0
        return {"lowest": lowest / root_size, "highest": highest / root_size}

    def scalars(self, group, t):
        beta1, beta2 = group["betas"]
        corrected = group["bias_correction"]
        return {
            **averaging(group["betas"]),
            "rate1": 1 - beta1 if group["grad_averaging"] else 1.0,
            "debias1": 1 / (1 - beta1**t) if corrected else 1.0,
            "root_debias2": (1 - beta2**t) ** -0.5 if corrected else 1.0,
            "eps": group["eps"],
            "l2": 0.0,
            "shrink": 0.0 if group["decoupled_weight_decay"] else group["weight_decay"],
            "limit": 1.0 if group["trust_clip"] else math.inf,
        }
