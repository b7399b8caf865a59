"""How states and weights are stored in fewer bits than they are computed in: the truth that all engines' codecs equal.

A codec has a main tensor of the parameter's shape, and perhaps one on the side. Codecs work on memory in its order, as
rows of ``cols`` elements in blocks of 256; every row begins a new block.

- Eight bits: the top bits of y = x / scale, the scale being the largest magnitude of the block: eight codes an octave,
  1.0 the last, 0 for zero. Signed codes reach down to 1.25 * 2^-16, positive ones to 1.25 * 2^-32, so a momentum and
  the root of a second moment end at the same relative size. What is smaller becomes
  - zero in signed codes, below 0.95 of the smallest value (by chance: 0.9 to 1), where the bits are rounded to the code
    before it. A momentum that stayed at the smallest value would move its weight for good, once its second moment has
    decayed as far.
  - the smallest value in positive ones (if above 2^-126 of the scale). A second moment that became zero beside a
    momentum that did not would make the next step 1e8 times too large.
- Stochastic rounding adds random bits below the cut. A second moment decays by 0.1 % a step, less than half a code;
  rounded to nearest it would never decay at all. Nor would a momentum of beta above 0.94, in a block of constant scale.
- Pairs keep what rounding a weight takes: Kahan's in a second float, the splits in the low bits of one float32.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import torch

BLOCK = 256
GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio
_WORD = 0xFFFFFFFF
_INFINITY = 0x7F800000


@dataclass(frozen=True)
class Codec:
    """``number`` counts as ``Codec`` in csrc/row.h; ``main`` and ``side`` are dtypes, ``side`` None without one."""

    number: int
    main: torch.dtype
    side: torch.dtype | None = None
    scaled: ClassVar[bool] = False  # whether the side holds a value for every block, else one for every element

    @property
    def by_chance(self) -> bool:
        """Whether it rounds stochastically."""
        return False

    def decode(self, main, side, cols):
        """Flat float32 values of the flat tensors."""
        raise NotImplementedError

    def encode(self, x, main, side, cols, key):
        """Writes flat float32 values; ``key`` is :func:`stream_key`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Minifloat(Codec):
    scaled = True
    last: int = 255  # code of 1.0
    least: int = 1  # code of what is below the smallest value and not zero
    stochastic: bool = False

    @property
    def by_chance(self):
        return self.stochastic

    @property
    def offset(self):
        return 1016 - self.last  # 1016 are the top 12 bits of 1.0

    def decode(self, main, side, cols):
        code = main.int()
        size = code.abs()
        bits = torch.where(size > 0, (size + self.offset) << 20, 0)
        values = _blocks(bits.view(torch.float32), cols) * side.unsqueeze(1)
        return _flat(values, cols, main.numel()) * torch.where(code < 0, -1.0, 1.0)

    def encode(self, x, main, side, cols, key):
        blocks = _blocks(x, cols)
        scale = _largest(blocks)
        y = blocks * (1 / scale).unsqueeze(1)
        low = draws(key, blocks) >> 12 if self.stochastic else 1 << 19
        top = ((_bits(y) & 0x7FFFFFFF) + low) >> 20
        code = torch.maximum(top - self.offset, top.clamp(max=self.least)).clamp(max=self.last)
        main.copy_(_flat(torch.where(_bits(y) >> 31 > 0, -code, code), cols, main.numel()))
        side.copy_(scale)


@dataclass(frozen=True)
class Dynamic(Codec):
    """bitsandbytes' code: the nearest of 256 values of a dynamic tree (arXiv:1511.04561), the lower in a tie."""

    scaled = True
    signed: bool = True

    @property
    def values(self):
        return dynamic_tree(self.signed)

    def decode(self, main, side, cols):
        values = self.values.to(main.device)[main.long()]
        return _flat(_blocks(values, cols) * side.unsqueeze(1), cols, main.numel())

    def encode(self, x, main, side, cols, key):
        blocks, values = _blocks(x, cols), self.values.to(x.device)
        scale = _largest(blocks)
        middles = (values[:-1] + values[1:]) / 2
        code = torch.bucketize(blocks * (1 / scale).unsqueeze(1), middles)
        main.copy_(_flat(code, cols, main.numel()))
        side.copy_(scale)


@functools.cache
def dynamic_tree(signed):
    """The 256 values, ascending: in each of seven decades below 1 twice as many, evenly spaced, as in the one below."""
    values = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2 ** (decade + (not signed)) + 1, device="cpu")
        middles = (10.0 ** (decade - 6) * ((edges[:-1] + edges[1:]) / 2)).tolist()
        values += middles + [-x for x in middles if signed]
    return torch.tensor(sorted(values), device="cpu")


@dataclass(frozen=True)
class Stochastic(Codec):
    @property
    def by_chance(self):
        return True

    def decode(self, main, side, cols):
        return main.float()

    def encode(self, x, main, side, cols, key):
        chance = _flat(draws(key, _blocks(x, cols)), cols, x.numel())
        rounded = (_bits(x) + (chance >> 16)) & ~0xFFFF if self.main == torch.bfloat16 else _half(x, chance)
        main.copy_(torch.where(x.isfinite(), _float(rounded), x))


def _half(x, chance):
    """Bits of a float32 that float16 holds exactly, or that are beyond its largest number."""
    bits = _bits(x)
    normal = (bits + (chance >> 19)) & ~0x1FFF
    units = x.abs().clamp(max=2.0**-14) * 2.0**24  # of a subnormal's last bit
    subnormal = (units + (chance >> 8).float() * 2.0**-24).int().float() * 2.0**-24
    return torch.where(x.abs() < 2.0**-14, _bits(subnormal.copysign(x)), normal)


@dataclass(frozen=True)
class Kahan(Codec):
    def decode(self, main, side, cols):
        return main.float() + side.float()

    def encode(self, x, main, side, cols, key):
        main.copy_(x)
        side.copy_(x - main.float())


@dataclass(frozen=True)
class Split(Codec):
    """The nearest bfloat16, and the difference of the bits in ``low`` bits; those below are dropped by chance."""

    low: int = 16

    @property
    def by_chance(self):
        return self.low < 16

    def decode(self, main, side, cols):
        return _float((_high(main) << 16) + (side.long() << (16 - self.low)))

    def encode(self, x, main, side, cols, key):
        bits, dropped = _bits(x), 16 - self.low
        chance = _flat(draws(key, _blocks(x, cols)), cols, x.numel()) >> 24 if dropped else 0
        rounded = bits + chance
        finite = (bits & 0x7FFFFFFF) < 0x7F7F8000 - (dropped and 0x100)  # beyond, rounding would reach infinity
        high = torch.where(finite, (rounded + 0x8000) >> 16, bits >> 16 | x.isnan() * 0x40)
        main.copy_(_float(high << 16))
        side.copy_(torch.where(finite, _signed(rounded >> dropped, self.low), 0))


SIGNED8 = Minifloat(5, torch.int8, torch.float32, last=127, least=0)
SIGNED8_STOCHASTIC = Minifloat(6, torch.int8, torch.float32, last=127, least=0, stochastic=True)
POSITIVE8 = Minifloat(7, torch.uint8, torch.float32)
POSITIVE8_STOCHASTIC = Minifloat(8, torch.uint8, torch.float32, stochastic=True)
BFLOAT16_STOCHASTIC = Stochastic(9, torch.bfloat16)
DYNAMIC_SIGNED = Dynamic(15, torch.uint8, torch.float32, signed=True)
DYNAMIC_POSITIVE = Dynamic(16, torch.uint8, torch.float32, signed=False)

WEIGHTS = {
    ("stochastic", torch.bfloat16): BFLOAT16_STOCHASTIC,
    ("stochastic", torch.float16): Stochastic(10, torch.float16),
    ("kahan", torch.bfloat16): Kahan(11, torch.bfloat16, torch.bfloat16),
    ("kahan", torch.float16): Kahan(12, torch.float16, torch.float16),
    ("split24", torch.bfloat16): Split(13, torch.bfloat16, torch.int8, low=8),
    ("split32", torch.bfloat16): Split(14, torch.bfloat16, torch.int16, low=16),
}


@dataclass
class Stored:
    """A dense tensor in a codec: what it keeps on the side, the length of its rows, and the key of its random bits."""

    tensor: torch.Tensor
    side: torch.Tensor | None
    codec: Codec
    cols: int
    key: int

    def read(self):
        """Its values, a float32 tensor laid out alike."""
        values = torch.empty_like(self.tensor, dtype=torch.float32)
        if values.numel() > 0:
            in_memory(values).copy_(self.codec.decode(*self._flat(), self.cols))
        return values

    def write(self, values):
        if values.numel() > 0:
            dense = torch.empty_like(self.tensor, dtype=torch.float32).copy_(values)
            self.codec.encode(in_memory(dense), *self._flat(), self.cols, self.key)

    def _flat(self):
        return in_memory(self.tensor), None if self.side is None else in_memory(self.side)


def in_memory(tensor):
    """A dense tensor's elements in the order of its memory."""
    return tensor.as_strided((tensor.numel(),), (1,))


def scale_shape(numel, cols):
    """The shape of the scales of ``numel`` elements in rows of ``cols``: one for every block, by rows if more than one.

    So the shape tells how codes are to be read.
    """
    blocks = -(-cols // BLOCK)
    return (numel // cols, blocks) if numel > cols else (blocks if numel else 0,)


def mixed(x):
    """A bijection of 32 bits without visible bias (C. Wellons, "lowbias32"); of an int, or of an int64 tensor."""
    x = (x ^ x >> 16) * 0x21F0AAAD & _WORD
    x = (x ^ x >> 15) * 0xD35A2D97 & _WORD
    return x ^ x >> 15


def stream_key(step, seed, stream):
    """The key of a stream of a tensor in a step: ``seed`` is the tensor's place in the optimizer."""
    return mixed(mixed(step & _WORD) ^ (seed * 8 + stream & _WORD))


def draws(key, blocks):
    """32 random bits, as int64, for every element of ``blocks``: a random start a block, then the golden ratio."""
    rows, cols = blocks.shape
    starts = mixed(torch.arange(rows, device=blocks.device) & _WORD ^ key)
    return starts.unsqueeze(1) + GOLDEN * torch.arange(cols, device=blocks.device) & _WORD


def _blocks(x, cols):
    """(blocks, 256), with zeros after the end of every row."""
    rows = x.reshape(-1, cols)
    return torch.nn.functional.pad(rows, (0, -cols % BLOCK)).reshape(-1, BLOCK)


def _largest(blocks):
    """The largest magnitude of every block as an integer, among which NaN is the largest; its inverse is finite."""
    return blocks.abs().view(torch.int32).amax(1).clamp(min=0x00800000).view(torch.float32)


def _flat(blocks, cols, numel):
    return blocks.reshape(numel // cols, -1)[:, :cols].reshape(-1)


def _bits(x):
    return x.view(torch.int32).long() & _WORD


def _float(bits):
    return _signed(bits, 32).int().view(torch.float32)


def _high(main):
    return main.view(torch.int16).long() & 0xFFFF


def _signed(bits, width):
    """The lowest ``width`` bits as a number in two's complement."""
    half = 1 << (width - 1)
    return ((bits + half) & ((1 << width) - 1)) - half
