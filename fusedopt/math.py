"""The vocabulary of rules: every name a rule may use besides + - * / and comparisons.

Primitives are bound once per engine: here to torch, in ``csrc/math.h`` and ``csrc/cpu/vec.h`` to C++, in
``triton_kernels/math.py`` to Triton. Composites below them are rule text themselves, so every engine reads these lines.
Reductions see a parameter as matrices: element values are (matrices, rows, columns), row values (matrices, rows, 1).
"""

import functools
import math

import numpy
import torch

from . import minimax
from .trace import Value

PRIMITIVES = ("sqrt", "abs", "select", "by_precision")
COMPOSITES = ("rsqrt", "maximum", "minimum", "sign", "softplus", "sigmoid", "atan2")


def vocabulary(function):
    """``function`` on tensors; on the symbols of a trace, a call of its name."""

    @functools.wraps(function)
    def call(*arguments):
        if any(isinstance(x, Value) for x in arguments):
            return Value.call(function.__name__, *arguments)
        return function(*arguments)

    return call


@vocabulary
def sqrt(x):
    """Square root, correctly rounded. torch's own is an ulp off for a fifth of all floats on AVX2 (2.13)."""
    if x.device.type != "cpu":
        return torch.sqrt(x)
    root = torch.empty_like(x)
    with numpy.errstate(invalid="ignore"):
        numpy.sqrt(x.detach().numpy(), out=root.numpy())
    return root


@vocabulary
def abs(x):
    """Magnitude; clears the sign bit of a NaN too."""
    return torch.abs(x)


@vocabulary
def select(condition, a, b):
    """``a`` where ``condition`` holds, else ``b``; a comparison with NaN does not hold."""
    if isinstance(condition, bool):  # of literals
        return a if condition else b
    return torch.where(condition, a, b)


@vocabulary
def by_precision(single, double):
    """``single`` where the arithmetic is float32, ``double`` where it is float64: a series needs more terms there."""
    return double if double.dtype == torch.float64 else single


@vocabulary
def rsqrt(x):
    """One over the square root: two roundings, on every engine."""
    return 1 / sqrt(x)


@vocabulary
def maximum(a, b):
    return select(a > b, a, select(b >= a, b, a + b))  # a + b carries a NaN of either side


@vocabulary
def minimum(a, b):
    return select(a < b, a, select(b <= a, b, a + b))


@vocabulary
def sign(x):
    return select(x > 0, 1, select(x < 0, -1, x))  # keeps NaN, so that a broken gradient stays visible


def _polynomial(x, coefficients):
    """The constant term first. By Estrin's scheme, as a processor can work on every pair at once."""
    if len(coefficients) == 1:
        return coefficients[0]
    alone = coefficients[-1:] if len(coefficients) % 2 else ()
    pairs = [low + high * x for low, high in zip(coefficients[::2], coefficients[1::2], strict=False)]
    return _polynomial(x * x, (*pairs, *alone))


def _exp_minus_one(x):
    """exp(-x) - 1 of x >= 0 in float64: a series for x / 64, whose argument is doubled six times.

    Its first term left out changes exp(-x) by exp(-x) * x**10 / 64**9 / 10!, less than 1e-17. Beyond 40 it is exp(-40).
    """
    x = _at_most(40, x) * 2.0**-6
    e = x * _polynomial(x, [(-1.0) ** (k + 1) / math.factorial(k + 1) for k in range(9)])
    for _ in range(6):
        e = e * (2 + e)
    return e


def _log_two_plus(x):
    """log(2 + x) of x between -1 and 0 in float64: log(1.5) + 2 artanh(w) for w up to 1 / 5."""
    w = (x + 0.5) / (x + 3.5)
    return math.log(1.5) + 2 * w * _polynomial(w * w, [1 / (2 * k + 1) for k in range(11)])


def _at_most(bound, x):
    return select(x > bound, bound, x)


@vocabulary
def softplus(x):
    """log(1 + exp(x)) of x >= 0, within 4 units in the last place of float32 and of float64."""
    y = _at_most(17, x)
    falloff = _polynomial(y, minimax.FALLOFF_OVER) / _polynomial(y, minimax.FALLOFF_UNDER)
    return x + by_precision(falloff, _log_two_plus(_exp_minus_one(x)))


@vocabulary
def sigmoid(x):
    """1 / (1 + exp(-x)) of x >= 0, within 4 units in the last place."""
    y = _at_most(17, x)
    s = y * y
    rise = y * _polynomial(s, minimax.SIGMOID_OVER) / _polynomial(s, minimax.SIGMOID_UNDER)
    return by_precision(0.5 + rise, 1 / (2 + _exp_minus_one(x)))


@vocabulary
def atan2(y, x):
    """The angle of the point (x, y) for x >= 0, within 4 units in the last place; zero at (0, 0)."""
    a = abs(y)
    steep = a > x
    along = select(steep, a, x)
    r = select(steep, x, a) / select(along <= 0, 1, along)
    s = r * r
    angle = r * by_precision(_polynomial(s, minimax.ARCTAN_SINGLE), _polynomial(s, minimax.ARCTAN_DOUBLE))
    angle = select(steep, math.pi / 2 - angle, angle)
    return select(y < 0, -angle, angle)


@vocabulary
def mean(x):
    """Over the whole parameter."""
    return torch.mean(x, (0, 1, 2), keepdim=True)


@vocabulary
def row_mean(x):
    """Along every row: a value per row; of column values, one per matrix."""
    return torch.mean(x, -1, keepdim=True)


@vocabulary
def col_mean(x):
    """Down every column: a value per column; of row values, one per matrix."""
    return torch.mean(x, -2, keepdim=True)


@vocabulary
def row_max(x):
    """The largest of values that are not negative; a NaN among them is the largest."""
    return torch.amax(x, -1, keepdim=True)


@vocabulary
def col_max(x):
    return torch.amax(x, -2, keepdim=True)
