"""Options of rules with statistics per row and column: what they mean, and what is refused."""

import functools
import math

import pytest
import torch
from conftest import parameters, train
from factored_cases import SHAPES, assert_near, draws, moved
from references.factored import ReferenceAdafactor

import fusedopt

HF_OPTIONS = [
    {},
    {"warmup_init": True},
    {"scale_parameter": False, "weight_decay": 0.1},
    {"lr": 0.01, "relative_step": False, "scale_parameter": False, "beta1": 0.9},
    {"eps": (1e-2, 0.1), "clip_threshold": 0.5, "decay_rate": -0.5},
]


@pytest.mark.parametrize("options", HF_OPTIONS, ids=str)
def test_from_hf_takes_transformers_arguments(options):
    """The reference has been compared with transformers 5.23 in float64: 6e-15 apart after 30 steps."""
    names = {"clip_threshold": "d", "decay_rate": "beta2_decay"}
    reference = functools.partial(
        ReferenceAdafactor, hf_decay=True, **{names.get(key, key): value for key, value in options.items()}
    )
    start, gradients = parameters(SHAPES), draws(SHAPES, 5)
    with fusedopt.use_backend("eager"):
        found, _ = moved(functools.partial(fusedopt.Adafactor.from_hf, **options), start, gradients, exact=True)
    assert_near(found, moved(reference, start, gradients, exact=True)[0], 1e-10)


REFUSED = [
    ("Adafactor", {"beta1": 1.0}, r"Invalid beta1: 1\.0; it must be in \[0, 1\)"),
    ("Adafactor", {"second_moment_form": "x"}, "Invalid second_moment_form: 'x'; choose from late_sqrt, torch, hf"),
    ("Adafactor", {"factor_mode": "all"}, "Invalid factor_mode: 'all'; choose from last2, flatten"),
    ("Adafactor", {"clip_threshold": 0.5}, r"Clipping threshold d should be >= 1 but is: 0\.5"),
    ("Adafactor", {"second_moment_form": "hf", "d": -0.5}, r"Clipping threshold d should be >= 0 but is: -0\.5"),
    ("Adafactor", {"warmup_init": True, "relative_step": False}, "`warmup_init=True` requires `relative_step=True`"),
    *(("SM3", {"momentum": x}, rf"Invalid momentum: {x}; it must be in \[0, 1\)") for x in (-0.1, 1.0, math.nan)),
    ("SM3", {"eps": -1.0}, r"Invalid epsilon value: -1\.0"),
    ("SM3", {"variant": "III"}, "Invalid variant: 'III'; choose from II, I"),
    *(("Amos", {key: 1.0}, rf"Invalid {key}: 1\.0; it must be in \[0, 1\)") for key in ("beta", "momentum")),
    *(("Amos", {key: -1}, f"Invalid {key}: -1") for key in ("eta", "extra_l2", "c_coef", "d_coef", "eps")),
    *(("CAME", {"lr": 0.1, "betas": x}, "three numbers in") for x in ((0.9, 0.999), (0.9, 0.999, 1.0))),
    ("CAME", {"lr": 0.1, "eps": (0.0, 1e-16)}, "two numbers above 0"),
    ("AdaMini", {"betas": (0.9, 1.0)}, r"Invalid beta parameter at index 1: 1\.0"),
    ("AdaMini", {"head_dim": 0}, "Invalid head_dim: 0; it must be a whole number above 0, or None"),
    ("Amos", {"reduction": "col"}, "Invalid reduction: 'col'; choose from tensor, row"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(fusedopt, name)(parameters(), **options)


def test_from_hf_refuses_what_transformers_refuses():
    with pytest.raises(ValueError, match="Cannot combine manual `lr` and `relative_step=True` options"):
        fusedopt.Adafactor.from_hf(parameters(), lr=1e-3)
    with pytest.raises(ValueError, match="`warmup_init=True` requires `relative_step=True`"):
        fusedopt.Adafactor.from_hf(parameters(), lr=1e-3, relative_step=False, warmup_init=True)


BLOCKS = [  # name, shape, head_dim, shape of the second moment
    ("layer.attn.q_proj.weight", (8, 4), 2, (4,)),
    ("layer.attn.q_proj.weight", (8, 4), None, (8, 1)),
    ("layer.attn.q_proj.weight", (8, 4), 3, (8, 1)),
    ("layer.attn.q_proj.bias", (8,), 2, (8,)),
    ("wte.weight", (5, 4), None, (5, 1)),
    ("MLP.fc.weight", (5, 4, 2), None, (5, 1, 1)),
    ("mlp.scale", (5,), None, ()),
    ("conv.weight", (5, 4, 3, 3), None, ()),
]


@pytest.mark.parametrize(("name", "shape", "head_dim", "expected"), BLOCKS)
def test_blocks_of_adam_mini_follow_from_the_name(backend, name, shape, head_dim, expected):
    (p,) = parameters([shape])
    start = p.detach().clone()
    optimizer = fusedopt.AdaMini([(name, p)], lr=1.0, betas=(0.0, 0.0), eps=0.0, head_dim=head_dim)
    train(optimizer, [p], 1)
    assert optimizer.state[p]["exp_avg_sq"].shape == expected
    blocks = p.grad.reshape(max(1, math.prod(expected)), -1)  # one step without averages: by each block's own size
    size = blocks.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(start - p.detach(), (blocks / size).reshape(shape), rtol=1e-6, atol=1e-6)
