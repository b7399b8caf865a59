"""AM-MSGD and AM-AdamW, momentum of adaptive memory. Topollai & Choromanska 2025, arXiv:2510.04988."""

from typing import ClassVar, Unpack

import torch

from ..math import mean, select, sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import HEADER, larger, remember, smaller
from ..settings import is_structural
from ..totals import total
from ..validation import check_betas, check_non_negative


def bounded(gain, spread, least, most):
    """The weight of the old direction: ``gain / spread`` within bounds, and where that is NaN the lower one."""
    beta = select(spread > 0, gain / spread, 0)
    return select(beta > least, select(beta < most, beta, most), least)


def terms(g, d, memory):
    """What is to be added up for gain and spread."""
    return g * g + memory * d * (2 * g - d), (d - g) * (d - g)


def am_sgd(g, p, d, beta, memory, first):
    d = select(first > 0, g, d)
    d = ((beta + memory) * d + (1 - beta) * g) / (1 + memory)
    return d, d


def am_sgd_per_tensor(g, p, d, most, memory, first):
    gain, spread = terms(g, select(first > 0, g, d), memory)
    return am_sgd(g, p, d, bounded(mean(gain), mean(spread), 0, most), memory, first)


def am_adamw(g, p, d, v, product, most, least, memory, beta2, rate2, root_debias2, eps, shrink, growth):
    v = beta2 * v + rate2 * g * g
    scale = (1 - most * product) * (root_debias2 * sqrt(v) + eps)  # the authors' P
    along, away = 1 + memory * scale, d - g
    weighted = away / (scale * along)
    gain = growth * g * (d / scale + shrink * p) - weighted * (g + memory * scale * d) - shrink * p * away
    beta = bounded(mean(gain), mean(weighted * away), least, most)
    d = ((1 - beta) * g + (memory * scale + beta) * d) / along
    return d / scale, d, v, product * beta


POINTLESS = {"cautious": "the weight of the old direction was chosen for a step that is taken whole"}

AM_SGD = Rule(am_sgd, states={"direction": "signed"})
AM_SGD_PER_TENSOR = Rule(am_sgd_per_tensor, states={"direction": "signed"})
AM_ADAMW = Rule(am_adamw, states={"direction": "signed", "exp_avg_sq": "positive", "beta_product": "tensor"})


class AMSGD(Optimizer):
    """AM-MSGD: SGD whose momentum is chosen anew in every step, from how far the gradients stray from the direction.

    State: ``direction``, first the gradient itself. ``momentum`` bounds the weight of the old direction from above, and
    ``memory`` (lambda_m) pulls the new one towards it. ``momentum=0, memory=0`` is plain gradient descent.

    The weight is one for the whole model, so that ``momentum`` and ``memory`` must be the same in all groups; it costs
    a reading of gradients and state through torch, in float64. ``per_tensor=True`` gives every tensor a weight of its
    own, in the fused step. ``weight_decay`` is added to the gradient.
    """

    counts_steps = False
    pointless: ClassVar = POINTLESS

    def __init__(
        self,
        params,
        lr=1e-3,
        momentum=0.9,
        memory=0.1,
        weight_decay=0.0,
        *,
        per_tensor=False,
        **options: Unpack[Options],
    ):
        super().__init__(
            params,
            options,
            lr=lr,
            momentum=momentum,
            memory=memory,
            weight_decay=weight_decay,
            per_tensor=per_tensor,
        )

    def _check(self, group):
        if not 0.0 <= group["momentum"] < 1.0:
            raise ValueError(f"Invalid momentum: {group['momentum']}; it must be in [0, 1)")
        check_non_negative(group["memory"], "memory")
        super()._check(group)

    def refuse(self, group):
        if is_structural(group) and not group["per_tensor"]:
            raise ValueError(
                "AMSGD's one weight is of raw gradients, which blocks change; set per_tensor=True, or drop them"
            )
        super().refuse(group)

    def _check_shared(self, groups):
        super()._check_shared(groups)
        limits = {(group["momentum"], group["memory"]) for group in groups if not group["per_tensor"]}
        if len(limits) > 1:
            raise ValueError(
                f"AMSGD has one weight for the model, but its groups have (momentum, memory) {sorted(limits)}; "
                "make them equal, or set per_tensor=True"
            )

    def rule(self, group, p):
        if group["per_tensor"]:
            return AM_SGD_PER_TENSOR
        if group["state_format"] == "nnmf":
            raise ValueError("AMSGD with state_format='nnmf' needs per_tensor=True; set it, or choose another format")
        return AM_SGD

    def scalars(self, group, t):
        beta = {"beta": 0.0}  # until it is measured
        return {**beta, "most": group["momentum"], "memory": group["memory"], "first": larger(2 - t, 0.0)}

    def measured(self, engines, tables, coefficient):
        self._check_shared(self.param_groups)
        sums = [
            _sums(entry, dict(zip((*HEADER, *AM_SGD.scalars), table[entry.row], strict=True)), coefficient)
            for engine, table in zip(engines, tables, strict=True)
            if engine.bucket.rule is AM_SGD
            for entry in engine.bucket.entries
        ]
        if not sums:
            return {}
        gain, spread = torch.stack([x.to(sums[0].device) for x in sums]).sum(0)
        momentum = next(group["momentum"] for group in self.param_groups if not group["per_tensor"])
        return {"beta": bounded(gain, spread, 0.0, momentum)}


def _sums(entry, scalars, coefficient):
    """Gain and spread of one tensor in float64, of the gradient as the rule will see it."""
    sign = scalars["gradient_sign"] if coefficient is None else scalars["gradient_sign"] * coefficient
    g = sign * entry.grad.double() + scalars["l2"] * entry.value(0).double()
    d = entry.value(1).double() + scalars["first"] * g
    return torch.stack([total(x) for x in terms(g, d, scalars["memory"])])


class AMAdamW(Optimizer):
    """AM-AdamW: AdamW whose first moment has a weight that is chosen anew for every tensor in every step.

    State: ``direction``, ``exp_avg_sq``, and ``beta_product`` (0-dim, float32; float64 for float64 parameters), the
    product of the weights so far, which corrects the bias of the direction. Groups keep ``previous_lr``.

    ``betas[0]`` bounds the weight from above; the authors take 0.9 less a tenth of ``memory`` (lambda_m), which pulls
    the new direction towards the old one.
    """

    own_decay = True
    pointless: ClassVar = POINTLESS

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.89, 0.999),
        eps=1e-8,
        weight_decay=1e-2,
        *,
        memory=0.1,
        **options: Unpack[Options],
    ):
        super().__init__(
            params,
            {"decoupled_weight_decay": True, **options},
            lr=lr,
            betas=tuple(betas),
            eps=eps,
            weight_decay=weight_decay,
            memory=memory,
            previous_lr=None,
        )

    def _check(self, group):
        check_betas(group["betas"], group["foreach"], group["capturable"])
        check_non_negative(group["eps"], "epsilon value")
        check_non_negative(group["memory"], "memory")
        super()._check(group)

    def rule(self, group, p):
        return AM_ADAMW

    def initial(self, group):
        return {"beta_product": 1.0}

    def scalars(self, group, t):
        most, beta2 = group["betas"]
        lr, decay = group["lr"], group["weight_decay"] if group["decoupled_weight_decay"] else 0.0
        return {
            "most": most,
            "least": most * larger(2 - t, 0.0),  # the first step takes it as it is
            "memory": group["memory"],
            "beta2": beta2,
            "rate2": 1 - beta2,
            "root_debias2": (1 - beta2**t) ** -0.5,
            "eps": group["eps"],
            "shrink": decay,
            "growth": (1 + decay * lr) * _ratio(group["previous_lr"], lr),
        }

    def _run(self, scale):
        super()._run(scale)
        for group in self.param_groups:
            remember(group, "previous_lr", group["lr"])


def _ratio(previous, lr):
    """The step size of the step before over this one's; bounded, as a schedule may begin or end at zero."""
    return 1.0 if previous is None else smaller(previous / larger(lr, 1e-30), 1e4)
