"""The vocabulary of rules: every name a rule may use besides + - * / and comparisons.

Primitives are bound once per engine: here to torch, in ``csrc/math.h`` and ``csrc/cpu/vec.h`` to C++, in
``triton_kernels/math.py`` to Triton. Composites below them are rule text themselves, so every engine reads these lines.
Reductions see a parameter as matrices: element values are (matrices, rows, columns), row values (matrices, rows, 1).
"""

import functools

import numpy
import torch

from .trace import Value

PRIMITIVES = ("sqrt", "abs", "select")
COMPOSITES = ("rsqrt", "maximum", "minimum", "sign")


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
