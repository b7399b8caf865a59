"""SMMF and rank-1 state: the paper's factors, bits, and checkpoints of the authors' code."""

import copy
import math

import pytest
import torch
from conftest import assert_same_bits, parameters, records, set_gradients, train
from hypothesis import given, settings
from hypothesis import strategies as st
from references.rank1 import ReferenceSMMF, compress, decompress, square_shape

import fusedopt
from fusedopt import bits
from fusedopt.matrix import square

# --- the square-most matrix ---


@settings(deadline=None, derandomize=True)
@given(n=st.integers(1, 5000))
def test_square_is_the_most_nearly_square(n):
    matrix = square(torch.empty(n))
    divisors = [i for i in range(1, n + 1) if n % i == 0]
    assert (matrix.batch, matrix.rows * matrix.cols) == (1, n)
    assert matrix.cols == max(i for i in divisors if i * i <= n)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((8, 3, 3, 3), (18, 12)),
        ((50257, 768), (6932, 5568)),
        ((4096, 11008), (8192, 5504)),
        ((), (1, 1)),
        ((7,), (7, 1)),
        ((1000003, 3), (1000003, 3)),
    ],
)
def test_square_of_a_shape(shape, expected):
    matrix = square(torch.empty(shape, device="meta"))
    assert (matrix.rows, matrix.cols) == expected == square_shape(math.prod(shape))


# --- bits ---


@settings(deadline=None, derandomize=True)
@given(rows=st.integers(1, 9), cols=st.integers(1, 40), seed=st.integers(0, 99))
def test_bits_unpack_to_what_was_packed(rows, cols, seed):
    positive = torch.rand(rows, cols, generator=torch.Generator().manual_seed(seed)) > 0.5
    packed = bits.pack(positive)
    assert (packed.shape, packed.dtype) == ((rows, -(-cols // 8)), torch.uint8)
    assert torch.equal(bits.unpack(packed, cols), positive)


def test_bits_are_lowest_first_and_padded_with_zeros():
    positive = torch.tensor([[True, False, False, True, False, False, False, False, False, True], [True] * 10])
    assert bits.pack(positive).tolist() == [[0b1001, 0b10], [0xFF, 0b11]]


@pytest.mark.parametrize("cols", [1, 5, 7, 8, 9, 13, 15, 16, 17, 31, 33])
def test_signs_of_a_step(backend, cols):
    """After one step the first moment has the gradient's signs; zero and NaN count as negative."""
    (p,), (g,) = parameters([(cols * cols,)]), parameters([(cols * cols,)], seed=5)
    p.grad = g.detach()
    p.grad[::3] = 0
    p.grad[1:2] = torch.nan
    optimizer = fusedopt.SMMF([p])
    optimizer.step()
    packed = optimizer.state[p]["exp_avg_sign"]
    assert packed.shape == (cols, -(-cols // 8))
    assert torch.equal(bits.unpack(packed, cols), (p.grad > 0).view(cols, cols))
    assert torch.equal(bits.pack(bits.unpack(packed, cols)), packed)  # what pads a row stays zero


# --- the paper's algorithm ---

SHAPES = [(), (1,), (12,), (31,), (8, 3, 3, 3), (64, 48), (50, 30), (2, 3, 5), (1, 9), (100, 101)]
OPTIONS = [
    {},
    {"beta": None, "decay_rate": -0.8},
    {"beta": 0.5, "growth_rate": 0.9, "eps": 1e-3, "weight_decay": 0.1},
    {"vector_reshape": False},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_thirty_steps_equal_the_paper(backend, options):
    """The float32 displacement against float64: a moment that crosses zero may round to the other sign, few do."""
    params = parameters(SHAPES)
    start = [p.detach().double() for p in params]
    exact = [p.clone().requires_grad_() for p in start]
    optimizer, paper = fusedopt.SMMF(params, lr=0.01, **options), ReferenceSMMF(exact, lr=0.01, **options)
    for seed in range(30):
        set_gradients(params, seed)
        for p, q in zip(params, exact, strict=True):
            q.grad = p.grad.double()
        optimizer.step()
        paper.step()
    for p, q, zero in zip(params, exact, start, strict=True):
        error, moved = (p.double() - q).detach().abs(), (q - zero).detach().abs().max()
        assert (error > 1e-4 * moved).sum() <= p.numel() // 5000


def test_state_is_what_the_paper_compresses(backend):
    """Algorithm 4 of the dense moments; ours are means, and the columns' mean is one."""
    (p,) = parameters([(18, 12)], torch.float64)
    optimizer = fusedopt.SMMF([p])
    set_gradients([p], 0)
    optimizer.step()
    m = 0.1 * p.grad.reshape(square_shape(p.numel()))
    record = optimizer.state[p]
    found = torch.outer(record["exp_avg_row"], record["exp_avg_col"])
    torch.testing.assert_close(found, decompress(compress(m.abs())), rtol=1e-13, atol=0)
    torch.testing.assert_close(record["exp_avg_row"], m.abs().mean(1), rtol=1e-13, atol=0)
    torch.testing.assert_close(record["exp_avg_col"].mean(), torch.ones((), dtype=torch.float64), rtol=1e-13, atol=0)
    v = torch.outer(record["exp_avg_sq_row"], record["exp_avg_sq_col"])
    torch.testing.assert_close(v, decompress(compress((10 * m) ** 2)), rtol=1e-13, atol=0)


KEYS = ("exp_avg_row", "exp_avg_col", "exp_avg_sign", "exp_avg_sq_row", "exp_avg_sq_col")
STATES = [
    ((18, 12), {}, dict(zip(KEYS, ((18,), (12,), (18, 2), (18,), (12,)), strict=True))),
    ((8, 3, 3, 3), {}, dict(zip(KEYS, ((18,), (12,), (18, 2), (18,), (12,)), strict=True))),
    ((), {}, dict(zip(KEYS, ((1,), (1,), (1, 1), (1,), (1,)), strict=True))),
    ((61,), {}, dict(zip(KEYS, ((61,), (1,), (61, 1), (61,), (1,)), strict=True))),
    ((67,), {}, {"exp_avg": (67,), "exp_avg_sq": (67,)}),
    ((2, 131), {}, {"exp_avg": (2, 131), "exp_avg_sq": (2, 131)}),
    ((12,), {"vector_reshape": False}, {"exp_avg": (12,), "exp_avg_sq": (12,)}),
    ((1, 12), {"vector_reshape": False}, {"exp_avg": (1, 12), "exp_avg_sq": (1, 12)}),
    ((18, 12), {"beta": None}, {"exp_avg_sq_row": (18,), "exp_avg_sq_col": (12,)}),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("shape", "options", "expected"), STATES)
def test_state_of_a_shape(backend, shape, options, expected, dtype):
    """Longer than 64 rows a column there are no factors, and nothing is rounded either."""
    (p,) = parameters([shape], dtype)
    optimizer = fusedopt.SMMF([p], **options)
    train(optimizer, [p], 1)
    record = dict(optimizer.state[p])
    assert record.pop("step") == 1
    assert {key: tuple(x.shape) for key, x in record.items()} == expected
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    assert {x.dtype for key, x in record.items() if key != "exp_avg_sign"} == {exact}


# --- rank-1 state of other rules, and what cannot have it ---


def test_no_state_no_factors(backend):
    params, expected = parameters(), parameters()
    train(fusedopt.SGD(params, lr=0.1, state_format="nnmf"), params, 2)
    train(fusedopt.SGD(expected, lr=0.1), expected, 2)
    assert_same_bits(params, expected)


def test_smmf_may_keep_dense_state(backend):
    params = parameters()
    optimizer = fusedopt.SMMF(params, state_format="bf16")
    train(optimizer, params, 2)
    for record in records(optimizer, params):
        assert {key: x.dtype for key, x in record.items() if x.dim()}.items() <= {
            ("exp_avg", torch.bfloat16),
            ("exp_avg_sq", torch.bfloat16),
        }


NO_FACTORS = [("AdamW", {"amsgrad": True}), ("SM3", {}), ("Amos", {}), ("Adafactor", {"beta1": 0.9})]


@pytest.mark.parametrize(("name", "options"), NO_FACTORS)
def test_state_that_cannot_be_rank_1_is_refused(backend, name, options):
    params = parameters()
    with pytest.raises(ValueError, match=rf"{name}.*state_format='nnmf'"):
        train(getattr(fusedopt, name)(params, state_format="nnmf", **options), params, 1)
    assert_same_bits(params, parameters())


REFUSED = [
    *(({"beta": x}, rf"Invalid beta: {x}; it must be in \[0, 1\]") for x in (-0.1, 1.5, math.nan)),
    *(({"decay_rate": x}, rf"Invalid decay_rate: {x}; it must be in \[-1, 0\]") for x in (-1.5, 0.1)),
    *(({"growth_rate": x}, rf"Invalid growth_rate: {x}; it must be in \[0, 1\]") for x in (-0.1, 1.5)),
    ({"eps": -1}, "Invalid epsilon value: -1"),
    ({"lr": -1}, "Invalid learning rate: -1"),
    ({"weight_decay_mode": "l1"}, "Invalid weight_decay_mode: 'l1'; choose from adamw, adam"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fusedopt.SMMF(parameters(), **options)


# --- checkpoints of the authors' code ---

CHECKPOINTS = [{}, {"beta": None}, {"vector_reshape": False, "weight_decay": 0.1}]
SAVED = [(), (12,), (1, 9), (67,), (131,), (18, 12), (8, 3, 3, 3), (5, 7)]


def authors_run(options, steps, dtype):
    """The paper's algorithm after some steps: its state is laid out as the authors' code saves it."""
    params = parameters(SAVED, dtype)
    paper = ReferenceSMMF(params, **options)
    train(paper, params, steps)
    return params, paper


def authors_form(paper):
    """Its state dict, with the keys that the authors' groups have."""
    saved = copy.deepcopy(paper.state_dict())
    keys = ("lr", "beta", "eps", "weight_decay", "decay_rate", "growth_rate", "vector_reshape", "params")
    saved["param_groups"] = [{key: group[key] for key in keys} for group in saved["param_groups"]]
    return saved


@pytest.mark.parametrize("count", [int, float])
@pytest.mark.parametrize("options", CHECKPOINTS, ids=str)
def test_checkpoint_of_the_authors_continues(backend, options, count):
    """The next steps are those of an uninterrupted run."""
    theirs, paper = authors_run(options, 4, torch.float64)
    saved = authors_form(paper)
    for record in saved["state"].values():
        record["step"] = count(record["step"])
    params = [p.detach().clone().requires_grad_() for p in theirs]
    optimizer = fusedopt.SMMF(params, lr=9.0)
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 1e-3
    train(optimizer, params, 3, start=4)
    train(paper, theirs, 3, start=4)
    for p, q in zip(params, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-14)
    assert {float(record["step"]) for record in records(optimizer, params)} == {7}


@pytest.mark.parametrize("options", CHECKPOINTS, ids=str)
def test_authors_state_dict_is_theirs(backend, options):
    _, paper = authors_run(options, 4, torch.float64)
    params = parameters(SAVED, torch.float64)
    optimizer = fusedopt.SMMF(params, **options)
    train(optimizer, params, 4)
    found, expected = optimizer.authors_state_dict(), authors_form(paper)
    assert found["state"].keys() == expected["state"].keys()
    for i, record in found["state"].items():
        want = expected["state"][i]
        assert record.keys() == want.keys()
        assert isinstance(record["step"], int | float)
        assert record["step"] == want["step"] == 5
        for key in ("momentum_m", "momentum_v"):
            torch.testing.assert_close(record.get(key), want.get(key), rtol=1e-12, atol=1e-15)
        if "effective_shape" in want:
            assert tuple(record["effective_shape"]) == tuple(want["effective_shape"])
        if "sign" in want:
            assert record["sign"].dtype == torch.bool
            assert torch.equal(record["sign"], want["sign"])
    for key in expected["param_groups"][0]:
        assert found["param_groups"][0][key] == expected["param_groups"][0][key]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("options", CHECKPOINTS, ids=str)
def test_round_trip_through_the_authors_form(backend, options, dtype):
    """Within the rounding of float32, and writing the other form leaves ours as it was."""
    params = parameters(SAVED, dtype)
    optimizer = fusedopt.SMMF(params, **options)
    train(optimizer, params, 3)
    before = copy.deepcopy(records(optimizer, params))
    resumed = [p.detach().clone().requires_grad_() for p in params]
    other = fusedopt.SMMF(resumed, lr=9.0)
    other.load_state_dict(optimizer.authors_state_dict())
    for found, expected in zip(records(other, resumed), before, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    for found, expected in zip(records(optimizer, params), before, strict=True):
        assert_same_bits(found, expected)
