"""Ranger. Wright 2019, https://github.com/lessw2020/Ranger-Deep-Learning-Optimizer, its version of 2020."""

from typing import Unpack

from ..optimizer import Options
from .radam import RAdam


class Ranger(RAdam):
    """Ranger: RAdam with gradient centralization and Lookahead.

    ``centralize`` takes the mean out of every output unit's gradient, for two dimensions and more. With
    ``lookahead=(k, alpha)`` slow weights go ``alpha`` of the way to the others every ``k`` steps, and these go on from
    there. Weight decay is decoupled, unless ``decoupled_weight_decay=False``. State: ``exp_avg``, ``exp_avg_sq``, and
    ``slow_buffer``, at first the parameter.
    """

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.95, 0.999),
        eps=1e-5,
        weight_decay=0,
        *,
        lookahead=(6, 0.5),
        centralize=True,
        decoupled_weight_decay=True,
        **options: Unpack[Options],  # pyright: ignore[reportGeneralTypeIssues]  three of them have defaults of their own
    ):
        blocks: dict = {**options, "lookahead": lookahead, "centralize": centralize}
        super().__init__(params, lr, betas, eps, weight_decay, decoupled_weight_decay, **blocks)
