"""How a rule with row and column statistics sees a parameter: as matrices, in row-major order."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Matrix:
    """``batch`` matrices of ``rows`` x ``cols``, together the parameter's elements; and its statistics' shapes.

    ``row`` and ``col`` are the shapes of state tensors with a value per row or column of each matrix.
    """

    batch: int
    rows: int
    cols: int
    row: tuple[int, ...]
    col: tuple[int, ...]

    def shape(self, kind, p):
        """The shape of a state of this kind (:data:`fusedopt.rule.KINDS`) for parameter ``p``."""
        if kind == "sign":
            return (self.batch * self.rows, -(-self.cols // 8))  # a row of bits begins a new byte
        return {"row": self.row, "col": self.col, "matrix": (self.batch,), "tensor": ()}.get(kind, tuple(p.shape))

    def view(self, kind, tensor):
        """A state, gradient or parameter as rules see it: three dimensions, of size 1 where it is shared."""
        rows = self.rows if kind not in ("col", "matrix", "tensor") else 1
        cols = self.cols if kind not in ("row", "matrix", "tensor") else 1
        return tensor.reshape(self.batch if kind != "tensor" else 1, rows, cols)


def one_row(p):
    """The whole parameter as one row."""
    return Matrix(1, 1, p.numel(), (1,), tuple(p.shape))


def last_two(p):
    """A matrix over the last two dimensions for each index of the others, as torch and transformers factor."""
    *lead, rows, cols = p.shape
    return Matrix(math.prod(lead), rows, cols, (*lead, rows, 1), (*lead, 1, cols))


def flatten(p):
    """One matrix: the first dimension against all others."""
    rows, *rest = p.shape
    return Matrix(1, rows, math.prod(rest), (rows, *[1] * len(rest)), (1, *rest))


def square(p):
    """The most nearly square matrix of the parameter's elements: ``cols`` is the largest divisor up to the root.

    SMMF, arXiv:2412.08894, Algorithm 2.
    """
    n = p.numel()
    cols = next((i for i in range(math.isqrt(n), 0, -1) if n % i == 0), 0)
    rows = n // cols if cols else 0
    return Matrix(1, rows, cols, (rows,), (cols,))
