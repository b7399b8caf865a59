"""What eight bits do to a momentum: where rounding to nearest makes it stay, and what is too small to count."""

import itertools

import torch

import fusedopt

COUNT = 8 * 256
ODD = torch.arange(COUNT) % 2 == 1
RULES: dict[str, tuple] = {
    "AdamW, beta1 = 0.9": (fusedopt.AdamW, {"betas": (0.9, 0.999)}),
    "AdamW, beta1 = 0.95": (fusedopt.AdamW, {"betas": (0.95, 0.999)}),
    "Lion, beta2 = 0.99": (fusedopt.Lion, {"betas": (0.9, 0.99)}),
    "SGD, momentum = 0.9": (fusedopt.SGD, {"momentum": 0.9}),
    "SGD, momentum = 0.99": (fusedopt.SGD, {"momentum": 0.99}),
}


def triplets(optimizer, options):
    """In eight bits, by chance and to nearest, and in float32: vectors of zeros that move at a learning rate of 1."""
    for state_format, rounding in (("8bit", "stochastic"), ("8bit", "nearest"), ("fp32", "nearest")):
        p, kept = torch.zeros(COUNT, requires_grad=True), {"state_format": state_format, "state_rounding": rounding}
        yield optimizer([p], lr=1.0, weight_decay=0.0, **kept, **options), p


def stepped(copies, g):
    """The updates of all."""
    for optimizer, p in copies:
        p.grad, old = g, p.detach().clone()
        optimizer.step()
        yield p.detach() - old


def reversal(before=500, after=25000):
    """Gradients of 1 become -0.05, or none: the means of the last updates of either, for each of the triplets.

    The others of the block have normal gradients, so its largest momentum moves; or gradients of 1, so it stands.
    """
    reversed_, ended = (torch.arange(COUNT) % 4 == place for place in (1, 3))
    for (name, rule), scale in itertools.product(RULES.items(), ("moves", "stands")):
        copies, generator, updates = list(triplets(*rule)), torch.Generator().manual_seed(0), []
        for step in range(before + after):
            g = torch.randn(COUNT, generator=generator) if scale == "moves" else torch.ones(COUNT)
            g[reversed_], g[ended] = (1.0, 1.0) if step < before else (-0.05, 0.0)
            updates = list(stepped(copies, g))
        of_case = {"reversed": reversed_, "ended": ended}
        means = {case: [x[chosen].mean().item() for x in updates] for case, chosen in of_case.items()}
        yield {"rule": name, "scale": scale, **means}


def travel(steps=300, exponents=range(8, 21, 2)):
    """Half of every block has gradients 2^-k of the others': how far AdamW moves it, over how far in float32."""
    for exponent, kind in itertools.product(exponents, ("alike", "random")):
        copies, generator = list(triplets(fusedopt.AdamW, {})), torch.Generator().manual_seed(0)
        for _ in range(steps):
            g = torch.randn(COUNT, generator=generator)
            small = torch.ones(COUNT) if kind == "alike" else g
            list(stepped(copies, torch.where(ODD, 2.0**-exponent * small, g)))
        ours, _, exact = (p.detach()[ODD].square().mean().sqrt().item() for _, p in copies)
        yield {"exponent": exponent, "gradients": kind, "travel": ours / exact}
