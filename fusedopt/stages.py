"""Sorts a rule's formulas into kernels: sweeps over all elements, and short loops over row and column values.

A reduction over elements ends a sweep; the last sweep writes. Statements are sorted, never rewritten, and an element's
value that several sweeps need is computed again in each, so nothing of the parameter's size is stored.
"""

from dataclasses import dataclass, field

from .trace import Value, ancestors, trace

STORED = ("row", "col")  # shapes whose expressions are computed once and kept; smaller ones are computed where used


@dataclass
class Kernel:
    """One loop over ``domain`` ("element", "row", "col" or "tensor").

    It computes ``outputs``, kept in scratch memory, and adds up ``sums``; the sweep that ``commits`` applies the update
    and writes the states that are elements.
    """

    domain: str
    commits: bool = False
    outputs: list[Value] = field(default_factory=list)
    sums: list[Value] = field(default_factory=list)


class Stages:
    """A rule's formulas: its inputs, the direction, the ``new`` values of its states, and the kernels in order."""

    def __init__(self, rule):
        shapes = dict(zip(rule.state_parameters, rule.shapes.values(), strict=True))
        inputs, results = trace(rule.update, shapes | dict.fromkeys(rule.scalars, "scalar"))
        if len(results) != 1 + len(rule.states):
            raise TypeError(
                f"rule {rule.name} has {len(rule.states)} state(s), but returns {len(results)} value(s); "
                "return the direction, followed by every new state"
            )
        self.direction, *new = results
        self.inputs = list(inputs.values())
        self.states, self.scalars = self.inputs[2 : 2 + len(rule.states)], self.inputs[2 + len(rule.states) :]
        shapes = [state.shape for state in self.states], [x.shape for x in new]
        if not _fit(*shapes):
            raise TypeError(f"rule {rule.name} has states of shapes {shapes[0]} and returns new ones of {shapes[1]}")
        pairs = zip(self.states, new, strict=True)
        self.new = [_copied(x) if x in self.inputs and x is not state else x for state, x in pairs]
        self.names = {new: f"new_{state.name}" for state, new in zip(self.states, self.new, strict=True)}
        self.names[self.direction] = "u"
        self.kernels = self._scheduled(rule)

    def _new(self, elements):
        """The new values of the states that are elements, or of the others."""
        pairs = zip(self.states, self.new, strict=True)
        return [new for state, new in pairs if (state.shape == "element") == elements]

    def _scheduled(self, rule):
        before = ancestors([self.direction, *self._new(True)])
        commit = max(value.level for value in before)
        late = [value for value in ancestors(self._new(False)) if value.inputs and value not in before]
        if any(value.level > commit + 1 for value in late):
            raise TypeError(f"rule {rule.name}: a state needs another sweep after the one that writes")
        terms = ancestors([value.inputs[0] for value in late if value.over_elements()])
        for value in late:
            if value not in terms:
                value.level = commit + 1  # what only state needs waits for the last sweep
        kernels = []
        for level in range(commit + 2):
            due = [value for value in self._kept() if value.level == level]
            if level > 0:
                sums = [value for value in due if value.over_elements()]
                kernels.append(Kernel("element", level == commit + 1, sums=sums))
            _place(kernels, [value for value in due if not value.over_elements()])
        return kernels

    def _kept(self):
        """What is computed once and kept: reductions, new states, and the row and column values that elements use."""
        values = ancestors([self.direction, *self.new])
        used = (x for value in values if value.shape == "element" for x in value.used())
        factors = {x for x in used if x.shape in STORED and not x.is_condition}  # memory holds numbers only
        factors.update(self._new(False))
        return [value for value in values if value.inputs and (value.reduction or value in factors)]

    @property
    def sweeps(self):
        """The kernels; those stand together that one reading of memory is enough for, as they stay in their rows."""
        sweeps = []
        for kernel in self.kernels:
            follows = sweeps and sweeps[-1][0].domain == "element" and all(map(_stays_in_row, sweeps[-1]))
            if follows and (kernel.domain == "element" or _stays_in_row(kernel)):
                sweeps[-1].append(kernel)
            else:
                sweeps.append([kernel])
        return sweeps

    @property
    def temporaries(self):
        """The kept values in the order of kernels: each needs scratch memory of its shape."""
        return [value for kernel in self.kernels for value in (*kernel.outputs, *kernel.sums)]

    def results(self, kernel):
        """What a kernel computes: direction and new elements if it commits, its outputs, the terms of its sums."""
        update = [self.direction, *self._new(True)] if kernel.commits else []
        return [*update, *kernel.outputs, *(value.inputs[0] for value in kernel.sums)]

    def loads(self, kernel):
        """The inputs and kept values that a kernel reads."""
        known = {*self.temporaries, *self.inputs} - {*kernel.outputs}
        return [value for value in ancestors(self.results(kernel), known) if value in known]

    def written(self, kernel):
        """The states that the kernel's sweep overwrites."""
        return [state for state in self.states if state.shape == "element"] if kernel.commits else []

    def arguments(self, kernel):
        """What a kernel reads lane by lane, those it overwrites first, and what is uniform along its loop."""
        lanes = {"element": ("element", "col"), "tensor": ()}.get(kernel.domain, (kernel.domain,))
        written, loads = self.written(kernel), [x for x in self.loads(kernel) if x not in self.inputs[:2]]
        streams = written + [x for x in loads if x.shape in lanes and x not in written]
        return streams, [x for x in loads if x not in streams]


def _stays_in_row(kernel):
    """Whether a row needs no other to go on after this kernel; csrc/cpu/matrix.h asks the same."""
    if kernel.domain == "row":
        return not kernel.sums
    return kernel.domain == "element" and all(value.shape == "row" for value in kernel.sums)


def _copied(value):
    """An input as a value of its own: states that take each other's place would be overwritten before they are read."""
    return Value.of(lambda x: x, value)


def _fit(states, new):
    """Elements may be given any value; statistics only values of their own shape."""
    return len(states) == len(new) and all(a in ("element", b) for a, b in zip(states, new, strict=True))


def _place(kernels, values):
    """Puts every value into the first kernel over its domain that comes after what it needs."""
    first, home = len(kernels), {}
    for value in values:
        domain = value.inputs[0].shape if value.reduction else value.shape
        earliest = first
        for source in ancestors(value.used(), set(home)):
            if source in home:
                at = home[source]
                earliest = max(earliest, at + (source in kernels[at].sums))
        free = (i for i in range(earliest, len(kernels)) if kernels[i].domain == domain)
        home[value] = next(free, len(kernels))
        if home[value] == len(kernels):
            kernels.append(Kernel(domain))
        (kernels[home[value]].sums if value.reduction else kernels[home[value]].outputs).append(value)
