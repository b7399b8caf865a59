"""Tensors as they come: any layout, dtype, size or value; and what the engines may not read, write or keep."""

import gc
import weakref

import pytest
import torch
from conftest import DTYPES, STATEFUL, TWINS, Twins, assert_same_bits, parameters, records, set_gradients, train
from references import CASES, Case

import fusedopt

SHAPE = (2, 3, 4, 5)


def padded(values, *more):
    """A view of a larger tensor whose other elements are 7."""
    base = values.new_full([size + extra for size, extra in zip(values.shape, more, strict=True)], 7.0)
    return base[tuple(slice(size) for size in values.shape)].copy_(values)


LAYOUTS = {
    "contiguous": lambda x: x.clone(),
    "transposed": lambda x: x.mT.contiguous().mT,
    "permuted": lambda x: x.permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "every second": lambda x: torch.stack([x, x], -1)[..., 0],
    "gaps between rows": lambda x: padded(x, 0, 0, 0, 3),
    "unaligned": lambda x: x.new_empty(x.numel() + 1)[1:].view(x.shape).copy_(x),
    "channels first of more": lambda x: padded(x, 0, 2, 0, 0),
}
PAIRS = [(name, "contiguous") for name in LAYOUTS]
PAIRS += [(name, name) for name in LAYOUTS if name != "contiguous"]
PAIRS += [("contiguous", name) for name in LAYOUTS if name != "contiguous"]


def step_laid_out(case, param, grad, dtype, steps=3):
    p = param(parameters((SHAPE,), dtype)[0].detach()).requires_grad_()
    optimizer = case.build([p])
    for seed in range(steps):
        set_gradients([p], seed)
        p.grad = grad(p.grad)
        optimizer.step()
    return p, optimizer


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("param", "grad"), PAIRS)
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_layouts_of_parameter_and_gradient(backend, case, param, grad, dtype):
    p, optimizer = step_laid_out(case, LAYOUTS[param], LAYOUTS[grad], dtype)
    q, plain = step_laid_out(case, torch.clone, torch.clone, dtype)
    assert_same_bits([p], [q])
    assert_same_bits(optimizer.state[p], plain.state[q])


@pytest.mark.parametrize("param", ["contiguous", "transposed", "every second"])
@pytest.mark.parametrize("case", [*STATEFUL, Case(fusedopt.Adam, {"max_grad_norm": 0.5})], ids=str)
def test_expanded_gradient(backend, case, param):
    """The gradient of a sum has stride 0 everywhere; it can be read but not written."""
    values = parameters((SHAPE,))[0].detach()
    p, q = LAYOUTS[param](values).requires_grad_(), values.clone().requires_grad_()
    for leaf in (p, q):
        optimizer = case.build([leaf])
        for _ in range(2):
            leaf.grad = None
            leaf.sum().backward()
            leaf.grad = leaf.grad if leaf is p else leaf.grad.contiguous()
            optimizer.step()
    p.grad = torch.ones(()).expand(SHAPE)
    q.grad = torch.ones(SHAPE)
    for leaf in (p, q):
        case.build([leaf]).step()
    assert_same_bits([p], [q])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("state", LAYOUTS)
@pytest.mark.parametrize("param", ["contiguous", "channels_last", "every second"])
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_loaded_state_of_another_layout(backend, case, param, state, dtype):
    p, optimizer = step_laid_out(case, LAYOUTS[param], torch.clone, dtype)
    q, plain = step_laid_out(case, torch.clone, torch.clone, dtype)
    saved = plain.state_dict()
    saved["state"] = {0: {k: LAYOUTS[state](v) if v.ndim else v for k, v in saved["state"][0].items()}}
    optimizer.load_state_dict(saved)
    train(optimizer, [p], 2)
    train(plain, [q], 2)
    assert_same_bits([p], [q])
    assert_same_bits(optimizer.state[p], plain.state[q])


def test_elements_between_those_of_a_view_stay_untouched(backend):
    base = torch.full((10, 6), 7.0)
    p = base[1:9, ::2].requires_grad_()
    address, before = p.data_ptr(), base.clone()
    train(fusedopt.AdamW([p], lr=0.1), [p], 3)
    assert p.data_ptr() == address
    assert bool((base[1:9, ::2] != 7).all())
    base[1:9, ::2] = 7.0
    assert torch.equal(base, before)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_not_written(backend, case, transposed):
    p, q = parameters(((6, 5), (6, 5)))
    p.grad = torch.randn(5, 6).t() if transposed else torch.randn(6, 5)
    grad, version, copy = p.grad, p.grad._version, p.grad.clone()
    case.build([q, p]).step()
    assert p.grad is grad
    assert grad._version == version
    assert torch.equal(grad, copy)


# --- shapes and sizes ---

ODD_STRIDES = [((1, 7), (1, 1)), ((1, 7), (99, 1)), ((7, 1), (1, 5)), ((3, 1, 2), (2, 77, 1)), ((1,), (0,))]


@pytest.mark.parametrize(("shape", "strides"), ODD_STRIDES)
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_dimensions_of_one_may_have_any_stride(backend, case, shape, strides):
    (p,), (q,) = parameters((shape,)), parameters((shape,))
    p = torch.empty_strided(shape, strides).copy_(p.detach()).requires_grad_()
    train(case.build([p]), [p], 3)
    train(case.build([q]), [q], 3)
    assert_same_bits([p], [q])


EMPTY = [torch.empty(shape) for shape in ((0,), (0, 3), (3, 0), (2, 0, 4))]
EMPTY += [torch.empty(3, 0).t(), torch.empty(4, 6)[:, 6:]]


@pytest.mark.parametrize("empty", EMPTY, ids=lambda x: f"{tuple(x.shape)}{x.stride()}")
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_empty_parameters(backend, case, empty):
    params = [*parameters(((3,),)), empty.clone().requires_grad_()]
    (expected,) = parameters(((3,),))
    optimizer = case.build(params, max_grad_norm=1.0)
    for seed in range(3):
        set_gradients(params, seed)
        optimizer.step()
    train(case.build([expected], max_grad_norm=1.0), [expected], 3)
    assert_same_bits(params[:1], [expected])
    assert records(optimizer, params)[1].keys() == records(optimizer, params)[0].keys()


SIZES = [*range(1, 70), 127, 128, 129, 511, 512, 513, 1025]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_any_size_equals_a_slice_of_one_tensor(backend, case, dtype):
    (whole,) = parameters(((sum(SIZES),),), dtype)
    pieces = [piece.clone().requires_grad_() for piece in whole.detach().split(SIZES)]
    optimizers = case.build([whole]), case.build(pieces)
    for seed in range(2):
        set_gradients([whole], seed)
        for piece, grad in zip(pieces, whole.grad.split(SIZES), strict=True):
            piece.grad = grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert_same_bits([torch.cat(pieces)], [whole])


# --- dtypes ---


@pytest.mark.parametrize("gradient", DTYPES, ids=str)
@pytest.mark.parametrize("weight", DTYPES, ids=str)
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_gradient_of_another_dtype(backend, case, weight, gradient):
    """Equal to a gradient in the arithmetic type: it is rounded to that once and nowhere else."""
    arithmetic = torch.float64 if weight == torch.float64 else torch.float32
    results = []
    for dtype in (gradient, arithmetic):
        (p,) = parameters(((33,),), weight)
        p.grad_dtype = dtype
        optimizer = case.build([p])
        for seed in range(3):
            p.grad = parameters(((33,),), gradient, seed=seed + 9)[0].detach().to(dtype)
            optimizer.step()
        results.append(p)
    assert_same_bits(results[:1], results[1:])


@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_mixed_dtypes_in_one_group(backend, case):
    mixed, alone = ([parameters(((9, 3),), dtype, seed=i)[0] for i, dtype in enumerate(DTYPES * 2)] for _ in range(2))
    optimizers = [case.build(mixed), *(case.build([p]) for p in alone)]
    for seed in range(3):
        set_gradients(mixed, seed)
        for p, q in zip(mixed, alone, strict=True):
            q.grad = p.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert_same_bits(mixed, alone)


@pytest.mark.parametrize("size", [1, 3])
def test_lazily_negated_gradient(backend, size):
    """Autograd gives the imaginary part of a conjugate as a view with torch's negation flag set."""
    (p,) = parameters(((size,),))
    optimizer = fusedopt.SGD([p], lr=1.0)
    train(optimizer, [p], 1)
    expected, p.grad = p.detach() + 1, None
    torch.complex(torch.zeros(size), p).conj().backward(torch.full((size,), 1j))
    assert p.grad.is_neg() == (size == 1)
    optimizer.step()
    assert_same_bits([p], [expected])


@pytest.mark.parametrize("state_format", ["param", "fp32", "bf16"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_state_format(backend, dtype, state_format):
    (p,) = parameters(((40,),), dtype)
    p.grad = parameters(((40,),), dtype, seed=7)[0].detach()
    optimizer = fusedopt.Adam([p], state_format=state_format)
    optimizer.step()
    g, expected = p.grad.double(), {"param": dtype, "fp32": torch.float32, "bf16": torch.bfloat16}[state_format]
    first, second = (1 - 0.9) * g, (1 - 0.999) * g * g
    moments = {"exp_avg": first.to(expected), "exp_avg_sq": second.to(expected), "step": torch.tensor(1.0)}
    ulp = torch.finfo(expected).eps
    torch.testing.assert_close(dict(optimizer.state[p]), moments, rtol=2 * ulp, atol=torch.finfo(expected).tiny * ulp)


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_step_count_under_another_default_dtype(backend, default):
    """torch counts in float64 only when that is the default; half precision would stop counting."""
    p = torch.ones(3, requires_grad=True)
    optimizer = fusedopt.AdamW([p])
    p.grad = torch.ones(3)
    torch.set_default_dtype(default)
    try:
        optimizer.step()
        optimizer.state[p]["step"].fill_(4000)
        optimizer.step()
    finally:
        torch.set_default_dtype(torch.float32)
    assert optimizer.state[p]["step"].item() == 4001
    assert optimizer.state[p]["step"].dtype == (torch.float64 if default == torch.float64 else torch.float32)


# --- clipping, non-finite values, loss scaling ---


@pytest.mark.parametrize(("limit", "groups"), [(0.1, 1), (0.1, 2), (1e3, 1), (torch.inf, 2)])
@pytest.mark.parametrize("case", TWINS, ids=str)
def test_clipping_equals_clip_grad_norm(backend, case, limit, groups):
    theirs, ours = parameters(dtype=torch.float64), parameters(dtype=torch.float64)
    split = (lambda params: [{"params": params[:2]}, {"params": params[2:]}]) if groups == 2 else list
    reference = case.build_reference(split(theirs))
    optimizer = case.build(split(ours), max_grad_norm=limit)
    for seed in range(4):
        set_gradients(theirs, seed)
        set_gradients(ours, seed)
        torch.nn.utils.clip_grad_norm_(theirs, limit)
        reference.step()
        optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_clipping_a_non_finite_norm(backend, value):
    twins = Twins(Case(fusedopt.SGD, {"lr": 0.1, "momentum": 0.9}), torch.float32)
    twins.optimizer.param_groups[0]["max_grad_norm"] = 1.0
    for optimizer, params in twins.sides:
        set_gradients(params, 0)
        params[1].grad[2] = value
        if optimizer is twins.reference:
            torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
    torch.testing.assert_close(twins.ours, twins.theirs, equal_nan=True)


@pytest.mark.parametrize("case", TWINS, ids=str)
def test_non_finite_gradients_spread_as_in_torch(backend, case):
    twins = Twins(case, torch.float32)
    twins.step(2)
    values = torch.tensor([torch.nan, torch.inf, -torch.inf, 3e38, -1e-45])
    twins.step(1, prepare=lambda params: params[1].grad.copy_(values))
    for _ in range(2):
        for found, expected in zip(twins.ours, twins.theirs, strict=True):
            assert torch.equal(found.isfinite(), expected.isfinite())
            # RAdam's first steps write the state that torch's lerp made NaN; ASGD takes decay from an infinite weight
            if case.cls not in (fusedopt.RAdam, fusedopt.ASGD):
                assert torch.equal(found.isnan(), expected.isnan())
        # torch's lerp turns some infinities of the state to NaN, at once when beta is below one half
        expected, found = ([s.isfinite().tolist() for s in side[1].values()] for side in twins.records())
        assert found == expected
        twins.step(1)


@pytest.mark.parametrize("scale", [1.0, torch.inf])
def test_grad_scaler(backend, scale):
    twins = Twins(STATEFUL[0], torch.float32)
    twins.step(2)
    for optimizer, params in twins.sides:
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        optimizer.zero_grad()
        scaler.scale(sum((p * scale).square().sum() for p in params)).backward()
        scaler.step(optimizer)
        scaler.update()
    twins.assert_equal()
    assert twins.optimizer.state[twins.ours[0]]["step"] == (3 if scale == 1 else 2)


# --- memory and devices ---


def test_default_device_does_not_reach_the_engines():
    (expected,) = parameters(((5,),))
    train(fusedopt.AdamW([expected], max_grad_norm=1.0), [expected], 1)
    for name in ("eager", None):  # eager first: it raises where a compiled engine would read a null pointer
        (p,) = parameters(((5,),))
        set_gradients([p], 0)
        optimizer = fusedopt.AdamW([p], max_grad_norm=1.0)
        with torch.device("meta"), fusedopt.use_backend(name):
            optimizer.step()
        assert_same_bits([p], [expected])
        assert {state.device.type for state in optimizer.state[p].values()} == {"cpu"}


@pytest.mark.parametrize("gap", [1, 2])
def test_zero_grad_frees_the_gradient(backend, gap):
    p = torch.zeros(10 * gap)[::gap].requires_grad_()
    optimizer = fusedopt.AdamW([p], max_grad_norm=1.0)
    for _ in range(3):
        p.grad = torch.ones(10)
        grad = weakref.ref(p.grad)
        optimizer.step()
        optimizer.zero_grad()
        assert grad() is None


def test_replaced_state_is_freed(backend):
    (p,) = parameters(((5,),))
    optimizer = fusedopt.AdamW([p])
    train(optimizer, [p], 2)
    replaced = weakref.ref(optimizer.state[p]["exp_avg"])
    optimizer.state[p]["exp_avg"] = torch.zeros(5)
    train(optimizer, [p], 1)
    assert replaced() is None


@pytest.mark.parametrize("case", [*STATEFUL, Case(fusedopt.Lion, {"max_grad_norm": 1.0})], ids=str)
def test_nothing_outlives_the_optimizer(backend, case):
    params = parameters()
    optimizer = case.build(params)
    train(optimizer, params, 3)
    tensors = [*params, *(p.grad for p in params), *(t for record in optimizer.state.values() for t in record.values())]
    alive = [weakref.ref(x) for x in (optimizer, *tensors)]
    del optimizer, tensors, params
    gc.collect()
    assert [ref() for ref in alive if ref() is not None] == []
