"""State records: made when a parameter is first stepped, and loaded from checkpoints without loss."""

import copy

import torch

FORMATS = {"param": None, "fp32": torch.float32, "bf16": torch.bfloat16}


def record_of(optimizer, group, rule, p):
    """The state record of ``p`` with all that ``rule`` keeps, and the number of steps it has taken.

    Returns the record that the optimizer has if that is complete, else a new one for it to adopt once nothing can fail.
    """
    known = optimizer.state.get(p, {})
    record = dict(known)
    if optimizer.counts_steps:
        record["step"] = _step_count(known.get("step", 0), p.device if group["capturable"] else torch.device("cpu"))
    missing = [name for name in rule.states if record.get(name) is None]
    for name in missing:
        dtype = FORMATS[group["state_format"]] or p.dtype
        record[name] = torch.zeros_like(p, dtype=dtype, memory_format=torch.preserve_format)
    steps = float(record["step"]) if optimizer.counts_steps else float(not missing)
    complete = not missing and known.get("step") is record.get("step")
    return (known if complete else record), steps


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


def restore(optimizer):
    """Unpacks what ``keep`` packed: every tensor in its own dtype, on its parameter's device, in memory of its own."""
    capturable = {p: group["capturable"] for group in optimizer.param_groups for p in group["params"]}
    for p, kept in optimizer.state.items():
        if not isinstance(kept, _Kept):
            continue
        if p not in capturable or not isinstance(kept.record, dict):
            optimizer.state[p] = copy.deepcopy(kept.record)
            continue
        optimizer.state[p] = {key: _placed(key, value, p, capturable[p]) for key, value in kept.record.items()}


def _placed(key, value, p, capturable):
    if not isinstance(value, torch.Tensor):
        return copy.deepcopy(value)
    if key == "step" and not capturable:
        return value.detach().to("cpu", copy=True)
    if value.shape == p.shape:  # laid out as the parameter, so that engines can walk them together
        return torch.empty_like(p, dtype=value.dtype, requires_grad=False).copy_(value.detach())
    return value.detach().to(p.device, copy=True)
