"""The vocabulary of rules in Triton, and rule text as Triton functions."""

import ast
import functools
import inspect
import linecache
import textwrap

import triton
import triton.language as tl

from fusedopt import math

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


@functools.cache
def bind(function):
    """A rule, modifier or composite as a Triton function: its text over Triton's vocabulary."""
    tree = _IeeeDivision().visit(ast.parse(textwrap.dedent(inspect.getsource(function))))
    text = ast.unparse(tree) + "\n"
    name = function.__name__
    file = f"<{function.__module__}.{name} in Triton>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)  # where Triton looks for source text
    scope = {"__name__": function.__module__, "tl": tl, **VOCABULARY}
    exec(compile(text, file, "exec"), scope)
    return triton.jit(scope[name])


VOCABULARY = {"sqrt": sqrt, "abs": abs, "select": select, "divide": divide}
for _name in math.COMPOSITES:
    VOCABULARY[_name] = bind(getattr(math, _name))
