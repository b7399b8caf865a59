"""Adam in float64 with a place for the formula of every building block, written from their papers.

Tensors of any shape; a *unit* is an index of the first dimension, and a vector is one unit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass
class Adam:
    """Kingma & Ba 2015; every place does nothing until a row of a table fills it."""

    betas: tuple = (0.9, 0.999)
    eps: float = 1e-8
    gradient: Callable = lambda g, p: g
    quotient: Callable | None = None  # of corrected m and v, instead of m / (sqrt(v) + eps)
    direction: Callable = lambda u, g, p: u
    decay: Callable = lambda lr, u, p: 0  # what leaves the parameter besides lr * u
    after: Callable = lambda new, old, state, t: new
    gate: str | None = None  # of lazy updates: 'param' or 'all'

    def run(self, params, gradients, rates):
        """The parameters after every step, as lists; ``self.states`` has what is kept of every one."""
        params, self.states, found = [p.clone() for p in params], [{} for _ in params], []
        for t, (grads, lr) in enumerate(zip(gradients, rates, strict=True), 1):
            params = [self.step(p, g, lr, t, x) for p, g, x in zip(params, grads, self.states, strict=True)]
            found.append(params)
        return found

    def step(self, p, raw, lr, t, state):
        g = self.gradient(raw, p)
        m, v = self.moments(g, raw, state)
        m, v = m / (1 - self.betas[0] ** t), v / (1 - self.betas[1] ** t)
        u = self.quotient(m, v) if self.quotient else m / (v.sqrt() + self.eps)
        u = self.direction(u, g, p)
        new = p - lr * u - self.decay(lr, u, p)
        new = torch.where(idle(raw), p, new) if self.gate else new
        return self.after(new, p, state, t)

    def moments(self, g, raw, state):
        for name, beta, x in (("m", self.betas[0], g), ("v", self.betas[1], g * g)):
            old = state.get(name, torch.zeros_like(g))
            new = beta * old + (1 - beta) * x
            state[name] = torch.where(idle(raw), old, new) if self.gate == "all" else new
        return state["m"], state["v"]


def idle(raw):
    """Rows along the last dimension without gradient, elements of a vector; from the gradient as it comes."""
    return (raw == 0) if raw.dim() < 2 else (raw == 0).all(-1, keepdim=True)


def unit_norm(x):
    """The length of every unit, for broadcasting."""
    return x.norm() if x.dim() < 2 else x.flatten(1).norm(dim=1).reshape(-1, *[1] * (x.dim() - 1))


def unit_rms(x):
    return unit_norm(x) / (x.numel() if x.dim() < 2 else x[0].numel()) ** 0.5


def ratio(a, b):
    """a / b; one where either is zero."""
    return torch.where((a == 0) | (b == 0), torch.ones_like(a), a / b)


def agc(share):
    """arXiv:2102.06171, (3), with the floors of the authors' code."""

    def clipped(g, p):
        size, bound = unit_norm(g), share * unit_norm(p).clamp(min=1e-3)
        return torch.where(size > bound, g * bound / size.clamp(min=1e-6), g)

    return clipped


def soft_clip(eps):
    def clipped(g, p):
        size, bound = unit_rms(g).clamp(min=eps), unit_rms(p).clamp(min=eps)
        return g * torch.minimum(size, bound) / size

    return clipped


def centralize(g, p):
    """arXiv:2004.01461, (1): of what has rows, over all dimensions but the first."""
    return g if g.dim() < 2 else g - g.mean(tuple(range(1, g.dim())), keepdim=True)


def masked(u, g, p):
    """arXiv:2411.16085, Algorithm 1, without its rescaling."""
    return torch.where(u * g > 0, u, 0.0)


def rescaled(factor):
    """As timm for zero, as lucidrains for others: weights over their mean."""

    def scaled(u, g, p):
        weight = (u * g > 0).double().clamp(min=factor)
        return u * weight / weight.mean().clamp(min=1e-3)

    return scaled


def trust(norm, least=0.0, most=float("inf")):
    """arXiv:1904.00962; the bounds are of the ratio, as timm's trust_clip."""
    return lambda u, g, p: u * ratio(norm(p), norm(u)).clamp(least, most)


def rms_clip(limit):
    """arXiv:1804.04235, section 6."""
    return lambda u, g, p: u / (u.square().mean().sqrt() / limit).clamp(min=1.0)


def cpr(bound):
    """arXiv:2311.09058, Algorithm 1, on |p|^2 of what has rows; ``bound(size, first, state, t)`` may be None yet."""

    def constrained(new, old, state, t):
        if new.dim() < 2:
            return new
        size = float(new.square().sum())
        kappa = bound(size, state.setdefault("first", float(old.square().sum())), state, t)
        if kappa is not None:
            state["lambda"] = max(0.0, state.get("lambda", 0.0) + (size - kappa) / new.numel())
            state["largest"] = max(state["lambda"], state.get("largest", 0.0))
        return new - state.get("lambda", 0.0) * 2 * new

    return constrained


def warm_start(steps):
    """The bound is |p|^2 after so many steps, and holds from the next one."""

    def bound(size, first, state, t):
        if t == steps:
            state["kappa"] = size
        return state["kappa"] if t > steps else None

    return bound


def inflection_point(size, first, state, t):
    """The authors' steps 200, 400 and 600; the average is kept, which their code forgets."""
    state["average"] = average = 0.9 * state.get("average", 0.0) + 0.1 * size
    if t > 200 and "kappa" not in state:
        growth = average - state["previous"]
        if t > 600 and state["growth"] > growth:
            state["kappa"] = size
        if t > 400:
            state["growth"] = growth
    state["previous"] = average
    return state.get("kappa")


def followed(k, alpha, beta):
    """Lookahead, arXiv:1907.08610, then the average of weights; both begin as the parameter."""

    def write(new, old, state, t):
        slow = state.get("slow_buffer", old)
        if t % k == 0:
            slow = new = slow + alpha * (new - slow)
        state["slow_buffer"], state["ema"] = slow, beta * state.get("ema", old) + (1 - beta) * new
        return new

    return write
