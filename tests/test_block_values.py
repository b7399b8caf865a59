"""Building blocks against float64 formulas on the eager engine: several steps of several tensors, while lr changes.

tests/test_blocks.py has a first step of plain SGD, and identities; here averages, guards and the order of stages count.
"""

import math

import pytest
import torch
from references import stages
from references.stages import Adam

import fusedopt

LR = 0.1
SHAPES = ((7, 5), (3, 4, 3), (11,), (), (2, 3))  # the last one begins with zeros
DECAY = 0.3
TOLERANCE = dict(rtol=1e-12, atol=1e-12)  # a step rounds some fifty times numbers of about one


@pytest.fixture(autouse=True)
def eager():
    with fusedopt.use_backend("eager"):
        yield


def described(value):
    """A test's name; of functions without their address, as processes must agree on it."""
    return None if callable(value) else str(value)


def halved(t):
    """As torch's StepLR: half of it after every second step."""
    return 0.5 ** (t // 2)


def first_parameters(shapes=SHAPES):
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return [*params[:-1], torch.zeros_like(params[-1])] if shapes is SHAPES else params


def gradients(steps, shapes=SHAPES):
    """In a third of the rows along the last dimension, and of the elements of vectors, all is zero."""
    generator = torch.Generator().manual_seed(1)

    def draw(shape):
        rows = (*shape[:-1], 1) if len(shape) > 1 else shape
        there = torch.rand(rows, generator=generator) > 1 / 3
        return torch.randn(shape, generator=generator, dtype=torch.float64) * there

    return [[draw(shape) for shape in shapes] for _ in range(steps)]


def assert_follows(expected, cls=fusedopt.Adam, steps=7, factor=halved, **options):
    """Every step leaves the parameters of ``expected``; returns the optimizer."""
    params, grads = first_parameters(), gradients(steps)
    optimizer = cls(params, lr=LR, **options)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for t, found in enumerate(expected.run(params, grads, [LR * factor(t) for t in range(steps)])):
        for p, g in zip(params, grads[t], strict=True):
            p.grad = g
        optimizer.step()
        scheduler.step()
        torch.testing.assert_close(params, found, **TOLERANCE)
    return optimizer


def decoupled(lr, u, p):
    return lr * DECAY * p


GRADIENT = [  # with a large eps, so that Adam shows how long gradients are
    ({"clip_value": 0.4}, lambda g, p: g.clamp(-0.4, 0.4)),
    ({"agc": 0.3}, stages.agc(0.3)),
    ({"agc": 0.01}, stages.agc(0.01)),
    ({"soft_clip": 1e-3}, stages.soft_clip(1e-3)),
    ({"soft_clip": 0.7}, stages.soft_clip(0.7)),
    ({"centralize": True}, stages.centralize),
    ({"normalize": "tensor"}, lambda g, p: g / (g.norm() + 1e-8)),
    ({"normalize": "row"}, lambda g, p: g / (stages.unit_norm(g) + 1e-8)),
    ({"normalize": "layer"}, lambda g, p: g * stages.ratio(p.norm(), g.norm())),
    ({"agc": 0.3, "decay": "l2", "weight_decay": DECAY}, lambda g, p: stages.agc(0.3)(g, p) + DECAY * p),
    ({"centralize": True, "decay": "l2", "weight_decay": DECAY}, lambda g, p: stages.centralize(g, p) + DECAY * p),
    ({"centralize": True, "agc": 0.3}, lambda g, p: stages.centralize(stages.agc(0.3)(g, p), p)),
    (
        {"normalize": "tensor", "decay": "l2", "weight_decay": DECAY},
        lambda g, p: (g + DECAY * p) / ((g + DECAY * p).norm() + 1e-8),
    ),
    ({"clip_value": 0.4, "maximize": True}, lambda g, p: (-g).clamp(-0.4, 0.4)),
]


@pytest.mark.parametrize(("options", "gradient"), GRADIENT, ids=described)
def test_gradient(options, gradient):
    assert_follows(Adam(eps=0.1, gradient=gradient), eps=0.1, **options)


DENOMINATORS = [
    ({"eps_inside_root": True, "eps": 0.1}, lambda m, v: m / (v + 0.1).sqrt()),
    ({"softplus": 3.0}, lambda m, v: m / ((3 * v.sqrt()).exp().log1p() / 3)),
    ({"softplus": 50.0}, lambda m, v: m / ((50 * v.sqrt()).exp().log1p() / 50)),
    ({"atan2": (1.27, 1.0)}, lambda m, v: 1.27 * torch.atan2(m, v.sqrt())),
    ({"atan2": (0.5, 3.0)}, lambda m, v: 0.5 * torch.atan2(m, 3 * v.sqrt())),
]


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.8)])
@pytest.mark.parametrize(("options", "quotient"), DENOMINATORS, ids=described)
def test_denominator(options, quotient, betas):
    """Of corrected moments; softplus far from and near to its limits, ln 2 / slope and the root."""
    assert_follows(Adam(betas=betas, quotient=quotient), betas=betas, **options)


@pytest.mark.parametrize("shape", [(7, 5), (11,)])
def test_nesterov_mix(shape):
    """Both shares corrected by 1 - beta1^t."""
    p, m, v = torch.ones(shape, dtype=torch.float64), 0.0, 0.0
    expected, optimizer = p.clone(), fusedopt.Adam([p], lr=LR, nesterov_mix=True)
    for t, (g,) in enumerate(gradients(5, [shape]), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        expected -= LR * (0.9 * m + 0.1 * g) / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        p.grad = g
        optimizer.step()
        torch.testing.assert_close(p, expected, **TOLERANCE)


DIRECTION = [
    ({"rms_clip": 0.5}, stages.rms_clip(0.5)),
    ({"cautious": True}, stages.masked),
    ({"cautious": "rescaled"}, stages.rescaled(0.0)),
    ({"cautious": 0.3}, stages.rescaled(0.3)),
    ({"trust_ratio": "tensor"}, stages.trust(torch.norm)),
    ({"trust_ratio": "row"}, stages.trust(stages.unit_norm)),
    ({"trust_ratio": "tensor", "trust_bounds": (0.0, 1.0)}, stages.trust(torch.norm, most=1.0)),
    ({"trust_ratio": "row", "trust_bounds": (0.0, 1.0)}, stages.trust(stages.unit_norm, most=1.0)),
    ({"trust_ratio": "tensor", "trust_bounds": (0.9, 1.2)}, stages.trust(torch.norm, 0.9, 1.2)),
    ({"trust_ratio": "row", "trust_bounds": (0.9, 1.2)}, stages.trust(stages.unit_norm, 0.9, 1.2)),
]


@pytest.mark.parametrize(("options", "direction"), DIRECTION, ids=described)
def test_direction(options, direction):
    expected = Adam(betas=(0.8, 0.9), direction=direction, decay=decoupled)
    assert_follows(expected, betas=(0.8, 0.9), decay="decoupled", weight_decay=DECAY, **options)


def test_cautious_sees_the_coupled_decay():
    expected = Adam(gradient=lambda g, p: g + DECAY * p, direction=stages.rescaled(0.3))
    assert_follows(expected, cautious=0.3, decay="l2", weight_decay=DECAY)


DECAYS = [  # what leaves the parameter; lr is half of it after every second step
    ("decoupled", DECAY, decoupled),
    ("fully_decoupled", 0.02, lambda lr, u, p: lr / LR * 0.02 * p),
    ("corrected", DECAY, lambda lr, u, p: lr**2 / LR * DECAY * p),
    ("cautious", DECAY, lambda lr, u, p: lr * DECAY * p * (u * p >= 0)),
]


@pytest.mark.parametrize(("form", "weight_decay", "decay"), DECAYS, ids=described)
def test_decay(form, weight_decay, decay):
    assert_follows(Adam(decay=decay), decay=form, weight_decay=weight_decay)


def test_decay_of_what_the_mask_leaves():
    """Where the mask makes the direction zero, cautious decay goes on: its condition is u * p >= 0."""
    expected = Adam(direction=stages.masked, decay=DECAYS[-1][2])
    assert_follows(expected, cautious=True, decay="cautious", weight_decay=DECAY)


def test_amos_decays_with_its_schedule():
    """lr by a0 / (2 a0 p0 t + 1); the decay is a0**2 / (2 q) over the same."""
    speed, q = 2.0, 0.4

    def factor(t):
        return 1 / (2 * LR * speed * t + 1)

    expected = Adam(decay=lambda lr, u, p: LR**2 / (2 * q) * (lr / LR) * p)
    assert_follows(expected, factor=factor, decay="amos", weight_decay=1 / (2 * q))


BOUNDS = [
    (("uniform", 38.0), lambda size, first, state, t: 38.0),
    (("dependent", 0.9), lambda size, first, state, t: 0.9 * first),
    (("dependent", 1.0), lambda size, first, state, t: first),
    (("warm_start", 1), stages.warm_start(1)),
    (("warm_start", 3), stages.warm_start(3)),
]


@pytest.mark.parametrize(("bound", "kappa"), BOUNDS, ids=described)
def test_cpr(bound, kappa):
    expected = Adam(after=stages.cpr(kappa))
    optimizer = assert_follows(expected, decay="cpr", cpr_bound=bound)
    found = [float(optimizer.state[p].get("lagmul", 0.0)) for p in optimizer.param_groups[0]["params"]]
    assert found == pytest.approx([state.get("lambda", 0.0) for state in expected.states], rel=1e-12)
    assert max(state.get("largest", 0.0) for state in expected.states) > 0


def test_cpr_at_an_inflection_point():
    """Of one that grows ever faster for 640 steps, then slower, and of one that wanders."""
    shapes = ((4, 3), (2, 3, 2))
    params = first_parameters(shapes)
    expected, states = [p.clone() for p in params], [{}, {}]
    constrain = stages.cpr(stages.inflection_point)
    optimizer = fusedopt.SGD(params, lr=0.01, decay="cpr")
    for t, (_, noise) in enumerate(gradients(680, shapes), 1):
        grads = [torch.full(shapes[0], -0.7 if t <= 640 else -0.2, dtype=torch.float64), noise - 0.5]
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        expected = [constrain(q - 0.01 * g, q, x, t) for q, g, x in zip(expected, grads, states, strict=True)]
        optimizer.step()
        torch.testing.assert_close(params, expected, rtol=1e-12, atol=1e-12)
    assert min(state["largest"] for state in states) > 0
    found = [float(optimizer.state[p]["kappa"]) for p in params]
    assert found == pytest.approx([state["kappa"] for state in states], rel=1e-12)


def test_stable_decay_is_over_all_tensors():
    """The mean is of the corrected second moments of all that has a gradient, after this step's."""
    params, grads, rates = first_parameters(), gradients(7), [LR * halved(t) for t in range(7)]
    optimizer = fusedopt.Adam(params, lr=LR, decay="stable", weight_decay=DECAY, betas=(0.8, 0.9))
    for t, lr in enumerate(rates, 1):
        optimizer.param_groups[0]["lr"] = lr
        squares = [
            sum(0.1 * 0.9 ** (t - i) * grads[i - 1][k] ** 2 for i in range(1, t + 1)) for k in range(len(SHAPES))
        ]
        mean = sum(float(x.sum()) for x in squares) / (1 - 0.9**t) / sum(x.numel() for x in squares)
        before = [p.clone() for p in params]
        for p, g in zip(params, grads[t - 1], strict=True):
            p.grad = g
        optimizer.step()
        for k, (p, old) in enumerate(zip(params, before, strict=True)):
            m = sum(0.2 * 0.8 ** (t - i) * grads[i - 1][k] for i in range(1, t + 1)) / (1 - 0.8**t)
            u = m / ((squares[k] / (1 - 0.9**t)).sqrt() + 1e-8)
            torch.testing.assert_close(p, old - lr * u - DECAY * lr / math.sqrt(mean) * old, **TOLERANCE)


@pytest.mark.parametrize(("k", "alpha", "beta"), [(3, 0.3, 0.8), (2, 0.5, 0.99)])
def test_lookahead_and_average(k, alpha, beta):
    """Adam's moments go on where weights are pulled back; averages are taken after that."""
    expected = Adam(decay=decoupled, after=stages.followed(k, alpha, beta))
    optimizer = assert_follows(
        expected, lookahead=(k, alpha), ema=beta, decay="decoupled", weight_decay=DECAY, steps=3 * k + 1
    )
    for p, state in zip(optimizer.param_groups[0]["params"], expected.states, strict=True):
        for name in ("slow_buffer", "ema"):
            torch.testing.assert_close(optimizer.state[p][name], state[name], **TOLERANCE)


@pytest.mark.filterwarnings("ignore:.*beside.*coupled weight_decay")
@pytest.mark.parametrize("lazy", ["param", "all"])
@pytest.mark.parametrize("form", ["l2", "decoupled"])
def test_lazy(lazy, form):
    """Rows without gradient are not decayed either, whatever the form; their moments decay, or stay."""
    stage = {"gradient": lambda g, p: g + DECAY * p} if form == "l2" else {"decay": decoupled}
    expected = Adam(gate=lazy, **stage)
    optimizer = assert_follows(expected, lazy=lazy, decay=form, weight_decay=DECAY)
    for p, state in zip(optimizer.param_groups[0]["params"], expected.states, strict=True):
        torch.testing.assert_close(optimizer.state[p]["exp_avg"], state["m"], **TOLERANCE)
        torch.testing.assert_close(optimizer.state[p]["exp_avg_sq"], state["v"], **TOLERANCE)


def test_blocks_act_in_the_order_of_their_stages():
    """Local clipping, centring, coupled decay; the mask, the trust ratio of what it leaves; lookahead, then average."""
    expected = Adam(
        gradient=lambda g, p: stages.centralize(stages.agc(0.3)(g, p), p) + DECAY * p,
        quotient=lambda m, v: m / (v + 1e-2).sqrt(),
        direction=lambda u, g, p: stages.trust(torch.norm, 0.0, 1.0)(stages.masked(u, g, p), g, p),
        after=stages.followed(3, 0.4, 0.9),
    )
    gradient = dict(agc=0.3, centralize=True, decay="l2", weight_decay=DECAY)
    direction = dict(eps_inside_root=True, eps=1e-2, cautious=True, trust_ratio="tensor", trust_bounds=(0.0, 1.0))
    optimizer = assert_follows(expected, **gradient, **direction, lookahead=(3, 0.4), ema=0.9)
    for p, state in zip(optimizer.param_groups[0]["params"], expected.states, strict=True):
        torch.testing.assert_close(optimizer.state[p]["ema"], state["ema"], **TOLERANCE)


def test_stable_decay_counts_what_it_does_not_decay():
    """The mean is over all parameters with this decay, also of a group without weight_decay, such as biases."""
    p, q = torch.ones(7, 5, dtype=torch.float64), torch.ones(11, dtype=torch.float64)
    groups = [{"params": [p], "weight_decay": DECAY}, {"params": [q], "weight_decay": 0.0}]
    optimizer = fusedopt.Adam(groups, lr=LR, decay="stable")
    p.grad, q.grad = torch.full_like(p, 0.5), torch.full_like(q, 20.0)
    optimizer.step()  # the corrected second moment is the squared gradient, the direction one
    mean = (35 * 0.25 + 11 * 400) / 46
    torch.testing.assert_close(p, torch.full_like(p, 1 - LR * DECAY * mean**-0.5 - LR), rtol=1e-7, atol=0)
    torch.testing.assert_close(q, torch.full_like(q, 1 - LR), rtol=1e-7, atol=0)


@pytest.mark.parametrize("decay", ["fully_decoupled", "corrected", "amos"])
def test_scheduled_decays_know_the_first_of_a_tensor_lr(decay):
    """Schedulers fill a tensor in place."""
    made = []
    for lr in (LR, torch.tensor(LR, dtype=torch.float64)):
        p = torch.ones(7, 5, dtype=torch.float64)
        optimizer = fusedopt.Adam([p], lr=lr, decay=decay, weight_decay=DECAY)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        for _ in range(3):
            p.grad = torch.ones_like(p)
            optimizer.step()
            scheduler.step()
        made.append(p)
    torch.testing.assert_close(*made, rtol=1e-15, atol=0)


def test_stable_decay_goes_by_the_maximum_of_amsgrad():
    p = torch.ones(7, 5, dtype=torch.float64)
    optimizer = fusedopt.Adam([p], lr=LR, betas=(0.9, 0.5), amsgrad=True, decay="stable", weight_decay=DECAY)
    expected = 1.0
    for g, m, v in ((1.0, 0.1 / 0.1, 0.5 / 0.5), (0.1, 0.1 / 0.19, 0.5 / 0.75)):  # v falls to 0.255, its maximum stays
        p.grad = torch.full_like(p, g)
        optimizer.step()
        expected -= LR * DECAY * v**-0.5 * expected + LR * m / (v**0.5 + 1e-8)
    torch.testing.assert_close(p, torch.full_like(p, expected), **TOLERANCE)
