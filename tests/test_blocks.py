"""Building blocks: every allowed pair equals eager, the identities that hold between them, and what is refused."""

import math
import re
from pathlib import Path

import block_sets
import pytest
import torch
from block_sets import OPTIONS, build, covering_sets, train

import fusedopt
from fusedopt import backends, emit, planner
from fusedopt.backends import compiler
from fusedopt.combinations import DECAYS
from fusedopt.settings import STRUCTURAL

on_cpu = pytest.mark.skipif(bool(backends.unavailable("cpu")), reason=str(backends.unavailable("cpu")))


G, P = torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module")
def compiled():
    """All rules of the table in one library, compiled quickly rather than well."""
    compile_all([build(options, [P.clone()]) for options in covering_sets()])


def compile_all(optimizers):
    rules = {x.layout(x.param_groups[0], P)[0] for x in optimizers}
    new = [rule for rule in rules if emit.kernel_name(rule) not in backends.native.rules()]
    compiler.load(sorted(new, key=lambda rule: rule.name), torch.float64, ["-O1"])


@on_cpu
def test_a_block_and_a_rule_of_one_name_are_told_apart():
    """Adam with another denominator is called as AdamAtan2's rule is, and has other scalars."""
    found = []
    for engine in ("cpu", "eager"):
        p = P.clone()
        p.grad = G
        with fusedopt.use_backend(engine):
            fusedopt.Adam([p], lr=0.1, atan2=(1.5, 0.5)).step()
        found.append(p)
    torch.testing.assert_close(*found, rtol=1e-14, atol=0)


def test_sets_contain_every_allowed_pair():
    sets = [{i for i, x in enumerate(OPTIONS) if x.items() <= options.items()} for options in covering_sets()]
    assert all(any({i, j} <= members for members in sets) for i, j in block_sets.pairs())
    assert len(block_sets.pairs()) > 400


@on_cpu
@pytest.mark.parametrize("options", covering_sets(), ids=lambda options: "-".join(options))
def test_every_allowed_pair_equals_eager(options, compiled, monkeypatch):
    """In float64: means are added up in another order, some hundred terms of size one."""
    monkeypatch.setattr(planner, "without_slow_weights", lambda *_: None)  # another rule, which would be compiled
    shapes = ((7, 5), (3, 64, 2))  # matrices: a vector's step is another text
    for got, want in zip(train(options, "cpu", shapes), train(options, "eager", shapes), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12)


@on_cpu
@pytest.mark.parametrize("options", [{"ema": 0.9}, {"centralize": True}], ids=str)
def test_eight_bits_are_in_the_same_blocks_on_every_engine(options):
    """A rule that sees rows has its scales by rows, another by memory; scales and codes are equal, not only close."""
    found = []
    for engine in ("cpu", "eager"):
        p = torch.randn(3, 300, generator=torch.Generator().manual_seed(1))
        optimizer = fusedopt.AdamW([p], lr=0.1, state_format="8bit", **options)
        p.grad = torch.randn(3, 300, generator=torch.Generator().manual_seed(2)).round(decimals=1)
        with fusedopt.use_backend(engine):
            optimizer.step()
        found.append([p, *(x for _, x in sorted(optimizer.state[p].items()))])
    assert optimizer.state[p]["exp_avg_scale"].shape == ((4,) if "ema" in options else (3, 2))
    for x, y in zip(*found, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_two_runs_are_equal(options):
    for got, want in zip(train(options, "eager"), train(options, "eager"), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(got, want, strict=True))


NEUTRAL = [  # options, and what they equal
    ({"cautious": 1.0}, {}),
    ({"lookahead": (3, 1.0)}, {}),
    ({"ema": 0.0}, {}),
    ({"decay": "cpr", "cpr_bound": ("uniform", 1e30)}, {}),
    ({"decay": "cpr"}, {}),  # finds no bound in its first 600 steps
    ({"decay": "l2", "weight_decay": 0.1}, {"weight_decay": 0.1}),
    ({"decay": "decoupled", "weight_decay": 0.1}, {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    ({"decay": "fully_decoupled", "weight_decay": 0.002}, {"decay": "decoupled", "weight_decay": 0.1}),
    ({"decay": "corrected", "weight_decay": 0.1}, {"decay": "decoupled", "weight_decay": 0.1}),
    ({"decay": "amos", "weight_decay": 5.0}, {"decay": "decoupled", "weight_decay": 0.1}),
    ({"clip_value": 1e9}, {}),
    ({"agc": 1e9}, {}),
    ({"rms_clip": 1e9}, {}),
    ({"trust_ratio": "tensor", "trust_bounds": (1.0, 1.0)}, {}),
    ({"softplus": 1e9}, {"eps": 1e-300}),
    ({"accumulate": 1}, {}),
]


@pytest.mark.parametrize(("options", "same"), NEUTRAL, ids=str)
def test_identities(options, same):
    """At the ends of their ranges blocks fall away; lr is 0.02 and does not change."""
    (got, _), (want, _) = train(options, "eager"), train(same, "eager")
    for x, y in zip(got, want, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-7 if "softplus" in options else 1e-13, atol=1e-13)


ACTING = [x for x in OPTIONS if not {"ema", "state_format", "accumulate"} & x.keys() and x.get("decay") != "cpr"]


@pytest.mark.parametrize("options", [*ACTING, {"decay": "cpr", "cpr_bound": ("dependent", 0.9)}], ids=str)
def test_every_block_acts(options):
    """A block that changed nothing would pass all comparisons of engines."""
    decayed = {name: options[name] for name in options.keys() & {"weight_decay"} if options["decay"] != "l2"}
    got, want = train(options, "eager")[0], train(decayed, "eager")[0]
    assert any(not torch.equal(x, y) for x, y in zip(got, want, strict=True))


def one_step(g, p, **options):
    """What a first step of plain SGD with lr 1 takes from ``p``: the gradient as blocks leave it."""
    p = p.clone()
    optimizer = fusedopt.SGD([p], lr=1.0, **options)
    before, p.grad = p.clone(), g
    optimizer.step()
    return before - p


NORM_G, NORM_P = (x.norm(dim=1, keepdim=True) for x in (G, P))
FORMULAS = [  # options, and the gradient or step that papers and other libraries give
    ({"clip_value": 0.5}, G.clamp(-0.5, 0.5)),
    ({"clip_value": 0.5, "weight_decay": 0.1}, G.clamp(-0.5, 0.5) + 0.1 * P),
    ({"max_grad_norm": 0.5}, G * 0.5 / (G.norm() + 1e-6)),
    ({"agc": 0.3}, torch.where(NORM_G > 0.3 * NORM_P, G * (0.3 * NORM_P / NORM_G), G)),
    ({"soft_clip": 1e-3}, G * (NORM_P / NORM_G).clamp(max=1)),
    ({"centralize": True}, G - G.mean(1, keepdim=True)),
    ({"normalize": "tensor"}, G / (G.norm() + 1e-8)),
    ({"normalize": "row"}, G / (NORM_G + 1e-8)),
    ({"normalize": "layer"}, G * P.norm() / G.norm()),
    ({"rms_clip": 0.1}, G * 0.1 / G.square().mean().sqrt()),
    ({"trust_ratio": "tensor"}, G * P.norm() / G.norm()),
    ({"trust_ratio": "row"}, G * NORM_P / NORM_G),
    ({"trust_ratio": "row", "trust_bounds": (0.0, 1.0)}, G * (NORM_P / NORM_G).clamp(max=1)),
    ({"decay": "cautious", "weight_decay": 0.1}, G + torch.where(G * P >= 0, 0.1 * P, 0)),
]


@pytest.mark.parametrize(("options", "expected"), FORMULAS, ids=str)
@pytest.mark.parametrize("backend", ["eager", pytest.param("cpu", marks=on_cpu)])
def test_formulas(options, expected, backend, compiled_singles):
    with fusedopt.use_backend(backend):
        torch.testing.assert_close(one_step(G, P, **options), expected, rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module")
def compiled_singles():
    if not backends.unavailable("cpu"):
        compile_all([fusedopt.SGD([P.clone()], lr=1.0, **options) for options, _ in FORMULAS])


def test_cautious_rescales_what_it_keeps():
    """As timm: the mask over its mean. With SGD's momentum, as the mask of a plain gradient keeps everything."""
    p, m = P.clone(), torch.zeros_like(P)
    optimizer = fusedopt.SGD([p], lr=1.0, momentum=0.9, cautious="rescaled")
    for t in range(4):
        p.grad = G.roll(t, 0)
        m = 0.9 * m + p.grad
        kept = (m * p.grad > 0).double()
        expected = p - m * kept / kept.mean().clamp(min=1e-3)
        with fusedopt.use_backend("eager"):
            optimizer.step()
        torch.testing.assert_close(p, expected, rtol=1e-12, atol=1e-12)


def test_lookahead_and_average_follow_their_formulas():
    p, base = P.clone(), P.clone()
    optimizer, plain = fusedopt.SGD([p], lr=0.1, lookahead=(2, 0.3), ema=0.9), fusedopt.SGD([base], lr=0.1)
    slow = average = P
    for t in range(1, 6):
        p.grad = base.grad = G.roll(t, 1)
        with fusedopt.use_backend("eager"):
            optimizer.step()
            plain.step()
        if t % 2 == 0:
            slow = slow + 0.3 * (base - slow)
            base.copy_(slow)
        average = 0.9 * average + 0.1 * base
        torch.testing.assert_close(p, base, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(optimizer.state[p]["slow_buffer"], slow, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(optimizer.state[p]["ema"], average, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"centralize": True}, {"state_format": "8bit", "ema": 0.9}])
def test_slow_weights_rest_between_synchronizations(backend, options):
    """They are not read there, and the step is the one with them, bit for bit."""
    made, params = [], (torch.nn.Parameter(torch.ones(7, 5)), torch.nn.Parameter(torch.ones(7, 5)))
    for p, spoilt in zip(params, (False, True), strict=True):
        optimizer = fusedopt.AdamW([p], lookahead=(4, 0.5), **options)
        for t in range(1, 5):
            p.grad = torch.full_like(p, 0.1).mul_(torch.arange(35.0).view(7, 5).add(t).cos())
            if spoilt and t == 2:
                optimizer.state[p]["slow_buffer"].fill_(torch.nan)
            optimizer.step()
            made.append(p.detach().clone())
    for t in range(3):
        assert torch.equal(made[t], made[4 + t])
    assert made[3].isfinite().all()
    assert made[7].isnan().all()


def test_steps_without_slow_weights_have_the_same_bits(monkeypatch):
    def train():
        p = torch.nn.Parameter(torch.linspace(-1, 1, 1000).view(40, 25))
        optimizer = fusedopt.AdamW([p], lr=0.1, lookahead=(3, 0.5), cautious=True, weight_decay=0.1)
        for t in range(7):
            p.grad = p.detach().roll(t).sin()
            optimizer.step()
        return p.detach()

    resting = train()
    monkeypatch.setattr(planner, "without_slow_weights", lambda *_: None)
    assert torch.equal(resting, train())


def test_cpr_multiplies_what_exceeds_its_bound():
    p, size, multiplier = P.clone(), P.numel(), 0.0
    optimizer = fusedopt.SGD([p], lr=0.01, decay="cpr", cpr_bound=("dependent", 0.9))
    kappa = 0.9 * P.square().sum()
    for _ in range(3):
        p.grad = G
        new = p - 0.01 * G
        multiplier = max(0.0, multiplier + float(new.square().sum() - kappa) / size)
        with fusedopt.use_backend("eager"):
            optimizer.step()
        torch.testing.assert_close(p, new - multiplier * 2 * new, rtol=1e-12, atol=1e-12)


def test_cpr_finds_where_growth_slows_down():
    """The weight grows by equal steps, then by smaller ones: the bound is its length where that begins, after 600."""
    p = torch.ones(2, 2, dtype=torch.float64)
    optimizer = fusedopt.SGD([p], lr=1.0, decay="cpr")
    with fusedopt.use_backend("eager"):
        for t in range(1, 702):
            p.grad = torch.full_like(p, -0.01 if t <= 650 else -0.001)
            optimizer.step()
            assert (float(optimizer.state[p]["kappa"]) >= 0) == (t > 650)
    assert float(optimizer.state[p]["kappa"]) == pytest.approx(4 * (1 + 0.01 * 650 + 0.001) ** 2, rel=1e-6)


def test_stable_decay_is_over_the_mean_of_all_second_moments():
    params, moment, decay = [P.clone(), P[0].clone()], [torch.zeros_like(P), torch.zeros_like(P[0])], 0.1
    plain = [p.clone() for p in params]
    optimizer = fusedopt.Adam(params, lr=0.01, weight_decay=decay, decay="stable", max_grad_norm=0.5)
    base = fusedopt.Adam(plain, lr=0.01, max_grad_norm=0.5)
    with fusedopt.use_backend("eager"):
        for t in range(1, 4):
            grads = [G.roll(t, 0), G[t]]
            clip = min(1.0, 0.5 / (math.hypot(*(float(g.norm()) for g in grads)) + 1e-6))
            moment = [0.999 * v + 0.001 * (clip * g) ** 2 for v, g in zip(moment, grads, strict=True)]
            mean = sum(float(v.sum()) for v in moment) / sum(v.numel() for v in moment) / (1 - 0.999**t)
            shrink = [0.01 * decay * p / mean**0.5 for p in params]
            for p, q, g in zip(params, plain, grads, strict=True):
                q.copy_(p)
                p.grad = q.grad = g
            optimizer.step()
            base.step()
            expected = [q - x for q, x in zip(plain, shrink, strict=True)]
            torch.testing.assert_close(params, expected, rtol=1e-11, atol=1e-12)


def test_averages_take_the_place_of_weights_for_a_while():
    p = P.clone()
    optimizer = fusedopt.SGD([p], lr=0.1, ema=0.9)
    p.grad = G
    with fusedopt.use_backend("eager"):
        optimizer.step()
    before = p.clone()
    with optimizer.averaged():
        assert torch.equal(p, optimizer.state[p]["ema"])
        assert not torch.equal(p, before)
    assert torch.equal(p, before)


@pytest.mark.parametrize("lazy", ["param", "all"])
def test_lazy_rows_stay(lazy):
    p, g = P.clone(), G.clone()
    optimizer = fusedopt.Adam([p], lr=0.1, lazy=lazy)
    with fusedopt.use_backend("eager"):
        p.grad = g
        optimizer.step()
        before = p.clone(), optimizer.state[p]["exp_avg"].clone()
        p.grad = g.clone()
        p.grad[2] = 0
        optimizer.step()
    assert torch.equal(p[2], before[0][2])
    assert not torch.equal(p[1], before[0][1])
    assert torch.equal(optimizer.state[p]["exp_avg"][2], before[1][2]) == (lazy == "all")


def test_atan2_is_free_of_scale():
    """Everett et al. 2024: a gradient a million times larger gives the same step."""
    steps = [train_scaled(scale, atan2=(1.0, 1.0)) for scale in (1.0, 2.0**20)]
    assert torch.equal(*steps)


def train_scaled(scale, **options):
    p = P.clone()
    optimizer = fusedopt.Adam([p], lr=0.1, **options)
    with fusedopt.use_backend("eager"):
        for t in range(4):
            p.grad = scale * G.roll(t, 0)
            optimizer.step()
    return p


def test_the_page_names_every_option():
    page = (Path(__file__).parents[1] / "docs" / "blocks.md").read_text()
    named = set(re.findall(r"`(\w+)=", page))
    assert {*STRUCTURAL, "decay", "cautious", "max_grad_norm", "accumulate", "fractional", "trust_bounds"} <= named
    assert all(f'decay="{form}"' in page for form in DECAYS)
