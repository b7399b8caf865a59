"""Rules to C++: ``python -m fusedopt.emit csrc/rules`` writes the headers that the CPU and CUDA engines include.

Formulas come from :mod:`fusedopt.trace`; a Python expression over the language of rules is C++ already but for
its literals. A rule that sees one element at a time is one function; any other is a list of kernels (csrc/stages.h).
"""

import ast
import functools
import hashlib
import re
import sys
from pathlib import Path

from . import codecs, math, modifiers
from .rule import REGISTRY
from .scalars import HEADER
from .trace import Text, trace


def _literal(number):
    return ast.Call(ast.Name("F"), [ast.Constant(number)], [])


def _type(expression):
    return "auto" if isinstance(expression, ast.Compare) else "F"  # a bool, or a mask of lanes


def _text(results, names, wanted):
    """Lines that assign what is used more than once, and the results as expressions."""
    text = Text(results, names, wanted, _literal)
    lines = [f"const {_type(expression)} {name} = {ast.unparse(expression)};" for name, expression in text.assignments]
    return lines, [ast.unparse(expression) for expression in text.results]


def function_text(function):
    """A composite or modifier as a C++ function template."""
    inputs, results = trace(getattr(function, "__wrapped__", function), {})
    lines, (result,) = _text(results, {value: name for name, value in inputs.items()}, {})
    arguments = ", ".join(f"F {name}" for name in inputs)
    return _block(
        f"template <class F>\nFUSEDOPT_INLINE F {function.__name__}({arguments})", [*lines, f"return {result};"]
    )


@functools.cache
def _members(rule):
    body = _staged(rule.stages) if rule.sees_matrices else _elementwise(rule.stages)
    return [
        f"static constexpr int states = {len(rule.states)}, scalars = {len(rule.scalars)};",
        f"static constexpr bool whole = {str(rule.whole).lower()};",
        *body,
    ]


@functools.cache
def _shared():
    """The texts of functions that any rule may use, and of those that the engines apply around a rule."""
    composites = [function_text(getattr(math, name)) for name in math.COMPOSITES]
    return composites, [function_text(modifier) for modifier in modifiers.FLAGS]


@functools.cache
def kernel_name(rule):
    """What the C++ engines know a rule by: the digest tells its text from another of that name, or an older one."""
    composites, blocks = _shared()
    text = "\n".join([*_members(rule), *composites, *blocks])
    return f"{rule.name}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def rule_text(rule, name=None):
    """A rule as a C++ functor; ``name`` is that of a library made at run time."""
    known = f'static constexpr const char* name = "{name or kernel_name(rule)}";'
    return _block(f"struct {name or rule.name}", [known, *_members(rule)], end="};")


def _elementwise(stages):
    """``update``: returns the direction and overwrites the states ``s``; ``k`` holds the scalars."""
    parameters = {"g": "F ", "p": "F ", "s": "F* ", "k": "const F* "}
    return _function(stages, stages.kernels[0], stages.states, stages.scalars, parameters, {})


def _staged(stages):
    """The slots that kernels share (states, then temporaries), where new states come from, and the kernels."""
    slots = [*stages.states, *stages.temporaries]
    ids = {value: i for i, value in enumerate([*slots, *stages.scalars])}
    saved = [str(ids[new]) if new in slots else "-1" for new in stages.new]
    kernels = [_kernel(stages, kernel, ids, f"kernel{i}") for i, kernel in enumerate(stages.kernels)]
    return [
        f"static constexpr int slot_count = {len(slots)};",
        "static constexpr Slot slots[] = {",
        *(f"  {_slot(value)},  // {_name(value, ids)}" for value in slots),
        "};",
        f"static constexpr int saved[] = {{{', '.join(saved)}}};  // slots of the new states",
        *(line for kernel in kernels for line in kernel.splitlines()),
        f"using List = Kernels<{', '.join(f'kernel{i}' for i in range(len(kernels)))}>;",
    ]


def _slot(value):
    operation = value.reduction.rpartition("_")[2] if value.reduction else "none"
    return f"{{Shape::{value.shape}, Op::{operation}}}"


def _kernel(stages, kernel, ids, name):
    """One kernel: the slots it reads lane by lane (``s``), the values that are uniform (``k``), and what it makes."""
    streams, uniforms = stages.arguments(kernel)
    loads = stages.loads(kernel)
    lists = {"streams": streams, "uniforms": uniforms, "outputs": kernel.outputs, "sums": kernel.sums}
    sweeps = kernel.domain == "element"
    parameters = {"g": "F ", "p": "F ", "s": "F* "} if sweeps else {"s": "const F* "}
    parameters |= {"k": "const F* "} if sweeps else {"k": "const F* ", "out": "F* "}
    return _block(
        f"struct {name}",
        [
            f"static constexpr Shape domain = Shape::{kernel.domain};",
            f"static constexpr bool commits = {str(kernel.commits).lower()};",
            *(f"static constexpr bool reads_{x.name} = {str(x in loads).lower()};" for x in stages.inputs[:2]),
            f"static constexpr int written = {len(stages.written(kernel))};",
            *(f"using {what} = Ids<{', '.join(str(ids[v]) for v in values)}>;" for what, values in lists.items()),
            *_function(stages, kernel, streams, uniforms, {**parameters, "sum": "F* "}, ids),
        ],
        end="};",
    )


def _function(stages, kernel, streams, uniforms, parameters, ids):
    """The kernel's formulas as ``update``, which returns the direction where the kernel commits."""
    loads = stages.loads(kernel)
    names = {value: _free(_name(value, ids)) for value in loads}
    read = {value: f"s[{i}]" for i, value in enumerate(streams)} | {
        value: f"k[{i}]" for i, value in enumerate(uniforms)
    }
    lines = [f"const F {names[value]} = {place};" for value, place in read.items() if value in loads]
    assignments, results = _text(stages.results(kernel), names, stages.names)
    direction = [results.pop(0)] if kernel.commits else []
    targets = [f"s[{i}]" for i in range(len(stages.written(kernel)))]
    targets += [f"out[{i}]" for i in range(len(kernel.outputs))] + [f"sum[{i}]" for i in range(len(kernel.sums))]
    lines += [*assignments, *(f"{target} = {result};" for target, result in zip(targets, results, strict=True))]
    lines += [f"return {result};" for result in direction]
    words = set(re.findall(r"\w+", " ".join(lines)))
    arguments = ", ".join(f"{kind}{name}" if name in words else kind.strip() for name, kind in parameters.items())
    head = f"FUSEDOPT_INLINE static {'F' if direction else 'void'} update({arguments})"
    return _block(f"template <class F>\n{head}", lines).splitlines()


def _name(value, ids):
    return value.name or f"{value.reduction or value.shape}{ids[value]}"


def _free(name):
    """The name of an input where ``update`` has arguments of its own."""
    return f"{name}_" if name in ("s", "k", "out", "sum") else name


def _block(head, lines, end="}"):
    return "\n".join([head + " {", *("  " + line for line in lines), end])


def _header(source, includes, *texts):
    return _file(f"Written by `make rules` from {source}; a test fails when the two differ.", includes, *texts)


def _file(remark, includes, *texts):
    lines = [f"// {remark}", "#pragma once", *(f'#include "{name}"' for name in includes)]
    return "\n\n".join(["\n".join(lines), "namespace fusedopt {", *texts, "}  // namespace fusedopt"]) + "\n"


def _layout_text():
    enum = f"enum : int {{ {', '.join([*HEADER, 'count'])} }};"
    return f"// Columns of the scalar table; a rule's own scalars follow.\nnamespace column {{\n{enum}\n}}"


def _tree(name, signed):
    """The values of a code as an array; nine digits tell all floats apart."""
    values = [f"{value:.9g}" for value in codecs.dynamic_tree(signed).tolist()]
    numbers = ", ".join(f"{value}f" if "." in value or "e" in value else f"{value}.0f" for value in values)
    return f"constexpr float dynamic_tree_{name}[] = {{{numbers}}};"


def _lists(members):
    """Rules by name as types, for the engines to instantiate."""
    yield "template <class...>\nstruct Rules {};"
    for kind, sees_matrices in (("ElementRules", False), ("MatrixRules", True)):
        names = [name for name, rule in members.items() if rule.sees_matrices == sees_matrices]
        yield f"using {kind} = Rules<{', '.join(names)}>;"


def rules_header(members):
    """A header of rules by name, to compile the engine for them alone."""
    texts = [rule_text(rule, name) for name, rule in members.items()]
    return _file("Rules made at run time.", ["../stages.h", "../rules/composites.h"], *texts, *_lists(members))


def headers():
    """File name -> text of every generated header."""
    files = {}
    composites, blocks = _shared()
    files["composites.h"] = _header("fusedopt/math.py", ["../math.h"], *composites)
    files["modifiers.h"] = _header("fusedopt/modifiers.py", ["composites.h"], *blocks)
    files["layout.h"] = _header("fusedopt/scalars.py", [], _layout_text())
    trees = [_tree("signed", True), _tree("positive", False)]
    files["dynamic_tree.h"] = _header("fusedopt/codecs.py", [], *trees)
    modules = _by_module()
    for module, members in modules.items():
        texts = [rule_text(rule) for rule in members]
        files[f"{module}.h"] = _header(f"fusedopt/rules/{module}.py", ["../stages.h", "composites.h"], *texts)
    everything = {rule.name: rule for members in modules.values() for rule in members}
    files["all.h"] = _header("fusedopt/rules", [f"{module}.h" for module in modules], *_lists(everything))
    return files


def _by_module():
    modules = {}
    for name in sorted(REGISTRY):
        modules.setdefault(REGISTRY[name].module, []).append(REGISTRY[name])
    return dict(sorted(modules.items()))


def main(folder):
    for name, text in headers().items():
        path = Path(folder) / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
