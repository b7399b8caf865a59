"""The vocabulary of rules: every name a rule may use besides + - * / and comparisons.

Primitives are bound once per engine: here to torch, in ``csrc/math.h`` and ``csrc/cpu/vec.h`` to C++, in
``triton_kernels/math.py`` to Triton. Composites below them are rule text themselves, so every engine reads these lines.
"""

import numpy
import torch

PRIMITIVES = ("sqrt", "abs", "select")
COMPOSITES = ("maximum", "sign")


def sqrt(x):
    """Square root, correctly rounded. torch's own is an ulp off for a fifth of all floats on AVX2 (2.13)."""
    if x.device.type != "cpu":
        return torch.sqrt(x)
    root = torch.empty_like(x)
    with numpy.errstate(invalid="ignore"):
        numpy.sqrt(x.detach().numpy(), out=root.numpy())
    return root


def abs(x):
    """Magnitude; clears the sign bit of a NaN too."""
    return torch.abs(x)


def select(condition, a, b):
    """``a`` where ``condition`` holds, else ``b``; a comparison with NaN does not hold."""
    if isinstance(condition, bool):  # of literals
        return a if condition else b
    return torch.where(condition, a, b)


def maximum(a, b):
    return select(a > b, a, select(b >= a, b, a + b))  # a + b carries a NaN of either side


def sign(x):
    return select(x > 0, 1, select(x < 0, -1, x))  # keeps NaN, so that a broken gradient stays visible
