"""Every rule: eager equals its reference in float64; engines equal eager, bit for bit where nothing is added up."""

import pytest
import torch
from references import CASES

import fusedopt
from fusedopt import backends

SHAPES = [(), (1,), (0, 3), (7, 3), (16,), (513,), (64, 33), (2, 3, 5, 2), (70001,)]
FAST = [name for name in ("cpu", "cuda") if not backends.unavailable(name)]
DTYPES = {  # weight, gradient
    "fp32": (torch.float32, torch.float32),
    "bf16": (torch.bfloat16, torch.bfloat16),
    "fp16": (torch.float16, torch.float16),
    "fp64": (torch.float64, torch.float64),
    "fp32-bf16": (torch.float32, torch.bfloat16),
    "bf16-fp32": (torch.bfloat16, torch.float32),
    "fp64-fp32": (torch.float64, torch.float32),
}
EPSILON = torch.finfo(torch.float64).eps


def gradients(steps, dtype, device="cpu"):
    """Gradients of many scales, zeros among them."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        yield [
            (torch.randn(s, generator=generator) * torch.randn(s, generator=generator).exp()).to(device, dtype)
            for s in SHAPES
        ]


def parameters(dtype, device="cpu"):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator).to(device, dtype).requires_grad_() for s in SHAPES]


def train(optimizer, params, steps=5, grad_dtype=None):
    device = params[0].device
    for grads in gradients(steps, grad_dtype or params[0].dtype, device):
        for p, g in zip(params, grads, strict=True):
            if g.dtype != p.dtype:
                p.grad_dtype = g.dtype
            p.grad = g
        optimizer.step()
    states = [optimizer.state[p].get(k) for p in params for k in sorted(optimizer.state.get(p, ()))]
    return [p.detach() for p in params], states


@pytest.mark.parametrize("case", CASES, ids=str)
def test_eager_equals_reference(case):
    steps = 50
    ours, theirs = parameters(torch.float64), parameters(torch.float64)
    with fusedopt.use_backend("eager"):
        got, _ = train(case.build(ours), ours, steps)
    want, _ = train(case.build_reference(theirs), theirs, steps)
    for p, q in zip(got, want, strict=True):
        # Each step rounds p once, and its update a few times at most; both have size of order one here.
        torch.testing.assert_close(p, q, rtol=0, atol=8 * steps * EPSILON * max(1.0, _largest(q)))


@pytest.mark.parametrize("t", [1, 2, 7, 100, 10_000])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_scalars_of_a_count_on_the_device(case, t):
    """A captured step computes them from tensors."""
    p = torch.zeros(4, 3)
    optimizer = case.build([p])
    (group,) = optimizer.param_groups
    rule, _ = optimizer.layout(group, p)
    found, expected = (optimizer.scalars(group, x) for x in (torch.tensor(t, dtype=torch.float64), float(t)))
    for name in expected.keys() & {"lr", *rule.scalars}:
        assert float(found[name]) == pytest.approx(expected[name], rel=1e-14, abs=1e-14), name


def _largest(x):
    return x.abs().max().item() if x.numel() else 0.0


def on_both(case, dtypes, backend):
    """Weights and states after five steps on eager, and on ``backend``."""
    weight, grad = dtypes
    device = "cpu" if backend == "cpu" else "cuda"
    results = []
    for name in ("eager", backend):
        params = parameters(weight, device)
        with fusedopt.use_backend(name):
            results.append(train(case.build(params), params, grad_dtype=grad))
    return results


ENGINES = [b if b == "cpu" else pytest.param(b, marks=pytest.mark.gpu) for b in FAST]


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("dtypes", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("case", [case for case in CASES if not case.sums], ids=str)
def test_engine_equals_eager_bitwise(case, dtypes, backend):
    (want, want_state), (got, got_state) = on_both(case, dtypes, backend)
    clipped_sum = "max_grad_norm" in case.options  # engines add squares in their own fixed order, in float64
    for p, q in zip(got + got_state, want + want_state, strict=True):
        tolerance = 1e-14 if clipped_sum and dtypes[0] == torch.float64 else 0
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance, equal_nan=True)


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("dtypes", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("case", [case for case in CASES if case.sums], ids=str)
def test_engine_equals_eager_to_rounding(case, dtypes, backend):
    """Both add 70001 positive terms within a few units in the last place; a weight may then round the other way."""
    (want, want_state), (got, got_state) = on_both(case, dtypes, backend)
    for p, q in zip(got + got_state, want + want_state, strict=True):
        tolerance = 16 * 5 * torch.finfo(p.dtype).eps if p.is_floating_point() else 0
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance * max(1.0, _largest(q)))


@pytest.mark.parametrize("state_format", ["fp32", "bf16"])
@pytest.mark.parametrize("weight", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("backend", FAST)
def test_state_formats_equal_eager_bitwise(weight, state_format, backend):
    results = []
    for name in ("eager", backend):
        params = parameters(weight, "cpu" if backend == "cpu" else "cuda")
        with fusedopt.use_backend(name):
            results.append(train(fusedopt.AdamW(params, state_format=state_format), params))
    (want, want_state), (got, got_state) = results
    expected = {"fp32": torch.float32, "bf16": torch.bfloat16}[state_format]
    assert {s.dtype for s in got_state if s.dim() or s.dtype != torch.float32} <= {expected}
    assert all(torch.equal(p, q) for p, q in zip(got + got_state, want + want_state, strict=True))


def test_adamw_is_as_accurate_as_torch():
    """fp32 error against float64 after 100 steps: at most twice torch's own."""

    def run(cls, dtype):
        params = parameters(dtype)
        return torch.cat([p.flatten().double() for p in train(cls(params), params, 100)[0]])

    exact = run(torch.optim.AdamW, torch.float64)
    ours, theirs = run(fusedopt.AdamW, torch.float32) - exact, run(torch.optim.AdamW, torch.float32) - exact
    assert ours.norm() <= 2 * theirs.norm()
    assert ours.abs().max() <= 2 * theirs.abs().max()
