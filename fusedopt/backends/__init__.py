"""Engines, and the one place that chooses among them."""

import contextlib
import functools
import os
import warnings

NAMES = ("cpu", "cuda", "triton", "eager")
_selected: str | None = None


def selected():
    """The backend that the user asked for, or None to let the device decide."""
    return _selected if _selected is not None else _checked(os.environ.get("FUSEDOPT_BACKEND"))


@contextlib.contextmanager
def use_backend(name):
    """Runs the steps inside the ``with`` block on one backend: "cpu", "cuda", "triton" or "eager".

    Raises ValueError for another name, and RuntimeError at the step if the backend cannot run there.
    """
    global _selected
    before, _selected = _selected, _checked(name)
    try:
        yield
    finally:
        _selected = before


def _checked(name):
    if name and name not in NAMES:
        raise ValueError(f"Invalid backend: {name!r}; choose from {', '.join(NAMES)}")
    return name or None


def engines():
    """Name -> engine class, from the fastest to the one that always runs."""
    from .cpu import Cpu
    from .cuda import Cuda
    from .eager import Eager
    from .triton import Triton

    return {"cpu": Cpu, "cuda": Cuda, "triton": Triton, "eager": Eager}


def unavailable(name, device=None):
    """Why backend ``name`` cannot step tensors on ``device`` (any device if None), or None if it can."""
    return engines()[name].unavailable(device)


def engine_class(device, rule, dtype):
    """The engine for parameters on ``device`` in this arithmetic: the selected one, else the fastest that can.

    Warns where that is not the device's fastest, as the rule is not compiled into it.
    """
    name = selected()
    if name:
        reason = unavailable(name, device)
        if reason:
            raise RuntimeError(f"backend {name!r} cannot step parameters on {device}: {reason}")
        if refusal := engines()[name].refusal(rule, dtype):
            raise RuntimeError(
                f"backend {name!r} cannot step rule {rule.name!r}: {refusal}; choose 'eager' or 'triton'"
            )
        return engines()[name]
    able = [engine for engine in engines().values() if not engine.unavailable(device)]
    reasons = []
    while reason := able[len(reasons)].refusal(rule, dtype):
        reasons.append(reason)
    chosen = able[len(reasons)]
    if reasons and chosen is engines()["eager"]:
        _warn_of_eager(rule.name, reasons[0])
    return chosen


@functools.cache
def _warn_of_eager(name, reason):
    """Once for every rule."""
    warnings.warn(
        f"rule {name!r} is not compiled, so the eager engine steps it, many times slower: {reason}", stacklevel=2
    )
