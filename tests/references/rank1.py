"""State as matrices of rank 1 and signs."""

import math
from typing import ClassVar

import torch

from .elements import ReferenceLion
from .formula import Reference, average


def square_shape(n):
    """arXiv:2412.08894, Algorithm 2."""
    cols = max(i for i in range(1, math.isqrt(n) + 1) if n % i == 0)
    return n // cols, cols


def compress(x):
    """Algorithm 4: sums of rows and of columns; those of the shorter side sum to 1."""
    row, col = x.sum(1), x.sum(0)
    short = row if len(row) < len(col) else col
    short /= short.sum() if short.sum() != 0 else 1
    return row, col


def decompress(factors, sign=None):
    """Algorithm 3."""
    x = torch.outer(*factors)
    return x if sign is None else torch.where(sign, x, -x)


class ReferenceSMMF(Reference):
    """arXiv:2412.08894, Algorithm 1; its state is what the authors' code keeps."""

    options: ClassVar = dict(lr=1e-3, beta=0.9, eps=1e-8, decay_rate=-0.5, growth_rate=0.999, vector_reshape=True,
                             decoupled_weight_decay=True)  # fmt: skip

    def direction(self, g, p, t, state, group):
        rate2, beta, eps = t ** group["decay_rate"], group["beta"], group["eps"]
        beta1 = None if beta is None else beta * group["growth_rate"] ** (t - 1)
        if not group["vector_reshape"] and g.squeeze().dim() == 1:
            v = average(state, "momentum_v", g * g, 1 - rate2)
            return (g if beta1 is None else average(state, "momentum_m", g, beta1)) / (v.sqrt() + eps)
        shape = state.setdefault("effective_shape", square_shape(g.numel()))
        x = m = g.reshape(shape)
        zeros = tuple(g.new_zeros(n) for n in shape)
        v = (1 - rate2) * decompress(state.get("momentum_v", zeros)) + rate2 * x * x
        state["momentum_v"] = compress(v)
        if beta1 is not None:
            m = beta1 * decompress(state.get("momentum_m", zeros), state.get("sign", x > x)) + (1 - beta1) * x
            state.update(momentum_m=compress(m.abs()), sign=m > 0)
        return (m / (v.sqrt() + eps)).reshape(g.shape)


class Rank1:
    """Mixed into a dense optimizer: after every step its moments are what factors and signs keep of them."""

    def step(self):
        super().step()
        for record in self.state.values():
            for key in record.keys() & {"exp_avg", "exp_avg_sq", "momentum_buffer"}:
                if record[key].numel():
                    x = record[key].reshape(square_shape(record[key].numel()))
                    record[key].copy_(decompress(compress(x.abs()), x > 0).reshape(record[key].shape))


class Rank1AdamW(Rank1, torch.optim.AdamW):
    pass


class Rank1SGD(Rank1, torch.optim.SGD):
    pass


class Rank1Lion(Rank1, ReferenceLion):
    pass
