"""Rules with statistics per row and column: accuracy, range, and the same bits in every run."""

import functools

import pytest
import torch
from conftest import assert_same_bits, parameters, records, set_gradients, train
from factored_cases import (
    ADAFACTOR,
    AMOS,
    AMOS_TENSOR,
    FACTORED,
    FLAT,
    SHAPES,
    SM3,
    SM3_I,
    SMMF,
    assert_finite,
    assert_near,
    draws,
    moved,
    zeros,
)

import fusedopt

MATRICES = [(64, 96), (200, 130), (1, 50), (50, 1), (31, 37), (4, 3, 3, 3), (1000,), (2000, 2)]

# --- accuracy ---


@pytest.mark.parametrize("form", ["late_sqrt", "torch", "hf"])
def test_adafactor_is_as_accurate_as_torch(backend, form):
    """The float32 error of ten steps against float64: at most three times torch's own."""
    start, gradients = parameters(MATRICES), draws(MATRICES, 10)
    theirs = functools.partial(torch.optim.Adafactor, eps=(1e-30, 1e-3))
    ours = functools.partial(fusedopt.Adafactor, eps=(1e-30, 1e-3), second_moment_form=form)

    def run(build, exact):
        return torch.cat([x.flatten() for x in moved(build, start, gradients, exact)[0]])

    exact = run(theirs, True)
    torch.testing.assert_close(run(ours, True), exact, rtol=0, atol=1e-14)
    error, limit = run(ours, False) - exact, run(theirs, False) - exact
    assert error.norm() <= 3 * limit.norm()
    assert error.abs().max() <= 3 * limit.abs().max()


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_float32_equals_float64_to_rounding(backend, case):
    """From zero, so that no rounding of weights hides an error of the steps."""
    start, gradients = zeros(SHAPES), draws(SHAPES, 10)
    found, optimizer = moved(case.build, start, gradients)
    expected, _ = moved(case.build_reference, start, gradients, exact=True)
    assert_near(found, expected, 1e-5)
    assert_finite(found, optimizer)


HALF = [torch.bfloat16, torch.float16]


def unit_in_the_last_place(x, dtype):
    info = torch.finfo(dtype)
    return info.eps * x.abs().clamp(min=info.tiny).log2().floor().exp2()


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_half_weights_are_the_formula_rounded(backend, case, dtype):
    """Within one unit in the last place of the weight, from the weights of the step before; statistics are float32."""
    params = parameters(SHAPES, dtype)
    exact = [p.detach().double().requires_grad_() for p in params]
    optimizer, reference = case.build(params), case.build_reference(exact)
    for seed in range(5):
        set_gradients(params, seed)
        for p, q in zip(params, exact, strict=True):
            q.data.copy_(p.data)
            q.grad = p.grad.double()
        optimizer.step()
        reference.step()
        for p, q in zip(params, exact, strict=True):
            units = (p.detach().double() - q.detach()) / unit_in_the_last_place(q.detach(), dtype)
            assert not units.numel() or units.abs().max() <= 1
    for record in records(optimizer, params):
        signs = {"exp_avg_sign": torch.uint8}
        assert {key: x.dtype for key, x in record.items()} == {key: signs.get(key, torch.float32) for key in record}


# --- range ---

SCALES = [1e-20, 1e-12, 1e-6, 1e6, 1e10]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_gradients_of_any_size(backend, case, scale):
    """Squares below 1e-38 are denormal: they have few digits left, where they still count."""
    start, gradients = zeros(SHAPES), draws(SHAPES, 5, lambda g: g * scale)
    found, optimizer = moved(case.build, start, gradients)
    expected, _ = moved(case.build_reference, start, gradients, exact=True)
    assert_finite(found, optimizer)
    assert_near(found, expected, 1e-3 if scale == 1e-20 else 1e-5)


@pytest.mark.parametrize("scale", [1e-10, 1e-4, 1.0, 1e10])
def test_torchs_form_has_torchs_range(backend, scale):
    """Too large a step for gradients below the epsilon, none where the product of the means overflows."""
    shapes = [(13, 7), (5,), (), (4, 3, 3, 3)]
    start, gradients = parameters(shapes), draws(shapes, 5, lambda g: g * scale)
    found, _ = moved(functools.partial(fusedopt.Adafactor, second_moment_form="torch"), start, gradients)
    expected, _ = moved(torch.optim.Adafactor, start, gradients)
    assert_near(found, expected, 1e-4)


def spread(g, rows, columns):
    """From 10**-rows to 10**rows down the rows, and so along the columns."""
    if g.dim() < 2 or not g.numel():
        return g
    return g * torch.logspace(-rows, rows, g.shape[-2])[:, None] * torch.logspace(-columns, columns, g.shape[-1])


SPREAD = [(case, 9, 6) for case in (ADAFACTOR, FLAT, SM3, AMOS)]
SPREAD.append((SMMF, 5, 3))  # squares of columns, relative to their mean, must be float32: here, and at the authors'


@pytest.mark.parametrize(("case", "rows", "columns"), SPREAD, ids=str)
def test_rows_and_columns_of_any_size(backend, case, rows, columns):
    start, gradients = zeros(SHAPES), draws(SHAPES, 5, lambda g: spread(g, rows, columns))
    found, optimizer = moved(case.build, start, gradients)
    expected, _ = moved(case.build_reference, start, gradients, exact=True)
    assert_finite(found, optimizer)
    assert_near(found, expected, 1e-5)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e10])
@pytest.mark.parametrize("dead_from", [0, 3])
@pytest.mark.parametrize("case", [ADAFACTOR, FLAT, SM3, SM3_I, AMOS, AMOS_TENSOR, SMMF], ids=str)
def test_dead_rows_cross_dead_columns(backend, case, dead_from, scale):
    """A padding row and a dead unit: no gradient, in later steps or ever."""
    shapes = [(8, 6), (16, 16), (4, 3, 5, 5)]
    gradients = draws(shapes, 8, lambda g: g * scale)
    for grads in gradients[dead_from:]:
        for g in grads:
            g[..., 2, :] = 0
            g[..., :, 1] = 0
    found, optimizer = moved(case.build, zeros(shapes), gradients)
    expected, _ = moved(case.build_reference, zeros(shapes), gradients, exact=True)
    assert_finite(found, optimizer)
    assert_near(found, expected, 1e-3 if scale == 1e-20 else 1e-5)
    if dead_from == 0 and case is ADAFACTOR:
        assert all(x[..., 2, :].abs().max() == 0 for x in found)


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_all_gradients_zero(backend, case):
    found, optimizer = moved(case.build, parameters(SHAPES), [[torch.zeros(shape) for shape in SHAPES]] * 3)
    assert_finite(found, optimizer)
    assert all(bool((x == 0).all()) for x in found)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_a_broken_gradient_stays_visible(backend, case, value):
    """In its element at least, and in no other tensor."""
    shapes = [(8, 6), (8, 6), (5,)]
    gradients = draws(shapes, 1)
    gradients[0][0][3, 2] = value
    (broken, *others), _ = moved(case.build, parameters(shapes), gradients)
    assert bool(broken[3, 2].isnan())
    assert_same_bits(others, moved(case.build, parameters(shapes)[1:], [gradients[0][1:]])[0])


# --- the same bits ---

LARGE = [(200, 300), (20011,), (5, 7, 30, 30), (3, 5), ()]
SHARED = [(1100, 1000), (3, 700, 600), (120_000, 3, 3)]  # of a million elements and more


def trained(case, params, steps=3):
    optimizer = case.build(params)
    train(optimizer, params, steps)
    return [*params, *(x for record in records(optimizer, params) for x in record.values())]


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_two_runs_are_equal(backend, case):
    assert_same_bits(trained(case, parameters(LARGE)), trained(case, parameters(LARGE)))


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_any_number_of_threads_is_equal(case):
    threads, results = torch.get_num_threads(), []
    try:
        with fusedopt.use_backend("cpu"):
            for n in (1, 2, 5):
                torch.set_num_threads(n)
                results.append(trained(case, parameters([*LARGE, *SHARED])))
    finally:
        torch.set_num_threads(threads)
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_tensors_that_take_all_threads(case):
    """Many threads share one such tensor; in float64, eager's sums and theirs are equal to rounding."""
    results = {}
    for backend in ("eager", "cpu"):
        with fusedopt.use_backend(backend):
            results[backend] = trained(case, parameters(SHARED, torch.float64), 2)
    for found, expected in zip(results["cpu"], results["eager"], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)
