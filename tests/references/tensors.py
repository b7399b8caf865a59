"""Rules that add up over a tensor or the model."""

import math
from typing import ClassVar

import torch

from .formula import Reference, average
from .of_torch import Clipped


class ReferenceLAMB(Reference):
    """arXiv:1904.00962, Algorithm 2, with the options of apex and timm; decay is part of the direction."""

    options: ClassVar = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.01, phi=(0.0, math.inf),
                             limit=math.inf, bias_correction=True, grad_averaging=True, adapt="if_wd", outside=False,
                             decoupled_weight_decay=True)  # fmt: skip

    def decay(self, p, t, group):
        return group["lr"] * group["weight_decay"] * group["outside"]

    def direction(self, g, p, t, state, group):
        beta1, beta2 = group["betas"]
        m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1 if group["grad_averaging"] else 1) * g
        v = average(state, "v", g * g, beta2)
        if group["bias_correction"]:
            m, v = m / (1 - beta1**t), v / (1 - beta2**t)
        u = m / (v.sqrt() + group["eps"]) + group["weight_decay"] * (not group["outside"]) * p
        norms = p.norm().item(), u.norm().item()
        if 0.0 in norms or (group["adapt"] == "if_wd" and not group["weight_decay"]):
            return u
        low, high = group["phi"]
        return u * min(min(max(norms[0], low), high) / norms[1], group["limit"])


class ReferenceNovoGrad(Reference):
    """arXiv:1905.11286, Algorithm 1, with the options of the authors' code."""

    options: ClassVar = dict(lr=1e-3, betas=(0.95, 0.98), eps=1e-8, grad_averaging=False, amsgrad=False,
                             bias_correction=False, decoupled_weight_decay=True, inside=True)  # fmt: skip

    def decay(self, p, t, group):
        return group["lr"] * group["weight_decay"] * (not group["inside"])

    def direction(self, g, p, t, state, group):
        beta1, beta2 = group["betas"]
        v = state["v"] = (
            (g * g).sum() if not state.get("v", 0) > 0 else beta2 * state["v"] + (1 - beta2) * (g * g).sum()
        )
        if group["amsgrad"]:
            v = state["max"] = torch.maximum(state.get("max", v), v)
        x = g / (v.sqrt() + group["eps"]) + group["weight_decay"] * group["inside"] * p
        m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1 if group["grad_averaging"] else 1) * x
        return m / (1 - beta1**t) if group["bias_correction"] else m


class ReferenceNSGDA(Reference):
    """arXiv:2210.04319: the unbiased momentum over its norm, tensor by tensor."""

    options: ClassVar = dict(lr=4e-5, momentum=0.9, eps=1e-8, weight_decay=1e-2)

    def direction(self, g, p, t, state, group):
        m = average(state, "m", g, group["momentum"]) / (1 - group["momentum"] ** t)
        return m / (m.norm() + group["eps"])


class ReferenceAdamNorm(Reference):
    """arXiv:2210.06364; the second moment is that of ``base``."""

    options: ClassVar = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, gamma=0.95, base="adam")

    def direction(self, g, p, t, state, group):
        (beta1, beta2), eps, base = group["betas"], group["eps"], group["base"]
        norm = g.norm()
        s = g * max(1.0, (average(state, "norm", norm, group["gamma"]) / norm).item()) if norm > 0 else g
        m = average(state, "m", s, beta1) / (1 - beta1**t)
        if base == "adabelief":
            v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * (s - state["m"]) ** 2 + eps
        else:
            v = average(state, "v", g * g, beta2)
        if base == "radam":
            return self.rectified(m, v, t, beta2, eps)
        if base == "diffgrad":
            m = m * torch.sigmoid((state.get("previous", 0) - g).abs())
            state["previous"] = g
            return m * (1 - beta2**t) ** 0.5 / (v.sqrt() + eps)
        return m / ((v / (1 - beta2**t)).sqrt() + eps)

    def rectified(self, m, v, t, beta2, eps):
        limit = 2 / (1 - beta2) - 1
        rho = limit - 2 * t * beta2**t / (1 - beta2**t)
        if rho <= 5:
            return m
        r = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)
        return m * (r * (1 - beta2**t)) ** 0.5 / (v.sqrt() + eps)


class ReferenceAMSGD(Reference):
    """arXiv:2510.04988, AM-MSGD."""

    options: ClassVar = dict(lr=1e-3, momentum=0.9, memory=0.1, per_tensor=False)

    def step(self):
        (group,) = self.param_groups
        sign, decay = -1 if group["maximize"] else 1, group["weight_decay"]
        gradients = [(sign * p.grad + decay * p.detach(), self.state[p]) for p in group["params"]]
        self.beta = self.weight([(g, state.get("d", g)) for g, state in gradients], group)
        super().step()

    def weight(self, pairs, group):
        memory = group["memory"]
        spread = sum(((d - g) ** 2).sum().item() for g, d in pairs)
        gain = sum(((1 + memory) * g * d - (d - g) * (g + memory * d)).sum().item() for g, d in pairs)
        return min(max(gain / spread, 0.0), group["momentum"]) if spread > 0 else 0.0

    def direction(self, g, p, t, state, group):
        memory, d = group["memory"], state.get("d", g)
        beta = self.weight([(g, d)], group) if group["per_tensor"] else self.beta
        state["d"] = ((beta + memory) * d + (1 - beta) * g) / (1 + memory)
        return state["d"]


class ReferenceAMAdamW(Reference):
    """arXiv:2510.04988, AM-AdamW; ``shrink`` is the decay that the choice of the weight counts on."""

    options: ClassVar = dict(lr=1e-3, betas=(0.89, 0.999), eps=1e-8, weight_decay=1e-2, memory=0.1,
                             decoupled_weight_decay=True)  # fmt: skip

    def direction(self, g, p, t, state, group):
        (most, beta2), memory, lr = group["betas"], group["memory"], group["lr"]
        mu = group["weight_decay"] * group["decoupled_weight_decay"]
        v, product, d = average(state, "v", g * g, beta2), state.get("product", 1), state.get("d", 0 * g)
        scale = (1 - most * product) * ((v / (1 - beta2**t)).sqrt() + group["eps"])
        weight, away = 1 / (scale * (1 + memory * scale)), d - g
        beta = g.new_tensor(most)
        if t > 1:
            gain = (1 + mu * lr) * state["lr"] / lr * (g * (d / scale + mu * p)).sum()
            gain = gain - (away * (g + memory * scale * d) * weight).sum() - mu * (p * away).sum()
            spread = (away * away * weight).sum()
            beta = (gain / spread).clamp(0, most) if spread > 0 else 0 * spread
        state["d"] = ((1 - beta) * g + (memory * scale + beta) * d) / (1 + memory * scale)
        state.update(product=product * beta, lr=lr)
        return state["d"] / scale


class ClippedLAMB(Clipped, ReferenceLAMB):
    pass


class ClippedAMSGD(Clipped, ReferenceAMSGD):
    pass
