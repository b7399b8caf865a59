"""What is timed: fusedopt on each backend, other libraries doing the same maths, and plain passes over memory."""

import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

import fusedopt

LR = 1e-6  # keeps the weights finite however long the benchmark runs

# Name -> class and options.
OPTIMIZERS: dict[str, tuple[str, dict]] = {
    "SGD-momentum": ("SGD", {"momentum": 0.9}),
    "Adam": ("Adam", {}),
    "AdamW": ("AdamW", {}),
    "AdamW-amsgrad": ("AdamW", {"amsgrad": True}),
    "AdamW-cautious": ("AdamW", {"cautious": True}),
    "AdamW-max_grad_norm": ("AdamW", {"max_grad_norm": 1.0}),
    "Lion": ("Lion", {}),
    "Adafactor": ("Adafactor", {}),
    "Adafactor-hf": ("Adafactor", {"second_moment_form": "hf"}),
    "SMMF": ("SMMF", {}),
    "SM3": ("SM3", {}),
    "Amos": ("Amos", {}),
    "AdamW-nnmf": ("AdamW", {"state_format": "nnmf"}),
    "CAME": ("CAME", {}),
    "AdaMini": ("AdaMini", {}),
    "AdamW8bit": ("AdamW8bit", {}),
    "AdamW8bit-split24": ("AdamW8bit", {"weight_format": "split24"}),
    "AdamW8bit-split32": ("AdamW8bit", {"weight_format": "split32"}),
    "Lion8bit": ("Lion8bit", {}),
    "RMSprop": ("RMSprop", {}),
    "Adagrad": ("Adagrad", {}),
    "Adadelta": ("Adadelta", {}),
    "Adamax": ("Adamax", {}),
    "NAdam": ("NAdam", {}),
    "RAdam": ("RAdam", {}),
    "Rprop": ("Rprop", {}),
    "ASGD": ("ASGD", {}),
    "SAdam": ("SAdam", {}),
    "AdamAtan2": ("AdamAtan2", {}),
    "DiffGrad": ("DiffGrad", {}),
    "AdaMomentum": ("AdaMomentum", {}),
    "LAMB": ("LAMB", {}),
    "LAMB-unclipped": ("LAMB", {"max_grad_norm": None}),
    "NovoGrad": ("NovoGrad", {}),
    "NSGDA": ("NSGDA", {}),
    "AdamNorm": ("AdamNorm", {}),
    "AdaLo": ("AdaLo", {}),
    "AMAdamW": ("AMAdamW", {}),
    "Ranger": ("Ranger", {}),
    "AdamW-cautious-clipped-averaged": ("AdamW", {"cautious": True, "max_grad_norm": 1.0, "ema": 0.999}),
    "AdamW-ema": ("AdamW", {"ema": 0.999}),
    "AdamW-agc": ("AdamW", {"agc": 0.01}),
    "AdamW-trust_ratio": ("AdamW", {"trust_ratio": "tensor"}),
}
# The same rules of other libraries: class and options.
PEERS = {
    "Adafactor-hf": {"transformers.optimization.Adafactor": {"relative_step": False}},
    "AdamW8bit": {"bitsandbytes.optim.AdamW8bit": {}, "torchao.optim.AdamW8bit": {}},
    "LAMB": {"pytorch_optimizer.Lamb": {}},
    "NovoGrad": {"pytorch_optimizer.NovoGrad": {}},
    "AdamNorm": {"pytorch_optimizer.AdaNorm": {}},
    "DiffGrad": {"pytorch_optimizer.DiffGrad": {}},
    "Ranger": {"pytorch_optimizer.Ranger": {}},
    "Lion": {"pytorch_optimizer.Lion": {}},
    "SM3": {"pytorch_optimizer.SM3": {}},
    "Amos": {"pytorch_optimizer.Amos": {}},
}
SAME = {"AdamW8bit": "AdamW"}  # peers keep their state differently, but sweep as this one
NUMBERS = ("step", "mu_product", "eta", "mu")  # state that torch keeps for the host, not for the elements
TORCH_PATHS = {"for-loop": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


@dataclass
class Contender:
    """One implementation of one optimizer."""

    name: str
    step: Callable[[], object]
    optimizer: torch.optim.Optimizer
    swept: int
    period: int  # steps until the cost of one comes again

    def states(self):
        """Every state tensor, as (parameter, its record, key)."""
        items = self.optimizer.state.items()
        return [(p, record, key) for p, record in items for key in record if isinstance(record[key], torch.Tensor)]

    def state_bytes(self):
        return sum(record[key].nbytes for _, record, key in self.states())

    def floor_bytes(self):
        """What the maths needs: its sweeps over gradients and parameters (``swept``), state read and written once.

        Slow weights once in every period.
        """
        walked = (
            record[key].nbytes / (self.period if key == "slow_buffer" else 1)
            for _, record, key in self.states()
            if key not in NUMBERS
        )
        return self.swept + 2 * sum(walked)

    def share_state(self, pool):
        """Swaps state, except numbers, for the tensors of ``pool``, so that the whole field fits in memory."""
        for p, record, key in self.states():
            if key not in NUMBERS:
                state = record[key]
                record[key] = pool.setdefault((p, key, type(state), state.dtype, state.shape), state)


def fresh(name, params, backends):
    """All implementations of one optimizer, before their first step."""
    kind, options = OPTIMIZERS[name]
    period = _period(kind, options)
    yield from _fusedopt(kind, options, params, backends, period)
    yield from _torch(kind, options, params, period)
    yield from _peers(name, params, period)


def contenders(name, params, backends):
    """All implementations of one optimizer, each after its first step and with state shared among them."""
    pool = {}
    for contender in fresh(name, params, backends):
        contender.step()
        contender.share_state(pool)
        yield contender


def _swept(kind, options, params):
    """Bytes of gradients and parameters that the rule's sweeps read and write; clipping reads gradients first."""
    optimizer = getattr(fusedopt, kind)(params, lr=LR, **options)
    clips = optimizer.param_groups[0]["max_grad_norm"] is not None
    total = sum(p.grad.nbytes for p in params) if clips else 0
    for p in params:
        stages = optimizer.layout(optimizer.param_groups[0], p)[0].stages
        for sweep in stages.sweeps:
            kernels = [kernel for kernel in sweep if kernel.domain == "element"]
            commits = any(kernel.commits for kernel in kernels)
            reads_gradient, reads_parameter = (
                commits or any(x in stages.loads(kernel) for kernel in kernels) for x in stages.inputs[:2]
            )
            total += reads_gradient * p.grad.nbytes + (reads_parameter + commits) * p.nbytes
    return total


def _period(kind, options):
    """After how many steps slow weights move, and one step is dearer."""
    k, _ = getattr(fusedopt, kind)([torch.zeros(1)], lr=LR, **options).param_groups[0]["lookahead"] or (1, None)
    return k


def _fusedopt(kind, options, params, backends, period):
    for backend in backends:
        optimizer = getattr(fusedopt, kind)(params, lr=LR, **options)
        step = fusedopt.use_backend(backend)(optimizer.step)
        yield Contender(f"fusedopt {backend}", step, optimizer, _swept(kind, options, params), period)


def _torch(kind, options, params, period):
    """The paths of torch's own class; its fused AdamW for comparison where it has no fused path of its own."""
    own = {key: value for key, value in options.items() if key != "max_grad_norm"}
    cls = getattr(torch.optim, kind, None)
    known = set(inspect.signature(cls).parameters) if cls else set()
    for path, flags in TORCH_PATHS.items():
        if cls and {*own, *flags} <= known:
            optimizer = cls(params, lr=LR, **own, **flags)
            step, bound = optimizer.step, options.get("max_grad_norm")
            if bound:
                step = _after_clipping(step, params, bound, flags.get("foreach"))
            yield Contender(f"torch {path}", step, optimizer, _swept(kind, options, params), period)
    if not {*own, "fused"} <= known:
        optimizer = torch.optim.AdamW(params, lr=LR, fused=True)
        yield Contender("torch fused AdamW", optimizer.step, optimizer, _swept("AdamW", {}, params), period)


def _peers(name, params, period):
    """The same rule of other libraries, where they are installed."""
    for path, options in PEERS.get(name, {}).items():
        module, _, cls = path.rpartition(".")
        library = module.partition(".")[0]
        if importlib.util.find_spec(library):
            optimizer = getattr(importlib.import_module(module), cls)(params, lr=LR, **options)
            kind, own = OPTIMIZERS[SAME.get(name) or name]
            yield Contender(library, optimizer.step, optimizer, _swept(kind, own, params), period)


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
    period: int = 1

    def floor_bytes(self):
        return self.nbytes


@cache
def yardsticks(device):
    """``scale`` in place: reads and writes each byte once, as optimizers do. ``copy``: the customary figure."""
    x, y = (torch.randn(2**26, device=device) for _ in range(2))
    return Yardstick(lambda: x.mul_(1.0000001), 2 * x.nbytes), Yardstick(lambda: y.copy_(x), 2 * x.nbytes)
