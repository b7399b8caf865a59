"""``fusedopt bench``: every optimizer on realistic parameter shapes, beside torch's own implementations."""

import json
from argparse import RawDescriptionHelpFormatter
from functools import partial
from math import prod
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fusedopt.backends import NAMES as BACKENDS
from fusedopt.backends import unavailable

from . import machine, memory, report
from .contenders import OPTIMIZERS, contenders, yardsticks
from .harness import Lane, race
from .models import MODELS

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
QUICK = {"models": ["resnet50", "tiny"], "rounds": 5, "seconds": 0.5}
FULL = {"models": list(MODELS), "rounds": 20, "seconds": 5.0}
MEMORY_SHARE = {"cpu": 0.5, "cuda": 0.7}  # of the device's memory; larger models are cut to what fits

DESCRIPTION = """\
Times the step of each optimizer on the parameter shapes of well-known models: fusedopt on each backend, beside
the for-loop, foreach and fused implementations of torch.optim."""
NAMES = f"""\
models:      {" ".join(MODELS)}
optimizers:  {" ".join(OPTIMIZERS)}
backends:    {" ".join(BACKENDS)}

example:     fusedopt bench --models gpt2 tiny --optimizers AdamW Lion --json results.json"""


def add_arguments(parser):
    parser.description, parser.epilog, parser.formatter_class = DESCRIPTION, NAMES, RawDescriptionHelpFormatter
    several = {"nargs": "+", "metavar": "NAME"}
    parser.add_argument("--quick", action="store_true", help="under a minute: resnet50 and tiny, few rounds")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the rows, machine and commit to FILE")
    parser.add_argument("--models", choices=MODELS, help="parameter shapes to step (default: all)", **several)
    parser.add_argument("--optimizers", choices=OPTIMIZERS, help="what to time (default: all)", **several)
    parser.add_argument("--backends", choices=BACKENDS, help="of fusedopt (default: all that run here)", **several)
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="of weights, gradients, state (default: fp32)")
    parser.add_argument("--device", choices=MEMORY_SHARE, help="default: cuda where there is a GPU, else cpu")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often to time each; slow ones are timed less")


def run(args):
    """Prints one table for each model, and writes all rows to ``args.json`` if given."""
    _complete(args)
    torch.manual_seed(0)
    console, errors, rows = Console(), Console(stderr=True), []
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    for name in args.models:
        model = MODELS[name].truncated(lambda model: _peak_bytes(model, args) <= args.limit)
        if model is None:
            console.print(f"{name}: left out, as not one of its layers fits in {args.limit / 1e9:.1f} GB")
            continue
        with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
            found = list(_rows(name, model, args, progress))
        console.print((memory if args.memory else report).table(found), "")
        rows += found
        if args.json:
            args.json.write_text(json.dumps({**machine.circumstances(), "rows": rows}, indent=1) + "\n")
    console.print((memory if args.memory else report).LEGEND)


def _complete(args):
    """Fills in what the command line left open, and refuses what cannot run before anything is timed."""
    for key, value in (QUICK if args.quick else FULL).items():
        if getattr(args, key, None) is None:
            setattr(args, key, value)
    if args.rounds < 1:
        raise SystemExit(f"fusedopt bench: --rounds is {args.rounds}, but must be at least 1")
    args.optimizers = args.optimizers or list(OPTIMIZERS)
    args.device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if args.device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"fusedopt bench: torch {torch.__version__} finds no GPU; leave out --device cuda")
    reasons = {name: unavailable(name, args.device) for name in args.backends or BACKENDS}
    for name, reason in reasons.items():
        if reason and args.backends:
            raise SystemExit(f"fusedopt bench: backend {name!r} cannot step parameters on {args.device}: {reason}")
    args.backends = [name for name, reason in reasons.items() if not reason]
    args.limit = MEMORY_SHARE[args.device.type] * machine.memory_bytes(args.device)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)


def _peak_bytes(model, args):
    """Weights, gradients, three states twice and a temporary; and the eager engine's fp32 temporaries of one tensor."""
    return 9 * DTYPES[args.dtype].itemsize * model.parameters + 10 * 4 * max(map(prod, model.shapes))


def _rows(name, model, args, progress):
    """Measures every optimizer on ``model``; one row for each implementation."""
    new = partial(torch.randn, device=args.device, dtype=DTYPES[args.dtype])
    params = [torch.nn.Parameter(new(shape)) for shape in model.shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    context = {
        "model": name,
        "part": model.part_of(MODELS[name]),
        "parameters": model.parameters,
        "tensors": len(params),
        "dtype": args.dtype,
        "device": args.device.type,
    }
    task = progress.add_task(name, total=len(args.optimizers) * args.rounds)
    for optimizer in args.optimizers:
        progress.update(task, description=f"{name}: {optimizer}")
        context["optimizer"] = optimizer
        if args.memory:
            yield from memory.rows(optimizer, params, args.backends, context)
            progress.advance(task, args.rounds)
        else:
            yield from report.rows(*_raced(optimizer, params, args, lambda: progress.advance(task)), context=context)


def _raced(optimizer, params, args, tick):
    """The lanes of the yardsticks and of one optimizer's implementations, timed on the same gradients.

    Some libraries write into gradients; what became zero or denormal would slow others down.
    """
    kept = [p.grad.clone() for p in params]

    def restore():
        torch._foreach_copy_([p.grad for p in params], kept)

    field = [*yardsticks(args.device), *contenders(optimizer, params, args.backends)]
    lanes = [Lane(contender, args.device, restore) for contender in field]
    for lane in lanes:
        lane.warm_up(args.rounds, args.seconds)
    race(lanes, args.rounds, tick)
    restore()
    return lanes
