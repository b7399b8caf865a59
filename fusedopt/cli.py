"""The command ``fusedopt``: what runs here, how fast, which optimizer to use, and checkpoints of other libraries."""

import argparse

from rich.console import Console
from rich.table import Table

from . import backends, bench  # pyright: ignore[reportAttributeAccessIssue]
from .advice import recommend
from .backends import compiler, native
from .choices import TASKS
from .converters import command


def main(argv=None):
    parser = argparse.ArgumentParser(prog="fusedopt", description="Fused drop-in optimizers for PyTorch.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verb = verbs.add_parser("info", help="versions, compiled code, and which backends run here or why not")
    verb.set_defaults(run=info)
    verb = verbs.add_parser("bench", help="time every optimizer beside torch's own")
    verb.set_defaults(run=bench.run)
    bench.add_arguments(verb)
    verb = verbs.add_parser("convert", help="an optimizer's state dict from one library's form to another's")
    verb.set_defaults(run=command.run)
    command.add_arguments(verb)
    verb = verbs.add_parser("recommend", help="which optimizer for a model, with reasons and a line of code")
    verb.set_defaults(run=_recommend)
    verb.add_argument("--parameters", type=float, required=True, metavar="N", help="how many, such as 124e6")
    verb.add_argument("--memory", type=float, metavar="GB", help="for parameters, gradients and state; default: any")
    verb.add_argument("--batch-size", type=int, default=32, metavar="N", help="samples a step on all devices")
    verb.add_argument("--task", choices=TASKS, default="other", help="; ".join(f"{k}: {v}" for k, v in TASKS.items()))
    args = parser.parse_args(argv)
    args.run(args)


def info(args):
    """Prints what this installation can do on this machine."""
    console = Console()
    facts = Table.grid(padding=(0, 2))
    for key, value in {**bench.machine.versions(), **_hardware(), **_compiled()}.items():
        facts.add_row(key, value or "none")
    console.print(facts, "")
    status = Table.grid(padding=(0, 2))
    for name in backends.NAMES:
        reason = backends.unavailable(name)
        status.add_row(f"[b]{name}[/b]", f"[yellow]not available:[/] {reason}" if reason else "[green]available[/]")
    console.print(status)


def _recommend(args):
    memory = None if args.memory is None else args.memory * 1e9
    try:
        print(recommend(args.parameters, memory, args.batch_size, args.task))
    except ValueError as error:
        raise SystemExit(f"fusedopt recommend: {error}") from None


def _hardware():
    found = bench.machine.hardware()
    return {
        "CPU": f"{found['cpu']}, {found['cores']} cores, {found['memory_gb']} GB, {found['threads']} threads in use",
        "GPU": found["gpu"],
    }


def _compiled():
    if native._C is None:
        return {"compiled": None}
    cuda = native._C.cuda.targets() if hasattr(native._C, "cuda") else "none"
    return {
        "compiled": f"for {', '.join(native._C.isas())} (in use: {native._C.isa()}); CUDA: {cuda}",
        "compiler": compiler.described(),
    }
