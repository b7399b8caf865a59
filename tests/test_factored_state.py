"""State of rules with statistics per row and column: memory layouts, shapes, and what it costs."""

import pytest
import torch
from conftest import assert_same_bits, parameters, records, set_gradients, train
from factored_cases import ADAFACTOR, ADAMINI, AMOS, AMOS_TENSOR, CAME, FACTORED, FLAT, SM3, SMMF

import fusedopt

# --- memory layouts ---

LAYOUTS = {
    "transposed": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x,
    "permuted": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "every second": lambda x: torch.stack([x, x], -1)[..., 0],
}
LAID_OUT = [(6, 4, 3, 5), (1, 4, 3, 5), (3, 1, 4), (12, 10), (1, 9)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_layouts_step_by_logical_values(backend, case, layout):
    """Of parameter and gradient, and after loading their state: statistics stay dense, in the order of the values."""
    expected = parameters(LAID_OUT)
    params, resumed = ([LAYOUTS[layout](p.detach()).clone().requires_grad_() for p in expected] for _ in range(2))
    optimizer, other = case.build(params), case.build(resumed)
    train(optimizer, params, 2)
    for p, q in zip(resumed, params, strict=True):
        p.data.copy_(q.data)
    other.load_state_dict(optimizer.state_dict())
    train(other, resumed, 2, start=2)
    plain = case.build(expected)
    train(plain, expected, 4)
    assert_same_bits(resumed, expected)
    for found, record in zip(records(other, resumed), records(plain, expected), strict=True):
        assert_same_bits(found, record)
        strided = [key for key, x in found.items() if not x.is_contiguous() and key != "exp_avg"]
        assert strided == []


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_gradient_of_another_layout(backend, case):
    params, expected = parameters(LAID_OUT), parameters(LAID_OUT)
    optimizer, plain = case.build(params), case.build(expected)
    for seed in range(2):
        set_gradients(params, seed)
        set_gradients(expected, seed)
        for p in params:
            p.grad = LAYOUTS["permuted"](p.grad)
        optimizer.step()
        plain.step()
    assert_same_bits(params, expected)


# --- state ---

FACTOR_SHAPES = {"row": (8, 1), "col": (1, 6)}
STATES = [
    (ADAFACTOR, (8, 6), {"row_var": (8, 1), "col_var": (1, 6)}),
    (ADAFACTOR, (4, 3, 2, 5), {"row_var": (4, 3, 2, 1), "col_var": (4, 3, 1, 5)}),
    (ADAFACTOR, (7,), {"variance": (7,)}),
    (ADAFACTOR, (), {"variance": ()}),
    (FLAT, (4, 3, 2, 5), {"exp_avg": (4, 3, 2, 5), "row_var": (4, 1, 1, 1), "col_var": (1, 3, 2, 5)}),
    (SM3, (4, 3, 2), {"accumulator_0": (4, 1, 1), "accumulator_1": (1, 3, 2)}),
    (SM3, (7,), {"accumulator": (7,)}),
    (AMOS, (4, 3, 2), {"v": (4, 1, 1), "b": (4, 1, 1)}),
    (AMOS, (7,), {"v": (), "b": ()}),
    (AMOS_TENSOR, (4, 3), {"exp_avg": (4, 3), "v": (), "b": ()}),
    (
        CAME,
        (8, 6),
        {"exp_avg": (8, 6)}
        | {f"exp_avg_{x}_{key}": shape for x in ("sq", "res") for key, shape in FACTOR_SHAPES.items()},
    ),
    (CAME, (7,), {"exp_avg": (7,), "exp_avg_sq": (7,)}),
    (ADAMINI, (4, 3, 2), {"exp_avg": (4, 3, 2), "exp_avg_sq": (4, 1, 1)}),
    (ADAMINI, (7,), {"exp_avg": (7,), "exp_avg_sq": ()}),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("case", "shape", "expected"), STATES)
def test_state_of_a_shape(backend, case, shape, expected, dtype):
    (p,) = parameters([shape], dtype)
    optimizer = case.build([p])
    train(optimizer, [p], 1)
    record = dict(optimizer.state[p])
    assert ("step" in record) == optimizer.counts_steps
    record.pop("step", None)
    assert {key: tuple(x.shape) for key, x in record.items()} == expected
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    assert {x.dtype for key, x in record.items() if key != "exp_avg"} == {exact}


GPT2_BLOCK = [(768, 2304), (2304,), (768, 768), (768,), (768, 3072), (3072,), (3072, 768), *[(768,)] * 5]


@pytest.mark.parametrize("shapes", [GPT2_BLOCK, [(768, 768)]], ids=["block", "matrix"])
@pytest.mark.parametrize(("case", "limit"), [(ADAFACTOR, 0.05), (SMMF, 0.15)], ids=str)
def test_bytes_of_state_per_parameter(case, limit, shapes):
    params = [torch.zeros(shape) for shape in shapes]
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer = case.build(params)
    with fusedopt.use_backend("eager"):
        optimizer.step()
    used = sum(x.numel() * x.element_size() for record in optimizer.state.values() for x in record.values() if x.dim())
    assert used <= limit * sum(p.numel() for p in params)
