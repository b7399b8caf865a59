"""A closure and a gradient scaler in one step, which torch refuses to combine."""

import torch

from .rules.adalo import AdaLo


def scaled_step(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, closure):
    """One mixed-precision step: evaluates ``closure``, scales its loss, goes backward, steps and updates ``scaler``.

    ``closure`` clears the gradients and returns the loss; it does **not** call ``backward``, as only the scaled loss
    may. Where a gradient overflows, nothing is stepped and the scale shrinks. ``max_grad_norm`` clips the gradients
    as they are without the scale. :class:`fusedopt.AdaLo` gets the loss as it is. Returns it, unscaled.

    Raises ValueError for LBFGS, which evaluates its closure several times a step, and for a loss without gradient.
    """
    if isinstance(optimizer, torch.optim.LBFGS):
        raise ValueError(
            "scaled_step: LBFGS evaluates its closure several times a step, and a scaler knows only one scale for all; "
            "use optimizer.step(closure) in float32 or bfloat16"
        )
    with torch.enable_grad():
        loss = closure()
    if not loss.requires_grad:
        raise ValueError("scaled_step: the loss has no gradient; the closure must return it attached to its graph")
    scaler.scale(loss).backward()
    scaler.step(optimizer, **({"loss": loss} if isinstance(optimizer, AdaLo) else {}))
    scaler.update()
    return loss
