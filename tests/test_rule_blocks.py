"""Every block around every rule: a step is the plain step with the block's definition, on float64 and eager."""

import inspect
import itertools
import warnings

import pytest
import torch
from references import CASES

import fusedopt

LR, RATE = 0.05, 0.1

# What makes a class plain: blocks that it sets by itself are taken out, and AdaLo without a loss makes steps of eps.
PLAIN = {
    "LAMB": {"max_grad_norm": None},
    "Ranger": {"lookahead": None, "centralize": False},
    "AMSGD": {"per_tensor": True},
    "AdaLo": {"eps": LR},
}
NAMES = sorted({case.cls.__name__ for case in CASES} & {*dir(fusedopt)} | {"AdaLo"})
CLASSES = [getattr(fusedopt, name) for name in NAMES]
SHAPES = ((7, 5), (6,))


def options(cls):
    known = inspect.signature(cls).parameters
    return {"lr": LR, **({"weight_decay": 0.0} if "weight_decay" in known else {}), **PLAIN.get(cls.__name__, {})}


def rms(x):
    return x.square().mean().sqrt()


def lengths(x):
    """Of every row; of a vector, its own."""
    return x.norm(dim=-1, keepdim=True)


def clipped_by_units(g, p):
    return g * (0.1 * lengths(p).clamp(min=1e-3) / lengths(g).clamp(min=1e-6)).clamp(max=1)


def softly_clipped(g, p):
    size, bound = ((lengths(x) / x.shape[-1] ** 0.5).clamp(min=1e-3) for x in (g, p))
    return g * torch.minimum(size, bound) / size


# Option -> what it makes of a gradient, given the parameter.
GRADIENT = {
    "max_grad_norm": (0.5, lambda g, p: g * min(1.0, 0.5 / (float(g.norm()) + 1e-6))),
    "clip_value": (0.3, lambda g, p: g.clamp(-0.3, 0.3)),
    "agc": (0.1, clipped_by_units),
    "soft_clip": (1e-3, softly_clipped),
    "centralize": (True, lambda g, p: g - g.mean(-1, keepdim=True) if p.dim() > 1 else g),
    "maximize": (True, lambda g, p: -g),
}
GRADIENT_FORMS = {
    "tensor": lambda g, p: g / (g.norm() + 1e-8),
    "row": lambda g, p: g / (lengths(g) + 1e-8),
    "layer": lambda g, p: g * p.norm() / g.norm(),
}

# Options -> the new parameter, from the old one, the plain new one and the gradient.
UPDATE = {
    ("rms_clip", 0.5): lambda p, new, g: p - (p - new) / max(1.0, float(rms((p - new) / LR)) / 0.5),
    ("cautious", True): lambda p, new, g: torch.where((p - new) * g > 0, new, p),
    ("cautious", 0.3): lambda p, new, g: p - _weighted(p - new, g, 0.3),
    ("cautious", "rescaled"): lambda p, new, g: p - _weighted(p - new, g, 0.0),
    ("trust_ratio", "tensor"): lambda p, new, g: p - LR * (p - new) * p.norm() / (p - new).norm(),
    ("trust_ratio", "row"): lambda p, new, g: p - LR * (p - new) * lengths(p) / lengths(p - new),
    ("decay", "decoupled"): lambda p, new, g: new - LR * RATE * p,
    ("decay", "fully_decoupled"): lambda p, new, g: new - RATE * p,
    ("decay", "cautious"): lambda p, new, g: new - ((p - new) * p >= 0).double() * LR * RATE * p,
    ("lookahead", (1, 0.3)): lambda p, new, g: p + 0.3 * (new - p),
    ("ema", 0.9): lambda p, new, g: new,
    ("lazy", "param"): lambda p, new, g: torch.where(_touched(g), new, p),
}


def _weighted(step, g, factor):
    weight = factor + (1 - factor) * (step * g > 0).double()
    return step * weight / weight.mean().clamp(min=1e-3)


def _touched(g):
    return g.abs().amax(-1, keepdim=True) > 0 if g.dim() > 1 else g != 0


def decay_of(option, value):
    return {"weight_decay": RATE} if option == "decay" else {}


def build(cls, p, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pointless pairs are allowed
        return cls([("p", p)] if cls is fusedopt.AdaMini else [p], **{**options(cls), **more})


def is_allowed(cls, shape, **more):
    try:
        build(cls, torch.nn.Parameter(torch.ones(shape)), **more)
    except (ValueError, TypeError):  # refused, or a class without weight_decay
        return False
    return True


def draw(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_step(optimizer, p, g, cls):
    """What ``cls`` alone makes of ``p`` from the state and numbers that ``optimizer`` has by now."""
    q = torch.nn.Parameter(p.detach().clone())
    plain = build(cls, q)
    more = {"slow_buffer", "ema"}
    plain.state[q] = {key: x.clone() for key, x in optimizer.state.get(p, {}).items() if key not in more}
    if not plain.state[q]:
        del plain.state[q]
    known = optimizer.param_groups[0].keys() - plain.defaults.keys() - {"params"}
    plain.param_groups[0].update({key: optimizer.param_groups[0][key] for key in known})
    q.grad = g
    plain.step()
    return q.detach()


def run(cls, shape, more, expected):
    """Steps with the options, each against ``expected`` of parameter and gradient."""
    p = torch.nn.Parameter(draw(shape, 0))
    optimizer = build(cls, p, **more)
    with fusedopt.use_backend("eager"):
        for t in range(1, 4):
            g = draw(shape, t)
            g[0] = 0.0 if "lazy" in more and t != 2 else g[0]
            wanted = expected(optimizer, p, g)
            p.grad = g.clone()
            optimizer.step()
            torch.testing.assert_close(p.detach(), wanted, rtol=1e-11, atol=1e-12)


def allowed(table):
    return [
        pytest.param(cls, option, value, shape, id=f"{cls.__name__}-{option}={value}-{shape}")
        for cls, (option, value), shape in itertools.product(CLASSES, table, SHAPES)
        if is_allowed(cls, shape, **{option: value}, **decay_of(option, value))
    ]


FORMS = {(option, value): form for option, (value, form) in GRADIENT.items()}
FORMS |= {("normalize", scope): form for scope, form in GRADIENT_FORMS.items()}


@pytest.mark.parametrize(("cls", "option", "value", "shape"), allowed(FORMS))
def test_blocks_of_the_gradient(cls, option, value, shape):
    """The rule alone, on the changed gradient."""
    form = FORMS[option, value]
    run(cls, shape, {option: value}, lambda optimizer, p, g: plain_step(optimizer, p, form(g, p.detach()), cls))


@pytest.mark.parametrize(("cls", "option", "value", "shape"), allowed(UPDATE))
def test_blocks_of_the_update(cls, option, value, shape):
    """The block's definition, on what the rule alone would write."""
    form, more = UPDATE[option, value], {option: value, **decay_of(option, value)}

    def expected(optimizer, p, g):
        return form(p.detach(), plain_step(optimizer, p, g, cls), g)

    run(cls, shape, more, expected)


def test_few_blocks_are_refused():
    """So that the tables above cannot become empty unnoticed."""
    asked = len(CLASSES) * len(SHAPES) * (len(FORMS) + len(UPDATE))
    assert len(allowed(FORMS) + allowed(UPDATE)) > 0.8 * asked


def lamb_steps(p, gradients, lr, decay, eps=1e-6):
    """LAMB with a mask before decay and trust ratio, as in timm."""
    m = v = torch.zeros_like(p)
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        u = m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + eps)
        u = torch.where(u * g > 0, u, 0.0) + decay * p
        p = p - lr * p.norm() / u.norm() * u
    return p


def test_lamb_masks_before_its_decay_and_ratio():
    gradients = [draw((7, 5), t) for t in range(1, 5)]
    p = torch.nn.Parameter(draw((7, 5), 0))
    optimizer = fusedopt.LAMB([p], lr=0.1, weight_decay=1.0, max_grad_norm=None, cautious=True)
    with fusedopt.use_backend("eager"):
        for g in gradients:
            p.grad = g
            optimizer.step()
    torch.testing.assert_close(p.detach(), lamb_steps(draw((7, 5), 0), gradients, 0.1, 1.0), rtol=1e-12, atol=1e-12)
