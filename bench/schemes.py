"""What eight bits leave of an optimizer's state: our codecs, and other libraries' from their published definitions.

A scheme turns a flat float32 tensor, of whole blocks, into what would be read back. The others are without their
libraries' ways around large errors: bitsandbytes keeps the sign of values that become zero, and tensors of fewer than
4096 elements in float32.
"""

import importlib.metadata
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch

from fusedopt import codecs


@dataclass(frozen=True)
class Scheme:
    first: Callable  # for m, which has a sign
    second: Callable  # for v


def coded(codec):
    def stored(x, key=0):
        main = torch.empty_like(x, dtype=codec.main)
        side = x.new_empty(codecs.scale_shape(x.numel(), x.numel()))
        codec.encode(x, main, side, x.numel(), key)
        return codec.decode(main, side, x.numel())

    return stored


def by_block(scheme, size=256):
    """Applies ``scheme`` to every block over its largest magnitude, which may not be zero, and scales back."""

    def stored(x, key=0):
        blocks = x.reshape(-1, size)
        scale = blocks.abs().amax(1, keepdim=True)
        return (scheme(blocks / scale) * scale).flatten()

    return stored


def evenly(levels):
    return by_block(lambda y: (y * levels).round() / levels)


def _softsign(y):
    """FlashOptim, arXiv:2602.23349: m companded by 2z / (1 + |z|)."""
    code = torch.floor(127 * (2 * y / (1 + y.abs())) + 0.5) / 127
    return code / (2 - code.abs())


def companded(scheme):
    """FlashOptim's groups: 32 elements, and their scale in float16."""

    def stored(x, key=0):
        groups = x.reshape(-1, 32)
        scale = groups.abs().amax(1, keepdim=True)
        return (scheme(groups / scale.clamp(min=1e-12)) * scale.half().float()).flatten()

    return stored


_roots = companded(lambda y: torch.floor(255 * y + 0.5) / 255)


def e4m3(y):
    """torchao: the largest magnitude is 448, float8's largest number."""
    return (y * 448).to(torch.float8_e4m3fn).float() / 448


TREE, FLOAT8 = "dynamic tree (bitsandbytes, torchao)", "float8 e4m3 (torchao)"
SCHEMES = {
    "fusedopt": Scheme(coded(codecs.SIGNED8_STOCHASTIC), coded(codecs.POSITIVE8_STOCHASTIC)),
    TREE: Scheme(coded(codecs.DYNAMIC_SIGNED), coded(codecs.DYNAMIC_POSITIVE)),
    "linear": Scheme(evenly(127), evenly(255)),
    "companded (FlashOptim)": Scheme(companded(_softsign), lambda x, key=0: _roots(x.sqrt()).square()),
    FLOAT8: Scheme(by_block(e4m3), by_block(e4m3)),
}


def _bitsandbytes(x):
    functional = importlib.import_module("bitsandbytes.functional")
    values = functional.create_dynamic_map(signed=bool((x < 0).any()))
    return functional.dequantize_blockwise(*functional.quantize_blockwise(x, code=values, blocksize=256))


def _torchao(x):
    quant = importlib.import_module("torchao.optim.quant_utils")
    values = torch.tensor(quant.create_dynamic_map(signed=bool((x < 0).any())))
    y, scale = quant.scale_tensor(x, 256)
    return quant.dequant_with_qmap(quant.quantize_8bit_with_qmap(y, values), values, scale)


def _torchao_float8(x):
    codes, scale = importlib.import_module("torchao.optim.subclass_fp8").quantize_fp8(x, 256)
    return (codes.float().reshape(-1, 256) * scale.unsqueeze(1)).flatten()


PEERS = (  # a package, its own quantiser of a state, and the scheme that it follows
    ("bitsandbytes", _bitsandbytes, TREE),
    ("torchao", _torchao, TREE),
    ("torchao", _torchao_float8, FLOAT8),
)


def agreement(m, v):
    """Shares of elements of ``m`` and ``v`` that an installed library's own code stores as the scheme here does."""
    rows = []
    for package, theirs, name in PEERS:
        if importlib.util.find_spec(package):
            pairs = (theirs(m), SCHEMES[name].first(m)), (theirs(v), SCHEMES[name].second(v))
            shares = [torch.isclose(a, b, rtol=1e-5, atol=0).float().mean().item() for a, b in pairs]
            version = importlib.metadata.version(package)
            rows.append({"package": package, "version": version, "scheme": name, "m": shares[0], "v": shares[1]})
    return rows
