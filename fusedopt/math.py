"""The vocabulary of rules: every name a rule may use besides + - * / and comparisons.

Primitives are bound once per engine: here to torch, in ``csrc/math.h`` and ``csrc/cpu/vec.h`` to C++, in
``triton_kernels/math.py`` to Triton. Composites below them are rule text themselves, so every engine reads these lines.
Reductions see a parameter as matrices: element values are (matrices, rows, columns), row values (matrices, rows, 1).
"""

import functools
import math

import numpy
import torch

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


def _horner(x, coefficients):
    return functools.reduce(lambda total, coefficient: total * x + coefficient, reversed(coefficients))


def _polynomial(x, coefficients):
    """The constant term first. Even and odd powers apart, as a processor can work on both at once."""
    return _horner(x * x, coefficients[::2]) + x * _horner(x * x, coefficients[1::2])


def _series(x, coefficients, single):
    """Of which ``single`` terms are enough for float32."""
    return by_precision(_polynomial(x, coefficients[:single]), _polynomial(x, coefficients))


FALL = [(-1.0) ** (k + 1) / math.factorial(k + 1) for k in range(9)]  # of (exp(-x) - 1) / x
ARTANH = [1 / (2 * k + 1) for k in range(11)]  # of artanh(x) / x in x * x, for x up to 1 / 5
ARCTAN = [(-1.0) ** k / (2 * k + 1) for k in range(20)]  # of arctan(x) / x in x * x, for x up to tan(pi / 8)


def _fall(x):
    """exp(-x) - 1 of x >= 0: a series for x / 64, whose argument is doubled six times.

    Its first term left out changes exp(-x) by exp(-x) * x**10 / 64**9 / 10!, less than 1e-17. Beyond 40 it is exp(-40).
    """
    x = minimum(x, 40) * 2.0**-6
    e = x * _series(x, FALL, 5)
    for _ in range(6):
        e = e * (2 + e)
    return e


@vocabulary
def softplus(x):
    """log(1 + exp(x)) of x >= 0, within 4 units in the last place of float32 and of float64."""
    e = _fall(x)
    w = (e + 0.5) / (e + 3.5)  # log(2 + e) is log(1.5) + 2 artanh(w)
    return x + (math.log(1.5) + 2 * w * _series(w * w, ARTANH, 5))


@vocabulary
def sigmoid(x):
    """1 / (1 + exp(-x)) of x >= 0, within 4 units in the last place."""
    return 1 / (2 + _fall(x))


@vocabulary
def atan2(y, x):
    """The angle of the point (x, y) for x >= 0, within 4 units in the last place; zero at (0, 0)."""
    a, eighth = abs(y), math.sqrt(2) - 1  # tan(pi / 8): the series is for angles up to that of an axis or the diagonal
    low, high = a <= eighth * x, x <= eighth * a
    across = select(low, a, select(high, -x, a - x))
    along = select(low, x, select(high, a, a + x))
    r = across / select(along > 0, along, 1)
    angle = r * _series(r * r, ARCTAN, 9)
    angle = select(low, angle, select(high, math.pi / 2 + angle, math.pi / 4 + angle))
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
