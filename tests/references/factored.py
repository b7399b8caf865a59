"""Rules that keep statistics of rows and columns."""

import math
from typing import ClassVar

import torch

from .formula import Reference, average, root_mean_square
from .of_torch import Clipped


class ReferenceAdafactor(Reference):
    """arXiv:1804.04235, Algorithms 4 and 5, with the options of transformers' class; lr is part of the direction."""

    options: ClassVar = dict(lr=1e-2, beta2_decay=-0.8, eps=(1e-30, 1e-3), d=1.0, beta1=None, scale_parameter=True,
                             relative_step=True, warmup_init=False, flatten=False, hf_decay=False,
                             decoupled_weight_decay=True)  # fmt: skip

    def size(self, p, t, group):
        largest = 1e-6 * t if group["warmup_init"] else group["lr"]
        rate = min(largest, t**-0.5) if group["relative_step"] else group["lr"]
        return rate * max(group["eps"][1], root_mean_square(p)) if group["scale_parameter"] else rate

    def decay(self, p, t, group):
        return group["weight_decay"] * (self.size(p, t, group) if group["hf_decay"] else group["lr"])

    def direction(self, g, p, t, state, group):
        x = g.flatten(1) if group["flatten"] and g.dim() > 1 else g
        u = x / self.variance(x * x + group["eps"][0], 1 - t ** group["beta2_decay"], state).sqrt()
        u = u * self.size(p, t, group) / max(1, root_mean_square(u) / group["d"])
        if group["beta1"] is not None:
            u = average(state, "exp_avg", u, group["beta1"])
        return u.reshape(g.shape) / group["lr"]

    def variance(self, s, beta2, state):
        if s.dim() < 2:
            return average(state, "variance", s, beta2)
        row = average(state, "row_var", s.mean(-1, keepdim=True), beta2)
        col = average(state, "col_var", s.mean(-2, keepdim=True), beta2)
        return row * col / row.mean(-2, keepdim=True)


class ReferenceCAME(Reference):
    """arXiv:2307.02047, Algorithm 2; vectors as in the authors' code."""

    options: ClassVar = dict(lr=0.01, betas=(0.9, 0.999, 0.9999), eps=(1e-30, 1e-16), clip_threshold=1.0,
                             decoupled_weight_decay=True)  # fmt: skip

    def direction(self, g, p, t, state, group):
        beta1, beta2, beta3 = group["betas"]
        u = g / root_of_means(g * g + group["eps"][0], state, "sq", beta2)
        u = u / max(1, root_mean_square(u) / group["clip_threshold"])
        m = average(state, "exp_avg", u, beta1)
        if g.dim() < 2:
            return m
        return m / root_of_means((u - m) ** 2 + group["eps"][1], state, "res", beta3)


def root_of_means(s, state, key, beta):
    if s.dim() < 2:
        return average(state, key, s, beta).sqrt()
    row = average(state, f"{key}_row", s.mean(-1, keepdim=True), beta)
    col = average(state, f"{key}_col", s.mean(-2, keepdim=True), beta)
    return (row * col / row.mean(-2, keepdim=True)).sqrt()


class ReferenceAdaMini(Reference):
    """arXiv:2406.16793, Algorithm 1, with a block for every row; a vector is one block."""

    options: ClassVar = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, decoupled_weight_decay=True)

    def direction(self, g, p, t, state, group):
        beta1, beta2 = group["betas"]
        mean = (g * g).flatten(1).mean(1).reshape(-1, *[1] * (g.dim() - 1)) if g.dim() > 1 else (g * g).mean()
        m, v = average(state, "exp_avg", g, beta1), average(state, "exp_avg_sq", mean, beta2)
        return m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + group["eps"])


class ReferenceSM3(Reference):
    """arXiv:1901.11150, Algorithms SM3-I and SM3-II, over the rows and columns of (first dimension, all others)."""

    options: ClassVar = dict(lr=0.1, momentum=0.0, eps=1e-30, variant="II")

    def direction(self, g, p, t, state, group):
        u = g / (self.bound(g * g, state, group["variant"]).reshape(g.shape) + group["eps"]).sqrt()
        return average(state, "exp_avg", u, group["momentum"])

    def bound(self, s, state, variant):
        if s.dim() < 2:
            state["sum"] = state.get("sum", 0) + s
            return state["sum"]
        s = s.flatten(1)
        row, col = state.setdefault("row", s.new_zeros(len(s), 1)), state.setdefault("col", s.new_zeros(s[:1].shape))
        if variant == "I":
            row += s.amax(1, keepdim=True)
            col += s.amax(0, keepdim=True)
            return torch.minimum(row, col)
        v = torch.minimum(row, col) + s
        state.update(row=v.amax(1, keepdim=True), col=v.amax(0, keepdim=True))
        return v


class ReferenceAmos(Reference):
    """arXiv:2210.11693, Algorithm 1, with the authors' epsilon and extra_l2; lr is part of the direction."""

    options: ClassVar = dict(lr=1e-3, eta="auto", beta=0.999, momentum=0.0, extra_l2=0.0, c_coef=0.25, d_coef=0.25,
                             eps=2.0**-125, reduction="row")  # fmt: skip

    def direction(self, g, p, t, state, group):
        xi, beta = group["lr"], group["beta"]
        eta = group["eta"] if group["eta"] != "auto" else 0.5 if p.dim() < 2 else math.sqrt(2 / p[0].numel())
        over = tuple(range(1, p.dim())) if group["reduction"] == "row" and p.dim() > 1 else tuple(range(p.dim()))
        q = (g * g).mean(over, keepdim=True) if over else g * g
        b = state.get("b", 0)
        w = (1 - beta**t) / average(state, "v", q, beta).clamp(min=group["eps"])
        gamma = (1 + group["c_coef"] * xi**0.5 * b) ** -0.5 * xi**2 * w * q
        shrink = 1 / (1 + group["d_coef"] * (xi * eta) ** 0.5 * b)
        u = shrink * (xi * eta * w.sqrt() * g + (gamma / 2 + group["extra_l2"]) * p)
        state["b"] = b + gamma * (1 + b)
        return average(state, "exp_avg", u, group["momentum"]) / xi


class ClippedAdafactor(Clipped, ReferenceAdafactor):
    pass
