"""SMMF. Park & Lee 2025, arXiv:2412.08894, Algorithm 1; the factorisation of its state is :mod:`fusedopt.nnmf`."""

from typing import Unpack

from ..math import sqrt
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..smmf_checkpoints import from_authors, to_authors
from ..validation import check_non_negative


def smmf(g, p, m, v, beta1, rate1, beta2, rate2, eps):
    m = beta1 * m + rate1 * g
    v = beta2 * v + rate2 * g * g
    return m / (sqrt(v) + eps), m, v


def smmf_without_momentum(g, p, v, beta2, rate2, eps):
    v = beta2 * v + rate2 * g * g
    return g / (sqrt(v) + eps), v


FULL = Rule(smmf, {"exp_avg": "signed", "exp_avg_sq": "positive"})
PLAIN = Rule(smmf_without_momentum, {"exp_avg_sq": "positive"})


class SMMF(Optimizer):
    """SMMF: Adam's moments as square-most matrices of rank 1; the authors' constructor.

    State is 0.13 bytes a parameter. A tensor of ``n`` elements is seen as a matrix (rows, cols) with ``cols`` the
    largest divisor of ``n`` up to its root: ``exp_avg_row`` (rows,), ``exp_avg_col`` (cols,), ``exp_avg_sign`` (rows,
    ceil(cols / 8)) uint8, eight signs a byte, lowest bit first, set where the moment is above zero; ``exp_avg_sq_row``
    and ``exp_avg_sq_col``. Where the matrix has more than 64 rows a column (prime sizes), factors would save nothing
    and the moments are dense.

    ``beta`` (None: no first moment) falls by ``growth_rate`` every step, the second moment's weight is
    ``1 - t ** decay_rate``; there is no bias correction. ``weight_decay_mode`` is ``"adamw"``, or ``"adam"`` for decay
    added to the gradient (the authors' code ignores it in that mode). ``vector_reshape=False`` keeps vectors dense.
    Checkpoints of the authors' code load; :meth:`authors_state_dict` writes them.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        beta=0.9,
        eps=1e-8,
        weight_decay=0.0,
        decay_rate=-0.5,
        growth_rate=0.999,
        vector_reshape=True,
        weight_decay_mode="adamw",
        **options: Unpack[Options],
    ):
        if weight_decay_mode not in ("adamw", "adam"):
            raise ValueError(f"Invalid weight_decay_mode: {weight_decay_mode!r}; choose from adamw, adam")
        options = {"decoupled_weight_decay": weight_decay_mode == "adamw", "state_format": "nnmf", **options}
        super().__init__(
            params,
            options,
            lr=lr,
            beta=beta,
            eps=eps,
            weight_decay=weight_decay,
            decay_rate=decay_rate,
            growth_rate=growth_rate,
            vector_reshape=vector_reshape,
        )

    def _check(self, group):
        beta, decay_rate, growth_rate = group["beta"], group["decay_rate"], group["growth_rate"]
        if beta is not None and not 0.0 <= beta <= 1.0:
            raise ValueError(f"Invalid beta: {beta}; it must be in [0, 1], or None for no first moment")
        if not -1.0 <= decay_rate <= 0.0:
            raise ValueError(f"Invalid decay_rate: {decay_rate}; it must be in [-1, 0]")
        if not 0.0 <= growth_rate <= 1.0:
            raise ValueError(f"Invalid growth_rate: {growth_rate}; it must be in [0, 1]")
        check_non_negative(group["eps"], "epsilon value")
        super()._check(group)

    def rule(self, group, p):
        return PLAIN if group["beta"] is None else FULL

    def factors(self, group, p):
        return super().factors(group, p) and self._reshaped(group, p)

    def _reshaped(self, group, p):
        return group["vector_reshape"] or p.squeeze().dim() != 1

    def translated(self, group, p, record):
        """Understands the records of the authors' code."""
        return from_authors(record, p, self.factors(group, p)) if "momentum_v" in record else record

    def authors_state_dict(self):
        """The state dict that the authors' code loads. Moments kept dense here are factored there, with that loss."""
        saved = self.state_dict()
        numbers = [i for group in saved["param_groups"] for i in group["params"]]
        owned = [(group, p) for group in self.param_groups for p in group["params"]]
        records = {
            i: to_authors(saved["state"][i], p, self._reshaped(group, p))
            for i, (group, p) in zip(numbers, owned, strict=True)
            if i in saved["state"]
        }
        return {**saved, "state": records}

    def scalars(self, group, t):
        beta1 = None if group["beta"] is None else group["beta"] * group["growth_rate"] ** (t - 1)
        rate2 = t ** group["decay_rate"]
        return {
            "beta1": beta1,
            "rate1": None if beta1 is None else 1 - beta1,
            "beta2": 1 - rate2,
            "rate2": rate2,
            "eps": group["eps"],
        }
