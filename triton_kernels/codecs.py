"""How an elementwise step reads and writes its tensors: fusedopt/codecs.py in Triton.

A tile is some blocks of 256 elements. Where accesses are 16 bytes wide, one warp has all of a block, so that no warp
waits for another to know the block's largest magnitude.
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from fusedopt import codecs

from .math import divide, narrow
from .random import draws

SIDE = tl.constexpr(10)  # the first word of a row about tensors on the side
BLOCK = tl.constexpr(codecs.BLOCK)
_MAGNITUDE, _INFINITY, _LEAST = (tl.constexpr(bits) for bits in (0x7FFFFFFF, 0x7F800000, 0x00800000))
_BEYOND = tl.constexpr(0x7F7F8000)  # from here on, rounding to bfloat16 reaches infinity


@dataclass(frozen=True, eq=False)  # compared by identity, which every launch does
class Stream:
    """How gradient (0), parameter (1) or a state is stored; without side or codec if as plain numbers."""

    number: int
    main: tl.dtype
    side: tl.dtype | None
    codec: codecs.Codec | None

    @property
    def kind(self):
        return type(self.codec).__name__


@functools.cache
def stream(number, dtype, codec):
    """One whose tensor has this dtype; the halves of a split are seen as integers."""
    side = triton_type(codec.side) if codec and codec.side else None
    return Stream(number, triton_type(torch.uint16 if isinstance(codec, codecs.Split) else dtype), side, codec)


def triton_type(dtype):
    return getattr(tl, str(dtype).removeprefix("torch."))


class Tile(NamedTuple):
    """Elements of one tensor: parts of a block, blocks, elements of a part."""

    start: Any  # the first element
    elements: Any  # counted from there
    inside: Any  # which of them the tensor has; None for all
    blocks: Any  # counted from the tensor's start
    lanes: Any  # counted from the block's
    step: Any  # for random bits, as is the next
    seed: Any


class Place(NamedTuple):
    """Pointers to a stream's part of a tile, and to what stands beside it."""

    main: Any
    side: Any


@triton.jit
def tile_at(start, numel, step, seed, WIDTH: tl.constexpr, SIZE: tl.constexpr):
    """SIZE elements: with WIDTH > 1 all inside the tensor, and in accesses of WIDTH; else at least one."""
    PART: tl.constexpr = 32 * WIDTH
    parts = tl.arange(0, BLOCK // PART)[:, None, None]
    blocks = tl.arange(0, SIZE // BLOCK)[None, :, None]
    lanes = parts * PART + tl.max_contiguous(tl.arange(0, PART), WIDTH)[None, None, :]
    elements = blocks * BLOCK + lanes
    inside = elements < numel - start if WIDTH == 1 else None
    return Tile(start, elements, inside, blocks + start // BLOCK, lanes, step, seed)


@triton.jit
def place(words, tile, STREAM: tl.constexpr, WIDTH: tl.constexpr):
    main = _pointers(tl.load(words + STREAM.number), tile, STREAM.main, WIDTH)
    side = None
    if STREAM.kind == "Minifloat":
        side = tl.load(words + SIDE + STREAM.number).to(tl.pointer_type(STREAM.side)) + tile.blocks
    elif STREAM.side is not None:
        side = _pointers(tl.load(words + SIDE + STREAM.number), tile, STREAM.side, WIDTH)
    return Place(main, side)


@triton.jit
def _pointers(address, tile, TYPE: tl.constexpr, WIDTH: tl.constexpr):
    base = address.to(tl.pointer_type(TYPE)) + tile.start
    return (tl.multiple_of(base, 16) if WIDTH > 1 else base) + tile.elements


@triton.jit
def read(place, tile, STREAM: tl.constexpr):
    """The numbers, as they are stored or decoded to float32."""
    main = tl.load(place.main, tile.inside)
    if STREAM.kind == "Minifloat":
        return _of_codes(main.to(tl.int32), tl.load(place.side), STREAM.codec)
    elif STREAM.kind == "Kahan":
        return main.to(tl.float32) + tl.load(place.side, tile.inside).to(tl.float32)
    elif STREAM.kind == "Split":
        side = tl.load(place.side, tile.inside).to(tl.int32) << (16 - STREAM.codec.low)
        return ((main.to(tl.int32) << 16) + side).to(tl.float32, bitcast=True)
    else:
        return main


@triton.jit
def write(x, place, tile, STREAM: tl.constexpr):
    chance = None
    if STREAM.codec is not None and STREAM.codec.by_chance:
        chance = draws(tile.step, tile.seed, STREAM.number, tile.blocks, tile.lanes)
    if STREAM.kind == "Minifloat":
        x = narrow(x, tl.float32)
        main, scale = _codes(x if tile.inside is None else tl.where(tile.inside, x, 0), chance, STREAM.codec)
        thread = tl.arange(0, 32)[None, None, :]  # one thread of the warp that knows the scale stores it
        tl.store(place.side + thread, scale, thread == 0)
    elif STREAM.kind == "Kahan":
        main = narrow(x, STREAM.main)
        tl.store(place.side, narrow(x - main.to(tl.float32), STREAM.side), tile.inside)
    elif STREAM.kind == "Split":
        main, low = _halves(x, chance, STREAM.codec)
        tl.store(place.side, low.to(STREAM.side), tile.inside)
    elif STREAM.kind == "Stochastic":
        main = narrow(_rounded(narrow(x, tl.float32), chance, STREAM.main == tl.float16), STREAM.main)
    else:
        main = narrow(x, STREAM.main)
    tl.store(place.main, main.to(STREAM.main), tile.inside)


@triton.jit
def _of_codes(code, scale, CODEC: tl.constexpr):
    bits = tl.where(code == 0, 0, (tl.abs(code) + CODEC.offset) << 20)
    size = bits.to(tl.float32, bitcast=True) * scale
    return tl.where(code < 0, -size, size)


@triton.jit
def _codes(x, chance, CODEC: tl.constexpr):
    """Codes, and the scales of the blocks; as an integer, NaN is the largest magnitude."""
    size = x.to(tl.int32, bitcast=True) & _MAGNITUDE
    largest = tl.max(tl.max(size, 0, keep_dims=True), 2, keep_dims=True)
    scale = tl.maximum(largest, _LEAST).to(tl.float32, bitcast=True)
    bits = (x * divide(1.0, scale)).to(tl.uint32, bitcast=True)
    top = (((bits & _MAGNITUDE) + (1 << 19 if chance is None else chance >> 12)) >> 20).to(tl.int32)
    code = tl.minimum(tl.maximum(top - CODEC.offset, tl.minimum(top, CODEC.least)), CODEC.last)
    return tl.where(bits >> 31 == 1, -code, code), scale


@triton.jit
def _halves(x, chance, CODEC: tl.constexpr):
    """The bits of the nearest bfloat16, and what follows them as a signed difference."""
    bits = x.to(tl.uint32, bitcast=True)
    rounded = bits if chance is None else bits + (chance >> 24)
    finite = bits & _MAGNITUDE < (_BEYOND if chance is None else _BEYOND - 0x100)
    high = tl.where(finite, rounded + 0x8000, bits) >> 16  # a NaN that arithmetic made is one by its high bits
    return high, tl.where(finite, rounded >> (16 - CODEC.low), 0)


@triton.jit
def _rounded(x, chance, IS_HALF: tl.constexpr):
    """Stochastically, to a number that 16 bits hold exactly."""
    bits = x.to(tl.uint32, bitcast=True)
    if IS_HALF:
        normal = bits + (chance >> 19) & 0xFFFFE000
        units = tl.minimum(tl.abs(x), 2.0**-14) * 2.0**24  # of a subnormal number's last bit
        subnormal = (units + (chance >> 8).to(tl.float32) * 2.0**-24).to(tl.int32).to(tl.float32) * 2.0**-24
        subnormal = subnormal.to(tl.uint32, bitcast=True) | bits & 0x80000000
        rounded = tl.where(tl.abs(x) < 2.0**-14, subnormal, normal)
    else:
        rounded = bits + (chance >> 16) & 0xFFFF0000
    return tl.where(bits & _MAGNITUDE < _INFINITY, rounded.to(tl.float32, bitcast=True), x)
