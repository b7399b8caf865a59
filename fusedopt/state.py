"""State records: made when a parameter is first stepped, and loaded from checkpoints without loss."""

import copy

import torch

from .rule import KINDS
from .scalars import numbers

FORMATS = {"param": None, "fp32": torch.float32, "bf16": torch.bfloat16, "nnmf": None}


def arithmetic(p):
    """The dtype of all arithmetic on ``p``, and of statistics that are kept exactly."""
    return torch.float64 if p.dtype == torch.float64 else torch.float32


def record_of(optimizer, member):
    """The state record of a parameter with all that its rule keeps, and the number of steps it has taken.

    Returns the record that the optimizer has if that is complete, else a new one for it to adopt once nothing can fail.
    """
    p, rule, group = member.param, member.rule, optimizer.param_groups[member.group]
    known = optimizer.state.get(p, {})
    record = dict(known)
    if optimizer.counts_steps:
        record["step"] = _step_count(known.get("step", 0), p.device if group["capturable"] else torch.device("cpu"))
    missing = [name for name in rule.states if record.get(name) is None]
    initial = optimizer.initial(numbers(optimizer, group)) if missing else {}
    for name, kind in rule.states.items():
        if name in missing:
            record[name] = _new(kind, member, group["state_format"], initial.get(name, 0.0))
        elif kind not in ROUNDED:
            record[name] = record[name].to(_dtype(kind, p))  # another library's may be bfloat16
            if kind != "exact":  # one of the parameter's shape was laid out as the parameter when it was loaded
                record[name] = record[name].contiguous()
    steps = float(record["step"]) if optimizer.counts_steps else float(not missing)
    complete = all(known.get(name) is value for name, value in record.items())
    return (known if complete else record), steps


ROUNDED = ("signed", "positive", "bound")  # kinds that may be stored in fewer bits than they are computed in


def _dtype(kind, p):
    return torch.uint8 if kind == "sign" else arithmetic(p)


def _new(kind, member, format, value):
    p = member.param
    if KINDS[kind] != "element" or kind == "sign":
        return torch.full(member.matrix.shape(kind, p), value, dtype=_dtype(kind, p), device=p.device)
    rounded = kind in ROUNDED and format != "nnmf"  # a parameter too long for factors keeps its states exactly
    dtype = (FORMATS[format] or p.dtype) if rounded else arithmetic(p)
    return torch.full_like(p, value, dtype=dtype, memory_format=torch.preserve_format)


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
        optimizer.state[p] = {key: _placed(key, value, p, groups[p]["capturable"]) for key, value in record.items()}


def _placed(key, value, p, capturable):
    if not isinstance(value, torch.Tensor):
        return copy.deepcopy(value)
    if key == "step" and not capturable:
        return value.detach().to("cpu", copy=True)
    if value.shape == p.shape:  # laid out as the parameter, so that engines can walk them together
        return torch.empty_like(p, dtype=value.dtype, requires_grad=False).copy_(value.detach())
    return value.detach().to(p.device, copy=True)
