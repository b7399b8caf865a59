"""Rules that see one element at a time."""

import math
from typing import ClassVar

import torch

import fusedopt

from .formula import Reference, average


class ReferenceLion(torch.optim.Optimizer):
    """arXiv:2302.06675, Algorithm 2, in the order of its lines."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0, maximize=False):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay, maximize=maximize))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                g = -p.grad if group["maximize"] else p.grad
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                c = beta1 * m + (1 - beta1) * g
                p.sub_(group["lr"] * (c.sign() + group["weight_decay"] * p))
                m.copy_(beta2 * m + (1 - beta2) * g)


class ReferenceCautiousAdamW(torch.optim.Optimizer):
    """AdamW whose update loses the components that point against the gradient (arXiv:2411.16085, Algorithm 1)."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                state, g = self.state[p], p.grad
                t = state["step"] = state.get("step", 0) + 1
                m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
                v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g * g
                u = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + group["eps"])
                u = u * (u * g > 0)
                p.sub_(group["lr"] * (u + group["weight_decay"] * p))


class ReferenceSAdam(Reference):
    """arXiv:1908.00700, Algorithms 1 and 2."""

    options: ClassVar = dict(lr=0.1, betas=(0.9, 0.999), smooth=50.0, amsgrad=True)

    def direction(self, g, p, t, state, group):
        beta1, beta2 = group["betas"]
        m, v = average(state, "exp_avg", g, beta1), average(state, "exp_avg_sq", g * g, beta2)
        if group["amsgrad"]:
            v = state["max"] = torch.maximum(state.get("max", v), v)
        x = group["smooth"] * v.sqrt()
        softplus = (x + (-x).exp().log1p()) / group["smooth"]
        return (1 - beta2**t) ** 0.5 / (1 - beta1**t) * m / softplus


class ReferenceAdamAtan2(Reference):
    """arXiv:2407.05872, section 5."""

    options: ClassVar = dict(lr=1e-4, betas=(0.9, 0.99), a=1.27, b=1.0, decoupled_weight_decay=True)

    def direction(self, g, p, t, state, group):
        beta1, beta2 = group["betas"]
        m = average(state, "exp_avg", g, beta1) / (1 - beta1**t)
        v = average(state, "exp_avg_sq", g * g, beta2) / (1 - beta2**t)
        return group["a"] * torch.atan2(m, group["b"] * v.sqrt())


class ReferenceDiffGrad(Reference):
    """arXiv:1909.11015, Algorithm 1, with the epsilon of the authors' code."""

    options: ClassVar = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8)

    def direction(self, g, p, t, state, group):
        beta1, beta2 = group["betas"]
        m, v = average(state, "exp_avg", g, beta1), average(state, "exp_avg_sq", g * g, beta2)
        friction = torch.sigmoid((state.get("previous", 0) - g).abs())
        state["previous"] = g
        return (1 - beta2**t) ** 0.5 / (1 - beta1**t) * friction * m / (v.sqrt() + group["eps"])


class ReferenceAdaMomentum(Reference):
    """arXiv:2106.11514, Algorithm 1."""

    options: ClassVar = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8)

    def direction(self, g, p, t, state, group):
        beta1, beta2 = group["betas"]
        m = average(state, "exp_avg", g, beta1)
        v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * m * m + group["eps"]
        return m / (1 - beta1**t) / (v / (1 - beta2**t)).sqrt()


class AdaLoOnNorms(fusedopt.AdaLo):
    """Ours with a loss to follow: the mean square of all gradients."""

    def step(self, closure=None):
        return super().step(closure, loss=mean_square(self))


def mean_square(optimizer):
    grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    squares = torch.cat([torch.zeros(1), *(g.cpu().double().flatten() for g in grads)]).square()
    return math.fsum(squares.tolist()) / squares.numel()  # torch's sum depends on the number of threads


class ReferenceAdaLo(Reference):
    """As the public code: formulas with tanh, and an average for every parameter."""

    options: ClassVar = dict(lr=1e-8, betas=(0.9, 0.999), weight_decay=1e-2, kappa=3.0, eps=1e-8, mode="adversarial",
                             decoupled_weight_decay=True)  # fmt: skip

    def step(self):
        self.target = (math.tanh(-math.log1p(mean_square(self)) / 2) + 1) / 2
        super().step()

    def size(self, state, group):
        e = state["e"] if group["mode"] == "adversarial" else 1 - state["e"]
        return max(e / group["kappa"], group["eps"])

    def decay(self, p, t, group):
        return group["weight_decay"] * self.size(self.state[p], group)

    def direction(self, g, p, t, state, group):
        average(state, "e", self.target, group["betas"][1])
        return average(state, "m", g, group["betas"][0]) * self.size(state, group) / group["lr"]


class ReferenceRanger(torch.optim.RAdam):
    """torch's RAdam on gradients without their means, its weights pulled back every sixth step."""

    def __init__(self, params):
        super().__init__(params, 1e-3, (0.95, 0.999), 1e-5, decoupled_weight_decay=True)
        self.slow = [p.detach().clone() for p in self.param_groups[0]["params"]]

    @torch.no_grad()
    def step(self):
        params = self.param_groups[0]["params"]
        for p in (p for p in params if p.dim() > 1):
            p.grad = p.grad - p.grad.mean(tuple(range(1, p.dim())), keepdim=True)
        super().step()
        self.steps = getattr(self, "steps", 0) + 1
        for p, slow in zip(params, self.slow, strict=True):
            if self.steps % 6 == 0:
                p.copy_(slow.lerp_(p, 0.5))
