"""What the tests of converters share: a state dict to convert, and 16-bit weights of which more is kept."""

import torch
from conftest import parameters, set_gradients

import fusedopt
from fusedopt import codecs, convert_state_dict

SHAPES = ((16, 400), (7,), (50, 100))  # whole blocks of 256 and 32; too small for most peers' codes; a short last block
TAILS = {"normal": 0.0, "lognormal": 2.0}  # sigma of the magnitudes within a block


def moments(tail):
    """Adam's state dict as torch saves it, with moments of a spread that training shows."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for i, shape in enumerate(SHAPES):
        size = torch.exp(TAILS[tail] * torch.randn(shape, generator=generator)) * 1e-3
        m, v = torch.randn(shape, generator=generator) * size, torch.rand(shape, generator=generator) * size * size
        m.view(-1)[:2], v.view(-1)[:2] = 0.0, 0.0
        state[i] = {"step": torch.tensor(7.0), "exp_avg": m, "exp_avg_sq": v}
    group = torch.optim.AdamW(parameters(SHAPES), lr=0.1, betas=(0.8, 0.95)).state_dict()["param_groups"][0]
    return {"state": state, "param_groups": [group]}


def convert(saved, source, target, **options):
    """With parameters, which only flashoptim's form needs."""
    return convert_state_dict(saved, source, target, **{"params": parameters(SHAPES), **options})


def floats(saved, source):
    return convert(saved, source, "torch")["state"]


def exact_weights():
    generator = torch.Generator().manual_seed(2)
    w = torch.randn(4000, generator=generator) * torch.exp(3 * torch.randn(4000, generator=generator))
    w[:6] = torch.tensor([0.0, 1.0, -1.0, 0.99999, 1.00001, 2.0 - 2.0**-12])  # beside and at powers of two
    return w


def with_weights(dtype, weight_format):
    """A model's 16-bit weights, our state dict that keeps more of them, and what the two stand for."""
    p = exact_weights().to(dtype).requires_grad_()
    optimizer = fusedopt.AdamW([p], state_format="fp32", weight_format=weight_format)
    set_gradients([p], 0)
    optimizer.step()
    return p, optimizer.state_dict(), weight_of(p, optimizer.state[p]["weight_residual"], weight_format)


def weight_of(p, residual, weight_format):
    return codecs.WEIGHTS[weight_format, p.dtype].decode(p.detach(), residual, p.numel())
