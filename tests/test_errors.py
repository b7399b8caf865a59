"""Steps on bad input: errors that name the parameter, and a failure that leaves no trace."""

import copy

import pytest
import torch
from conftest import STATEFUL, assert_same_bits, parameters, set_gradients, train
from references import Case

import fusedopt

SHAPES = ((4, 3), (5,), (2, 3))
NAMES = ("body.weight", "body.bias", "head.weight")


# --- a step that raises ---


def stale_gradient(p, optimizer):
    p.data = torch.zeros(4, 4, dtype=p.dtype)


def sparse_gradient(p, optimizer):
    p.grad = p.grad.to_sparse()


def gradient_of(dtype):
    def apply(p, optimizer):
        p.grad = None
        p.grad_dtype = dtype
        p.grad = torch.ones_like(p, dtype=dtype)

    return apply


def expanded_parameter(p, optimizer):
    p.data = p.data[:1, :1].expand(p.shape)


def bad_state(value, key="exp_avg"):
    def apply(p, optimizer):
        optimizer.state[p][key if key in optimizer.state[p] else "momentum_buffer"] = value

    return apply


def bad_count(value):
    def apply(p, optimizer):
        optimizer.state[p]["step"] = value

    return apply


def bad_option(**values):
    return lambda p, optimizer: optimizer.param_groups[1].update(values)


# what breaks the last parameter, the type of the error, and what its message says
GRADIENTS = {
    "sparse": (
        sparse_gradient,
        RuntimeError,
        ["does not support sparse gradients", "more than one sparse dimension", "to_dense()"],
    ),
    "stale": (stale_gradient, RuntimeError, ["(2, 3)", "(4, 4)", "zero_grad()"]),
    "integer": (gradient_of(torch.int64), RuntimeError, ["int64", "float32, bfloat16, float16"]),
    "complex": (gradient_of(torch.complex64), RuntimeError, ["complex64", "torch.view_as_real"]),
    "expanded": (expanded_parameter, RuntimeError, ["overlap"]),
}
STATES = {
    "shape": (bad_state(torch.zeros(7)), ValueError, ["(7,)", "(2, 3)", "load a state dict"]),
    "dtype": (bad_state(torch.zeros(2, 3, dtype=torch.int64)), ValueError, ["int64", "load a state dict"]),
    "kind": (bad_state("abc"), ValueError, ["'abc'", "load a state dict"]),
    "device": (bad_state(torch.zeros(2, 3, device="meta")), RuntimeError, ["meta", "cpu", "move it"]),
}
ROWS = {
    "row": (bad_state(torch.zeros(2, 3), "row_var"), ValueError, ["'row_var'", "(2, 3)", "floating", "(2, 1)"]),
    "column": (bad_state(torch.zeros(1, 3).byte(), "col_var"), ValueError, ["'col_var'", "uint8", "a floating"]),
}
BITS = {
    "width": (bad_state(torch.zeros(3, 2).byte(), "exp_avg_sign"), ValueError, ["(3, 2)", "uint8", "shape (3, 1)"]),
    "dtype": (bad_state(torch.zeros(3, 1), "exp_avg_sign"), ValueError, ["float32", "a uint8", "shape (3, 1)"]),
    "row": (bad_state(torch.zeros(2), "exp_avg_sq_row"), ValueError, ["'exp_avg_sq_row'", "(2,)", "(3,)"]),
}
COUNTS = {
    "two": (bad_count(torch.zeros(2)), ValueError, ["state['step']"]),
    "word": (bad_count("three"), (TypeError, ValueError), ["state['step']", "'three'"]),
    "none": (bad_count(None), (TypeError, ValueError), ["state['step']"]),
}
OPTIONS = {
    "lr": (bad_option(lr="fast"), (RuntimeError, TypeError, ValueError), []),
    "decay": (bad_option(weight_decay=None), (RuntimeError, TypeError, ValueError), []),
    "clip": (bad_option(max_grad_norm=2.0), ValueError, ["max_grad_norm", "2.0"]),
    "format": (bad_option(state_format="fp8"), (RuntimeError, ValueError), ["state_format", "'fp8'"]),
}
FIRST = {**GRADIENTS, **OPTIONS}
LATER = {**GRADIENTS, **STATES, **OPTIONS}
del LATER["format"]  # read when state is created
ADAMW, SGD = STATEFUL
PLAIN = Case(fusedopt.SGD, {"lr": 0.1})


def build(case):
    """Three dtypes in two groups, so that several engine runs make one step, and the last of them is broken."""
    params = [p.detach().to(d).requires_grad_() for p, d in zip(parameters(SHAPES), DTYPES, strict=True)]
    named = list(zip(NAMES, params, strict=True))
    return params, case.build([{"params": named[:2]}, {"params": named[2:]}])


DTYPES = (torch.float64, torch.bfloat16, torch.float32)


def snapshot(optimizer, params):
    return copy.deepcopy(([p.detach() for p in params], [optimizer.state.get(p) for p in params]))


def assert_nothing_changed(optimizer, params, before):
    assert_same_bits(params, before[0])
    for record, expected in zip([optimizer.state.get(p) for p in params], before[1], strict=True):
        assert (record is None) == (expected is None)
        tensors = {k: v for k, v in (record or {}).items() if isinstance(v, torch.Tensor) and v.device.type != "meta"}
        assert_same_bits(tensors, {k: v for k, v in (expected or {}).items() if k in tensors})


def break_and_check(case, steps, change, error):
    """Breaks the optimizer after ``steps`` steps and repairs it: the failure left no trace. Returns its message."""
    params, optimizer = build(case)
    train(optimizer, params, steps)
    set_gradients(params, steps)
    spare = copy.deepcopy(optimizer.state_dict())
    change(params[2], optimizer)
    before = snapshot(optimizer, params)
    with pytest.raises(error) as caught:
        optimizer.step()
    assert_nothing_changed(optimizer, params, before)
    repair(optimizer, params, spare)
    twins, plain = build(case)
    train(plain, twins, steps)
    params[2].grad, params[2].grad_dtype = None, torch.float32
    params[2].data = twins[2].data.clone()
    train(optimizer, params, 2, start=steps)
    train(plain, twins, 2, start=steps)
    assert_same_bits(params, twins)
    return str(caught.value)


def repair(optimizer, params, spare):
    broken = optimizer.state.get(params[2])
    if broken is not None and spare["state"].get(2):
        broken.update(spare["state"][2])
    optimizer.param_groups[1].update({k: v for k, v in spare["param_groups"][1].items() if k != "params"})


def rows(table, cases):
    return [pytest.param(case, *row, id=f"{case}-{kind}") for case in cases for kind, row in table.items()]


@pytest.mark.parametrize(("case", "change", "error", "words"), rows(FIRST, [ADAMW, SGD]))
def test_a_first_step_that_raises_changes_nothing(backend, case, change, error, words):
    message = break_and_check(case, 0, change, error)
    assert [word for word in words if word not in message] == []


LATER_ROWS = [*rows(LATER, [ADAMW, SGD]), *rows(COUNTS, [ADAMW]), *rows(GRADIENTS, [PLAIN])]
LATER_ROWS += [*rows({**GRADIENTS, **ROWS}, [Case(fusedopt.Adafactor)]), *rows(BITS, [Case(fusedopt.SMMF)])]


@pytest.mark.parametrize(("case", "change", "error", "words"), LATER_ROWS)
def test_a_later_step_that_raises_changes_nothing(backend, case, change, error, words):
    message = break_and_check(case, 2, change, error)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize("name", ["cuda", "no such backend"])
@pytest.mark.parametrize("case", STATEFUL, ids=str)
def test_a_backend_that_cannot_run_changes_nothing(case, name):
    params, optimizer = build(case)
    set_gradients(params, 0)
    before = snapshot(optimizer, params)
    with pytest.raises((RuntimeError, ValueError), match=name), fusedopt.use_backend(name):
        optimizer.step()
    assert_nothing_changed(optimizer, params, before)


def test_backend_of_the_environment_is_checked(monkeypatch):
    params, optimizer = build(ADAMW)
    set_gradients(params, 0)
    monkeypatch.setenv("FUSEDOPT_BACKEND", "fast")
    with pytest.raises(ValueError, match="Invalid backend: 'fast'; choose from cpu, cuda, triton, eager"):
        optimizer.step()


# --- which parameter ---


BROKEN = [(0, *row) for row in GRADIENTS.values()] + [(2, *row) for row in {**GRADIENTS, **STATES, **COUNTS}.values()]
BROKEN_IDS = [*GRADIENTS, *(f"later {kind}" for kind in (*GRADIENTS, *STATES, *COUNTS))]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(("steps", "change", "error", "words"), BROKEN, ids=BROKEN_IDS)
def test_errors_name_the_parameter(backend, steps, change, error, words, named):
    params = parameters(SHAPES)
    named_params = list(zip(NAMES, params, strict=True)) if named else params
    optimizer = fusedopt.AdamW([{"params": named_params[:2]}, {"params": named_params[2:]}])
    train(optimizer, params, steps)
    set_gradients(params, steps)
    change(params[2], optimizer)
    with pytest.raises(error) as caught:
        optimizer.step()
    assert ("params[2] ('head.weight')" if named else "params[2]") in str(caught.value)
    assert "AdamW" in str(caught.value)


def test_complex_parameter_is_refused(backend):
    params = [*parameters(((3,),)), torch.ones(2, dtype=torch.complex64, requires_grad=True)]
    for p in params:
        p.grad = torch.ones_like(p)
    with pytest.raises(RuntimeError, match=r"params\[1\] .*complex64.*torch\.view_as_real"):
        fusedopt.AdamW(params).step()
    assert_same_bits(params[:1], parameters(((3,),)))
