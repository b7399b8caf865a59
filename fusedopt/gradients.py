"""Gradients that a step takes in place of the parameters' own: sums over micro-batches, fractional differences."""

import contextlib
import math

import torch

from .combinations import check_shared
from .state import arithmetic
from .validation import check_gradient, labelled

ACCUM, HISTORY = "accum", "grad_hist"  # state keys


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
        histories = [] if scale is None else _filtered(optimizer)
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
        _begin_window(optimizer)


def _set_gradient(p, grad):
    """Sets ``p.grad``, of any floating dtype."""
    if p.grad is not grad:
        p.grad = None
        p.grad_dtype = None if grad is None or grad.dtype != p.dtype else p.dtype
        p.grad = grad


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


def _begin_window(optimizer):
    """Forgets the sums, but keeps their memory."""
    optimizer.param_groups[0].pop("accumulated", None)
    for p, record in optimizer.state.items():
        if ACCUM in record:
            optimizer.spare_sums[p] = record.pop(ACCUM)


def _add(optimizer, p, weight):
    record = optimizer.state[p]
    if ACCUM in record:
        record[ACCUM].add_(p.grad, alpha=weight)
        return
    spare = optimizer.spare_sums.pop(p, None)  # memory of the window before
    total = spare if spare is not None and spare.shape == p.shape else torch.empty_like(p, dtype=arithmetic(p))
    record[ACCUM] = total.copy_(p.grad).mul_(weight)


def _filtered(optimizer):
    """Puts Gruenwald-Letnikov sums over the last gradients in their place; the histories for the next step."""
    histories = []
    for group in optimizer.param_groups:
        for p in group["params"] if group["fractional"] is not None else ():
            if p.grad is not None:
                grad, history = _fractional(optimizer.state.get(p, {}).get(HISTORY), p, *group["fractional"])
                _set_gradient(p, grad)
                histories.append((p, history))
    return histories


def _fractional(history, p, alpha, length):
    """g_t + the sum over j of w_j g_(t-j), and the last ``length`` gradients, the newest first."""
    if history is None:
        history = _no_history(p, length)
    weights = torch.tensor(fractional_weights(alpha, length)).to(history)
    latest = p.grad.to(history)
    return latest + torch.tensordot(weights, history, 1), torch.cat((latest.unsqueeze(0), history[:-1]))


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
