"""Runs a rule's text once on symbols, so that engines get its formulas whatever Python wrote them.

A rule is straight-line maths, so one run sees all of it; helper functions and rules built from rules come apart by
themselves. Every value knows its shape and the sweep over the elements before which it is known.
"""

import ast
import collections
import inspect
import itertools
from collections.abc import Callable, Collection
from numbers import Real
from typing import Any

SHAPES = ("scalar", "tensor", "matrix", "row", "col", "element")
ALONG = {"row_mean": "row", "col_mean": "col", "row_max": "row", "col_max": "col", "mean": "tensor"}
_BINARY = {"add": ast.Add, "sub": ast.Sub, "mul": ast.Mult, "truediv": ast.Div}
_COMPARISONS = {"lt": ast.Lt, "le": ast.LtE, "gt": ast.Gt, "ge": ast.GtE}
LANGUAGE = "it is + - * /, comparisons and fusedopt.math"
# Operators outside of it, and what to write instead.
_REMEDIES = {
    "pow": "** is none of its words; write g * g for a square, and sqrt(x) for a root",
    "abs": "Python's abs is none of its words; import that of fusedopt.math",
    "matmul": "@ is none of its words; sums are mean, row_mean and col_mean times a size",
    **dict.fromkeys(("mod", "floordiv", "divmod"), "a rule cannot round; use / and comparisons"),
    **dict.fromkeys(("and", "or", "xor", "invert"), "conditions cannot be joined; nest select(condition, a, b)"),
}
_numbers = itertools.count()


def _joined(values):
    """The shape of an expression over ``values``: rows against columns are elements."""
    shapes = {value.shape for value in values}
    if {"row", "col"} <= shapes:
        return "element"
    return max(shapes, key=SHAPES.index, default="scalar")


class Value:
    """A symbol of a rule: an input, a reduction, or an expression over others (``node`` over ``inputs``)."""

    def __init__(self, shape, node: Any = None, inputs=(), reduction=None, level=0, name=None):
        self.shape, self.node, self.inputs = shape, node, inputs
        self.reduction, self.level, self.name = reduction, level, name
        self.is_condition = False
        self.number = next(_numbers)  # inputs before what is made of them

    @classmethod
    def of(cls, build, *operands):
        """The expression ``build`` makes of the operands' nodes."""
        inputs = [operand for operand in operands if isinstance(operand, Value)]
        level = max((value.level for value in inputs), default=0)
        nodes = [operand if isinstance(operand, Value) else float(operand) for operand in operands]
        return cls(_joined(inputs), build, nodes, level=level)

    @classmethod
    def call(cls, function, *arguments):
        if function in ALONG:
            return cls._reduced(function, *arguments)
        return cls.of(lambda *nodes: ast.Call(ast.Name(function), list(nodes), []), *arguments)

    @classmethod
    def _reduced(cls, reduction, x):
        along = ALONG[reduction]
        crossed = {"row": "col", "col": "row"}.get(along)  # the mean along rows of column values is one per matrix
        if x.shape not in ("element", crossed) and along != "tensor":
            raise TypeError(f"{reduction}() of a value of shape {x.shape!r}; it takes elements or {crossed} values")
        shape = "matrix" if x.shape == crossed else along
        return cls(shape, None, [x], reduction, x.level + (x.shape == "element"))

    def __neg__(self):
        return Value.of(lambda x: ast.UnaryOp(ast.USub(), x), self)

    def __bool__(self):
        raise TypeError("a rule cannot branch on a value; use select(condition, a, b)")

    def __eq__(self, other):
        if isinstance(other, Value):
            return self is other
        raise TypeError("a rule cannot test for equality; use <= and >=")

    __hash__ = object.__hash__

    def over_elements(self):
        """Whether this is a reduction that only a sweep over the elements can make."""
        return self.reduction is not None and self.inputs[0].shape == "element"

    def used(self):
        return [value for value in self.inputs if isinstance(value, Value)]


def _binary(operator, swapped):
    def method(self, other):
        pair = (other, self) if swapped else (self, other)
        return Value.of(lambda a, b: ast.BinOp(a, operator(), b), *pair)

    return method


def _comparison(operator):
    def method(self, other):
        value = Value.of(lambda a, b: ast.Compare(a, [operator()], [b]), self, other)
        value.is_condition = True
        return value

    return method


def _refusal(remedy):
    def method(self, *others):
        raise TypeError(remedy)

    return method


for _name, _remedy in _REMEDIES.items():
    setattr(Value, f"__{_name}__", _refusal(_remedy))
    setattr(Value, f"__r{_name}__", _refusal(_remedy))
for _name, _operator in _BINARY.items():
    setattr(Value, f"__{_name}__", _binary(_operator, False))
    setattr(Value, f"__r{_name}__", _binary(_operator, True))
for _name, _operator in _COMPARISONS.items():
    setattr(Value, f"__{_name}__", _comparison(_operator))


def trace(function, shapes):
    """Calls ``function`` with symbols; ``shapes`` gives the inputs' shapes by name, elements unless named.

    Returns the inputs by name, and what the function returned, as a list of values.
    """
    parameters = inspect.signature(function).parameters.values()
    names = [x.name for x in parameters if x.kind is not inspect.Parameter.KEYWORD_ONLY]
    inputs = {name: Value(shapes.get(name, "element"), name=name) for name in names}
    try:
        results = function(*inputs.values())
    except (TypeError, AttributeError) as error:
        raise TypeError(f"{function.__name__} is outside the language of rules: {error} ({LANGUAGE})") from error
    results = results if isinstance(results, tuple) else (results,)
    for value in results:
        if not isinstance(value, Value | Real):
            kind = type(value).__name__
            raise TypeError(f"{function.__name__} returns a {kind}; return direction and new states as a tuple")
    return inputs, [value if isinstance(value, Value) else Value.of(lambda x: x, value) for value in results]


class Text:
    """Formulas as straight-line code: what is needed more than once gets a name, in ``assignments``.

    ``names`` calls inputs by their names, ``wanted`` proposes names; ``literal`` makes the expression of a number.
    Expressions are Python's trees, whose text is C++ and Triton too once their literals and divisions are spelt so.
    """

    def __init__(self, results, names, wanted, literal: Callable[..., ast.expr] = ast.Constant):
        self.names, self.literal, self.assignments = dict(names), literal, []
        values = ancestors(results, set(names))
        uses = collections.Counter(used for value in values if value not in names for used in value.used())
        uses.update(results)
        for value in values:
            if value not in names and uses[value] > 1:
                name = self._free(wanted.get(value, f"x{len(self.assignments) + 1}"))
                self.assignments.append((name, self._expression(value)))
                self.names[value] = name
        self.results = [self._expression(value) for value in results]

    def _free(self, name):
        """``name``, lengthened while it is taken."""
        return self._free(f"{name}_") if name in self.names.values() else name

    def _expression(self, value):
        if not isinstance(value, Value):
            return self.literal(int(value) if value.is_integer() and abs(value) < 1 << 31 else value)
        if value in self.names:
            return ast.Name(self.names[value])
        return value.node(*map(self._expression, value.inputs))


def ancestors(roots, known: Collection = frozenset()):
    """The values that ``roots`` are made of, themselves included, in the text's order; not looking behind ``known``."""
    seen, todo = set(), list(roots)
    while todo:
        value = todo.pop()
        if value not in seen:
            seen.add(value)
            todo += value.used() if value not in known else []
    return sorted(seen, key=lambda value: value.number)
