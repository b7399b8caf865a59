"""The base class of all optimizers: hyper-parameters, state and checkpoints. The maths lives in ``rules/``."""

import contextlib
from typing import ClassVar, TypedDict

import torch

from . import blocks, combinations, gradients, nnmf, settings, state
from .matrix import flatten, one_row, square
from .planner import Member, Program
from .stable import stability
from .telemetry import Telemetry
from .validation import (
    check_loaded,
    check_lr,
    check_non_negative,
    check_options,
    check_weight_format,
    labelled,
)

TORCH_FLAGS = ("maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay")
DEFAULTS = {
    "maximize": False,
    "foreach": None,
    "capturable": False,
    "differentiable": False,
    "fused": None,
    "decoupled_weight_decay": False,
    "cautious": False,
    "max_grad_norm": None,
    "decay": None,
    "trust_bounds": None,
    "cpr_bound": "inflection_point",
    "accumulate": 1,
    "fractional": None,
    **settings.STRUCTURAL,
    "state_format": "param",
    "state_rounding": "stochastic",
    "weight_format": "plain",
    "telemetry": False,
}


class Options(TypedDict, total=False):
    """Keyword-only options that every optimizer takes.

    torch's flags: ``maximize`` negates the gradient. ``foreach`` and ``fused`` are accepted and change nothing, as
    every step is fused. ``capturable`` keeps step counts and scalars on the GPU, for CUDA graphs. ``differentiable``
    is refused.

    Building blocks, in the order in which they act (docs/blocks.md): ``accumulate`` calls make one step, from the mean
    of their gradients weighted by ``optimizer.micro_batch_weight``. ``fractional=(alpha, terms)`` adds the last
    gradients. ``max_grad_norm`` clips by the global L2 norm as :func:`torch.nn.utils.clip_grad_norm_`, without writing
    gradients back; ``clip_value`` every component; ``agc`` and ``soft_clip`` an output unit's gradient by the size of
    its weights. ``centralize`` takes out a unit's mean. ``normalize`` sets the gradient's length, of the ``"tensor"``
    or ``"row"`` to one, of the ``"layer"`` to the parameter's. ``nesterov_mix`` looks ahead in the numerator.
    ``eps_inside_root``, ``softplus`` (its slope) and ``atan2`` (range, slope) are other denominators. ``rms_clip``
    bounds the direction's root mean square. ``cautious`` drops what points against the gradient; ``"rescaled"``, or a
    factor for what it would drop, rescales the rest. ``trust_ratio`` makes the direction as long as the ``"tensor"`` or
    ``"row"``, by a factor within ``trust_bounds``. ``decoupled_weight_decay`` shrinks the parameter by ``lr *
    weight_decay`` instead of adding ``weight_decay * p`` to the gradient; ``decay`` names these and other forms, and
    ``cpr_bound`` how ``"cpr"``, of all but vectors, finds its bound. ``lazy`` leaves rows without gradient, as
    ``"param"``, or with their state, ``"all"``. ``lookahead=(k, alpha)`` keeps slow weights, ``ema`` (the share that is
    kept) an average.

    Storage: ``state_format`` is how new state is kept: ``"param"`` (in the parameter's dtype, as torch), ``"fp32"``,
    ``"bf16"``, ``"8bit"`` (codes and a float32 scale for every 256, :mod:`fusedopt.codecs`), ``"8bit_dynamic"`` (the
    same with the codes of bitsandbytes, always to the nearest), or ``"nnmf"`` for matrices of rank 1 and sign bits
    (:mod:`fusedopt.nnmf`). ``state_rounding`` is how moments are rounded to ``"8bit"`` and ``"bf16"``:
    ``"stochastic"``, or ``"nearest"``, in which those that change slowly do not change at all. ``weight_format`` is how
    16-bit weights keep what rounding would take: ``"plain"`` (not at all), ``"stochastic"``, ``"kahan"`` (2 bytes
    more), ``"split24"`` (1 byte more) or ``"split32"`` (2 bytes more; equal to float32 weights, bit for bit); the
    splits are for bfloat16. Weights of 32 bits and more are plain in any case.

    ``telemetry`` keeps a :class:`fusedopt.telemetry.Telemetry` of every parameter's last step in
    ``optimizer.telemetry``; on CPUs it costs no further reading of memory.
    """

    maximize: bool
    foreach: bool | None
    capturable: bool
    differentiable: bool
    fused: bool | None
    decoupled_weight_decay: bool
    cautious: bool | str | float
    max_grad_norm: float | None
    clip_value: float | None
    agc: float | None
    soft_clip: float | None
    centralize: bool
    normalize: str | None
    eps_inside_root: bool
    softplus: float | None
    atan2: tuple[float, float] | None
    nesterov_mix: bool
    rms_clip: float | None
    trust_ratio: str | None
    trust_bounds: tuple[float, float] | None
    decay: str | None
    cpr_bound: str | tuple[str, float]
    lazy: str | None
    lookahead: tuple[int, float] | None
    ema: float | None
    accumulate: int
    fractional: tuple[float, int] | None
    state_format: str
    state_rounding: str
    weight_format: str
    telemetry: bool


class Optimizer(torch.optim.Optimizer):
    """A :class:`torch.optim.Optimizer` whose step is planned once and run by one engine.

    A subclass says which :class:`~fusedopt.rule.Rule` a group follows (``rule``) and what its scalars are at step
    ``t`` (``scalars``, in float64; ``t`` counts from 1). ``counts_steps`` tells whether its state holds ``step``.
    """

    counts_steps = True
    own_decay = False  # whether weight_decay acts in a way of the rule's own
    contradicts: ClassVar[dict[str, str]] = {}  # blocks that cannot go with this rule, and why
    pointless: ClassVar[dict[str, str]] = {}  # blocks that change little beside it, and why
    presets: ClassVar[dict] = {}  # options in which a class differs from its parent
    spare_sums: dict[torch.Tensor, torch.Tensor]  # memory for the next window of micro-batches
    keeps_gradients = True  # whether state may hold sums or histories of them
    telemetry: dict[torch.Tensor, Telemetry]  # of the last step, if it was asked for
    micro_batch_weight = 1.0  # of the next micro-batch, such as its number of tokens, with ``accumulate``
    _program: Program | None = None  # remade on demand, so pickling and copying may drop it

    def __init__(self, params, options, **hyperparameters):
        unknown = options.keys() - DEFAULTS.keys()
        if unknown:
            raise TypeError(f"{type(self).__name__}() got an unexpected keyword argument {sorted(unknown)[0]!r}")
        defaults = {**hyperparameters, **DEFAULTS, **self.presets, **options}
        self.refuse(defaults)
        combinations.warn(type(self), defaults)
        self._check(defaults)
        self.spare_sums = {}
        super().__init__(params, defaults)

    def rule(self, group, p):
        raise NotImplementedError

    def matrix(self, group, p):
        """How the rule sees ``p``, a :class:`~fusedopt.matrix.Matrix`; in rows, for threads to share, if it adds up."""
        return flatten(p) if p.dim() > 1 and self.rule(group, p).sees_matrices else one_row(p)

    def scalars(self, group, t):
        raise NotImplementedError

    def constants(self, group, p):
        """Scalars that depend on the parameter but not on the step."""
        return {}

    def measured(self, engines, tables, coefficient):
        """Scalars that depend on all gradients of the step, by name, as 0-dim tensors; they replace ``scalars``' own.

        ``tables`` and ``coefficient`` are what ``engines`` will be run with.
        """
        uses = any("stability" in engine.bucket.rule.scalars for engine in engines)
        return {"stability": stability(self.param_groups, engines, tables, coefficient)} if uses else {}

    def initial(self, group):
        """What new states are filled with, by name, where that is not zero."""
        return {}

    def translated(self, group, p, record):
        """A loaded state record of ``p`` as this class keeps it."""
        return record

    def exported(self, group, record):
        """A state record as the torch class that this one replaces keeps it."""
        return record

    def factors(self, group, p):
        """Whether the state of ``p`` is kept as rank-1 matrices."""
        shape = square(p)
        return group["state_format"] == "nnmf" and 0 < shape.rows <= nnmf.MAX_RATIO * shape.cols

    def layout(self, group, p):
        """The rule and matrix that the engines run for ``p``, its state format applied."""
        own, shape = self.rule(group, p), self.matrix(group, p)
        rule, around = blocks.varied(own, group)
        stored = self._stored(group, p, rule, shape)
        if rule is own and not settings.is_structural(group):
            return stored
        return blocks.laid_out(*stored, around, p)

    def _stored(self, group, p, rule, shape):
        """A rule and its matrix for the format of the state."""
        if rule.states and self.factors(group, p):
            if reason := nnmf.refusal(rule):
                raise ValueError(
                    f"{type(self).__name__}: state_format='nnmf' does not fit the rule {rule.name!r}: {reason}; "
                    "choose another state_format"
                )
            return nnmf.nnmf(rule), square(p)
        return rule, shape

    def refuse(self, group):
        """Raises ValueError for building blocks out of range, or that contradict each other or this rule."""
        combinations.refuse(type(self), group)

    def _check_shared(self, groups):
        """Refuses groups that differ in what is one for the optimizer."""
        combinations.check_shared(groups)

    def _check(self, group):
        check_lr(group["lr"], group["foreach"], group["capturable"])
        check_non_negative(group["weight_decay"], "weight_decay value")
        if group["fused"] and group["differentiable"]:
            raise RuntimeError("`fused` does not support `differentiable`")
        if group["fused"] and group["foreach"]:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        if group["differentiable"]:
            raise RuntimeError(f"{type(self).__name__} does not support differentiable=True; use torch.optim for that")
        check_options(group)

    @torch._disable_dynamo
    def step(self, closure=None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Performs one update of every parameter that has a gradient.

        Returns what ``closure`` returned, if given. A step that raises has changed nothing.
        """
        if torch.cuda.is_initialized():
            self._accelerator_graph_capture_health_check()
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            if not gradients.is_replaced(self):
                self._run(1.0)
                if self.keeps_gradients:
                    gradients.begin_window(self)
            else:
                with gradients.taken(self) as scale:
                    if scale is not None:
                        self._run(scale)
        return loss

    def _run(self, scale):
        """Steps once, with gradients multiplied by ``scale``."""
        for group in self.param_groups:
            settings.remember_lr(group)
        if self._program is None or not self._program.is_current(self):
            self._program = Program(self)
        self._program.run(self, scale)

    def add_param_group(self, param_group):
        if isinstance(param_group, dict):
            check_options({**self.defaults, **param_group})
            self.refuse({**self.defaults, **param_group})
            self._check_shared([*self.param_groups, {**self.defaults, **param_group}])
        super().add_param_group(param_group)
        try:
            self._check_added()
        except Exception:
            self.param_groups.pop()
            raise
        self._program = None

    def _check_added(self):
        """Refuses parameters of the last group that its rule, blocks or formats do not fit."""
        added = len(self.param_groups) - 1
        settings.remember_lr(self.param_groups[added])
        for p, label in ((p, label) for index, p, label in labelled(self.param_groups) if index == added):
            self.layout(self.param_groups[added], p)
            check_weight_format(self.param_groups[added], p, label)

    @contextlib.contextmanager
    def averaged(self):
        """Inside the ``with`` block, parameters that have an ``ema`` are their averages, for evaluation."""
        groups = [group for group in self.param_groups if group["ema"] is not None]
        averages = {p: self.state[p]["ema"] for group in groups for p in group["params"] if "ema" in self.state[p]}
        with torch.no_grad():
            weights = {p: p.clone() for p in averages}
            for p, average in averages.items():
                p.copy_(average)
        try:
            yield
        finally:
            with torch.no_grad():
                for p, weight in weights.items():
                    p.copy_(weight)

    def __repr__(self):
        """As torch's, without the options that are idle."""
        idle = {f"    {name}: {value}" for name, value in DEFAULTS.items() if name not in TORCH_FLAGS}
        return "\n".join(line for line in super().__repr__().splitlines() if line not in idle)

    def state_dict(self):
        """The optimizer's state; the torch class it replaces loads it too."""
        exporter = self.register_state_dict_post_hook(state.export, prepend=True)
        try:
            return super().state_dict()
        finally:
            exporter.remove()

    def load_state_dict(self, state_dict):
        """Loads a state dict of this class or of the torch class it replaces; state keeps the dtype it was saved in.

        One that does not fit (a wrong shape, dtype or option, an incomplete record) raises and changes nothing.
        """
        before = dict(vars(self))  # a load replaces state and groups, and writes into neither
        saved = {}

        def keep(_, loaded):
            saved.update(loaded)
            return state.keep(loaded)

        hooks = [
            self.register_load_state_dict_pre_hook(keep),
            self.register_load_state_dict_post_hook(lambda _: self._adopt(saved["param_groups"]), prepend=True),
        ]
        try:
            super().load_state_dict(state_dict)
        except BaseException:
            vars(self).update(before)
            raise
        finally:
            for hook in hooks:
                hook.remove()

    def _adopt(self, saved_groups):
        """Unpacks and checks what has been loaded."""
        for group in self.param_groups:
            self.refuse(group)
        state.restore(self)
        for seed, (index, p, label) in enumerate(labelled(self.param_groups)):
            group = self.param_groups[index]
            check_options(group)
            check_weight_format(group, p, label)
            member = Member(p, index, label, seed, self.counts_steps, *self.layout(group, p))
            if p in self.state:
                check_loaded(self, member, self.state[p], saved_groups[index])
                state.lay_out(self.state[p], member, group)

    def __setstate__(self, state_):
        super().__setstate__(state_)
        self._program, self.spare_sums, self.keeps_gradients = None, {}, True
        for key, default in DEFAULTS.items():
            self.defaults.setdefault(key, default)  # a pickle may be older than an option
        for group in self.param_groups:
            for key, default in self.defaults.items():
                group.setdefault(key, default)
