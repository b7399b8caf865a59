"""Sorts a rule's text with reductions into kernels: sweeps over elements, and short loops along rows and columns.

A reduction ends a sweep; what depends only on row values runs once per row. Statements are sorted, never rewritten, and
an element's value that several sweeps need is computed again in each, so nothing of the tensor's size is stored.
"""

import ast
import inspect
import textwrap
from dataclasses import dataclass, field

REDUCTIONS = {"mean": "tensor", "row_mean": "row", "col_mean": "col", "row_max": "row", "col_max": "col"}


@dataclass
class Value:
    """One assignment of the rule, or an input (no expression). ``level`` is the sweep before which it is known."""

    name: str
    shape: str  # element, row, col, tensor or scalar
    level: int = 0
    expression: ast.expr | None = None
    reduction: str | None = None


@dataclass
class Kernel:
    """One loop over ``domain``: computes ``body``, accumulates ``sums``; the last sweep over elements writes."""

    domain: str
    commits: bool = False
    body: list[Value] = field(default_factory=list)
    sums: list[Value] = field(default_factory=list)


def _join(values):
    shapes = {value.shape for value in values} - {"scalar"}
    if "element" in shapes or {"row", "col"} <= shapes:
        return "element"
    return next((shape for shape in ("row", "col", "tensor") if shape in shapes), "scalar")


class Stages(ast.NodeTransformer):
    """The kernels of ``update(g, p, *states, *scalars)``; ``states`` maps each state to its shape."""

    def __init__(self, update, states):
        (function,) = ast.parse(textwrap.dedent(inspect.getsource(update))).body
        names = [argument.arg for argument in function.args.args]
        self.values, self.current = {}, {}
        for name in names:
            self._add(name, Value(name, "element" if name in "gp" else states.get(name, "scalar")))
        *body, last = function.body
        for statement in body:
            self._assign(statement.targets[0].id, statement.value)
        u, *new = last.value.elts if isinstance(last.value, ast.Tuple) else [last.value]
        self.u = self._assign("u", u)
        self.new = {state: self._assign(state, value) for state, value in zip(states, new, strict=True)}
        self.kernels = self._schedule()

    def _add(self, name, value):
        count = 1
        while value.name in self.values:
            count += 1
            value.name = f"{name}_{count}"
        self.values[value.name] = self.current[name] = value
        return value

    def _assign(self, name, node):
        expression = self.visit(node)
        if isinstance(expression, ast.Name) and expression.id in self.values:
            self.current[name] = self.values[expression.id]
            return self.current[name]
        inputs = self.inputs(expression)
        level = max((value.level for value in inputs), default=0)
        return self._add(name, Value(name, _join(inputs), level, expression))

    def visit_Name(self, node):
        return ast.Name(self.current[node.id].name) if node.id in self.current else node

    def visit_Call(self, node):
        reduction = ast.unparse(node.func)
        node.args = [self.visit(argument) for argument in node.args]
        if reduction not in REDUCTIONS:
            return node
        (argument,) = node.args
        inputs = self.inputs(argument)
        over_elements = _join(inputs) == "element"
        shape = REDUCTIONS[reduction] if over_elements else "tensor"
        level = max(value.level for value in inputs) + over_elements
        return ast.Name(self._add(reduction, Value(reduction, shape, level, argument, reduction)).name)

    def inputs(self, expression):
        names = [node.id for node in ast.walk(expression) if isinstance(node, ast.Name)]
        return [self.values[name] for name in dict.fromkeys(names) if name in self.values]

    def _behind(self, roots, follow=lambda value: True):
        """The assignments that ``roots`` are computed from, in text order."""
        seen, todo = {}, list(roots)
        while todo:
            value = todo.pop()
            if value.name not in seen and value.expression is not None:
                seen[value.name] = value
                todo += [v for v in self.inputs(value.expression) if follow(v)]
        return [value for value in self.values.values() if value.name in seen]

    def _sweep(self, commits, sums):
        """One sweep: what its sums need and, if it commits, the update and the new states."""
        roots = [v for s in sums for v in self.inputs(s.expression)]
        roots += [self.u, *self.new.values()] if commits else []
        local = [v for v in roots if v.shape == "element" and not v.reduction]
        body = self._behind(local, lambda v: v.shape == "element" and not v.reduction)
        return Kernel("element", commits, body, sums)

    def _schedule(self):
        written = [value for value in self.new.values() if value.shape == "element"]
        before = [value.name for value in self._behind([self.u, *written])]
        commit = max(self.values[name].level for name in before)
        kernels, after = [], commit + 1
        for value in self._behind([self.u, *self.new.values()]):
            value.level = value.level if value.name in before else after  # what only state needs waits for the commit
        everything = self._behind([self.u, *self.new.values()])
        for level in range(after + 1):
            due = [value for value in everything if value.level == level and value.shape not in ("element", "scalar")]
            sums = [value for value in due if value.reduction and self._over_elements(value)]
            if level > 0:
                kernels.append(self._sweep(level == after, sums))
            for value in due:
                if value not in sums:
                    self._place(kernels, value)
        return kernels

    def _over_elements(self, value):
        return _join(self.inputs(value.expression)) == "element"

    def _place(self, kernels, value):
        """Appends a row, column or tensor value to the last kernel if that runs over the same domain."""
        domain = _join(self.inputs(value.expression)) if value.reduction else value.shape
        if not kernels or kernels[-1].domain != domain or kernels[-1].sums or value.reduction:
            kernels.append(Kernel(domain))
        (kernels[-1].sums if value.reduction else kernels[-1].body).append(value)
