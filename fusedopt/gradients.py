"""Gradients that a step takes in place of the parameters' own: sums over micro-batches, fractional differences."""

import contextlib
import math

import torch

from .combinations import check_shared
from .state import ACCUM, HISTORY, arithmetic
from .validation import check_gradient, labelled


def is_replaced(optimizer):
    return any(group["accumulate"] != 1 or group["fractional"] is not None for group in optimizer.param_groups)


def forecast(optimizer, group, p, twin):
    """What is kept of the gradients of ``p``, by state key; what is still to come as tensors on ``twin``'s device."""
    kept = {}
    if group["accumulate"] > 1 or p in optimizer.spare_sums:
        kept[ACCUM] = optimizer.spare_sums.get(p, twin.to(arithmetic(p)))
    if group["fractional"] is not None:
        kept[HISTORY] = _no_history(twin, group["fractional"][1])
    return kept


@contextlib.contextmanager
def taken(optimizer):
    """Yields what to multiply gradients by, or None if this call is not to step; ``p.grad`` is replaced meanwhile.

    Only once the step has been made are sums and histories those of the next; one that raises takes back what it added.
    """
    for group in optimizer.param_groups:
        optimizer.refuse(group)  # options may have changed in place
    optimizer.keeps_gradients = True
    for _, p, label in labelled(optimizer.param_groups):
        if p.grad is not None:
            check_gradient(optimizer, p, label)
            if p.grad.layout != torch.strided:
                raise RuntimeError(
                    f"accumulate and fractional need dense gradients, but that of {label} is sparse; "
                    "densify it with p.grad = p.grad.to_dense(), or leave the option out"
                )
    before = {p: p.grad for group in optimizer.param_groups for p in group["params"]}
    counted, weight = optimizer.param_groups[0].get("accumulated"), float(optimizer.micro_batch_weight)
    try:
        scale = _summed(optimizer, weight)
        histories = [] if scale is None else _filtered(optimizer, scale)
        yield scale
    except BaseException:
        _withdraw(optimizer, before, counted, weight)
        raise
    finally:
        for p, grad in before.items():
            _set_gradient(p, grad)
    for p, history in histories:
        optimizer.state[p][HISTORY] = history
    if scale is not None:
        begin_window(optimizer)


def _set_gradient(p, grad):
    """Sets ``p.grad``, of any floating dtype. ``p.grad_dtype`` stays, as torch has no way back to its default."""
    if p.grad is grad:
        return
    if grad is None or p.grad_dtype in (None, grad.dtype):
        p.grad = grad
    else:  # torch checks dtypes when it is given a gradient, not when that one is given other memory
        p.grad = torch.empty((), dtype=p.grad_dtype, device=p.device).expand(p.shape)
        p.grad.data = grad


def _window(optimizer):
    """How many micro-batches make a step."""
    check_shared(optimizer.param_groups)
    return optimizer.param_groups[0]["accumulate"]


def _summed(optimizer, weight):
    """Adds a micro-batch to the sums; one over their weights once the window is full, and then ``p.grad`` are they."""
    if _window(optimizer) == 1:
        return 1.0
    group = optimizer.param_groups[0]
    count, total = group.get("accumulated", (0, 0.0))
    _check_weight(weight, total, count + 1 == _window(optimizer))
    optimizer.micro_batch_weight = 1.0
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for p in params:
        if p.grad is not None:
            _add(optimizer, p, weight)
    group["accumulated"] = (count + 1, total + weight)
    if count + 1 < _window(optimizer):
        return None
    for p in params:
        _set_gradient(p, optimizer.state.get(p, {}).get(ACCUM))
    return 1 / (total + weight)


def _check_weight(weight, total, is_last):
    """Refuses what is no weight of a micro-batch, and a window whose weights sum to zero; ``total`` is the others'."""
    if not 0 <= weight < math.inf:
        raise ValueError(f"Invalid micro_batch_weight: {weight}; give a finite number from 0, such as a token count")
    if is_last and total + weight == 0:
        raise ValueError(
            "micro_batch_weight was 0 for all micro-batches of a window, so they have no mean; "
            "set optimizer.micro_batch_weight above 0 for one of them, and call step() again"
        )


def _withdraw(optimizer, grads, counted, weight):
    """Takes the last micro-batch off the sums, to within rounding, so that the caller may try it again."""
    group = optimizer.param_groups[0]
    if group.get("accumulated") == counted:
        return
    group.update(accumulated=counted or (0, 0.0))
    optimizer.micro_batch_weight = weight
    for p, grad in grads.items():
        if grad is not None:
            optimizer.state[p][ACCUM].add_(grad, alpha=-weight)


def begin_window(optimizer):
    """Forgets the sums, but keeps their memory; forgets all that an option keeps which was switched off in place."""
    optimizer.param_groups[0].pop("accumulated", None)
    for group in optimizer.param_groups:
        for p in group["params"]:
            record = optimizer.state.get(p, {})
            if ACCUM in record:
                optimizer.spare_sums[p] = record.pop(ACCUM)
            if group["fractional"] is None:
                record.pop(HISTORY, None)
    if _window(optimizer) == 1:
        optimizer.spare_sums.clear()
    optimizer.keeps_gradients = is_replaced(optimizer)


def _add(optimizer, p, weight):
    record = optimizer.state[p]
    if ACCUM in record:
        record[ACCUM] = record[ACCUM].to(p.device, arithmetic(p)).add_(p.grad, alpha=weight)
        return
    total = optimizer.spare_sums.pop(p, None)  # memory of the window before
    if total is None or (total.shape, total.dtype, total.device) != (p.shape, arithmetic(p), p.device):
        total = torch.empty_like(p, dtype=arithmetic(p))
    record[ACCUM] = total.copy_(p.grad).mul_(weight)


def _filtered(optimizer, scale):
    """Puts Gruenwald-Letnikov sums over the last gradients in their place; the histories for the next step.

    Histories are of gradients that have been multiplied by ``scale``, as windows may differ in their weights.
    """
    histories = []
    for group in optimizer.param_groups:
        for p in group["params"] if group["fractional"] is not None else ():
            if p.grad is not None:
                grad, history = _fractional(optimizer.state.get(p, {}).get(HISTORY), p, scale, *group["fractional"])
                _set_gradient(p, grad)
                histories.append((p, history))
    return histories


def _fractional(history, p, scale, alpha, length):
    """g_t + the sum over j of w_j g_(t-j), over ``scale``; and the last ``length`` gradients, the newest first."""
    history = _fitted(history, p, length)
    weights = torch.tensor(fractional_weights(alpha, length)).to(history)
    latest = p.grad.to(history)
    past = torch.tensordot(weights / scale, history, 1)
    return latest + past, torch.cat(((latest * scale).unsqueeze(0), history[:-1]))


def _fitted(history, p, length):
    """``history`` with so many terms, cut or filled with zeros, as ``p`` is now."""
    if history is None:
        return _no_history(p, length)
    history = history[:length].to(p.device, arithmetic(p))
    missing = length - len(history)
    return torch.cat((history, _no_history(p, missing))) if missing else history


def _no_history(p, length):
    return torch.zeros((length, *p.shape), dtype=arithmetic(p), device=p.device)


def fractional_weights(alpha, length):
    """w_1 to w_length: w_0 = 1, w_j = w_(j-1) (1 - (alpha + 1) / (j + 1)).

    Positive for 0 < alpha < 1, and zero for 1. Zhou et al. 2023, doi:10.3390/math11020316, without its random mask.
    """
    weights = [1.0]
    for j in range(1, length + 1):
        weights.append(weights[-1] * (1 - (alpha + 1) / (j + 1)))
    return weights[1:]
