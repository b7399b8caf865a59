"""Trains two small models under every storage format, over several seeds: does a format cost quality?

A seed decides initial weights and batches, so formats are compared seed by seed. 16-bit weights are read as float32,
and their gradients rounded to bfloat16: what differs is what the optimizer stores. The learning rate rises for a
twentieth of the steps and falls to zero as a cosine. ``python -m fusedopt.bench.convergence`` takes some ten minutes on
one core and writes ``bench/results/convergence.json``.
"""

import argparse
import json
import math
import pydoc_data.topics
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy, linear

import fusedopt

from . import machine

RESULTS = Path("bench/results/convergence.json")
SEEDS = 5
ADAMW = {"lr": 6e-3, "weight_decay": 0.1}
LION = {"lr": 1e-3, "weight_decay": 0.6}
BYTES = {"state_format": "8bit"}
REFERENCES = {"AdamW": "torch AdamW, fp32", "Lion": "Lion, fp32"}


@dataclass(frozen=True)
class Contender:
    optimizer: type
    options: dict
    dtype: torch.dtype = torch.float32  # of the weights


def _contenders():
    adamw, lion = fusedopt.AdamW, fusedopt.Lion
    yield "torch AdamW, fp32", Contender(torch.optim.AdamW, ADAMW)
    yield "AdamW, fp32", Contender(adamw, ADAMW)
    yield "AdamW, bf16 state", Contender(adamw, ADAMW | {"state_format": "bf16"})
    yield "AdamW, bf16 state, nearest", Contender(adamw, ADAMW | {"state_format": "bf16", "state_rounding": "nearest"})
    yield "AdamW, 8-bit state", Contender(adamw, ADAMW | BYTES)
    yield "AdamW, 8-bit state, nearest", Contender(adamw, ADAMW | BYTES | {"state_rounding": "nearest"})
    yield "AdamW, 8-bit dynamic state", Contender(adamw, ADAMW | {"state_format": "8bit_dynamic"})
    for weights in ("plain", "stochastic", "kahan", "split24", "split32"):
        options = ADAMW | {"state_format": "fp32", "weight_format": weights}
        yield f"AdamW, {weights} weights, fp32 state", Contender(adamw, options, torch.bfloat16)
    for weights in ("stochastic", "split24", "split32"):
        options = ADAMW | BYTES | {"weight_format": weights}
        yield f"AdamW, {weights} weights, 8-bit state", Contender(adamw, options, torch.bfloat16)
    yield "Lion, fp32", Contender(lion, LION)
    yield "Lion, 8-bit state", Contender(lion, LION | BYTES)


CONTENDERS = dict(_contenders())


@dataclass(frozen=True)
class Task:
    """``batch(generator)`` and ``held_out()`` return inputs and the classes to predict."""

    model: Callable[[], nn.Module]
    steps: int
    batch: Callable
    held_out: Callable
    facts: dict = field(default_factory=dict)


class Reader(nn.Module):
    """A causal transformer over characters; embedding and output share their weight."""

    def __init__(self, characters, context=32, width=64, layers=2):
        super().__init__()
        self.embedding = nn.Embedding(characters, width)
        self.position = nn.Parameter(0.02 * torch.randn(context, width))
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(context), persistent=False)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(self, characters):
        x = self.embedding(characters) + self.position
        return linear(self.layers(x, mask=self.mask, is_causal=True), self.embedding.weight).flatten(0, 1)


def digits():
    """scikit-learn's 1797 images of 8 x 8 pixels in [0, 1]; 297 are held out."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x, y = torch.tensor(images, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]

    def model():
        return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))

    def batch(generator):
        chosen = torch.randint(1500, (100,), generator=generator)
        return x[chosen], y[chosen]

    return Task(model, 400, batch, lambda: (x[1500:], y[1500:]), {"images": len(y)})


def text(context=32):
    """The help texts that come with Python; their last tenth is held out."""
    corpus = "".join(value for _, value in sorted(pydoc_data.topics.topics.items()))
    alphabet = sorted(set(corpus))
    codes = {character: code for code, character in enumerate(alphabet)}
    data = torch.tensor([codes[character] for character in corpus])
    start = len(data) * 9 // 10

    def windows(starts):
        cut = data[starts.unsqueeze(1) + torch.arange(context + 1)]
        return cut[:, :-1], cut[:, 1:].flatten()

    def batch(generator):
        return windows(torch.randint(start - context, (8,), generator=generator))

    def held_out():
        return windows(torch.arange(start, len(data) - context, 2 * context))

    facts = {"characters": len(corpus), "alphabet": len(alphabet)}
    return Task(lambda: Reader(len(alphabet), context), 600, batch, held_out, facts)


TASKS = {"digits": digits, "text": text}


def train(task, contender, seed):
    """The training loss, mean over the last tenth of the steps, and the held-out loss, in nats."""
    torch.manual_seed(seed)
    model = task.model()
    weights = {name: p.detach().to(contender.dtype).requires_grad_() for name, p in model.named_parameters()}
    optimizer = contender.optimizer(list(weights.values()), **contender.options)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / task.steps))
    batches, losses = torch.Generator().manual_seed(seed), []
    for _ in range(task.steps):
        loss = optimizer.step(partial(_evaluated, optimizer, model, weights, *task.batch(batches)))
        schedule.step()
        losses.append(loss.item())
    with torch.no_grad():
        return statistics.mean(losses[-task.steps // 10 :]), _loss(model, weights, *task.held_out()).item()


def _evaluated(optimizer, model, weights, x, classes):
    """The closure of a step."""
    optimizer.zero_grad()
    loss = _loss(model, weights, x, classes)
    loss.backward()
    return loss


def _loss(model, weights, x, classes):
    read = {name: p.float() for name, p in weights.items()}
    return cross_entropy(torch.func.functional_call(model, read, (x,)), classes)


def _rate(progress):
    return min(progress / 0.05, (1 + math.cos(math.pi * progress)) / 2)


def rows(task_name, seeds, chosen):
    """One row for each contender: the losses of all seeds."""
    task = TASKS[task_name]()
    count = sum(p.numel() for p in task.model().parameters())
    common = {"task": task_name, "parameters": count, "steps": task.steps, **task.facts}
    for name in track(chosen, description=task_name, console=Console(stderr=True), transient=True):
        start = time.process_time()
        training, held_out = zip(*(train(task, CONTENDERS[name], seed) for seed in range(seeds)), strict=True)
        seconds = time.process_time() - start
        yield {**common, "contender": name, "training": training, "held_out": held_out, "seconds": round(seconds, 1)}


def reference(row, rows):
    """The row that ``row`` is compared with: the same rule, kept in float32."""
    name = REFERENCES["Lion" if row["contender"].startswith("Lion") else "AdamW"]
    return next(other for other in rows if (other["task"], other["contender"]) == (row["task"], name))


def differences(row, rows, key):
    """Of the loss to the reference's, seed by seed."""
    return [ours - theirs for ours, theirs in zip(row[key], reference(row, rows)[key], strict=True)]


def table(rows):
    result = Table(title=f"{rows[0]['task']}: losses in 1e-3 nats, {len(rows[0]['training'])} seeds", box=None)
    headings = "training", "± seeds", "more than fp32", "held out", "± seeds", "more than fp32"
    for heading in ("", *headings):
        result.add_column(heading, justify="right" if heading else "left", no_wrap=not heading)
    for row in rows:
        cells = []
        for key in ("training", "held_out"):
            more = differences(row, rows, key)
            error = statistics.stdev(more) / math.sqrt(len(more))
            mean, spread = statistics.mean(row[key]), statistics.stdev(row[key])
            cells += [
                f"{1e3 * mean:.2f}",
                f"{1e3 * spread:.2f}",
                f"{1e3 * statistics.mean(more):+.2f} ± {1e3 * error:.2f}",
            ]
        result.add_row(row["contender"], *cells)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to write all losses (default: %(default)s)")
    args = parser.parse_args()
    found = []
    for name in args.tasks:
        found += (of_task := list(rows(name, args.seeds, args.contenders)))
        Console().print(table(of_task), "")
    facts = {**machine.circumstances(), "command": "python -m fusedopt.bench.convergence"}
    args.json.write_text(json.dumps({**facts, "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
