"""Random bits drawn from counters, as csrc/random.h has them."""

import triton
import triton.language as tl

from fusedopt import codecs

_GOLDEN = tl.constexpr(codecs.GOLDEN)


@triton.jit
def mixed(x):
    """A bijection of 32 bits without visible bias (C. Wellons, "lowbias32")."""
    x = (x ^ (x >> 16)) * 0x21F0AAAD
    x = (x ^ (x >> 15)) * 0xD35A2D97
    return x ^ (x >> 15)


@triton.jit
def draws(step, seed, STREAM: tl.constexpr, blocks, lanes):
    """32 bits for every lane of blocks: step and seed are uint32, the numbers of blocks and lanes integers."""
    key = mixed(mixed(step) ^ (seed * 8 + STREAM))
    return mixed(key ^ blocks.to(tl.uint32)) + lanes.to(tl.uint32) * _GOLDEN
