"""What each optimizer must equal: the torch class it replaces, or a float64 formula written from its paper.

One row per configuration; every property test runs over this table.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch

import fusedopt


@dataclass(frozen=True)
class Case:
    cls: Callable
    options: dict = field(default_factory=dict)
    reference: type | None = None  # default: the class of the same name in torch.optim
    reference_options: dict | None = None  # default: the same options

    def __str__(self):
        return "-".join([self.cls.__name__, *(f"{k}={v}" for k, v in self.options.items())])

    @property
    def sums(self):
        """Whether engines may differ from eager by the order in which they add; a maximum has no order."""
        params = [torch.zeros(shape) for shape in ((6,), (4, 3))]
        optimizer = self.build(params)
        rules = [optimizer.layout(optimizer.param_groups[0], p)[0] for p in params]
        return any("mean" in (x.reduction or "") for rule in rules for x in rule.stages.temporaries)

    def build(self, params, **more):
        """The optimizer; the case's own options win over ``more``."""
        return self.cls(params, **{**more, **self.options})

    @property
    def reference_class(self):
        return self.reference or getattr(torch.optim, self.cls.__name__)

    def build_reference(self, params):
        return self.reference_class(
            params, **(self.options if self.reference_options is None else self.reference_options)
        )


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


class TorchAdafactor(torch.optim.Adafactor):
    """torch's own, which cannot step empty tensors."""

    def __init__(self, params, **options):
        super().__init__([p for p in params if p.numel()], **options)


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


def square_shape(n):
    """arXiv:2412.08894, Algorithm 2."""
    cols = max(i for i in range(1, math.isqrt(n) + 1) if n % i == 0)
    return n // cols, cols


def compress(x):
    """Algorithm 4: sums of rows and of columns; those of the shorter side sum to 1."""
    row, col = x.sum(1), x.sum(0)
    short = row if len(row) < len(col) else col
    short /= short.sum() if short.sum() != 0 else 1
    return row, col


def decompress(factors, sign=None):
    """Algorithm 3."""
    x = torch.outer(*factors)
    return x if sign is None else torch.where(sign, x, -x)


class ReferenceSMMF(Reference):
    """arXiv:2412.08894, Algorithm 1; its state is what the authors' code keeps."""

    options: ClassVar = dict(lr=1e-3, beta=0.9, eps=1e-8, decay_rate=-0.5, growth_rate=0.999, vector_reshape=True,
                             decoupled_weight_decay=True)  # fmt: skip

    def direction(self, g, p, t, state, group):
        rate2, beta, eps = t ** group["decay_rate"], group["beta"], group["eps"]
        beta1 = None if beta is None else beta * group["growth_rate"] ** (t - 1)
        if not group["vector_reshape"] and g.squeeze().dim() == 1:
            v = average(state, "momentum_v", g * g, 1 - rate2)
            return (g if beta1 is None else average(state, "momentum_m", g, beta1)) / (v.sqrt() + eps)
        shape = state.setdefault("effective_shape", square_shape(g.numel()))
        x = m = g.reshape(shape)
        zeros = tuple(g.new_zeros(n) for n in shape)
        v = (1 - rate2) * decompress(state.get("momentum_v", zeros)) + rate2 * x * x
        state["momentum_v"] = compress(v)
        if beta1 is not None:
            m = beta1 * decompress(state.get("momentum_m", zeros), state.get("sign", x > x)) + (1 - beta1) * x
            state.update(momentum_m=compress(m.abs()), sign=m > 0)
        return (m / (v.sqrt() + eps)).reshape(g.shape)


class Rank1:
    """Mixed into a dense optimizer: after every step its moments are what factors and signs keep of them."""

    def step(self):
        super().step()
        for record in self.state.values():
            for key in record.keys() & {"exp_avg", "exp_avg_sq", "momentum_buffer"}:
                if record[key].numel():
                    x = record[key].reshape(square_shape(record[key].numel()))
                    record[key].copy_(decompress(compress(x.abs()), x > 0).reshape(record[key].shape))


class Rank1AdamW(Rank1, torch.optim.AdamW):
    pass


class Rank1SGD(Rank1, torch.optim.SGD):
    pass


class Rank1Lion(Rank1, ReferenceLion):
    pass


class ScalarsInFloat64:
    """Mixed into a class of torch's that keeps scalars as state: here not rounded to float32 for float64 weights."""

    def step(self):
        torch.set_default_dtype(torch.float64)
        try:
            super().step()
        finally:
            torch.set_default_dtype(torch.float32)


class TorchNAdam(ScalarsInFloat64, torch.optim.NAdam):
    pass


class TorchASGD(ScalarsInFloat64, torch.optim.ASGD):
    pass


class Clipped:
    """Mixed into an optimizer: torch's clipping before its step; it changes the gradients, ours does not."""

    def __init__(self, params, max_grad_norm=1.0, **options):
        super().__init__(params, **options)
        self.max_grad_norm = max_grad_norm

    def step(self):
        params = [p for group in self.param_groups for p in group["params"]]
        saved = [p.grad.clone() for p in params]
        torch.nn.utils.clip_grad_norm_(params, self.max_grad_norm)
        super().step()
        for p, g in zip(params, saved, strict=True):
            p.grad.copy_(g)


class ClippedAdamW(Clipped, torch.optim.AdamW):
    pass


class ClippedAdafactor(Clipped, ReferenceAdafactor):
    pass


class ClippedLAMB(Clipped, ReferenceLAMB):
    pass


class ClippedAMSGD(Clipped, ReferenceAMSGD):
    pass


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
    *(
        Case(fusedopt.Adafactor, dict(second_moment_form="torch", **options), TorchAdafactor, options)
        for options in (
            {},
            dict(weight_decay=0.1, maximize=True),
            dict(lr=0.1, beta2_decay=-0.5, eps=(1e-3, 1e-2), d=2.0),
        )
    ),
    Case(fusedopt.Adafactor, dict(second_moment_form="torch", beta1=0.9), ReferenceAdafactor, dict(beta1=0.9)),
    Case(fusedopt.Adafactor, {}, ReferenceAdafactor),
    Case(fusedopt.Adafactor, dict(max_grad_norm=0.5), ClippedAdafactor),
    Case(fusedopt.Adafactor, dict(factor_mode="flatten", beta1=0.9), ReferenceAdafactor, dict(flatten=True, beta1=0.9)),
    Case(fusedopt.Adafactor, dict(lr=0.05, relative_step=False, scale_parameter=False, d=math.inf), ReferenceAdafactor),
    Case(fusedopt.Adafactor, dict(warmup_init=True, eps=(1e-2, 0.5), maximize=True), ReferenceAdafactor),
    Case(
        fusedopt.Adafactor,
        dict(weight_decay=0.1, decoupled_weight_decay=False, cautious=True),
        ReferenceAdafactor,
    ),
    Case(
        fusedopt.Adafactor,
        dict(second_moment_form="hf", weight_decay=0.1),
        ReferenceAdafactor,
        dict(hf_decay=True, weight_decay=0.1),
    ),
    Case(
        fusedopt.Adafactor.from_hf,
        dict(lr=0.05, relative_step=False, beta1=0.9, clip_threshold=0.5, decay_rate=-0.5),
        ReferenceAdafactor,
        dict(lr=0.05, relative_step=False, beta1=0.9, d=0.5, beta2_decay=-0.5),
    ),
    Case(fusedopt.SMMF, {}, ReferenceSMMF),
    Case(
        fusedopt.SMMF,
        dict(lr=0.1, beta=0.5, eps=1e-3, weight_decay=0.1, decay_rate=-0.8, growth_rate=0.9, maximize=True),
        ReferenceSMMF,
    ),
    Case(
        fusedopt.SMMF,
        dict(beta=None, weight_decay=0.1, weight_decay_mode="adam"),
        ReferenceSMMF,
        dict(beta=None, weight_decay=0.1, decoupled_weight_decay=False),
    ),
    Case(fusedopt.SMMF, dict(vector_reshape=False), ReferenceSMMF),
    Case(fusedopt.AdamW, dict(state_format="nnmf"), Rank1AdamW, {}),
    Case(fusedopt.Lion, dict(state_format="nnmf", weight_decay=0.1), Rank1Lion, dict(weight_decay=0.1)),
    *(
        Case(fusedopt.SGD, dict(state_format="nnmf", **options), Rank1SGD, options)
        for options in (dict(momentum=0.9, dampening=0.3), dict(momentum=0.9, nesterov=True))
    ),
    Case(fusedopt.CAME, dict(lr=0.01), ReferenceCAME),
    Case(
        fusedopt.CAME,
        dict(lr=0.1, betas=(0.5, 0.9, 0.8), eps=(1e-3, 1e-2), clip_threshold=0.5, weight_decay=0.1, maximize=True),
        ReferenceCAME,
    ),
    Case(fusedopt.AdaMini, {}, ReferenceAdaMini),
    Case(fusedopt.AdaMini, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1), ReferenceAdaMini),
    Case(fusedopt.SM3, {}, ReferenceSM3),
    Case(fusedopt.SM3, dict(momentum=0.9, weight_decay=0.1, maximize=True), ReferenceSM3),
    Case(fusedopt.SM3, dict(variant="I", decoupled_weight_decay=True, weight_decay=0.1), ReferenceSM3),
    Case(fusedopt.SM3, dict(variant="I", momentum=0.5, eps=0.1), ReferenceSM3),
    Case(fusedopt.Amos, {}, ReferenceAmos),
    Case(fusedopt.Amos, dict(lr=0.1, beta=0.9, momentum=0.9, extra_l2=0.1), ReferenceAmos),
    Case(fusedopt.Amos, dict(lr=0.1, eta=0.3, reduction="tensor", c_coef=0.5, d_coef=2.0, eps=0.1), ReferenceAmos),
    Case(fusedopt.Amos, dict(reduction="tensor", momentum=0.5, maximize=True), ReferenceAmos),
    Case(fusedopt.RMSprop),
    Case(fusedopt.RMSprop, dict(lr=0.1, alpha=0.5, eps=1e-3, weight_decay=0.1, momentum=0.9, maximize=True)),
    Case(fusedopt.RMSprop, dict(centered=True, eps=1e-3)),
    Case(fusedopt.RMSprop, dict(centered=True, momentum=0.5, alpha=0.9, weight_decay=0.1)),
    Case(fusedopt.Adagrad),
    Case(fusedopt.Adagrad, dict(lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3)),
    Case(fusedopt.Adadelta),
    Case(fusedopt.Adadelta, dict(lr=0.1, rho=0.5, eps=1e-3, weight_decay=0.1, maximize=True)),
    Case(fusedopt.Adamax),
    Case(fusedopt.Adamax, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, maximize=True)),
    Case(fusedopt.RAdam),
    Case(fusedopt.Ranger, {}, ReferenceRanger),
    Case(fusedopt.RAdam, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, maximize=True)),
    Case(fusedopt.RAdam, dict(betas=(0.9, 0.5), decoupled_weight_decay=True, weight_decay=0.1)),
    Case(fusedopt.NAdam, {}, TorchNAdam),
    Case(
        fusedopt.NAdam,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, momentum_decay=0.5, maximize=True),
        TorchNAdam,
    ),
    Case(fusedopt.NAdam, dict(momentum_decay=0, decoupled_weight_decay=True, weight_decay=0.1), TorchNAdam),
    Case(fusedopt.Rprop),
    Case(fusedopt.Rprop, dict(lr=0.1, etas=(0.3, 1.5), step_sizes=(0.05, 0.2), maximize=True)),
    Case(fusedopt.ASGD, {}, TorchASGD),
    Case(fusedopt.ASGD, dict(lr=0.1, lambd=0.1, alpha=0.5, t0=3, weight_decay=0.1, maximize=True), TorchASGD),
    Case(fusedopt.SAdam, {}, ReferenceSAdam),
    Case(
        fusedopt.SAdam,
        dict(lr=0.01, betas=(0.5, 0.8), smooth=5.0, amsgrad=False, weight_decay=0.1, maximize=True),
        ReferenceSAdam,
    ),
    Case(fusedopt.AdamAtan2, {}, ReferenceAdamAtan2),
    Case(
        fusedopt.AdamAtan2,
        dict(lr=0.1, betas=(0.5, 0.8), a=1.0, b=0.5, weight_decay=0.1, maximize=True),
        ReferenceAdamAtan2,
    ),
    Case(fusedopt.DiffGrad, {}, ReferenceDiffGrad),
    Case(
        fusedopt.DiffGrad, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, maximize=True), ReferenceDiffGrad
    ),
    Case(fusedopt.AdaMomentum, {}, ReferenceAdaMomentum),
    Case(
        fusedopt.AdaMomentum,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, maximize=True),
        ReferenceAdaMomentum,
    ),
    Case(fusedopt.LAMB, {}, ClippedLAMB),
    Case(fusedopt.LAMB, dict(weight_decay=0.0, max_grad_norm=None), ReferenceLAMB, dict(weight_decay=0.0)),
    Case(
        fusedopt.LAMB,
        dict(lr=0.1, bias_correction=False, max_grad_norm=None, adapt="always", weight_decay=0.0, maximize=True),
        ReferenceLAMB,
        dict(lr=0.1, bias_correction=False, adapt="always", weight_decay=0.0, maximize=True),
    ),
    Case(
        fusedopt.LAMB,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, phi_bounds=(2.0, 10.0), max_grad_norm=0.5),
        ClippedLAMB,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, phi=(2.0, 10.0), max_grad_norm=0.5),
    ),
    Case(
        fusedopt.LAMB,
        dict(trust_clip=True, grad_averaging=False, decoupled_weight_decay=True, weight_decay=0.1, max_grad_norm=None),
        ReferenceLAMB,
        dict(limit=1.0, grad_averaging=False, outside=True, weight_decay=0.1),
    ),
    Case(fusedopt.NovoGrad, {}, ReferenceNovoGrad),
    Case(
        fusedopt.NovoGrad,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, amsgrad=True, maximize=True),
        ReferenceNovoGrad,
    ),
    Case(
        fusedopt.NovoGrad,
        dict(grad_averaging=True, bias_correction=True, weight_decay=0.1, decoupled_weight_decay=True),
        ReferenceNovoGrad,
        dict(grad_averaging=True, bias_correction=True, weight_decay=0.1, inside=False),
    ),
    Case(fusedopt.NSGDA, {}, ReferenceNSGDA),
    Case(fusedopt.NSGDA, dict(lr=0.1, momentum=0.0, eps=0.1, weight_decay=0.0, maximize=True), ReferenceNSGDA),
    *(
        Case(cls, options, ReferenceAdamNorm, dict(base=base, **options))
        for cls, base in (
            (fusedopt.AdamNorm, "adam"),
            (fusedopt.AdaBeliefNorm, "adabelief"),
            (fusedopt.DiffGradNorm, "diffgrad"),
            (fusedopt.RAdamNorm, "radam"),
        )
        for options in ({}, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, gamma=0.5, weight_decay=0.1, maximize=True))
    ),
    Case(AdaLoOnNorms, {}, ReferenceAdaLo),
    Case(
        AdaLoOnNorms,
        dict(betas=(0.5, 0.8), kappa=0.5, eps=1e-3, mode="compliant", weight_decay=0.1, maximize=True),
        ReferenceAdaLo,
    ),
    Case(fusedopt.AMSGD, {}, ReferenceAMSGD),
    Case(fusedopt.AMSGD, dict(lr=0.1, momentum=0.5, memory=0.5, weight_decay=0.1, maximize=True), ReferenceAMSGD),
    Case(fusedopt.AMSGD, dict(lr=0.1, weight_decay=0.1, max_grad_norm=0.5), ClippedAMSGD),
    Case(fusedopt.AMSGD, dict(per_tensor=True, lr=0.1), ReferenceAMSGD),
    Case(
        fusedopt.AMSGD,
        dict(per_tensor=True, momentum=0.5, memory=0.5, weight_decay=0.1, maximize=True),
        ReferenceAMSGD,
    ),
    Case(fusedopt.AMAdamW, {}, ReferenceAMAdamW),
    Case(
        fusedopt.AMAdamW,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, memory=0.5, maximize=True),
        ReferenceAMAdamW,
    ),
    Case(fusedopt.AMAdamW, dict(decoupled_weight_decay=False, weight_decay=0.1), ReferenceAMAdamW),
]
