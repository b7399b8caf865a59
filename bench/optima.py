"""Steps every optimizer, with tuned settings, to known optima: two valleys, a quadratic, and the digits.

Settings stand in ``optima_settings.py``. On functions the learning rate falls to zero as a cosine over the steps, so
that rules whose steps do not shrink with the gradient settle too; the digits are those of ``convergence.py``.
``python -m fusedopt.bench.optima`` writes ``bench/results/optima.json``; ``--tune NAME`` searches settings and
prints them, to be entered in the table.
"""

import argparse
import inspect
import itertools
import json
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch.optim.lr_scheduler import CosineAnnealingLR

from fusedopt import create_optimizer
from fusedopt.registry import classes

from . import convergence, machine
from .optima_settings import SETTINGS, Tuned

RESULTS = Path("bench/results/optima.json")
LIMIT = 1e-6  # of a function's value above its minimum
DIGITS_LIMIT = 0.05  # of the training loss, in nats
MARGIN = 100  # below the limit, for settings that are searched: roundings shall not decide,
NUDGE = 1e-9  # nor such a difference at the start
SEEDS = 3
LADDER = 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000  # steps that are tried
GRID = {
    "lr": [m * 10.0**e for e in range(-4, 2) for m in (1, 2, 5)],
    "betas": [(0.9, 0.999), (0.9, 0.99), (0.95, 0.99), (0.99, 0.99)],
    "beta": [0.9, 0.95, 0.99],
    "beta1": [None, 0.9],
    "momentum": [0.0, 0.9, 0.97, 0.99],
}


@dataclass(frozen=True)
class Function:
    """``f`` maps points, stacked along the first dimension, to one value each; its minimum is 0 at ``optimum``."""

    f: Callable[[torch.Tensor], torch.Tensor]
    start: torch.Tensor
    optimum: torch.Tensor


def rosenbrock(points):
    x, y = points.unbind(-1)
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def beale(points):
    x, y = points.unbind(-1)
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def quadratic():
    """Twenty dimensions, as a matrix; eigenvalues from 1e-4 to 1 along random axes."""
    draw = torch.Generator().manual_seed(0)
    normal = (torch.randn(rows, 20, generator=draw, dtype=torch.float64) for rows in (20, 1, 1))
    axes, start, optimum = torch.linalg.qr(next(normal)).Q, *(x.reshape(4, 5) for x in normal)
    roots = torch.logspace(-2, 0, 20, dtype=torch.float64)

    def f(points):
        return ((points - optimum).flatten(1) @ axes * roots).square().sum(1) / 2

    return Function(f, start, optimum)


def _float64(*values):
    return torch.tensor(values, dtype=torch.float64)


FUNCTIONS = {
    "rosenbrock": Function(rosenbrock, _float64(-1.5, 2.0), _float64(1.0, 1.0)),
    "beale": Function(beale, _float64(1.0, 1.0), _float64(3.0, 0.5)),
    "quadratic": quadratic(),
}
DIGITS = convergence.digits()
PROBLEMS = *FUNCTIONS, "digits"


def descend(function, optimizer, points, steps):
    """Steps ``points``, one or more parameters, and yields the sum of their values before each step."""
    schedule = CosineAnnealingLR(optimizer, steps)

    def closure():
        optimizer.zero_grad()
        loss = function.f(torch.stack(points)).sum()
        loss.backward()
        return loss

    for _ in range(steps):
        yield optimizer.step(closure)
        schedule.step()


def solve(function, name, steps, options):
    """Of each set of options: the value after ``steps``, and the distance to the optimum."""
    points = [function.start.clone().requires_grad_() for _ in options]
    groups = [{"params": [p], **each} for p, each in zip(points, options, strict=True)]
    for _ in descend(function, create_optimizer(name, groups), points, steps):
        pass
    with torch.no_grad():
        ends = torch.stack(points)
        return function.f(ends).tolist(), (ends - function.optimum).flatten(1).norm(dim=1).tolist()


def losses(name, options, seeds):
    """Training and held-out losses on the digits, of each seed."""
    contender = convergence.Contender(classes()[name], options)
    return zip(*(convergence.train(DIGITS, contender, seed) for seed in seeds), strict=True)


def row(problem, name):
    """What the committed settings of an optimizer reach."""
    tuned = SETTINGS[name][problem]
    facts = {"problem": problem, "optimizer": name, "steps": tuned.steps, "options": tuned.options}
    if problem == "digits":
        training, held_out = losses(name, tuned.options, range(SEEDS))
        return {**facts, "training": training, "held_out": held_out}
    (value,), (distance,) = solve(FUNCTIONS[problem], name, tuned.steps, [tuned.options])
    return {**facts, "value": value, "distance": distance}


def reaches(row):
    if row["problem"] == "digits":
        return statistics.mean(row["training"]) <= DIGITS_LIMIT
    return row["value"] <= LIMIT


def candidates(name, pinned, grid):
    """Every choice of the options in ``grid`` that the optimizer has, beside those that are pinned."""
    parameters = inspect.signature(classes()[name]).parameters
    searched = {key: values for key, values in grid.items() if key in parameters and key not in pinned}
    choices = itertools.product(*([(key, value) for value in values] for key, values in searched.items()))
    return [{**dict(choice), **pinned} for choice in choices]


def tune(problem, name, pinned):
    """Settings that reach a function's minimum in the fewest steps of LADDER, or None; the lowest loss on the digits.

    All settings are groups of one optimizer, so none may change what others see: ``max_grad_norm`` would.
    """
    if problem == "digits":
        options = candidates(name, pinned, {"lr": GRID["lr"][::2]})
        values = [next(losses(name, each, [SEEDS]))[0] for each in options]  # a seed that is not reported
        return Tuned(DIGITS.steps, options[_lowest(values)])
    options = candidates(name, pinned, GRID)
    function = FUNCTIONS[problem]
    starts = function, replace(function, start=function.start + NUDGE)
    for steps in LADDER:
        ends = [solve(each, name, steps, options)[0] for each in starts]
        values = torch.tensor(ends).amax(0).tolist()
        if values[_lowest(values)] <= LIMIT / MARGIN:
            return Tuned(steps, options[_lowest(values)])
    return None


def _lowest(values):
    return min(range(len(values)), key=lambda i: (math.isnan(values[i]), values[i]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=PROBLEMS, metavar="NAME")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to write all results (default: %(default)s)")
    parser.add_argument("--tune", nargs="+", choices=classes(), metavar="NAME", help="search settings, print and end")
    parser.add_argument("--pin", type=json.loads, default={}, metavar="JSON", help="options that the search keeps")
    args = parser.parse_args()
    if args.tune:
        for name, problem in itertools.product(args.tune, args.problems):
            print(f"{name}, {problem}: {tune(problem, name, args.pin)}", flush=True)
        return
    jobs = list(itertools.product(SETTINGS, args.problems))
    rows = [row(problem, name) for name, problem in track(jobs, console=Console(stderr=True), transient=True)]
    facts = {**machine.circumstances(), "command": "python -m fusedopt.bench.optima"}
    args.json.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
