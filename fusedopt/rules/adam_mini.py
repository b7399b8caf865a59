"""Adam-mini. Zhang et al. 2024, arXiv:2406.16793, Algorithm 1; blocks by name as in the authors' code."""

from typing import Unpack

from ..math import mean, row_mean, sqrt
from ..matrix import Matrix, flatten, one_row
from ..optimizer import Optimizer, Options
from ..rule import Rule
from ..validation import check_betas, check_non_negative
from .adam import ADAM, Adam


def _rule(name, average, shape):
    def adam_mini(g, p, m, v, beta1, rate1, beta2, rate2, debias1, root_debias2, eps):
        m = beta1 * m + rate1 * g
        v = beta2 * v + rate2 * average(g * g)
        return debias1 / (root_debias2 * sqrt(v) + eps) * m, m, v

    adam_mini.__name__ = name
    return Rule(adam_mini, {"exp_avg": "signed", "exp_avg_sq": shape})


RULES = {
    "elements": ADAM,
    "heads": _rule("adam_mini_rows", row_mean, "row"),
    "tensor": _rule("adam_mini", mean, "tensor"),
}
RULES["rows"] = RULES["heads"]
BLOCKS = {  # parts of a parameter's name; the first that occurs decides
    "elements": ("bias",),
    "heads": ("k_proj", "q_proj", "wq", "wk", "query", "key"),
    "rows": ("embed", "embd", "wte", "lm_head", "output", "final_layer", "v_proj", "wv", "value", "o_proj", "wo",
             "attn.proj", "feed_forward", "linear", "mlp"),
}  # fmt: skip


class AdaMini(Optimizer):
    """Adam-mini: AdamW with one second moment for every block of a parameter, half of Adam's state.

    State: ``exp_avg``, and ``exp_avg_sq`` float32 with a value per block. Blocks follow from the names, so pass
    ``model.named_parameters()``: elements for biases, attention heads for queries and keys, rows (first dimension) for
    embeddings, outputs, values, projections and feed-forward layers, and the whole tensor for all else. Heads need
    ``head_dim``, the rows of one head (the authors' ``dim / n_heads``), else their blocks are rows. Parameters without
    names have rows as blocks, vectors the whole tensor.

    Unlike the authors' code, names have no say in weight decay: use parameter groups. Decay is decoupled.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        *,
        head_dim=None,
        **options: Unpack[Options],
    ):
        check_non_negative(eps, "epsilon value")
        check_betas(betas, options.get("foreach"), options.get("capturable", False))
        options = {"decoupled_weight_decay": True, **options}
        super().__init__(
            params, options, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay, head_dim=head_dim
        )

    def _check(self, group):
        size = group["head_dim"]
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"Invalid head_dim: {size}; it must be a whole number above 0, or None")
        super()._check(group)

    def rule(self, group, p):
        return RULES[_blocks(group, p)]

    def matrix(self, group, p):
        blocks = _blocks(group, p)
        if blocks == "heads":
            heads, size = p.shape[0] // group["head_dim"], group["head_dim"] * p[0].numel()
            return Matrix(1, heads, size, (heads,), (size,))
        return flatten(p) if blocks == "rows" else one_row(p)

    scalars = Adam.scalars


def _blocks(group, p):
    """The key of RULES for ``p``; a vector has no rows, and heads must come out even."""
    name = _name(group, p)
    found = next((key for key, parts in BLOCKS.items() if any(part in name for part in parts)), "tensor")
    if "param_names" not in group:
        found = "rows"
    if found == "heads" and not (p.dim() > 1 and group["head_dim"] and p.shape[0] % group["head_dim"] == 0):
        found = "rows"
    return "tensor" if found == "rows" and p.dim() < 2 else found


def _name(group, p):
    pairs = zip(group.get("param_names", ()), group["params"], strict=False)
    return next((name.lower() for name, q in pairs if q is p), "")
