"""The vocabulary of rules in Triton, and formulas as Triton functions."""

import ast
import functools
import linecache
import zlib

import triton
import triton.language as tl

from fusedopt import math
from fusedopt.trace import Text, trace

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)


@triton.jit
def sqrt(x):
    return tl.sqrt(x) if x.dtype == tl.float64 else tl.sqrt_rn(x)  # fp64 has only the rounded one


@triton.jit
def abs(x):
    return tl.abs(x)


@triton.jit
def select(condition, a, b):
    return tl.where(condition, a, b)


@triton.jit
def by_precision(single, double):
    return double if double.dtype == tl.float64 else single


@triton.jit
def divide(x, y):
    quotient = x / y  # div.full.f32 is 2 ulp off; in fp64 this is IEEE
    return quotient if quotient.dtype == tl.float64 else tl.div_rn(x, y)


@triton.jit
def narrow(x, dtype: tl.constexpr):
    """``x`` as it is stored: rounded to nearest even, from fp64 to 16 bits by way of fp32 as torch does."""
    if dtype != tl.float64:
        x = x.to(tl.float32)
    if INTERPRETED and dtype == tl.bfloat16:  # Triton's interpreter truncates
        bits = x.to(tl.uint32, bitcast=True)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        return tl.where(x == x, rounded, 0x7FC0).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    return x.to(dtype)


class _IeeeDivision(ast.NodeTransformer):
    def visit_BinOp(self, node):
        self.generic_visit(node)
        return ast.Call(ast.Name("divide"), [node.left, node.right], []) if isinstance(node.op, ast.Div) else node


def function(name, inputs, results, wanted=None):
    """Formulas as a Triton function of ``inputs``, value -> name; ``wanted`` proposes names for what is in between.

    ``results`` is a list, for a function that returns a tuple, or one value.
    """
    values = results if isinstance(results, list) else [results]
    text = Text(values, inputs, wanted or {})
    returned = ast.Tuple(text.results, ast.Load()) if values is results else text.results[0]
    lines = [f"{name} = {_formula(expression)}" for name, expression in text.assignments]
    return _compiled(name, ", ".join(inputs.values()), [*lines, f"return {_formula(returned)}"])


def _formula(expression):
    return ast.unparse(_IeeeDivision().visit(expression))


def _compiled(name, arguments, lines):
    text = "\n    ".join([f"def {name}({arguments}):", *lines]) + "\n"
    file = f"<{name} in Triton, {zlib.crc32(text.encode()):08x}>"  # two users' rules may have one name
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)  # where Triton looks for source text
    scope = {"__name__": __name__, "tl": tl, **VOCABULARY}
    exec(compile(text, file, "exec"), scope)
    return triton.jit(scope[name])


def bind(formula):
    """A composite or modifier as a Triton function."""
    inputs, (result,) = trace(getattr(formula, "__wrapped__", formula), {})
    return function(formula.__name__, {value: name for name, value in inputs.items()}, result)


@functools.cache
def rule_function(rule):
    """A rule that sees no matrices as a Triton function of its own arguments."""
    stages = rule.stages
    inputs = {value: value.name for value in stages.inputs}
    return function(rule.name, inputs, [stages.direction, *stages.new], stages.names)


VOCABULARY = {"sqrt": sqrt, "abs": abs, "select": select, "by_precision": by_precision, "divide": divide}
for _name in math.COMPOSITES:
    VOCABULARY[_name] = bind(getattr(math, _name))
