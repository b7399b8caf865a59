"""Rule text to C++: ``python -m fusedopt.emit csrc/rules`` writes the headers that the CPU and CUDA engines include.

A rule is a handful of assignments and a return over + - * /, comparisons and the names of :mod:`fusedopt.math`, so its
Python statements are C++ expressions already; only literals and the return need another spelling.
"""

import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path

from . import math, modifiers, rules  # noqa: F401  importing the rules fills the registry
from .rule import REGISTRY
from .scalars import HEADER

CALLS = {*math.PRIMITIVES, *math.COMPOSITES}
EXPRESSIONS = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.operator, ast.unaryop,
               ast.cmpop, ast.expr_context)  # fmt: skip
OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


class _Literals(ast.NodeTransformer):
    def visit_Constant(self, node):
        return ast.Call(ast.Name("F"), [node], [])


def _expression(function, node):
    for part in ast.walk(node):
        wrong_operator = isinstance(part, ast.operator | ast.unaryop | ast.cmpop) and not isinstance(part, OPERATORS)
        wrong_call = isinstance(part, ast.Call) and ast.unparse(part.func) not in CALLS
        if wrong_operator or wrong_call or not isinstance(part, EXPRESSIONS):
            raise SyntaxError(
                f"{function}: `{ast.unparse(node)}` is outside the language of rules; "
                f"use + - * /, comparisons and {', '.join(sorted(CALLS))}"
            )
    return ast.unparse(_Literals().visit(node))


def _parse(function):
    """A function's parameter names, its assignments, and the expressions it returns."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    *body, last = [s for s in tree.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if not isinstance(last, ast.Return) or last.value is None:
        raise SyntaxError(f"{function.__name__}: the last statement must return the result")
    results = last.value.elts if isinstance(last.value, ast.Tuple) else [last.value]
    return [argument.arg for argument in tree.args.args], body, results


def _assignments(function, names, body):
    """The assignments as C++ lines; ``names`` are those already declared."""
    declared, lines = set(names), []
    for statement in body:
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            raise SyntaxError(f"{function}: `{ast.unparse(statement)}` is not an assignment to one name")
        target = statement.targets[0].id
        lines.append(f"{'' if target in declared else 'F '}{target} = {_expression(function, statement.value)};")
        declared.add(target)
    return lines


def function_text(function):
    """A composite or modifier as a C++ function template."""
    names, body, (result,) = _parse(function)
    name = function.__name__
    lines = [*_assignments(name, names, body), f"return {_expression(name, result)};"]
    arguments = ", ".join(f"F {n}" for n in names)
    return _block(f"template <class F>\nFUSEDOPT_INLINE F {name}({arguments})", lines)


def rule_text(rule):
    """A rule as a C++ functor: returns the direction and overwrites the states ``s``; ``k`` holds its scalars."""
    names, body, (direction, *states) = _parse(rule.update)
    lines = [f"F {n} = s[{i}];" for i, n in enumerate(names[2 : 2 + len(rule.states)])]
    lines += [f"const F {n} = k[{i}];" for i, n in enumerate(rule.scalars)]
    lines += _assignments(rule.name, names, body)
    lines += [f"s[{i}] = {_expression(rule.name, value)};" for i, value in enumerate(states)]
    lines += [f"return {_expression(rule.name, direction)};"]
    update = _block(f"template <class F>\nFUSEDOPT_INLINE static F update({_parameters(rule, lines)})", lines)
    members = [
        f'static constexpr const char* name = "{rule.name}";',
        f"static constexpr int states = {len(rule.states)}, scalars = {len(rule.scalars)};",
        *update.splitlines(),
    ]
    return _block(f"struct {rule.name}", members, end="};")


def _parameters(rule, lines):
    """The functor's parameters; those that a rule does not use lose their names."""
    words = set(re.findall(r"\w+", " ".join(lines)))
    parameters = {"g": "F ", "p": "F ", "s": "F* ", "k": "const F* "}
    return ", ".join(f"{kind}{name}" if name in words else kind.strip() for name, kind in parameters.items())


def _block(head, lines, end="}"):
    return "\n".join([head + " {", *("  " + line for line in lines), end])


def _header(source, includes, *texts):
    lines = [f"// Written by `make rules` from {source}; a test fails when the two differ.", "#pragma once"]
    lines += [f'#include "{name}"' for name in includes]
    return "\n\n".join(["\n".join(lines), "namespace fusedopt {", *texts, "}  // namespace fusedopt"]) + "\n"


def _layout_text():
    enum = f"enum : int {{ {', '.join([*HEADER, 'count'])} }};"
    return f"// Columns of the scalar table; a rule's own scalars follow.\nnamespace column {{\n{enum}\n}}"


def _list_text(names):
    """All rules as one type, for the engines to instantiate."""
    return f"template <class...>\nstruct Rules {{}};\nusing AllRules = Rules<{', '.join(names)}>;"


def headers():
    """File name -> text of every generated header."""
    files = {}
    composites = [function_text(getattr(math, name)) for name in math.COMPOSITES]
    files["composites.h"] = _header("fusedopt/math.py", ["../math.h"], *composites)
    blocks = [function_text(modifier) for modifier in modifiers.MODIFIERS]
    files["modifiers.h"] = _header("fusedopt/modifiers.py", ["composites.h"], *blocks)
    files["layout.h"] = _header("fusedopt/scalars.py", [], _layout_text())
    for module, members in _by_module().items():
        texts = [rule_text(rule) for rule in members]
        files[f"{module}.h"] = _header(f"fusedopt/rules/{module}.py", ["composites.h"], *texts)
    names = [rule.name for members in _by_module().values() for rule in members]
    files["all.h"] = _header("fusedopt/rules", [f"{module}.h" for module in _by_module()], _list_text(names))
    return files


def _by_module():
    modules = {}
    for name in sorted(REGISTRY):
        rule = REGISTRY[name]
        module = rule.update.__module__
        if module.startswith("fusedopt.rules."):
            modules.setdefault(module.rpartition(".")[2], []).append(rule)
    return dict(sorted(modules.items()))


def main(folder):
    for name, text in headers().items():
        path = Path(folder) / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
