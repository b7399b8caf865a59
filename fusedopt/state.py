"""State records: made when a parameter is first stepped, and loaded from checkpoints without loss."""

import copy
from typing import Any

import torch

from . import blocks, codecs
from .layout import is_regular
from .rule import KINDS
from .scalars import numbers

EIGHT_BITS = {  # a bound would drift when it is rounded
    "8bit": {"signed": codecs.SIGNED8_STOCHASTIC, "positive": codecs.POSITIVE8_STOCHASTIC},
    "8bit_dynamic": {"signed": codecs.DYNAMIC_SIGNED, "positive": codecs.DYNAMIC_POSITIVE},
}
NEAREST = {codecs.SIGNED8_STOCHASTIC: codecs.SIGNED8, codecs.POSITIVE8_STOCHASTIC: codecs.POSITIVE8}
EXACT = dict.fromkeys((*EIGHT_BITS, "nnmf"))  # in these, what does not fit is kept in the dtype of the arithmetic
FORMATS = {"param": None, "fp32": torch.float32, "bf16": torch.bfloat16, **EXACT}
WEIGHT_FORMATS = ("plain", *dict.fromkeys(name for name, _ in codecs.WEIGHTS))
ROUNDINGS = ("stochastic", "nearest")
COUNTED = frozenset(("synchronizes", "cpr_sets", "cpr_active"))  # scalars that depend on the step alone
RESIDUAL = "weight_residual"  # key of what a weight's codec keeps on the side
ACCUM, HISTORY = "accum", "grad_hist"  # keys of a sum over micro-batches, and of the last gradients


def arithmetic(p):
    """The dtype of all arithmetic on ``p``, and of statistics that are kept exactly."""
    return torch.float64 if p.dtype == torch.float64 else torch.float32


def scale_key(name):
    """Where the scales of state ``name`` stand, if it is kept in eight bits."""
    return f"{name}_scale"


def record_of(optimizer, member):
    """The state record of a parameter with all that its rule keeps, and the number of steps it has taken.

    Returns the record that the optimizer has if that is complete, else a new one for it to adopt once nothing can fail.
    """
    p, rule, group = member.param, member.rule, optimizer.param_groups[member.group]
    known = optimizer.state.get(p, {})
    record = dict(known)
    missing = [name for name in rule.states if record.get(name) is None]
    begun = len(missing) < len(rule.states) and blocks.STATES.issuperset(missing)  # a block may begin later
    initial = optimizer.initial(numbers(optimizer, group)) if missing else {}
    if member.counts_steps:
        taken = 1 if begun and not optimizer.counts_steps else 0
        record["step"] = _step_count(known.get("step", taken), p.device if group["capturable"] else torch.device("cpu"))
    for name, kind in rule.states.items():
        if name in missing:
            record |= _new(name, kind, member, group, initial.get(name, blocks.INITIAL.get(name, 0.0)))
        elif kind not in ROUNDED:
            record[name] = record[name].to(_dtype(kind, p))  # another library's may be bfloat16
            if KINDS[kind] != "element" or kind == "sign":  # others were laid out as the parameter when loaded
                record[name] = record[name].contiguous()
    weight = weight_codec(p, group)
    if weight and weight.side and record.get(RESIDUAL) is None:
        record[RESIDUAL] = torch.zeros_like(p, dtype=weight.side, memory_format=torch.preserve_format)
    steps = float(record["step"]) if member.counts_steps else float(not rule.states or begun)
    complete = all(known.get(name) is value for name, value in record.items())
    return (known if complete else record), steps


ROUNDED = ("signed", "positive", "bound")  # kinds that may be stored in fewer bits than they are computed in
MOMENTS = {"signed", "positive"}  # of these, those that may be rounded by chance: a bound would grow


def eight_bit_codec(kind, group) -> Any:
    """The codec of a state in eight bits; None for a kind that is never kept so. Other formats may have loaded ours."""
    codec = EIGHT_BITS.get(group["state_format"], EIGHT_BITS["8bit"]).get(kind)
    return NEAREST.get(codec, codec) if group["state_rounding"] == "nearest" else codec


def needs_step(rule, p, group):
    """Whether steps must be counted: for random numbers in rounding, or what a building block does at some steps."""
    weight = weight_codec(p, group)
    rounds = group["state_rounding"] == "stochastic" and group["state_format"] in ("8bit", "bf16")
    by_chance = bool(weight and weight.by_chance) or (rounds and not MOMENTS.isdisjoint(rule.states.values()))
    return by_chance or not COUNTED.isdisjoint(rule.scalars)


def weight_codec(p, group):
    """How a 16-bit weight keeps what rounding would take; None for weights stored as they are."""
    if group["weight_format"] == "plain" or p.dtype not in (torch.bfloat16, torch.float16):
        return None
    return codecs.WEIGHTS[group["weight_format"], p.dtype]


def state_codec(record, name, kind, group):
    """The codec that a state is in, whatever the group asks for now; None for plain floats."""
    if scale_key(name) in record:
        return eight_bit_codec(kind, group)
    by_chance = (group["state_format"], group["state_rounding"]) == ("bf16", "stochastic") and kind in MOMENTS
    return codecs.BFLOAT16_STOCHASTIC if by_chance and record[name].dtype == torch.bfloat16 else None


def _dtype(kind, p):
    return torch.uint8 if kind == "sign" else arithmetic(p)


def _new(name, kind, member, group, value):
    """A state filled with its initial value, and scales for those in eight bits."""
    p, format = member.param, group["state_format"]
    if KINDS[kind] != "element" or kind == "sign":
        return {name: torch.full(member.matrix.shape(kind, p), value, dtype=_dtype(kind, p), device=p.device)}
    codec = eight_bit_codec(kind, group)
    if format in EIGHT_BITS and codec:
        order = torch.contiguous_format if member.rule.sees_matrices else torch.preserve_format
        codes = torch.zeros_like(p, dtype=codec.main, memory_format=order)
        shape = codecs.scale_shape(p.numel(), member.matrix.cols)
        scale = torch.zeros(shape, dtype=torch.float32, device=p.device)
        if value != 0:
            codecs.Stored(codes, scale, codec, member.matrix.cols, 0).write(torch.full_like(p, value))
        return {name: codes, scale_key(name): scale}
    if kind == "copy":
        return {name: p.detach().to(arithmetic(p), copy=True)}
    rounded = kind in ROUNDED and format not in EXACT
    dtype = (FORMATS[format] or p.dtype) if rounded else arithmetic(p)
    return {name: torch.full_like(p, value, dtype=dtype, memory_format=torch.preserve_format)}


def _step_count(step, device):
    """A step count as engines read it; old checkpoints hold plain numbers."""
    if isinstance(step, torch.Tensor) and step.device == device and step.dtype in (torch.float32, torch.float64):
        return step
    dtype = torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32
    return torch.as_tensor(step, dtype=dtype, device=device)


class _Kept:
    """Carries a record past torch's load_state_dict, which would cast its tensors to the parameter's dtype."""

    def __init__(self, record):
        self.record = record


def keep(state_dict):
    """A shallow copy of ``state_dict`` whose state torch passes through untouched, for ``restore`` to unpack."""
    return {**state_dict, "state": {key: _Kept(record) for key, record in state_dict["state"].items()}}


def export(optimizer, state_dict):
    """A shallow copy of ``state_dict`` whose records are what the torch class would keep."""
    records = dict(state_dict["state"])
    for group, packed in zip(optimizer.param_groups, state_dict["param_groups"], strict=True):
        values = numbers(optimizer, group)
        for key in records.keys() & packed["params"]:
            records[key] = optimizer.exported(values, records[key])
    return {**state_dict, "state": records}


def restore(optimizer):
    """Unpacks what ``keep`` packed: every tensor in its own dtype, on its parameter's device, in memory of its own."""
    groups = {p: group for group in optimizer.param_groups for p in group["params"]}
    for p, kept in optimizer.state.items():
        if not isinstance(kept, _Kept):
            continue
        if p not in groups or not isinstance(kept.record, dict):
            optimizer.state[p] = copy.deepcopy(kept.record)
            continue
        record = optimizer.translated(groups[p], p, kept.record)
        optimizer.state[p] = {
            key: _placed(key, value, p, record, groups[p]["capturable"]) for key, value in record.items()
        }


def _placed(key, value, p, record, capturable):
    if not isinstance(value, torch.Tensor):
        return copy.deepcopy(value)
    if key == "step" and not capturable:
        return value.detach().to("cpu", copy=True)
    if value.shape == p.shape and scale_key(key) not in record:  # laid out as the parameter, for engines to walk both
        return torch.empty_like(p, dtype=value.dtype, requires_grad=False).copy_(value.detach())
    return value.detach().to(p.device, copy=True)


def lay_out(record, member, group):
    """Lays checked 8-bit states out as the parameter: blocks follow memory, so another order needs other blocks.

    Their values are then rounded once more, to nearest: by a 17th at most, where codes reach.
    """
    order = torch.contiguous_format if member.rule.sees_matrices else torch.preserve_format
    for name, kind in member.rule.states.items():
        codes, scale = record.get(name), record.get(scale_key(name))
        if scale is None:
            continue
        codec = eight_bit_codec(kind, {**group, "state_rounding": "nearest"})
        fresh = torch.empty_like(member.param, dtype=codec.main, requires_grad=False, memory_format=order)
        if not is_regular(fresh, codes):
            values = codecs.Stored(codes, scale, codec, member.matrix.cols, 0).read()
            codecs.Stored(fresh, scale, codec, member.matrix.cols, 0).write(values)
            record[name] = fresh
