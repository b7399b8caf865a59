"""AdaLo. Jeong & Koo 2025, Information Sciences 690, 121607; formulas and constants as in cpuimage's public code."""

from typing import Unpack

import torch

from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..scalars import larger, remember
from ..validation import check_betas, check_non_negative

MODES = ("adversarial", "compliant")


def adalo(g, p, m, beta1, rate1):
    m = beta1 * m + rate1 * g
    return m, m


ADALO = Rule(adalo, states={"m": "signed"})


class AdaLo(Optimizer):
    """AdaLo: momentum whose step size follows the loss: call ``step(closure)`` or ``step(loss=loss)``.

    Every group keeps ``loss_ema``, the average of ``1 / (2 + loss)`` with weight ``betas[1]``, from zero and without
    bias correction. The step size is ``loss_ema / kappa`` (``mode="adversarial"``: it falls when the loss rises) or
    ``(1 - loss_ema) / kappa`` (``"compliant"``: it rises), ``eps`` at least. ``lr`` has no say in it, but that zero
    moves nothing. Weight decay is decoupled. State: ``m``.

    A step without a loss uses the average as it is, which at the start is zero. The loss must be above -1, and the same
    in all processes of a distributed run. With ``capturable=True`` it stays on the GPU, else the step waits for it.
    With ``accumulate`` every call takes the loss of its micro-batch, and the step their mean, weighted as the gradients
    are; the first group keeps an unfinished window's ``losses``: their weighted sum, and the sum of their weights.
    """

    own_decay = True

    counts_steps = False
    _losses = (0.0, 0.0)  # of the window under way, summed, and their weights; they join the groups when none can fail

    def __init__(
        self,
        params,
        lr=1e-8,
        betas=(0.9, 0.999),
        weight_decay=1e-2,
        kappa=3.0,
        eps=1e-8,
        mode="adversarial",
        **options: Unpack[Options],
    ):
        super().__init__(
            params,
            {"decoupled_weight_decay": True, **options},
            lr=lr,
            betas=tuple(betas),
            weight_decay=weight_decay,
            kappa=kappa,
            eps=eps,
            mode=mode,
            loss_ema=0.0,
        )

    def _check(self, group):
        check_betas(group["betas"], group["foreach"], group["capturable"])
        check_non_negative(group["eps"], "epsilon value")
        if not group["kappa"] > 0.0:
            raise ValueError(f"Invalid kappa: {group['kappa']}; it must be positive")
        if group["mode"] not in MODES:
            raise ValueError(f"Invalid mode: {group['mode']!r}; choose from {', '.join(MODES)}")
        super()._check(group)

    def rule(self, group, p):
        return ADALO

    def average(self, group):
        """``loss_ema`` with the loss of the step under way."""
        beta, (total, weight) = group["betas"][1], self._losses
        return beta * group["loss_ema"] + (1 - beta) / (2 + total / weight) if weight else group["loss_ema"]

    def scalars(self, group, t):
        beta1, e = group["betas"][0], self.average(group)
        size = larger((e if group["mode"] == "adversarial" else 1 - e) / group["kappa"], group["eps"])
        size = size * (group["lr"] > 0)
        decay = group["weight_decay"] if group["decoupled_weight_decay"] else 0.0
        return {"lr": size, "decay": size * decay, "beta1": beta1, "rate1": 1 - beta1}

    @torch._disable_dynamo
    def step(self, closure=None, *, loss=None):
        """Performs one update by the loss that ``closure`` returns, or by ``loss``: a number or a tensor of one.

        Raises ValueError for both at once, for a tensor of more, and for a loss of -1 or less.
        """
        if closure is not None:
            if loss is not None:
                raise ValueError("AdaLo.step() takes a closure or a loss, not both; drop one of them")
            with torch.enable_grad():
                loss = closure()
        try:
            self._losses = self._summed(loss)
            super().step()
            if self._losses[1]:
                self.param_groups[0]["losses"] = self._losses
        finally:
            self._losses = (0.0, 0.0)
        return loss

    def _run(self, scale):
        super()._run(scale)
        for group in self.param_groups:
            remember(group, "loss_ema", self.average(group))
        self.param_groups[0].pop("losses", None)
        self._losses = (0.0, 0.0)

    def _summed(self, loss):
        """The weighted sum of the losses of the window so far, with ``loss``; and the sum of their weights."""
        group = self.param_groups[0]
        is_one = group["accumulate"] == 1
        total, weights = (0.0, 0.0) if is_one else group.get("losses", (0.0, 0.0))
        if loss is None:
            return total, weights
        weight = 1.0 if is_one else float(self.micro_batch_weight)
        return total + weight * self._number(loss), weights + weight

    def _number(self, loss):
        if isinstance(loss, torch.Tensor):
            if loss.numel() != 1:
                raise ValueError(f"AdaLo: the loss has shape {tuple(loss.shape)}; pass one number, such as its mean")
            loss = loss.detach().double().reshape(())
            if any(group["capturable"] for group in self.param_groups):
                return loss
        if not float(loss) > -1.0:
            raise ValueError(f"AdaLo: the loss is {float(loss)}; it must be above -1: add a constant to it")
        return float(loss)
