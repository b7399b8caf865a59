"""The plots of docs/formats.md."""

import statistics

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .convergence import REFERENCES, differences, reference
from .schemes import FLOAT8, SCHEMES

COLOURS = {name: f"C{i}" for i, name in enumerate(SCHEMES)}
STATES = {  # of stall: label, colour and line
    "8bit": ("fusedopt 8bit, stochastic", "C0", "-"),
    "8bit, nearest": ("fusedopt 8bit, nearest", "C0", ":"),
    "bf16": ("fusedopt bf16, stochastic", "C5", "-"),
    "bf16, nearest": ("fusedopt bf16, nearest", "C5", ":"),
    **{name: (f"{name}, nearest", COLOURS[name], "--") for name in SCHEMES if name != "fusedopt"},
}
UPDATES = {  # colour, line and width: some of the lines coincide
    "torch.optim": ("C3", "-", 4),
    "plain": ("C1", "--", 2),
    "stochastic": ("C0", "-", 7),
    "kahan": ("C4", "-", 2),
    "split24": ("C2", "-", 4),
    "split32": ("black", "-", 1),
}


def draw(results, folder):
    """Writes every plot as a PNG."""
    for make in (errors, next_steps, stall, small_updates, convergence):
        figure = make(results)
        figure.savefig(folder / f"{make.__name__}.png", dpi=100)
        plt.close(figure)


def errors(results):
    figure, grid = plt.subplots(2, 2, figsize=(9, 6), sharex=True, sharey=True, layout="constrained")
    at = [10**x for x in results["log10_errors"]]
    for axes_of_state, state, moment in zip(grid, "mv", ("first moment m", "second moment v"), strict=True):
        for axes, blocks in zip(axes_of_state, ("alike", "heavy-tailed"), strict=True):
            for row in results["errors"]:
                if (row["state"], row["blocks"]) == (state, blocks):
                    shares, line = [max(x, 1e-9) for x in row["above"]], "--" if row["scheme"] == FLOAT8 else "-"
                    colour = COLOURS[row["scheme"]]
                    axes.loglog(at, shares, line, color=colour, label=row["scheme"], drawstyle="steps-post")
            axes.axvline(1, color="grey", linewidth=0.8, linestyle=":")
            axes.set(title=f"{moment}, gradients {blocks}", xlim=(1e-3, 10), ylim=(1e-4, 1.3))
    grid[1, 0].text(1.1, 2e-4, "100 %:\nbecame zero", color="grey")
    figure.supxlabel("relative error")
    figure.supylabel("share of elements with a larger error")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def next_steps(results):
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    rows = [row for row in results["next_steps"] if row["blocks"] == "heavy-tailed"]
    places = range(len(rows))
    for offset, key, label in ((-0.2, "gradient", "gradients go on"), (0.2, "zero", "gradients become zero")):
        bars = axes.barh([y + offset for y in places], [row[key] for row in rows], 0.38, label=label)
        axes.bar_label(bars, [f"{row[key]:,.0f}" if row[key] >= 100 else f"{row[key]:.2f}" for row in rows], padding=3)
    axes.set_yticks(places, [row["scheme"] for row in rows])
    axes.invert_yaxis()
    axes.set(xscale="log", xlim=(0.3, 1e9), xlabel="largest next update / learning rate")
    axes.set_title("Heavy-tailed gradients: where v became zero, updates explode", loc="right")
    axes.legend(loc="upper right")
    return figure


def stall(results):
    figure, axes = plt.subplots(figsize=(10, 4.2), layout="constrained")
    rows = {row["state"]: row for row in results["stall"]}
    axes.axhline(1, color="black", linewidth=0.8, label="exact (fp32)")
    for name, (label, colour, line) in STATES.items():
        axes.semilogy(rows[name]["steps"], rows[name]["ratio"], line, color=colour, label=label)
    axes.set(xlabel="steps since the gradients of half a block fell to a tenth", ylabel="stored v / exact v (median)")
    axes.set_title("Rounded to nearest, v does not follow")
    axes.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    figure.legend(loc="outside right upper")
    return figure


def small_updates(results):
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    for row in results["small_updates"]:
        colour, line, width = UPDATES[row["format"]]
        label = "torch.optim on bfloat16" if row["format"] == "torch.optim" else f"weight_format={row['format']!r}"
        axes.plot(row["steps"], row["mean"], line, color=colour, label=label, linewidth=width)
        low, high = ([m + side * d for m, d in zip(row["mean"], row["deviation"], strict=True)] for side in (-1, 1))
        axes.fill_between(row["steps"], low, high, color=colour, alpha=0.15, linewidth=0)
    last = results["small_updates"][-1]
    axes.plot(
        [0, last["steps"][-1]], [1, last["exact"]], "o", color="black", fillstyle="none", markersize=10, label="exact"
    )
    axes.set(xlabel="updates of -1e-5", ylabel="weight: mean ± standard deviation", title="Weights of 1 in bfloat16")
    axes.legend(loc="lower left")
    return figure


def convergence(results):
    """Differences of held-out losses, seed by seed, on the scale of the differences between seeds."""
    runs = results["convergence"]
    figure, pair = plt.subplots(1, 2, figsize=(9.5, 5), sharey=True, layout="constrained")
    for axes, task in zip(pair, ("digits", "text"), strict=True):
        rows = [run for run in runs if run["task"] == task and run["contender"] not in REFERENCES.values()]
        places = range(len(rows))
        spreads = [1e3 * statistics.stdev(reference(run, runs)["held_out"]) for run in rows]
        axes.barh(
            places, [2 * x for x in spreads], 1, [-x for x in spreads], color="0.88", label="± deviation of seeds"
        )
        axes.axvline(0, color="grey", linewidth=0.8)
        more = [[1e3 * x for x in differences(run, runs, "held_out")] for run in rows]
        seeds = [(x, place) for place, values in zip(places, more, strict=True) for x in values]
        axes.plot(*zip(*seeds, strict=True), "o", color="C0", alpha=0.4, label="one seed")
        axes.plot([statistics.mean(x) for x in more], places, "|C3", ms=14, mew=2, label="mean")
        axes.set(title=task, xlabel="held-out loss less that of fp32, 1e-3 nats", ylim=(len(rows) - 0.5, -0.5))
        axes.set_yticks(places, [run["contender"] for run in rows])
    figure.legend(*pair[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure
