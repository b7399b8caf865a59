"""The command ``fusedopt``: ``info`` says what runs here, ``bench`` how fast; ``convert`` moves checkpoints."""

import argparse

from rich.console import Console
from rich.table import Table

from . import backends, bench  # pyright: ignore[reportAttributeAccessIssue]
from .backends import native
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
    return {"compiled": f"for {', '.join(native._C.isas())} (in use: {native._C.isa()}); CUDA: {cuda}"}
