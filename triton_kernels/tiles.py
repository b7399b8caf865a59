"""Where a tile of a parameter's values lies in memory.

A parameter is a batch of matrices in row-major order, a tile of it has three dimensions, and a value per row, column
or matrix has size 1 where it is shared. A value's place is a column of ``table`` or, from WORDS on, of ``places``,
which say where in ``scratch``; a scalar's place is a column of the scalar table.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import triton
import triton.language as tl

from .math import narrow
from .step import COLS, NUMEL, ROWS, WORDS


@dataclass(frozen=True)
class Value:
    place: int
    shape: str


class Memory(NamedTuple):
    """One tensor's row of the table, scratch memory, and the tensor's places in it."""

    words: Any
    scratch: Any
    places: Any


class At(NamedTuple):
    """A tile: its matrices, rows and columns, which count from ``left``, and how many of each there are."""

    m: Any
    r: Any
    left: Any
    c: Any
    batch: Any
    rows: Any
    cols: Any
    end: Any  # of the columns, counted from `left` too


@triton.jit
def locate(table, chunks, scratch, places, S: tl.constexpr):
    pair = chunks + 2 * tl.program_id(0).to(tl.int64)
    tensor = tl.load(pair).to(tl.int64)
    memory = Memory(table + tensor * WORDS, scratch, places + tensor * S.columns)
    return memory, tl.load(pair + 1).to(tl.int64)


@triton.jit
def extent(words, DOMAIN: tl.constexpr):
    """How many matrices, rows and columns a sweep over the domain visits."""
    batch, rows, cols = tl.load(words + NUMEL), tl.load(words + ROWS), tl.load(words + COLS)
    batch = batch // (rows * cols)
    one = tl.full((), 1, tl.int64)
    if DOMAIN == "tensor":
        batch = one
    if DOMAIN != "element" and DOMAIN != "row":
        rows = one
    if DOMAIN != "element" and DOMAIN != "col":
        cols = one
    return batch, rows, cols


@triton.jit
def pointer(memory, PLACE: tl.constexpr, TYPE: tl.constexpr):
    if PLACE < WORDS:
        return tl.load(memory.words + PLACE).to(tl.pointer_type(TYPE))
    else:
        return memory.scratch + tl.load(memory.places + (PLACE - WORDS))


@triton.jit
def is_inside(at, SHAPE: tl.constexpr):
    """Which of the tile's values of a shape are in the tensor."""
    inside = at.m < at.batch
    if SHAPE == "element" or SHAPE == "row":
        inside &= at.r < at.rows
    if SHAPE == "element" or SHAPE == "col":
        inside &= at.c < at.end
    return inside


@triton.jit
def offset(at, SHAPE: tl.constexpr):
    """Where they are in the tensor."""
    if SHAPE == "row":
        return at.m * at.rows + at.r
    elif SHAPE == "col":
        return at.m * at.cols + at.left + at.c
    else:
        return at.m


@triton.jit
def elements(memory, at, PLACE: tl.constexpr, S: tl.constexpr):
    """Pointers, said to be aligned even if they are not, so that the order of sums is the same; the mask tells."""
    BYTES: tl.constexpr = S.width * S.types[PLACE].primitive_bitwidth // 8
    base = tl.multiple_of(pointer(memory, PLACE, S.types[PLACE]), BYTES)
    return base + (offset(at, "row") * at.cols + at.left) + at.c


@triton.jit
def _bytes(memory, at, byte, PLACE: tl.constexpr):
    """Where bytes of signs are, counted from the tile's left."""
    start = offset(at, "row") * ((at.cols + 7) // 8) + at.left // 8
    return pointer(memory, PLACE, tl.uint8) + start + byte


@triton.jit
def read(memory, row, at, VALUE: tl.constexpr, S: tl.constexpr):
    """The tile's part of a value, in the arithmetic type."""
    T: tl.constexpr = S.arithmetic
    if VALUE.shape == "scalar":
        return tl.load(row + VALUE.place).to(T)
    elif VALUE.shape == "tensor":
        return tl.load(pointer(memory, VALUE.place, T))
    elif VALUE.shape == "sign":
        pointers = _bytes(memory, at, at.c >> 3, VALUE.place)
        bits = tl.load(pointers, is_inside(at, "element"), 0).to(tl.int32) >> (at.c & 7)
        return tl.where(bits & 1 == 1, 1.0, -1.0).to(T)
    elif VALUE.shape == "element":
        return tl.load(elements(memory, at, VALUE.place, S), is_inside(at, "element"), 0).to(T)
    else:
        return tl.load(pointer(memory, VALUE.place, T) + offset(at, VALUE.shape), is_inside(at, VALUE.shape), 0)


@triton.jit
def write(x, memory, at, VALUE: tl.constexpr, S: tl.constexpr):
    if VALUE.shape == "tensor":
        tl.store(pointer(memory, VALUE.place, S.arithmetic), x)
    elif VALUE.shape == "sign":
        _write_signs(x > 0, memory, at, VALUE.place)
    elif VALUE.shape == "element":
        pointers = elements(memory, at, VALUE.place, S)
        tl.store(pointers, narrow(x, S.types[VALUE.place]), is_inside(at, "element"))
    else:
        pointers = pointer(memory, VALUE.place, S.arithmetic) + offset(at, VALUE.shape)
        tl.store(pointers, x, is_inside(at, VALUE.shape))


@triton.jit
def _write_signs(positive, memory, at, PLACE: tl.constexpr):
    """One bit an element, the lowest first."""
    inside = is_inside(at, "element")
    EIGHTS: tl.constexpr = inside.shape[2] // 8
    bits = tl.reshape((positive & inside).to(tl.int32) << (at.c & 7), (inside.shape[0], inside.shape[1], EIGHTS, 8))
    byte = tl.arange(0, EIGHTS)[None, None, :]
    inside = is_inside(at, "row") & (byte * 8 < at.end)
    tl.store(_bytes(memory, at, byte, PLACE), tl.sum(bits, 3).to(tl.uint8), inside)
