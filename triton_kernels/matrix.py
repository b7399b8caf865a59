"""Rules that see matrices: a sweep for every kernel of ``rule.stages``, and what adds up its partial sums.

A parameter is a batch of matrices in row-major order, a tile of it has three dimensions, and a value per row, column
or matrix has size 1 where it is shared. A loop over row values is a sweep over matrices of one column, and so on. A
program walks down one band of rows; ``chunks`` holds pairs: a tensor, a program of that tensor. A value's place is a
column of ``table`` or, from WORDS on, of ``places``, which say where in ``scratch``; a scalar's, of the scalar table.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import triton
import triton.language as tl

from .math import VOCABULARY, narrow
from .step import COLS, L2, NUMEL, ROW, ROWS, WORDS, gradient, gradient_scale, stepped

BAND = 128  # rows a program walks at least, so that sums down the columns are few
RESULTS = 32  # that a program of `finish` makes

_BAND, _RESULTS = tl.constexpr(BAND), tl.constexpr(RESULTS)
_maximum = VOCABULARY["maximum"]


@dataclass(frozen=True)
class Value:
    place: int
    shape: str


@dataclass(frozen=True)
class Sum:
    """A reduction along rows, down columns ("row", "col") or over all ("tensor"), by way of ``partials``.

    Maxima are of values that are not negative, so that every reduction starts from 0.
    """

    along: str
    is_max: bool
    partials: int
    result: int


@dataclass(frozen=True, eq=False)  # compared by identity, which every launch does
class Sweep:
    """What a kernel reads and makes. ``moving`` values change down a column; ``written`` are stored again."""

    domain: str
    commits: bool
    reads_param: bool
    fixed: tuple[Value, ...]
    moving: tuple[Value, ...]
    written: tuple[Value, ...]
    outputs: tuple[Value, ...]
    row_sums: tuple[Sum, ...]
    sums: tuple[Sum, ...]
    columns: int  # of `places`
    tile: tuple[int, int, int]
    width: int  # elements of one access, of 16 bytes at most; every row is so many or a multiple
    types: tuple[tl.dtype, ...]  # of gradient, parameter and states
    arithmetic: tl.dtype


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
def _locate(table, chunks, scratch, places, S: tl.constexpr):
    pair = chunks + 2 * tl.program_id(0).to(tl.int64)
    tensor = tl.load(pair).to(tl.int64)
    memory = Memory(table + tensor * WORDS, scratch, places + tensor * S.columns)
    return memory, tl.load(pair + 1).to(tl.int64)


@triton.jit
def _extent(words, DOMAIN: tl.constexpr):
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
def _pointer(memory, PLACE: tl.constexpr, TYPE: tl.constexpr):
    if PLACE < WORDS:
        return tl.load(memory.words + PLACE).to(tl.pointer_type(TYPE))
    else:
        return memory.scratch + tl.load(memory.places + (PLACE - WORDS))


@triton.jit
def _inside(at, SHAPE: tl.constexpr):
    """Which of the tile's values of a shape are in the tensor."""
    inside = at.m < at.batch
    if SHAPE == "element" or SHAPE == "row":
        inside &= at.r < at.rows
    if SHAPE == "element" or SHAPE == "col":
        inside &= at.c < at.end
    return inside


@triton.jit
def _index(at, SHAPE: tl.constexpr):
    """Where they are in the tensor."""
    if SHAPE == "row":
        return at.m * at.rows + at.r
    elif SHAPE == "col":
        return at.m * at.cols + at.left + at.c
    else:
        return at.m


@triton.jit
def _elements(memory, at, PLACE: tl.constexpr, S: tl.constexpr):
    """Pointers, said to be aligned even if they are not, so that the order of sums is the same; the mask tells."""
    BYTES: tl.constexpr = S.width * S.types[PLACE].primitive_bitwidth // 8
    base = tl.multiple_of(_pointer(memory, PLACE, S.types[PLACE]), BYTES)
    return base + (_index(at, "row") * at.cols + at.left) + at.c


@triton.jit
def _bytes(memory, at, byte, PLACE: tl.constexpr):
    """Where bytes of signs are, counted from the tile's left."""
    start = _index(at, "row") * ((at.cols + 7) // 8) + at.left // 8
    return _pointer(memory, PLACE, tl.uint8) + start + byte


@triton.jit
def _read(memory, row, at, VALUE: tl.constexpr, S: tl.constexpr):
    """The tile's part of a value, in the arithmetic type."""
    T: tl.constexpr = S.arithmetic
    if VALUE.shape == "scalar":
        return tl.load(row + VALUE.place).to(T)
    elif VALUE.shape == "tensor":
        return tl.load(_pointer(memory, VALUE.place, T))
    elif VALUE.shape == "sign":
        pointers = _bytes(memory, at, at.c >> 3, VALUE.place)
        bits = tl.load(pointers, _inside(at, "element"), 0).to(tl.int32) >> (at.c & 7)
        return tl.where(bits & 1 == 1, 1.0, -1.0).to(T)
    elif VALUE.shape == "element":
        return tl.load(_elements(memory, at, VALUE.place, S), _inside(at, "element"), 0).to(T)
    else:
        return tl.load(_pointer(memory, VALUE.place, T) + _index(at, VALUE.shape), _inside(at, VALUE.shape), 0)


@triton.jit
def _write(x, memory, at, VALUE: tl.constexpr, S: tl.constexpr):
    if VALUE.shape == "tensor":
        tl.store(_pointer(memory, VALUE.place, S.arithmetic), x)
    elif VALUE.shape == "sign":
        _write_signs(x > 0, memory, at, VALUE.place)
    elif VALUE.shape == "element":
        pointers = _elements(memory, at, VALUE.place, S)
        tl.store(pointers, narrow(x, S.types[VALUE.place]), _inside(at, "element"))
    else:
        pointers = _pointer(memory, VALUE.place, S.arithmetic) + _index(at, VALUE.shape)
        tl.store(pointers, x, _inside(at, VALUE.shape))


@triton.jit
def _write_signs(positive, memory, at, PLACE: tl.constexpr):
    """One bit an element, the lowest first."""
    inside = _inside(at, "element")
    EIGHTS: tl.constexpr = inside.shape[2] // 8
    bits = tl.reshape((positive & inside).to(tl.int32) << (at.c & 7), (inside.shape[0], inside.shape[1], EIGHTS, 8))
    byte = tl.arange(0, EIGHTS)[None, None, :]
    inside = _inside(at, "row") & (byte * 8 < at.end)
    tl.store(_bytes(memory, at, byte, PLACE), tl.sum(bits, 3).to(tl.uint8), inside)


@triton.jit
def _joined(a, b, SUM: tl.constexpr):
    return _maximum(a, b) if SUM.is_max else a + b


@triton.jit
def _folded(x, AXIS: tl.constexpr, SUM: tl.constexpr):
    if not SUM.is_max:
        return tl.sum(x, AXIS, keep_dims=True)
    holds_nan = tl.max((x != x).to(tl.int32), AXIS, keep_dims=True) > 0  # tl.max of values drops NaN
    return tl.where(holds_nan, float("nan"), tl.max(x, AXIS, keep_dims=True))


@triton.jit
def _tile(memory, row, at, scale, fixed, TEXT: tl.constexpr, S: tl.constexpr):
    """Computes a tile and writes what is known there; returns the terms of the sums."""
    moving = ()
    for i in tl.static_range(len(S.moving)):
        moving += (_read(memory, row, at, S.moving[i], S),)
    if S.domain == "element":
        inside = _inside(at, "element")
        g = tl.load(_elements(memory, at, 0, S), inside, 0).to(S.arithmetic)
        wanted = inside
        if not (S.reads_param or S.commits):
            wanted &= tl.broadcast_to(tl.load(row + L2), inside.shape) != 0
        p = tl.load(_elements(memory, at, 1, S), wanted, 0).to(S.arithmetic)
        g = gradient(g, p, row, scale)
        results = TEXT(g, p, *fixed, *moving)
    else:
        results = TEXT(*fixed, *moving)
    if S.commits:
        p = stepped(p, results[0], g, row)
        tl.store(_elements(memory, at, 1, S), narrow(p, S.types[1]), inside)
        results = results[1:]
    for i in tl.static_range(len(S.written)):
        _write(results[i], memory, at, S.written[i], S)
    results = results[len(S.written) :]
    for i in tl.static_range(len(S.outputs)):
        _write(results[i], memory, at, S.outputs[i], S)
    return results[len(S.outputs) :]


@triton.jit
def _walk(memory, row, index, coefficient, TEXT: tl.constexpr, S: tl.constexpr, ALIGNED: tl.constexpr):
    """Steps one band: sums along rows are stored tile by tile, the others' terms are gathered lane by lane."""
    HEIGHT: tl.constexpr = max(_BAND, S.tile[1])
    WIDTH: tl.constexpr = S.width
    batch, rows, cols = _extent(memory.words, S.domain)
    stride = tl.multiple_of(_extent(memory.words, S.domain)[2], WIDTH)
    bands, blocks = tl.cdiv(rows, HEIGHT), tl.cdiv(cols, S.tile[2])
    band, block = index // blocks % bands, index % blocks
    m = index // (bands * blocks) * S.tile[0] + tl.arange(0, S.tile[0])[:, None, None]
    left, c = block * S.tile[2], tl.max_contiguous(tl.arange(0, S.tile[2]), WIDTH)[None, None, :]
    end = (stride if ALIGNED else cols) - left
    scale = gradient_scale(row, coefficient, S.arithmetic)
    fixed = ()
    for i in tl.static_range(len(S.fixed)):
        fixed += (_read(memory, row, At(m, band, left, c, batch, rows, stride, end), S.fixed[i], S),)
    sums = ()
    for _ in tl.static_range(len(S.sums)):
        sums += (tl.zeros(S.tile, S.arithmetic),)
    for top in range(band * HEIGHT, min(rows, (band + 1) * HEIGHT), S.tile[1]):
        at = At(m, top + tl.arange(0, S.tile[1])[None, :, None], left, c, batch, rows, stride, end)
        terms = _tile(memory, row, at, scale, fixed, TEXT, S)
        _store_row_sums(terms, memory, at, blocks, block, S)
        sums = _gathered(sums, terms[len(S.row_sums) :], _inside(at, S.domain), S)
    _store_sums(sums, memory, At(m, band, left, c, batch, bands, stride, end), index, S)


@triton.jit
def _store_row_sums(terms, memory, at, blocks, block, S: tl.constexpr):
    inside = _inside(at, S.domain)
    for i in tl.static_range(len(S.row_sums)):
        total = _folded(tl.where(inside, terms[i], 0), 2, S.row_sums[i])
        partials = _pointer(memory, S.row_sums[i].partials, S.arithmetic)
        tl.store(partials + _index(at, "row") * blocks + block, total, _inside(at, "row"))


@triton.jit
def _gathered(sums, terms, inside, S: tl.constexpr):
    gathered = ()
    for i in tl.static_range(len(S.sums)):
        gathered += (tl.where(inside, _joined(sums[i], terms[i], S.sums[i]), sums[i]),)
    return gathered


@triton.jit
def _store_sums(sums, memory, at, index, S: tl.constexpr):
    """Stores a band's sums; rows of ``at`` are bands."""
    for i in tl.static_range(len(S.sums)):
        partials = _pointer(memory, S.sums[i].partials, S.arithmetic)
        if S.sums[i].along == "col":
            total = _folded(sums[i], 1, S.sums[i])
            tl.store(partials + _index(at, "row") * at.cols + at.left + at.c, total, _inside(at, "col"))
        else:
            tl.store(partials + index + tl.zeros((1, 1, 1), tl.int32), _folded(sums[i], None, S.sums[i]))


@triton.jit(do_not_specialize=["columns"])
def sweep(table, chunks, scalars, columns, coefficient, scratch, places, TEXT: tl.constexpr, S: tl.constexpr):
    """One program a band of tiles. ``coefficient`` scales all gradients, or is None."""
    memory, index = _locate(table, chunks, scratch, places, S)
    row = scalars + tl.load(memory.words + ROW).to(tl.int32).to(tl.int64) * columns
    if S.width == 1 or _is_aligned(memory.words, S):
        _walk(memory, row, index, coefficient, TEXT, S, True)
    else:
        _walk(memory, row, index, coefficient, TEXT, S, False)


@triton.jit
def _is_aligned(words, S: tl.constexpr):
    """Whether the addresses of all elements allow accesses of 16 bytes; rows are multiples of the width."""
    bits = tl.load(words) | tl.load(words + 1)
    for i in tl.static_range(len(S.moving)):
        if S.moving[i].shape == "element":
            bits |= tl.load(words + S.moving[i].place)
    return bits % 16 == 0


@triton.jit
def finish(table, chunks, scratch, places, S: tl.constexpr):
    """Adds partial sums in a fixed order, in fp64; one program for RESULTS results of one sum."""
    memory, index = _locate(table, chunks, scratch, places, S)
    for i in tl.static_range(len(S.row_sums)):
        if tl.program_id(1) == i:
            _finish(memory, index, S.row_sums[i], S)
    for i in tl.static_range(len(S.sums)):
        if tl.program_id(1) == len(S.row_sums) + i:
            _finish(memory, index, S.sums[i], S)


@triton.jit
def _finish(memory, index, SUM: tl.constexpr, S: tl.constexpr):
    HEIGHT: tl.constexpr = 1 if SUM.along == "tensor" else _RESULTS
    TERMS: tl.constexpr = 1024 // HEIGHT
    results, count, stride, size = _partials(memory.words, SUM, S)
    lanes = index * HEIGHT + tl.arange(0, HEIGHT)[:, None]
    first = _pointer(memory, SUM.partials, S.arithmetic) + lanes // stride * stride * count + lanes % stride
    total = tl.zeros((HEIGHT, TERMS), tl.float64)
    for k in range(0, count, TERMS):
        terms = k + tl.arange(0, TERMS)[None, :]
        x = tl.load(first + terms * stride, (lanes < results) & (terms < count), 0).to(tl.float64)
        total = _joined(total, x, SUM)
    total = _folded(total, 1, SUM)
    if not SUM.is_max:
        total = total / size.to(tl.float64)
    tl.store(_pointer(memory, SUM.result, S.arithmetic) + lanes, total.to(S.arithmetic), lanes < results)


@triton.jit
def _partials(words, SUM: tl.constexpr, S: tl.constexpr):
    """The number of results; that of partial sums for each, and how far apart they are; how many terms a result has."""
    batch, rows, cols = _extent(words, S.domain)
    bands, blocks = tl.cdiv(rows, max(_BAND, S.tile[1])), tl.cdiv(cols, S.tile[2])
    one = tl.full((), 1, tl.int64)
    if SUM.along == "row":
        return batch * rows, blocks, one, cols
    elif SUM.along == "col":
        return batch * cols, bands, cols, rows
    else:
        return one, tl.cdiv(batch, S.tile[0]) * bands * blocks, one, batch * rows * cols
