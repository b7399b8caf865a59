"""flashoptim (arXiv:2602.23349): int8 momenta behind a softsign, uint8 roots of second moments, ``error_bits``.

32 elements share a float16 scale. A weight's error is kept as a signed fraction of half its unit in the last place.
"""

import torch

from .form import KINDS, Form, Record, split

GROUP = 32
RESIDUAL = {24: torch.int8, 32: torch.int16}  # of a weight kept in so many bits
QUANTIZED, SCALES, ERRORS = "::quantized", "::scales", "error_bits"


class FlashOptim(Form):
    """Its Adam, AdamW, Lion and SGD; with ``decouple_lr`` set, decay is another, and the state dict does not tell."""

    holds = ("exp_avg", "exp_avg_sq", "momentum_buffer")
    keeps_weights = True

    def read(self, record, group, p):
        coded = {key.removesuffix(QUANTIZED) for key in record if key.endswith(QUANTIZED)}
        own = {ERRORS, *(name + suffix for name in coded for suffix in (QUANTIZED, SCALES))}
        states, step = split({key: value for key, value in record.items() if key not in own})
        for name in coded:
            codes, scales = record[name + QUANTIZED], record[name + SCALES]
            scales = scales.view(torch.float16) if scales.dtype == torch.bfloat16 else scales  # so that torch keeps it
            states[name] = _decode(codes.float(), scales.float(), KINDS[name])
        if record.get(ERRORS) is None:
            return Record(states, step, coded)
        bits = 8 * group["master_bytewidth"]
        errors = record[ERRORS]
        if errors.dtype != RESIDUAL[bits]:  # cast (8 bits) or viewed (16 bits) as the weights, so that torch keeps it
            errors = errors.to(torch.int8) if bits == 24 else errors.view(torch.int16)
        if p is None:
            return Record(states, step, coded, None, bits)
        weight = p.detach().float() + errors.float() / _largest(errors.dtype) * _half_unit(p)
        return Record(states, step, coded, weight, bits, p.dtype)

    def write(self, record, group, p):
        if p is None:
            raise ValueError("flashoptim's form depends on the dtype of the weight; pass params")
        theirs = {} if record.step is None else {"step": torch.tensor(int(record.step))}
        for name, value in self.fitting(record):
            if name not in record.coded:
                theirs[name] = value
                continue
            theirs[name + QUANTIZED], scales = _encode(value.float(), KINDS[name])
            theirs[name + SCALES] = scales.view(torch.bfloat16) if p.dtype == torch.bfloat16 else scales
        return theirs | ({ERRORS: _errors(record, group, p)} if record.weight_bits else {})

    def write_group(self, group, records):
        bits = max((record.weight_bits for record in records), default=0)
        own = {"master_bytewidth": bits // 8} if bits else {}  # without, it keeps the constructor's
        return {"initial_lr": group["lr"], **super().write_group(group, records), **own}


def _decode(codes, scales, kind):
    scales = scales.repeat_interleave(GROUP)[: codes.numel()].reshape(codes.shape)
    if kind == "positive":
        return (codes / 255 * scales).square()
    y = codes / 127
    return y / (2 - y.abs()) * scales


def _encode(x, kind):
    """Codes and scales; what is not zero gets code 1 at least."""
    flat = (x.sqrt() if kind == "positive" else x).flatten()
    groups = torch.nn.functional.pad(flat, (0, -len(flat) % GROUP)).reshape(-1, GROUP)
    scales = groups.abs().amax(1).clamp(min=2.0**-24).half()
    if not scales.isfinite().all():
        raise ValueError("a state is too large for float16 scales; convert with state_format='fp32'")
    y = (groups / scales.float().unsqueeze(1)).clamp(-1, 1)
    y, last = (y, 255) if kind == "positive" else (2 * y / (1 + y.abs()), 127)
    codes = torch.maximum((y.abs() * last + 0.5).floor(), (y != 0).float()).copysign(y)
    dtype = torch.uint8 if kind == "positive" else torch.int8
    return codes.flatten()[: len(flat)].to(dtype).reshape(x.shape), scales


def _errors(record, group, p):
    """The error of the 16-bit weight, in the dtype that torch leaves alone when it loads it."""
    dtype = RESIDUAL[8 * group["master_bytewidth"]]
    fraction = ((record.known_weight() - p.detach().float()) / _half_unit(p)).clamp(-1, 1) * _largest(dtype)
    errors = (fraction.abs() + 0.5).floor().copysign(fraction).to(dtype)
    return errors.to(p.dtype) if dtype == torch.int8 else errors.view(p.dtype)


def _largest(dtype):
    return torch.iinfo(dtype).max


def _half_unit(p):
    """Half a unit in the last place of a 16-bit ``p``, in float32."""
    form = torch.finfo(p.dtype)
    exponent = torch.frexp(p.detach().double()).exponent - 1
    smallest = torch.frexp(torch.tensor(form.tiny, dtype=torch.float64)).exponent - 1
    exponent = torch.where(p == 0, smallest, exponent.clamp(min=smallest))
    return torch.ldexp(torch.full_like(p, form.eps / 2, dtype=torch.float64), exponent).float()
