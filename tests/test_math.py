"""Functions that rules are made of, against numpy's in extended precision."""

import numpy
import pytest
import torch

from fusedopt import math, minimax

WIDE = numpy.longdouble
FUNCTIONS = {  # ours, numpy's
    "softplus": (math.softplus, lambda x: x + numpy.log1p(numpy.exp(-x))),
    "sigmoid": (math.sigmoid, lambda x: 1 / (1 + numpy.exp(-x))),
    "atan2": (math.atan2, numpy.arctan2),
}
EXTENDED = pytest.mark.skipif(numpy.finfo(WIDE).eps > 1e-18, reason="long double is no wider than double here")


def draws(dtype):
    """Numbers of every size that gradients may have, and around one."""
    generator = numpy.random.default_rng(0)
    spread = 10 ** generator.uniform(-18, 18, 100_000)
    draws = generator.uniform(0, 50, 100_000), generator.uniform(0, 2, 100_000), spread
    return numpy.concatenate(draws).astype(dtype)


def arguments_of(name, dtype):
    x = draws(dtype)
    if name != "atan2":
        return [x]
    signs = numpy.where(numpy.arange(len(x)) % 2, 1, -1).astype(dtype)
    return [signs * numpy.random.default_rng(1).permutation(x), x]


@EXTENDED
@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_four_units_in_the_last_place(name, dtype):
    function, reference = FUNCTIONS[name]
    arguments = arguments_of(name, dtype)
    found = function(*map(torch.from_numpy, arguments)).numpy()
    expected = reference(*(argument.astype(WIDE) for argument in arguments))
    assert (numpy.abs(found - expected) / numpy.spacing(numpy.abs(expected).astype(dtype))).max() < 4


def quotient(over, under):
    return lambda x: numpy.polyval(over[::-1], x) / numpy.polyval(under[::-1], x)


def arctan_series(coefficients):
    return lambda x: x * numpy.polyval(numpy.array(coefficients[::-1], WIDE), x * x)


def rise(x):
    return x * quotient(minimax.SIGMOID_OVER, minimax.SIGMOID_UNDER)(x * x)


@EXTENDED
@pytest.mark.parametrize(
    ("approximation", "exact", "end", "bound"),
    [
        (arctan_series(minimax.ARCTAN_SINGLE), numpy.arctan, 1, 1.7e-8),
        (arctan_series(minimax.ARCTAN_DOUBLE), numpy.arctan, 1, 2e-17),
        (rise, lambda x: 1 / (1 + numpy.exp(-x)) - WIDE(0.5), 17, 1.2e-8),
        (quotient(minimax.FALLOFF_OVER, minimax.FALLOFF_UNDER), lambda x: numpy.log1p(numpy.exp(-x)), 17, 1.7e-8),
    ],
)
def test_approximations_are_as_close_as_they_say(approximation, exact, end, bound):
    x = numpy.linspace(0, end, 100_001, dtype=WIDE)
    assert numpy.abs(approximation(x) - exact(x)).max() < bound


NAN, INF = torch.nan, torch.inf


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (math.softplus, ([0.0, INF, NAN, 1e30],), [0.6931471805599453, INF, NAN, 1e30]),
        (math.sigmoid, ([0.0, INF, NAN, 1e30],), [0.5, 1.0, NAN, 1.0]),
        (
            math.atan2,
            ([0.0, 1.0, -1.0, 0.0, INF, 1.0, -3e38, NAN, 1.0], [0.0, 0.0, 0.0, 1.0, 1.0, INF, 3e38, 1.0, NAN]),
            [0.0, torch.pi / 2, -torch.pi / 2, 0.0, torch.pi / 2, 0.0, -torch.pi / 4, NAN, NAN],
        ),
    ],
)
def test_edges(function, arguments, expected, dtype):
    found = function(*(torch.tensor(argument, dtype=dtype) for argument in arguments))
    unit = torch.finfo(dtype).eps
    torch.testing.assert_close(found, torch.tensor(expected, dtype=dtype), rtol=2 * unit, atol=0, equal_nan=True)
