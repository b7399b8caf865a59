"""A float64 formula written from a paper as an optimizer."""

from typing import ClassVar

import torch


class Reference(torch.optim.Optimizer):
    """One paper in float64: ``direction`` of the gradient, times lr; then the options that all our classes share."""

    options: ClassVar[dict]

    def __init__(self, params, **options):
        shared = dict(maximize=False, weight_decay=0.0, decoupled_weight_decay=False, cautious=False)
        super().__init__(params, {**shared, **self.options, **options})

    def direction(self, g, p, t, state, group):
        raise NotImplementedError

    def decay(self, p, t, group):
        return group["lr"] * group["weight_decay"]

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.numel():
                    self._step(p, self.state[p], group)

    def _step(self, p, state, group):
        t = state.setdefault("step", 1)  # of the step to come, as SMMF's authors count
        g = -p.grad if group["maximize"] else p.grad
        if not group["decoupled_weight_decay"]:
            g = g + group["weight_decay"] * p
        u = self.direction(g, p, t, state, group)
        if group["cautious"]:
            u = u * (u * g > 0)
        decay = self.decay(p, t, group) if group["decoupled_weight_decay"] else 0.0
        p.sub_(group["lr"] * u + decay * p)
        state["step"] = t + 1


def average(state, key, x, beta):
    state[key] = beta * state.get(key, 0) + (1 - beta) * x
    return state[key]


def root_mean_square(x):
    return x.square().mean().sqrt().item()
