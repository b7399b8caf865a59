"""Options of building blocks, and sets of them in which every allowed pair occurs: made by trying, not by hand."""

import functools
import itertools
import warnings

import torch

import fusedopt

# Each block at a value where it acts.
OPTIONS = [
    {"maximize": True},
    {"max_grad_norm": 0.5},
    {"clip_value": 0.3},
    {"agc": 0.1},
    {"soft_clip": 1e-3},
    {"centralize": True},
    {"decay": "l2", "weight_decay": 0.1},
    {"normalize": "tensor"},
    {"normalize": "row"},
    {"normalize": "layer"},
    {"eps_inside_root": True},
    {"softplus": 20.0},
    {"atan2": (1.27, 1.0)},
    {"nesterov_mix": True},
    {"rms_clip": 0.5},
    {"cautious": True},
    {"cautious": "rescaled"},
    {"cautious": 0.3},
    {"trust_ratio": "tensor"},
    {"trust_ratio": "row", "trust_bounds": (0.1, 10.0)},
    {"decay": "decoupled", "weight_decay": 0.1},
    {"decay": "fully_decoupled", "weight_decay": 0.1},
    {"decay": "corrected", "weight_decay": 0.1},
    {"decay": "cautious", "weight_decay": 0.1},
    {"decay": "amos", "weight_decay": 0.1},
    {"decay": "stable", "weight_decay": 0.1},
    {"decay": "cpr"},
    {"decay": "cpr", "cpr_bound": ("uniform", 3.0)},
    {"decay": "cpr", "cpr_bound": ("dependent", 0.9)},
    {"decay": "cpr", "cpr_bound": ("warm_start", 2)},
    {"lazy": "param"},
    {"lazy": "all"},
    {"lookahead": (2, 0.5)},
    {"ema": 0.9},
    {"accumulate": 2},
    {"fractional": (0.5, 3)},
    {"state_format": "8bit", "state_rounding": "nearest"},
]
SHAPES = ((7, 5), (11,), (3, 4, 2), ())


def key(options):
    return tuple(sorted(options.items()))


def build(options, params, cls=fusedopt.Adam):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pointless pairs are allowed
        return cls(params, lr=0.02, **options)


@functools.cache
def is_allowed(items):
    try:
        build(dict(items), [torch.zeros(SHAPES[0])])
    except ValueError:
        return False
    return True


def merged(options, more):
    """Both, or None where they set one option to different things."""
    clash = any(options.get(name, value) != value for name, value in more.items())
    return None if clash else {**options, **more}


def pairs():
    """The allowed pairs, as indices into OPTIONS."""
    both = ((i, j, merged(OPTIONS[i], OPTIONS[j])) for i, j in itertools.combinations(range(len(OPTIONS)), 2))
    return {(i, j) for i, j, options in both if options is not None and is_allowed(key(options))}


@functools.cache
def covering_sets():
    """Allowed sets of options that together contain every allowed pair; each is grown from a pair that is missing."""
    allowed, missing, found = pairs(), pairs(), []
    while missing:
        members, options = [], {}
        candidates = [*min(missing), *range(len(OPTIONS))]
        while candidates:
            new = {i: sum(tuple(sorted((i, m))) in missing for m in members) for i in candidates}
            best = max(candidates, key=lambda i: new[i]) if len(members) > 1 else candidates[0]
            candidates.remove(best)
            together = merged(options, OPTIONS[best])
            fits = best not in members and all(tuple(sorted((best, m))) in allowed for m in members)
            if fits and together is not None and is_allowed(key(together)):
                members, options = [*members, best], together
        missing -= set(itertools.combinations(sorted(members), 2))
        found.append(options)
    return found


def train(options, backend, shapes=SHAPES, steps=5, device="cpu"):
    """Parameters and states after some steps; half of the rows have no gradient."""
    generator, dtype = torch.Generator().manual_seed(3), torch.float64
    params = [torch.randn(shape, generator=generator, dtype=dtype).to(device) for shape in shapes]
    optimizer = build(options, params)
    with fusedopt.use_backend(backend):
        for step in range(steps):
            for p in params:
                p.grad = torch.randn(p.shape, generator=generator, dtype=dtype).to(device)
                if p.dim():
                    p.grad[step % 2 :: 2] = 0
            optimizer.step()
    states = [x for p in params for _, x in sorted(optimizer.state[p].items())]
    return params, [x for x in states if x.is_floating_point()]
