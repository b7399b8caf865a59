"""What storage formats may cost a training run, with bounds that follow from their definitions."""

import math

import pytest
import torch
from conftest import bits

import fusedopt
from fusedopt import codecs
from fusedopt.bench.models import MODELS

COUNT = 8 * 256
ODD = torch.arange(COUNT) % 2 == 1


def normal(generator):
    return torch.randn(COUNT, generator=generator)


def seeded():
    return torch.Generator().manual_seed(0)


def twins(dtype=torch.float32, value=0.0, cls=fusedopt.AdamW, exact=None, **options):
    """Equal vectors, stepped in a format and exactly: [(optimizer, vector), ...]."""
    pairs = []
    for chosen, of_dtype in ((options, dtype), (exact or {"state_format": "fp32"}, torch.float32)):
        p = torch.full((COUNT,), value, dtype=of_dtype, requires_grad=True)
        pairs.append((cls([p], **{"lr": 1.0, "weight_decay": 0.0, **chosen}), p))
    return pairs


def stepped(pairs, g):
    """Steps all, and returns their updates over the learning rate of 1."""
    updates = []
    for optimizer, p in pairs:
        p.grad, before = g.to(p.dtype), p.detach().clone()
        optimizer.step()
        updates.append(before - p.detach())
    return updates


def stored(optimizer, p, name, codec):
    record = optimizer.state[p]
    return codec.decode(record[name], record[f"{name}_scale"], p.numel())


def master(optimizer, p, weight_format):
    """The float32 values that a weight and what is kept beside it stand for."""
    codec = codecs.WEIGHTS[weight_format, p.dtype]
    return codec.decode(p.detach(), optimizer.state[p].get("weight_residual"), p.numel())


@pytest.mark.parametrize("rounding", ["stochastic", "nearest"])
def test_heavy_tails_make_no_large_steps(backend, rounding):
    """Scales spread over five decades within a block; what is rounded off v must not blow up any step."""
    generator = seeded()
    scales = torch.exp(2 * normal(generator))
    pairs = twins(state_format="8bit", state_rounding=rounding)
    largest = torch.zeros(2)
    for step in range(60):
        g = scales * normal(generator) * (step < 40)  # at last no gradient covers for a lost v
        largest = torch.maximum(largest, torch.stack([u.abs().max() for u in stepped(pairs, g)]))
    assert largest[0] <= 2 * largest[1]


@pytest.mark.parametrize(
    ("options", "recovers"),
    [
        ({"state_format": "8bit"}, True),
        ({"state_format": "bf16"}, True),
        ({"state_format": "8bit", "state_rounding": "nearest"}, False),
    ],
    ids=["8bit", "bf16", "8bit nearest"],
)
def test_steps_regain_their_size_after_gradients_drop(backend, options, recovers):
    """With beta2 = 0.98 v halves every 34 steps, unless rounding undoes 2 % a step, less than half a code."""
    generator, betas = seeded(), {"betas": (0.9, 0.98)}
    pairs = twins(**betas, **options, exact={"state_format": "fp32", **betas})
    for step in range(300):
        ours, exact = stepped(pairs, torch.where(ODD & (step >= 50), 0.1, 1.0) * normal(generator))
    ratio = (ours / exact)[ODD].median().item()
    assert (0.7 <= ratio <= 1.4) == recovers


@pytest.mark.parametrize(
    ("options", "decays"),
    [
        ({"state_format": "8bit"}, True),
        ({"state_format": "8bit", "state_rounding": "nearest"}, False),
        ({"state_format": "bf16"}, True),
        ({"state_format": "bf16", "state_rounding": "nearest"}, False),
    ],
    ids=["8bit", "8bit nearest", "bf16", "bf16 nearest"],
)
def test_slow_momenta_decay_where_the_scale_stands(backend, options, decays):
    """Half of every block gets no gradients any more, and its momenta lose 0.2 % a step."""
    slow = {"momentum": 0.998, "dampening": 0.998}
    pairs = twins(cls=fusedopt.SGD, **slow, **options, exact={"state_format": "fp32", **slow})
    for step in range(1000):
        ours, exact = stepped(pairs, torch.where(ODD & (step >= 5), 0.0, 1.0))
    ratio = (ours / exact)[ODD].mean().item()
    assert (0.9 <= ratio <= 1.1) == decays


def test_no_second_moment_becomes_zero(backend):
    """Magnitudes down to 2^-58 of the block's largest, so 2^-116 in v: far below the smallest code.

    Momenta become zero below 1.1875 * 2^-16.
    """
    exponents = torch.arange(COUNT) % 59
    g = 2.0 ** (20 - exponents) * torch.where(ODD, -1, 1)
    g[::7] = 0
    ((optimizer, p), _) = pairs = twins(state_format="8bit")
    for _ in range(3):
        stepped(pairs, g)
    assert torch.equal(optimizer.state[p]["exp_avg_sq"] != 0, g != 0)
    assert torch.equal(optimizer.state[p]["exp_avg"] != 0, (g != 0) & (exponents <= 15))


def assert_unbiased(found, exact, gap):
    """The mean of values rounded to either end of ``gap``, in the right shares, within 4 standard errors."""
    share = (exact - found.min()).item() / gap
    assert len(found.unique()) == 2
    assert abs(found.double().mean().item() - exact) <= 4 * gap * math.sqrt(share * (1 - share) / found.numel())


@pytest.mark.parametrize("share", [0.03, 0.3, 0.5, 0.9])
def test_second_moments_are_rounded_without_bias(backend, share):
    """v is 1 in the first element of a block, its scale, and between two codes an eighth apart in the others."""
    g = torch.full((COUNT,), math.sqrt((1 + share / 8) / 2))
    g[::256] = 1.0
    ((optimizer, p), _) = pairs = twins(state_format="8bit", betas=(0.9, 0.0))
    stepped(pairs, g)
    v = stored(optimizer, p, "exp_avg_sq", codecs.POSITIVE8_STOCHASTIC)
    others = torch.arange(COUNT) % 256 > 0
    assert_unbiased(v[others], (g[1] * g[1]).item(), 1 / 16)


@pytest.mark.parametrize("share", [0.03, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(("dtype", "gap"), [(torch.bfloat16, 2.0**-8), (torch.float16, 2.0**-11)], ids=str)
def test_weights_are_rounded_without_bias(backend, dtype, gap, share):
    """From 1 down by a share of the gap below it."""
    ((_, p), _) = pairs = twins(dtype, 1.0, fusedopt.SGD, weight_format="stochastic", lr=gap)
    stepped(pairs[:1], torch.full((COUNT,), share))
    g = torch.tensor(share).to(dtype).item()
    assert_unbiased(p.detach().float(), 1 - g * gap, gap)


@pytest.mark.parametrize("state_format", ["fp32", "8bit"])
def test_split32_trains_as_float32(backend, state_format):
    """Weights with their 16 lower bits on the side are float32 weights; both get the same bfloat16 gradients."""
    generator = seeded()
    options = {"lr": 1e-3, "weight_decay": 0.1, "state_format": state_format}
    pairs = twins(torch.bfloat16, 0.25, weight_format="split32", exact=options, **options)
    for _ in range(60):
        stepped(pairs, normal(generator).bfloat16())
    assert torch.equal(bits(master(*pairs[0], "split32")), bits(pairs[1][1]))


UPDATE, STEPS = 2.0**-17, 200  # a 512th of the gap between bfloat16 numbers below 1


@pytest.mark.parametrize(
    ("weight_format", "bound"),
    [
        # binomial: every update moves a weight by the gap, 2^-8, with probability 2^-9
        ("stochastic", 4 * 2.0**-8 * math.sqrt(STEPS * 2.0**-9 / COUNT)),
        # every update rounds by chance to one of two numbers 2^-16 apart: a deviation of half of that at most
        ("split24", 4 * 2.0**-17 * math.sqrt(STEPS / COUNT)),
        # every update rounds the residual, 2^-9 at most, to bfloat16
        ("kahan", STEPS * 2.0**-9 * 2.0**-9),
        # every update rounds a float32 below 1
        ("split32", STEPS * 2.0**-25),
    ],
)
def test_small_updates_add_up(backend, weight_format, bound):
    """Updates that bfloat16 cannot hold move the mean as they should."""
    ((optimizer, p), _) = pairs = twins(torch.bfloat16, 1.0, fusedopt.SGD, lr=UPDATE, weight_format=weight_format)
    for _ in range(STEPS):
        stepped(pairs[:1], torch.ones(COUNT))
    mean = master(optimizer, p, weight_format).double().mean().item()
    assert abs(mean - (1 - STEPS * UPDATE)) <= bound < STEPS * UPDATE


def test_small_updates_of_plain_weights_are_lost(backend):
    ((_, p), _) = pairs = twins(torch.bfloat16, 1.0, fusedopt.SGD, lr=UPDATE)
    for _ in range(10):
        stepped(pairs[:1], torch.ones(COUNT))
    assert torch.equal(p, torch.ones_like(p))


def test_weights_without_gradient_come_to_rest(backend):
    """Half of every block gets no more gradients; steps then are a 1e-4th of the learning rate at most."""
    generator, betas = seeded(), {"betas": (0.9, 0.9)}
    pairs = twins(state_format="8bit", **betas, exact={"state_format": "fp32", **betas})
    for step in range(250):
        ours, _ = stepped(pairs, normal(generator) * ~(ODD & (step >= 20)))
    assert ours[ODD].abs().median() <= 1e-4


def test_bytes_of_gpt2():
    """Two bytes a parameter, and two scales of four bytes for every 256."""
    model = MODELS["gpt2"].truncated(lambda model: model.parameters < 1e7)
    assert model is not None
    params = [torch.zeros(shape, requires_grad=True) for shape in model.shapes]
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer = fusedopt.AdamW8bit(params)
    optimizer.step()
    kept = sum(tensor.nbytes for record in optimizer.state.values() for tensor in record.values())
    assert 2 + 8 / 256 <= kept / model.parameters <= 2.05
