"""Our own form: codes with ``_scale`` tensors, and ``weight_residual``."""

import torch

from .. import codecs
from ..state import EIGHT_BITS, RESIDUAL, eight_bit_codec, scale_key
from . import dynamic
from .form import KINDS, Record, Torch, split


class FusedOpt(Torch):
    """Adam, AdamW, Lion and SGD, whose rules see a parameter as one row. Blocks follow the memory of the states."""

    formats = ("8bit", "8bit_dynamic", "fp32")
    keeps_weights = True

    def read(self, record, group, p):
        coded = {name for name in KINDS if scale_key(name) in record}
        own = {RESIDUAL, *map(scale_key, coded)}
        states, step = split({key: value for key, value in record.items() if key not in own})
        for name in coded:
            scale, numel = record[scale_key(name)], states[name].numel()
            if scale.shape != codecs.scale_shape(numel, numel):
                raise ValueError(
                    f"{scale_key(name)!r} has shape {tuple(scale.shape)} for {numel} codes, which here are in one row: "
                    "rules with statistics and blocks that add up store each row by itself"
                )
            states[name] = codecs.Stored(states[name], scale, _codec(name, group), numel, 0).read()
        if RESIDUAL not in record:
            return Record(states, step, coded)
        bits = 24 if group["weight_format"] == "split24" else 32
        if p is None:
            return Record(states, step, coded, None, bits)
        return Record(states, step, coded, _weight(record[RESIDUAL], group, p), bits, p.dtype)

    def write(self, record, group, p):
        ours = super().write(record, group, p)
        for name in record.coded - {"max_exp_avg_sq"}:  # a bound would drift when it is rounded
            ours[name], ours[scale_key(name)] = _encode(ours[name].float(), _codec(name, group))
        return ours | ({RESIDUAL: _residual(record, group, p)} if record.weight_bits else {})

    def write_group(self, group, records):
        ours = dict(group)
        if any(record.coded for record in records) and ours.get("state_format") not in EIGHT_BITS:
            ours["state_format"] = "8bit"
        kept = {(record.weight_bits, record.weight_dtype) for record in records if record.weight_bits}
        if kept and "weight_format" not in ours:
            float16 = any(dtype == torch.float16 for _, dtype in kept)
            ours["weight_format"] = "kahan" if float16 else f"split{max(bits for bits, _ in kept)}"
        return ours


def _codec(name, group):
    return eight_bit_codec(KINDS[name], {**group, "state_rounding": "nearest"})


def _encode(x, codec):
    """Codes and scales, in the order of the memory of ``x``."""
    codes, dense = torch.empty_like(x, dtype=codec.main), torch.empty_like(x).copy_(x)
    if isinstance(codec, codecs.Dynamic):  # with scales that leave the codes of other libraries as they are
        flat, scale = dynamic.encode(codecs.in_memory(dense), codec.values.to(x.device))
        codecs.in_memory(codes).copy_(flat)
    else:
        scale = torch.empty(codecs.scale_shape(x.numel(), x.numel()), device=x.device)
        codecs.Stored(codes, scale, codec, x.numel(), 0).write(dense)
    return codes, scale


def _weight(residual, group, p):
    codec = codecs.WEIGHTS[group["weight_format"], p.dtype]
    flat = codec.decode(p.detach().flatten(), residual.flatten(), p.numel())
    return flat.reshape(p.shape)


def _residual(record, group, p):
    """What the codec keeps on the side, so that the 16-bit weight and it come closest to the weight."""
    weight = record.known_weight()
    codec, value = codecs.WEIGHTS[group["weight_format"], p.dtype], p.detach().float()
    if isinstance(codec, codecs.Kahan):
        return (weight - value).to(codec.side)
    low, limits = 16 - codec.low, torch.iinfo(codec.side)
    difference = weight.view(torch.int32).long() - value.view(torch.int32).long()
    difference = torch.where(weight.signbit() == value.signbit(), difference, 0)
    residual = (difference + (1 << low >> 1)) >> low  # the splits share the bits of one float32
    return residual.clamp(limits.min, limits.max).to(codec.side)
