"""What an optimizer keeps in memory, now or once it has stepped."""

from collections import Counter

import torch
from torch.utils._pytree import tree_leaves

from . import gradients
from .optimizer import Optimizer
from .planner import Member
from .state import needs_step, record_of


def memory_usage(optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Bytes by kind: ``"parameters"``, ``"gradients"``, every state by its name in state dicts, and ``"total"``.

    What is not there yet counts as it will be after a step in which every trainable parameter has a gradient, and
    nothing is allocated to know it: also the sums of ``accumulate`` (``"accum"``), whose memory is kept from window to
    window, and the gradients that ``fractional`` keeps (``"grad_hist"``). Of torch's own classes
    (:class:`torch.optim.LBFGS`) only what is there counts. Scratch memory during a step is not included.
    """
    usage = Counter(parameters=0, gradients=0)
    owners = {p: index for index, group in enumerate(optimizer.param_groups) for p in group["params"]}
    for p, index in owners.items():
        usage["parameters"] += p.nbytes
        usage["gradients"] += p.nbytes * p.requires_grad if p.grad is None else p.grad.nbytes
        for name, value in _record(optimizer, index, p).items():
            usage[name] += _bytes(value)
    return {**usage, "total": usage.total()}


def _record(optimizer, index, p):
    """The state record of ``p``, completed by tensors without memory where it is still to come."""
    known = optimizer.state.get(p, {})
    if not isinstance(optimizer, Optimizer) or not p.requires_grad:
        return known
    twin, group = torch.empty_like(p, device="meta"), optimizer.param_groups[index]
    rule, matrix = optimizer.layout(group, p)
    counts_steps = optimizer.counts_steps or needs_step(rule, p, group)
    planned, _ = record_of(optimizer, Member(twin, index, "", 0, counts_steps, rule, matrix))
    return {**gradients.forecast(optimizer, group, p, twin), **planned, **known}


def _bytes(value):
    """The bytes of all tensors in ``value``; dense ones, as every state is."""
    return sum(leaf.nbytes for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor))
