"""What the tests of rules with statistics per row and column share: the rules, shapes, and steps in float64."""

import torch
from conftest import parameters
from references import Case
from references.factored import ReferenceAdafactor, ReferenceAdaMini, ReferenceAmos, ReferenceCAME, ReferenceSM3
from references.rank1 import ReferenceSMMF

import fusedopt

ADAFACTOR = Case(fusedopt.Adafactor, {}, ReferenceAdafactor)
HF = Case(fusedopt.Adafactor, dict(second_moment_form="hf"), ReferenceAdafactor, {})
FLAT = Case(
    fusedopt.Adafactor,
    dict(factor_mode="flatten", beta1=0.9, state_format="fp32"),
    ReferenceAdafactor,
    dict(flatten=True, beta1=0.9),
)
SM3 = Case(fusedopt.SM3, {}, ReferenceSM3)
SM3_I = Case(fusedopt.SM3, {"variant": "I"}, ReferenceSM3)
AMOS = Case(fusedopt.Amos, {"lr": 0.1}, ReferenceAmos)
AMOS_TENSOR = Case(
    fusedopt.Amos,
    dict(lr=0.1, reduction="tensor", momentum=0.9, state_format="fp32"),
    ReferenceAmos,
    dict(lr=0.1, reduction="tensor", momentum=0.9),
)
SMMF = Case(fusedopt.SMMF, {"lr": 0.1}, ReferenceSMMF)
CAME = Case(fusedopt.CAME, dict(lr=0.01, state_format="fp32"), ReferenceCAME, dict(lr=0.01))
ADAMINI = Case(fusedopt.AdaMini, dict(state_format="fp32"), ReferenceAdaMini, {})
FACTORED = [ADAFACTOR, HF, FLAT, SM3, SM3_I, AMOS, AMOS_TENSOR, SMMF, CAME, ADAMINI]
SHAPES = [(), (1,), (5,), (1, 1), (1, 9), (9, 1), (0, 3), (3, 0), (4, 0, 2), (13, 7), (31, 37), (127,), (64, 96)]
SHAPES += [(6, 3, 3, 3), (2, 3, 5), (5, 1, 4), (1, 4, 3, 5), (127, 3)]


def moved(build, start, gradients, exact=False):
    """The displacement of every tensor in float64, and the optimizer; ``exact`` runs in float64 on the same numbers."""
    dtype = torch.float64 if exact else start[0].dtype
    params = [p.detach().to(dtype).clone().requires_grad_() for p in start]
    optimizer = build(params)
    for grads in gradients:
        for p, g in zip(params, grads, strict=True):
            p.grad = g.to(dtype)
        optimizer.step()
    return [p.detach().double() - q.detach().double() for p, q in zip(params, start, strict=True)], optimizer


def draws(shapes, steps, change=lambda g: g):
    return [[change(g.detach()) for g in parameters(shapes, seed=1000 + i)] for i in range(steps)]


def zeros(shapes):
    return [torch.zeros(shape) for shape in shapes]


def assert_finite(displacements, optimizer):
    tensors = [*displacements, *(x for record in optimizer.state.values() for x in record.values())]
    assert all(bool(torch.isfinite(x).all()) for x in tensors)


def assert_near(found, expected, tolerance):
    """Equal up to ``tolerance`` of the largest number."""
    for x, y in zip(found, expected, strict=True):
        largest = y.abs().max().item() if y.numel() else 0.0
        torch.testing.assert_close(x, y, rtol=0, atol=tolerance * largest)
