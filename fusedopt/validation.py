"""Checks of hyper-parameters and tensors, worded as torch.optim words them where it checks too."""

import itertools

import torch

from . import codecs
from .blocks import STATES
from .settings import decay_form
from .state import (
    ACCUM,
    EIGHT_BITS,
    FORMATS,
    HISTORY,
    RESIDUAL,
    ROUNDINGS,
    WEIGHT_FORMATS,
    eight_bit_codec,
    scale_key,
    weight_codec,
)

FLOATING = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check_non_negative(value, what):
    """``what`` is the phrase torch uses, such as ``"epsilon value"``; a NaN is refused too."""
    if not value >= 0.0:
        raise ValueError(f"Invalid {what}: {value}")


def check_lr(lr, foreach=None, capturable=False):
    if isinstance(lr, torch.Tensor):
        if foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        if lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
    check_non_negative(lr, "learning rate")


def check_betas(betas, foreach=None, capturable=False):
    for i, beta in enumerate(betas):
        if isinstance(beta, torch.Tensor) and foreach and not capturable:
            raise ValueError(f"betas[{i}] as a Tensor is not supported for capturable=False and foreach=True")
        if isinstance(beta, torch.Tensor) and beta.numel() != 1:
            raise ValueError(f"Tensor betas[{i}] must be 1-element")
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
    if len({isinstance(beta, torch.Tensor) for beta in betas}) > 1:
        raise ValueError("betas must be either both floats or both Tensors")


def check_options(group):
    """Options that a group may set for itself."""
    choices = {"state_format": FORMATS, "state_rounding": ROUNDINGS, "weight_format": WEIGHT_FORMATS}
    for option, names in choices.items():
        if group[option] not in names:
            raise ValueError(f"Invalid {option}: {group[option]!r}; choose from {', '.join(names)}")
    if group["max_grad_norm"] is not None and not group["max_grad_norm"] > 0:
        raise ValueError(f"Invalid max_grad_norm: {group['max_grad_norm']}; it must be positive, or None")


def check_weight_format(group, p, label):
    """Refuses a split of float16, whose exponents do not reach float32's."""
    name = group["weight_format"]
    if p.dtype == torch.float16 and name != "plain" and (name, p.dtype) not in codecs.WEIGHTS:
        raise ValueError(
            f"weight_format={name!r} needs bfloat16 weights, but {label} is float16; "
            "choose 'kahan' or 'stochastic', or convert the model to bfloat16"
        )


def check_parameter(optimizer, p, label):
    """Refuses a parameter whose elements share memory: there is no order in which to update them."""
    if 0 in p.stride() and any(stride == 0 and size > 1 for size, stride in zip(p.shape, p.stride(), strict=True)):
        raise RuntimeError(
            f"{type(optimizer).__name__}: elements of {label} overlap in memory (strides {p.stride()}); "
            "give it memory of its own with p.data = p.data.clone()"
        )


def check_gradient(optimizer, p, label):
    """Refuses a gradient that no engine can apply; called for every parameter before anything is written."""
    name, g = type(optimizer).__name__, p.grad
    if g.layout not in (torch.strided, torch.sparse_coo):
        raise RuntimeError(
            f"{name}: the gradient of {label} has layout {g.layout}; densify it with p.grad = p.grad.to_dense()"
        )
    for what, tensor in (("parameter", p), ("gradient", g)):
        if tensor.dtype not in FLOATING:
            raise RuntimeError(
                f"{name}: the {what} of {label} has dtype {tensor.dtype}; supported are float32, bfloat16, float16 and "
                "float64 (for complex numbers optimize torch.view_as_real(p))"
            )
    if g.device != p.device:
        raise RuntimeError(
            f"{name}: the gradient of {label} is on {g.device} but the parameter on {p.device}; "
            "move the gradient, or call zero_grad() after moving the model"
        )
    if g.shape != p.shape:
        raise RuntimeError(
            f"{name}: the gradient of {label} has shape {tuple(g.shape)} but the parameter {tuple(p.shape)}; "
            "call zero_grad() after replacing p.data"
        )


def check_sparse(optimizer, member):
    """Refuses a sparse gradient where a step depends on, or stores together, more than the rows it has values for."""
    group, p = optimizer.param_groups[member.group], member.param
    if group["lazy"] is not None and member.rule.sees_matrices:
        raise RuntimeError(
            f"{type(optimizer).__name__}: the gradient of {member.label} is sparse, and sparse gradients touch only "
            f"the rows that they have values for; leave lazy={group['lazy']!r} out"
        )
    reasons = {
        "it has more than one sparse dimension": p.grad.sparse_dim() != 1,
        f"the rule {member.rule.name!r} adds up over other rows too": member.rule.sees_matrices,
        "an average or slow copy of all rows is kept": "copy" in member.rule.states.values(),
        "decay='stable' takes a mean over all rows": group["decay"] == "stable",
        "weight_decay is added to the gradient of all rows": group["weight_decay"] != 0 and decay_form(group) == "l2",
        f"state_format={group['state_format']!r} stores rows together": group["state_format"] in EIGHT_BITS,
        f"weight_format={group['weight_format']!r} stores rows together": weight_codec(p, group) is not None,
    }
    for reason in (reason for reason, holds in reasons.items() if holds):
        raise RuntimeError(
            f"{type(optimizer).__name__} does not support sparse gradients here: that of {member.label} is sparse, but "
            f"{reason}; densify it with p.grad = p.grad.to_dense(), or build the embedding with sparse=False"
        )


def labelled(param_groups):
    """The index of its group, the parameter, and what errors call it, of every parameter."""
    position = itertools.count()
    for index, group in enumerate(param_groups):
        names = group.get("param_names")
        for i, p in enumerate(group["params"]):
            yield index, p, f"params[{next(position)}]" + (f" ({names[i]!r})" if names else "")


def check_loaded(optimizer, member, state, saved_group):
    """Refuses what a wrong or truncated checkpoint would bring: a record that lacks some of what was kept."""
    name, label = type(optimizer).__name__, member.label
    if not isinstance(state, dict):
        raise ValueError(f"{name}: the state of {label} is a {type(state).__name__}; expected a dict of tensors")
    needed = [key for key in member.rule.states if key not in STATES or _asked(key, saved_group)]
    needed += ["step"] if optimizer.counts_steps else []
    missing = [key for key in needed if state.get(key) is None]
    found = [key for key in needed if key not in missing]
    if missing and found:
        raise ValueError(
            f"{name}: state[{missing[0]!r}] of {label} is missing, but {found[0]!r} is there; "
            "load a state dict that is complete and of this class, or drop the record so that its state begins anew"
        )
    weight = weight_codec(member.param, saved_group) if "weight_format" in saved_group else None
    if weight and weight.side and state.get(RESIDUAL) is None:
        raise ValueError(
            f"{name}: state[{RESIDUAL!r}] of {label} is missing, but its group was saved with "
            f"weight_format={saved_group['weight_format']!r}; load a state dict that is complete, or delete "
            "'weight_format' from its param_groups so that the weight begins without"
        )
    check_state(optimizer, member, state)
    p, history = member.param, state.get(HISTORY)
    terms = len(history) if isinstance(history, torch.Tensor) and history.dim() else 1  # a step fits them to its option
    for key, shape in ((ACCUM, p.shape), (HISTORY, (terms, *p.shape))):
        if key in state:
            _check_state(name, member.label, key, state, p, FLOATING, shape)


def _asked(key, group):
    """Whether a saved group asked for the block whose state this is; other blocks begin anew."""
    return {"ema": group.get("ema"), "slow_buffer": group.get("lookahead")}.get(key, group.get("decay") == "cpr")


def check_state(optimizer, member, state):
    """Refuses state of another shape or kind than the rule's, as a wrong checkpoint would bring."""
    name, p, label = type(optimizer).__name__, member.param, member.label
    step = state.get("step", 0)
    if not (isinstance(step, int | float) or (isinstance(step, torch.Tensor) and step.numel() == 1)):
        found = f"{tuple(step.shape)} {step.dtype}" if isinstance(step, torch.Tensor) else repr(step)
        raise ValueError(
            f"{name}: state['step'] of {label} is {found}; expected one number; "
            "set it with state['step'] = torch.tensor(float(n))"
        )
    group = optimizer.param_groups[member.group]
    for key, kind in member.rule.states.items():
        shape, codec = member.matrix.shape(kind, p), eight_bit_codec(kind, group)
        if scale_key(key) in state or (codec and getattr(state.get(key), "dtype", None) == codec.main):
            scales = codecs.scale_shape(p.numel(), member.matrix.cols)
            _check_state(name, label, key, state, p, [codec.main] if codec else [], shape)
            _check_state(name, label, scale_key(key), state, p, [torch.float32], scales)
        elif state.get(key) is not None:
            _check_state(name, label, key, state, p, [torch.uint8] if kind == "sign" else FLOATING, shape)
    weight = weight_codec(p, group)
    if weight and weight.side and RESIDUAL in state:
        _check_state(name, label, RESIDUAL, state, p, [weight.side], tuple(p.shape))


def _check_state(name, label, key, state, p, dtypes, shape):
    value = state.get(key)
    if not isinstance(value, torch.Tensor) or value.dtype not in dtypes or value.shape != shape:
        found = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, torch.Tensor) else repr(value)
        what = "floating" if len(dtypes) > 1 else " or ".join(str(x).removeprefix("torch.") for x in dtypes)
        raise ValueError(
            f"{name}: state[{key!r}] of {label} is {found}; expected a {what} tensor of shape {tuple(shape)}; "
            "load a state dict that was saved for this model"
        )
    if value.device != p.device:
        raise RuntimeError(
            f"{name}: state[{key!r}] of {label} is on {value.device} but the parameter on {p.device}; "
            "move it, or reload the optimizer's state dict after moving the model"
        )
