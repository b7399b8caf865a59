"""Trains the same small network on scikit-learn's digits with torch.optim.AdamW and fusedopt.AdamW.

All runs start from one seed and see the same batches, so their losses should coincide but for rounding. A run of
torch.optim.AdamW in float64 tells how much rounding does in each. Prints a table and writes digits.png: the loss
curves, and the time of an optimizer step.
"""

import argparse
import functools
import statistics
import time

import matplotlib
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import nn

import fusedopt

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CONTENDERS = {
    "torch": torch.optim.AdamW,
    "torch, fused": functools.partial(torch.optim.AdamW, fused=True),
    "fusedopt": fusedopt.AdamW,
}


def digits():
    """Images as (1797, 64) floats in [0, 1], shuffled, and their labels; the last 297 are held out."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(images, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]
    return (x[:1500], y[:1500]), (x[1500:], y[1500:])


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def train(optimizer_class, epochs, data, dtype=torch.float32):
    """Returns the loss of every step, the seconds of every optimizer step, and the accuracy on held-out images."""
    (x, y), (test_x, test_y) = data
    x, test_x, model, losses, seconds = x.to(dtype), test_x.to(dtype), network().to(dtype), [], []
    optimizer = optimizer_class(model.parameters(), lr=1e-3, weight_decay=0.1)
    batches = torch.Generator().manual_seed(1)
    for _ in range(epochs):
        for batch in torch.randperm(len(y), generator=batches).split(100):
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            start = time.perf_counter()
            optimizer.step()
            seconds.append(time.perf_counter() - start)
            losses.append(loss.item())
    accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
    return losses, seconds, accuracy


def report(runs, exact):
    table = Table(title="AdamW on digits: one network, one seed", min_width=78)
    table.add_column("implementation")
    for column in ("final loss", "accuracy", "largest error of the loss", "median step"):
        table.add_column(column, justify="right")
    for name, (losses, seconds, accuracy) in runs.items():
        final = statistics.mean(losses[-15:])
        error = (torch.tensor(losses) - torch.tensor(exact)).abs().max().item()
        step = f"{statistics.median(seconds) * 1e6:.0f} µs"
        table.add_row(name, f"{final:.5f}", f"{accuracy:.1%}", f"{error:.1e}", step)
    table.caption = "error: against torch.optim.AdamW in float64; accuracy: on 297 held-out images"
    Console().print(table)


def plot(runs, path):
    figure, (curve, bars) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(2, 1), layout="constrained")
    for (name, (losses, _, _)), width in zip(runs.items(), (7, 3, 1), strict=True):
        curve.semilogy(losses, label=name, linewidth=width, alpha=0.4 if width > 1 else 1)
    curve.set(xlabel="step", ylabel="training loss", title="The curves coincide")
    curve.legend()
    times = [statistics.median(seconds) * 1e6 for _, seconds, _ in runs.values()]
    bars.bar_label(bars.bar(list(runs), times, color=("C0", "C1", "C2")), fmt="%.0f µs")
    bars.set(ylabel="median time of step(), µs", title="optimizer step")
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--plot", default="digits.png", help="where to write the picture (default: %(default)s)")
    arguments = parser.parse_args()
    data = digits()
    runs = {name: train(cls, arguments.epochs, data) for name, cls in CONTENDERS.items()}
    exact, _, _ = train(torch.optim.AdamW, arguments.epochs, data, torch.float64)
    report(runs, exact)
    plot(runs, arguments.plot)
    print(f"wrote {arguments.plot}")


if __name__ == "__main__":
    main()
