"""``python docs/spike/check.py``: the kernels of every rule, and their result beside that of the text itself."""

import ast

import numpy as np
import rules
from stages import Stages


def run(stages, known):
    """Runs kernel after kernel; each sees only inputs and what earlier kernels handed on, as an engine would."""
    for kernel in stages.kernels:
        local = dict(known)
        for value in [*kernel.body, *kernel.sums]:
            result = eval(ast.unparse(value.expression), vars(rules), local)
            if value.reduction:
                known[value.name] = getattr(rules, value.reduction if kernel.domain == "element" else "mean")(result)
            else:
                local[value.name] = result
                if value.shape != "element" or kernel.commits:
                    known[value.name] = result
    return [known[value.name] for value in (stages.u, *stages.new.values())]


def show(stages):
    for kernel in stages.kernels:
        print(f"  {kernel.domain}{', then write' * kernel.commits}")
        for value in kernel.body:
            print(f"    {value.name} = {ast.unparse(value.expression)}")
        for value in kernel.sums:
            print(f"    {value.name} <- {value.reduction}({ast.unparse(value.expression)})")


def main():
    random = np.random.default_rng(0)
    size = {"element": (5, 7), "row": (5, 1), "col": (1, 7), "tensor": (), "scalar": ()}
    for update, states in rules.RULES.items():
        stages = Stages(update, states)
        inputs = {v.name: random.random(size[v.shape]) for v in stages.values.values() if v.expression is None}
        expected = update(**inputs)
        for a, b in zip(expected, run(stages, dict(inputs)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
        print(f"{update.__name__}: equal")
        show(stages)


if __name__ == "__main__":
    main()
