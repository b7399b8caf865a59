"""What storing states and weights in few bits does to Adam: errors, largest steps, stalls, bytes.

``python -m fusedopt.bench.formats`` takes about two minutes on one core and writes ``bench/results/formats.json``, from
which ``python -m fusedopt.bench.formats_page`` makes the tables and plots of ``docs/formats.md``.
"""

import argparse
import json
import math
from pathlib import Path

import torch

import fusedopt
from fusedopt import codecs, state

from . import machine, momenta
from .convergence import CONTENDERS
from .models import MODELS
from .schemes import SCHEMES, agreement

RESULTS = Path("bench/results/formats.json")
BLOCKS = {"alike": 0.0, "heavy-tailed": 2.0}  # sigma of the logarithm of the gradients' scales within a block
BETAS = (0.9, 0.999)
EPS = 1e-8
WEIGHTS: dict[str, tuple] = {
    "torch.optim": (torch.optim.SGD, {}),
    **{name: (fusedopt.SGD, {"weight_format": name}) for name in state.WEIGHT_FORMATS},
}
STATES: dict[str, dict] = {
    "fp32": {"state_format": "fp32"},
    "bf16": {"state_format": "bf16"},
    "bf16, nearest": {"state_format": "bf16", "state_rounding": "nearest"},
    "8bit": {"state_format": "8bit"},
    "8bit, nearest": {"state_format": "8bit", "state_rounding": "nearest"},
}


def gradients(count, sigma, seed=0):
    """A function that draws gradients: normal numbers of fixed scales, which are 1e-3 at the median."""
    generator = torch.Generator().manual_seed(seed)
    scales = 1e-3 * torch.exp(sigma * torch.randn(count, generator=generator))
    return lambda: scales * torch.randn(count, generator=generator)


def moments(draw, steps=3000):
    """Adam's m and v after ``steps`` gradients, exactly."""
    m = v = torch.zeros_like(draw())
    for _ in range(steps):
        g = draw()
        m, v = BETAS[0] * m + (1 - BETAS[0]) * g, BETAS[1] * v + (1 - BETAS[1]) * g * g
    return m, v


def errors(m, v, blocks):
    """For each scheme: relative errors, shares of elements above each of a list of errors, shares that became zero."""
    for name, scheme in SCHEMES.items():
        for letter, x, stored in (("m", m, scheme.first), ("v", v, scheme.second)):
            error = (stored(x) / x - 1).abs()
            yield {
                "scheme": name,
                "state": letter,
                "blocks": blocks,
                "median": error.median().item(),
                "p99": error.quantile(0.99).item(),
                "zeros": (stored(x) == 0).float().mean().item(),
                "above": [(error > 10**exponent).float().mean().item() for exponent in ERRORS],
            }


ERRORS = [-4 + i / 10 for i in range(51)]  # logarithms of errors


def next_steps(m, v, draw, blocks):
    """The largest next update, over the learning rate, after m and v went through a scheme."""
    exact = {"exact": (m, v)}
    stored = {name: (scheme.first(m), scheme.second(v)) for name, scheme in SCHEMES.items()}
    g = draw()
    for name, (old_m, old_v) in (exact | stored).items():
        row = {"scheme": name, "blocks": blocks}
        for case, gradient in (("gradient", g), ("zero", torch.zeros_like(g))):
            new_m = BETAS[0] * old_m + (1 - BETAS[0]) * gradient
            new_v = BETAS[1] * old_v + (1 - BETAS[1]) * gradient * gradient
            row[case] = (new_m.abs() / (new_v.sqrt() + EPS)).max().item()
        yield row


def second_moment(optimizer, p):
    """The second moment of ``p`` as the optimizer reads it."""
    v, scale = optimizer.state[p]["exp_avg_sq"], optimizer.state[p].get("exp_avg_sq_scale")
    if scale is None:
        return v.float()
    return codecs.Stored(v, scale, codecs.POSITIVE8, v.numel(), 0).read()


def stall(blocks=64, before=2000, after=6000, every=100):
    """Gradients of half of every block become ten times smaller: how much too large is their second moment then?"""
    count = 256 * blocks
    dropped = torch.arange(count) % 2 == 1
    params = {name: torch.zeros(count, requires_grad=True) for name in STATES}
    optimizers = {name: fusedopt.AdamW([p], betas=BETAS, **STATES[name]) for name, p in params.items()}
    others = {name: torch.zeros(count) for name in SCHEMES if name != "fusedopt"}
    draw, rows = gradients(count, 0.0), {name: [] for name in (*STATES, *others)}
    for step in range(before + after + 1):
        g = torch.where(dropped & (step >= before), 0.1, 1.0) * draw()
        for name, p in params.items():
            p.grad = g
            optimizers[name].step()
        for name, v in others.items():
            others[name] = SCHEMES[name].second(BETAS[1] * v + (1 - BETAS[1]) * g * g)
        if step % every == 0 and step >= before:
            seen = {name: second_moment(optimizers[name], p) for name, p in params.items()} | others
            for name, v in seen.items():
                rows[name].append((v / seen["fp32"])[dropped].median().item())
    steps = list(range(0, after + 1, every))
    return [{"state": name, "steps": steps, "ratio": ratio} for name, ratio in rows.items()]


def small_updates(count=4096, steps=3000, every=30):
    """Weights of 1 in bfloat16, taken down by 1e-5 a step: mean and deviation, with what is kept on the side."""
    for name, (optimizer, options) in WEIGHTS.items():
        p = torch.ones(count, dtype=torch.bfloat16, requires_grad=True)
        p.grad = torch.ones_like(p)
        sgd, rows = optimizer([p], lr=1e-5, **options), []
        for step in range(steps + 1):
            if step % every == 0:
                weights = master(sgd, p, options)
                rows.append((step, weights.mean().item(), weights.std().item()))
            sgd.step()
        at, mean, deviation = zip(*rows, strict=True)
        yield {"format": name, "steps": at, "mean": mean, "deviation": deviation, "exact": 1 - steps * 1e-5}


def master(optimizer, p, options):
    """The weights that the next step begins with, in float32."""
    codec, residual = (
        codecs.WEIGHTS.get((options.get("weight_format"), p.dtype)),
        optimizer.state[p].get(state.RESIDUAL),
    )
    if codec is None or residual is None:
        return p.detach().float()
    return codecs.Stored(p.detach(), residual, codec, p.numel(), 0).read()


def kept_bytes():
    """Bytes per parameter of GPT-2 that are kept between steps."""
    for name, contender in CONTENDERS.items():
        params = [torch.zeros(shape, dtype=contender.dtype) for shape in MODELS["gpt2"].shapes]
        yield {"contender": name, **_kept(contender.optimizer, params, contender.options)}


def _kept(optimizer, params, options):
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer = optimizer(params, **options)
    optimizer.step()
    count, sums = sum(p.numel() for p in params), {"states": 0, "residual": 0}
    for record in optimizer.state.values():
        for key, tensor in record.items():
            sums["residual" if key == state.RESIDUAL else "states"] += tensor.nbytes
    return {"weight": params[0].element_size()} | {key: total / count for key, total in sums.items()}


def measured():
    """All results, under the names of the functions that yield them."""
    found: dict[str, list] = {"errors": [], "next_steps": [], "agreement": []}
    for name, sigma in BLOCKS.items():
        draw = gradients(256 * 256, sigma)
        m, v = moments(draw)
        found["errors"] += errors(m, v, name)
        found["next_steps"] += next_steps(m, v, draw, name)
        found["agreement"] += [{"blocks": name, **row} for row in agreement(m, v)]
    found |= {"stall": stall(), "small_updates": list(small_updates())}
    found |= {"reversal": list(momenta.reversal()), "travel": list(momenta.travel())}
    return found | {"log10_errors": ERRORS, "bytes": list(kept_bytes())}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to write (default: %(default)s)")
    path = parser.parse_args().json
    facts = {**machine.circumstances(), "command": "python -m fusedopt.bench.formats"}
    path.write_text(json.dumps(facts | {"results": rounded(measured())}, indent=1) + "\n")


def rounded(x):
    """Floats to four digits, however deep."""
    if isinstance(x, dict):
        return {key: rounded(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [rounded(value) for value in x]
    return float(f"{x:.4g}") if isinstance(x, float) and math.isfinite(x) else x


if __name__ == "__main__":
    main()
