"""Makes the tables and plots of docs/formats.md from ``bench/results``: ``python -m fusedopt.bench.formats_page``."""

import json
import math
import re
import statistics
from pathlib import Path

from . import momenta
from .convergence import RESULTS as CONVERGENCE
from .convergence import differences
from .formats import RESULTS as FORMATS
from .formats_plots import draw
from .schemes import SCHEMES

PAGE, PLOTS = Path("docs/formats.md"), Path("docs/plots")
TASKS = "digits", "text"
LOSSES = {"training": "training", "held_out": "held out"}


def read():
    """The committed results: a dict of lists of rows."""
    runs = json.loads(CONVERGENCE.read_text())["rows"]
    return json.loads(FORMATS.read_text())["results"] | {"convergence": runs}


def tables(results):
    """The page's tables, under the names that mark their places."""
    makers = quality, errors, next_steps, reversal, travel, agreement
    return {make.__name__: make(results) for make in makers}


def filled(page, tables):
    """``page`` with every table in its place, between ``<!-- name -->`` and ``<!-- end -->``."""
    for name, table in tables.items():
        page = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m, t=table: m[1] + t + m[2], page, flags=re.S)
    return page


def markdown(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def quality(results):
    """Bytes that are kept, and losses beside those of the same rule in float32."""
    runs = results["convergence"]
    columns = [(task, key) for task in TASKS for key in LOSSES]
    head = ["", "weight", "state", *(f"{task}, {LOSSES[key]}" for task, key in columns)]
    rows = []
    for kept in results["bytes"]:
        of_contender = {run["task"]: run for run in runs if run["contender"] == kept["contender"]}
        cells = [loss(of_contender[task], runs, key) for task, key in columns]
        rows.append([kept["contender"], f"{kept['weight'] + kept['residual']:g}", f"{kept['states']:.3g}", *cells])
    return markdown(head, rows)


def loss(run, runs, key):
    """In thousandths of a nat: a reference's mean and deviation over seeds, or the mean difference and its error."""
    more = differences(run, runs, key)
    if not any(more) and run["contender"].endswith("fp32"):
        return f"**{1e3 * statistics.mean(run[key]):.1f}** (seeds: {1e3 * statistics.stdev(run[key]):.1f})"
    mean = round(1e3 * statistics.mean(more), 1) + 0.0  # not -0.0
    return f"{mean:+.1f} ± {1e3 * standard_error(more):.1f}"


def standard_error(values):
    return statistics.stdev(values) / math.sqrt(len(values))


def errors(results):
    """Relative errors: median, 99th percentile, and what became zero."""
    head, rows = ["", *(f"{state}, {blocks}" for blocks in ("alike", "heavy-tailed") for state in "mv")], []
    for scheme in SCHEMES:
        of_scheme = {(row["blocks"], row["state"]): row for row in results["errors"] if row["scheme"] == scheme}
        cells = [of_scheme[blocks, state] for blocks in ("alike", "heavy-tailed") for state in "mv"]
        rows.append([scheme, *(f"{row['median']:.1%}, {row['p99']:.1%}, {row['zeros']:.2%}" for row in cells)])
    return markdown(head, rows)


def next_steps(results):
    """Largest updates over the learning rate."""
    cases = {"gradient": "gradients go on", "zero": "gradients are zero"}
    head = ["", *(f"{blocks}, {text}" for blocks in ("alike", "heavy-tailed") for text in cases.values())]
    rows = []
    for scheme in ("exact", *SCHEMES):
        of_scheme = {row["blocks"]: row for row in results["next_steps"] if row["scheme"] == scheme}
        cells = [short(of_scheme[blocks][case]) for blocks in ("alike", "heavy-tailed") for case in cases]
        rows.append([scheme, *cells])
    return markdown(head, rows)


def short(x):
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x + 0.0:.2f}"


def reversal(results):
    """Last updates over the learning rate: rounded by chance, to nearest, and in float32."""
    cases = {"reversed": "reversed", "ended": "none"}
    columns = [(case, scale) for case in cases for scale in ("moves", "stands")]
    head, rows = ["", *(f"{cases[case]}, scale {scale}" for case, scale in columns)], []
    for rule in momenta.RULES:
        of_rule = {row["scale"]: row for row in results["reversal"] if row["rule"] == rule}
        updates = [of_rule[scale][case] for case, scale in columns]
        rows.append([rule, *(f"{short(ours)}; {short(nearest)} ({short(exact)})" for ours, nearest, exact in updates)])
    return markdown(head, rows)


def travel(results):
    """How far weights of small gradients go, in parts of the way in float32."""
    exponents = sorted({row["exponent"] for row in results["travel"]})
    found = {(row["gradients"], row["exponent"]): row["travel"] for row in results["travel"]}
    rows = [[kind, *(f"{found[kind, x]:.2f}" for x in exponents)] for kind in ("alike", "random")]
    return markdown(["gradients", *(f"2^-{x}" for x in exponents)], rows)


def agreement(results):
    """Of the schemes here with the libraries' own code."""
    head = ["", "blocks", "m", "v"]
    rows = [
        [f"{row['package']} {row['version']}, {row['scheme']}", row["blocks"], f"{row['m']:.1%}", f"{row['v']:.1%}"]
        for row in results["agreement"]
    ]
    return markdown(head, rows)


def main():
    results = read()
    PAGE.write_text(filled(PAGE.read_text(), tables(results)))
    PLOTS.mkdir(exist_ok=True)
    draw(results, PLOTS)


if __name__ == "__main__":
    main()
