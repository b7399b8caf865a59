"""What each optimizer must equal: the torch class it replaces, or a float64 formula written from its paper.

One row per configuration; every property test runs over this table.
"""

from dataclasses import dataclass, field

import torch

import fusedopt


@dataclass(frozen=True)
class Case:
    cls: type
    options: dict = field(default_factory=dict)
    reference: type | None = None  # default: the class of the same name in torch.optim
    reference_options: dict | None = None  # default: the same options

    def __str__(self):
        return "-".join([self.cls.__name__, *(f"{k}={v}" for k, v in self.options.items())])

    def build(self, params, **more):
        return self.cls(params, **self.options, **more)

    def build_reference(self, params):
        cls = self.reference or getattr(torch.optim, self.cls.__name__)
        return cls(params, **(self.options if self.reference_options is None else self.reference_options))


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


class ClippedAdamW(torch.optim.AdamW):
    """torch's clipping followed by torch's step; it changes the gradients, ours does not."""

    def __init__(self, params, max_grad_norm):
        super().__init__(params)
        self.max_grad_norm = max_grad_norm

    def step(self):
        params = [p for group in self.param_groups for p in group["params"]]
        saved = [p.grad.clone() for p in params]
        torch.nn.utils.clip_grad_norm_(params, self.max_grad_norm)
        super().step()
        for p, g in zip(params, saved, strict=True):
            p.grad.copy_(g)


CASES = [
    Case(fusedopt.Adam),
    Case(fusedopt.Adam, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1)),
    Case(fusedopt.Adam, dict(maximize=True, weight_decay=0.1)),
    Case(fusedopt.Adam, dict(decoupled_weight_decay=True, weight_decay=0.1)),
    Case(fusedopt.Adam, dict(amsgrad=True, weight_decay=0.1)),
    Case(fusedopt.Adam, dict(betas=(0.0, 0.0), eps=1e-3)),
    Case(fusedopt.AdamW),
    Case(fusedopt.AdamW, dict(lr=0.1, weight_decay=0.1, amsgrad=True, maximize=True)),
    Case(fusedopt.AdamW, dict(cautious=True), ReferenceCautiousAdamW, {}),
    Case(fusedopt.AdamW, dict(max_grad_norm=0.5), ClippedAdamW),
    Case(fusedopt.SGD),
    Case(fusedopt.SGD, dict(lr=0.1, weight_decay=0.1, maximize=True)),
    Case(fusedopt.SGD, dict(momentum=0.9, dampening=0.3, weight_decay=0.1)),
    Case(fusedopt.SGD, dict(momentum=0.9, nesterov=True, maximize=True)),
    Case(fusedopt.Lion, {}, ReferenceLion),
    Case(fusedopt.Lion, dict(lr=0.1, betas=(0.5, 0.8), weight_decay=0.1, maximize=True), ReferenceLion),
]
