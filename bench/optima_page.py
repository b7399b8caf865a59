"""Makes the tables and the plot of docs/convergence.md: ``python -m fusedopt.bench.optima_page``."""

import json
import statistics
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from fusedopt import create_optimizer
from fusedopt.registry import classes

from .formats_page import filled, markdown
from .optima import FUNCTIONS, PROBLEMS, RESULTS, descend
from .optima_settings import SETTINGS

PAGE, PLOT = Path("docs/convergence.md"), Path("docs/plots/rosenbrock.png")
FORMS = {"steps": ",", "value": ".0e", "distance": ".0e"}
DRAWN = "sgd", "adam", "lion", "adafactor", "rprop", "lbfgs"


def read():
    """The committed rows."""
    return json.loads(RESULTS.read_text())["rows"]


def tables(rows):
    """The page's tables, under the names that mark their places."""
    return {"summary": summary(rows), **{problem: settings(problem, rows) for problem in PROBLEMS}}


def summary(rows):
    """Steps to each function's minimum, and losses on the digits."""
    found = {(row["optimizer"], row["problem"]): row for row in rows}
    head = ["", *(f"{problem}, steps" for problem in FUNCTIONS), "digits, training", "digits, held out"]
    lines = []
    for name in sorted({row["optimizer"] for row in rows}):
        steps = [f"{found[name, problem]['steps']:,}" for problem in FUNCTIONS]
        lines.append([f"`{classes()[name].__name__}`", *steps, *_losses(found[name, "digits"])])
    return markdown(head, lines)


def settings(problem, rows):
    """What was set for a problem, and what was reached."""
    columns = ["training", "held out"] if problem == "digits" else list(FORMS)
    lines = []
    for row in (row for row in rows if row["problem"] == problem):
        cells = _losses(row) if problem == "digits" else [f"{row[key]:{form}}" for key, form in FORMS.items()]
        options = ", ".join(f"{key}={_written(value)}" for key, value in row["options"].items())
        lines.append([f"`{classes()[row['optimizer']].__name__}({options})`", *cells])
    return markdown(["", *columns], lines)


def _written(value):
    return repr(tuple(value) if isinstance(value, list) else value)  # JSON has no tuples


def _losses(row):
    training = statistics.mean(row["training"]), statistics.stdev(row["training"])
    return [f"{1e3 * training[0]:.1f} ± {1e3 * training[1]:.1f}", f"{1e3 * statistics.mean(row['held_out']):.0f}"]


def path(name):
    """The points on Rosenbrock's function from which an optimizer steps, two columns."""
    function, tuned = FUNCTIONS["rosenbrock"], SETTINGS[name]["rosenbrock"]
    p = function.start.clone().requires_grad_()
    optimizer = create_optimizer(name, [p], **tuned.options)
    points = [p.detach().clone() for _ in descend(function, optimizer, [p], tuned.steps)]
    return torch.stack([function.start, *points])


def draw():
    """Paths of some optimizers through Rosenbrock's valley."""
    function = FUNCTIONS["rosenbrock"]
    x, y = torch.meshgrid(torch.linspace(-2.2, 2.2, 200), torch.linspace(-1, 3.5, 200), indexing="xy")
    heights = function.f(torch.stack([x, y], -1)).log10()
    figure, grid = plt.subplots(2, 3, figsize=(9, 5.5), sharex=True, sharey=True, layout="constrained")
    for axes, name in zip(grid.flat, DRAWN, strict=True):
        axes.contour(x, y, heights, levels=12, colors="0.8", linewidths=0.6)
        axes.plot(*path(name).T, ".-", markersize=2, linewidth=0.8)
        axes.plot(*function.optimum, "*", color="C3", markersize=10)
        axes.set(title=f"{classes()[name].__name__}, {SETTINGS[name]['rosenbrock'].steps} steps")
        axes.set(xlim=(-2.2, 2.2), ylim=(-1, 3.5))
    figure.savefig(PLOT, dpi=75)


def main():
    PAGE.write_text(filled(PAGE.read_text(), tables(read())))
    draw()


if __name__ == "__main__":
    main()
