"""What is timed: fusedopt on each backend, torch.optim doing the same maths, and plain passes over memory."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

import fusedopt

LR = 1e-6  # keeps the weights finite however long the benchmark runs

# Name -> class and options.
OPTIMIZERS = {
    "SGD-momentum": ("SGD", {"momentum": 0.9}),
    "Adam": ("Adam", {}),
    "AdamW": ("AdamW", {}),
    "AdamW-amsgrad": ("AdamW", {"amsgrad": True}),
    "AdamW-cautious": ("AdamW", {"cautious": True}),
    "AdamW-max_grad_norm": ("AdamW", {"max_grad_norm": 1.0}),
    "Lion": ("Lion", {}),
}
TORCH_PATHS = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


@dataclass
class Contender:
    """One implementation of one optimizer."""

    name: str
    step: Callable[[], object]
    optimizer: torch.optim.Optimizer
    clips: bool = False

    def states(self):
        """Every state tensor, as (parameter, its record, key)."""
        items = self.optimizer.state.items()
        return [(p, record, key) for p, record in items for key in record if isinstance(record[key], torch.Tensor)]

    def state_bytes(self):
        return sum(record[key].nbytes for _, record, key in self.states())

    def floor_bytes(self):
        """What a step cannot avoid: reading gradients (clipping: twice), reading and writing parameters and state."""
        params = [p for group in self.optimizer.param_groups for p in group["params"]]
        states = sum(record[key].nbytes for _, record, key in self.states() if key != "step")
        gradients = sum(p.grad.nbytes for p in params)
        return gradients * (2 if self.clips else 1) + 2 * sum(p.nbytes for p in params) + 2 * states

    def share_state(self, pool):
        """Swaps state, except step counts, for the tensors of ``pool``, so that the whole field fits in memory."""
        for p, record, key in self.states():
            if key != "step":
                state = record[key]
                record[key] = pool.setdefault((p, key, state.dtype, state.shape), state)


def contenders(name, params, backends):
    """All implementations of one optimizer, each after its first step and with state shared among them."""
    kind, options = OPTIMIZERS[name]
    pool = {}
    for contender in [*_fusedopt(kind, options, params, backends), *_torch(kind, options, params)]:
        contender.step()
        contender.share_state(pool)
        yield contender


def _fusedopt(kind, options, params, backends):
    for backend in backends:
        optimizer = getattr(fusedopt, kind)(params, lr=LR, **options)
        step = fusedopt.use_backend(backend)(optimizer.step)
        yield Contender(f"fusedopt {backend}", step, optimizer, "max_grad_norm" in options)


def _torch(kind, options, params):
    """The paths of torch's own class; its fused AdamW for comparison where it has nothing like it."""
    own = {key: value for key, value in options.items() if key != "max_grad_norm"}
    cls = getattr(torch.optim, kind, None)
    if cls is None or own.keys() - inspect.signature(cls).parameters:
        optimizer = torch.optim.AdamW(params, lr=LR, fused=True)
        yield Contender("torch fused AdamW", optimizer.step, optimizer)
        return
    for path, flags in TORCH_PATHS.items():
        optimizer = cls(params, lr=LR, **own, **flags)
        step, bound = optimizer.step, options.get("max_grad_norm")
        if bound:
            step = _after_clipping(step, params, bound, flags.get("foreach"))
        yield Contender(f"torch {path}", step, optimizer, bound is not None)


def _after_clipping(step, params, bound, foreach):
    def clip_and_step():
        torch.nn.utils.clip_grad_norm_(params, bound, foreach=foreach)
        step()

    return clip_and_step


@dataclass
class Yardstick:
    """A plain pass over memory, for comparison."""

    step: Callable[[], object]
    nbytes: int

    def floor_bytes(self):
        return self.nbytes


@cache
def yardsticks(device):
    """``scale`` in place: reads and writes each byte once, as optimizers do. ``copy``: the customary figure."""
    x, y = (torch.randn(2**26, device=device) for _ in range(2))
    return Yardstick(lambda: x.mul_(1.0000001), 2 * x.nbytes), Yardstick(lambda: y.copy_(x), 2 * x.nbytes)
