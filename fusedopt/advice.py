"""From a model's size, the memory, the batch and the task to an optimizer, with reasons and a line of code."""

from dataclasses import dataclass

import torch

from .choices import CHOICES, TASKS, Choice
from .memory import memory_usage
from .registry import create_optimizer, is_known

MOST = 1e15  # parameters whose bytes torch can count


@dataclass(frozen=True)
class Recommendation:
    """``code`` makes the optimizer of ``model``; ``bytes`` is what parameters, gradients and state then take."""

    choice: Choice
    code: str
    bytes: int
    reasons: tuple[str, ...]

    def __str__(self):
        return "\n".join([self.code, *(f"- {reason}" for reason in self.reasons)])


def recommend(parameters, memory=None, batch_size=32, task="other") -> Recommendation:
    """The first row of :data:`fusedopt.choices.CHOICES` for ``task`` that fits.

    ``parameters`` is a model, or the number of its parameters, then float32; ``memory`` the bytes that parameters,
    gradients and state may take together (None: any number), ``batch_size`` the samples of a step on all devices,
    ``task`` a key of :data:`fusedopt.choices.TASKS`.

    Raises ValueError for an unknown task, sizes below 1 or NaN, and where nothing fits, with the bytes that would.
    """
    if task not in TASKS:
        raise ValueError(f"Invalid task: {task!r}; choose from {', '.join(TASKS)}")
    if not batch_size >= 1:
        raise ValueError(f"Invalid batch_size: {batch_size}; it must be at least 1")
    if memory is not None and not memory >= 1:
        raise ValueError(f"Invalid memory: {memory:g} bytes; it must be at least 1, or left out for any")
    model = parameters if isinstance(parameters, torch.nn.Module) else _sketch(parameters)
    skipped, needs = [], []
    for choice in CHOICES:
        if choice.task != task or not is_known(choice.name):
            continue
        needed = _bytes(choice, model)
        needs.append(needed)
        if obstacle := _obstacle(choice, _count(model), needed, memory, batch_size):
            skipped.append(f"not {choice.name}: {obstacle}")
        else:
            return Recommendation(choice, _code(choice, batch_size), needed, (*_reasons(choice, needed), *skipped))
    raise ValueError(
        f"memory is {_size(memory)}, but {task!r} takes {_size(min(needs))} at least; "
        "shard the model over more devices, or keep its weights and gradients in bfloat16"
    )


def _sketch(parameters):
    """A model of about this many float32 parameters, without memory."""
    if not 1 <= parameters <= MOST:
        raise ValueError(
            f"Invalid parameters: {parameters}; give a model, or the number of its parameters, from 1 to {MOST:g}"
        )
    cols = min(int(parameters), 1024)
    return torch.nn.Linear(cols, int(parameters) // cols, bias=False, device="meta")


def _bytes(choice, model):
    usage = memory_usage(create_optimizer(choice.name, model, **choice.options))
    return usage["total"] + int(choice.unforeseen * _count(model))


def _count(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _obstacle(choice, count, needed, memory, batch_size):
    """Why a row does not fit, or None."""
    if count > choice.most_parameters:
        return f"it is for {choice.most_parameters:,.0f} parameters at most"
    if batch_size < choice.smallest_batch:
        return f"it is no better in batches below {choice.smallest_batch}"
    if memory is not None and needed > memory:
        return f"it takes {_size(needed)}"
    return None


def _reasons(choice, needed):
    yield f"{choice.reason} ({choice.source})"
    yield f"parameters, gradients and state take {_size(needed)}"
    if choice.scaling:
        yield f"{choice.scaling}: {choice.options['lr']:g} there; warm it up ({choice.scaling.source})"


def _code(choice, batch_size):
    options = dict(choice.options)
    if choice.scaling:
        options["lr"] = float(f"{options['lr'] * choice.scaling.factor(batch_size):.2g}")
    arguments = "".join(f", {key}={value!r}" for key, value in options.items())
    return f'fusedopt.create_optimizer("{choice.name}", model{arguments})'


def _size(count):
    return f"{count / 1e9:.4g} GB" if count >= 1e8 else f"{count / 1e6:.4g} MB"
