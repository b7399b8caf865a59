"""The verb ``fusedopt convert``."""

import torch

from . import FORMS, convert_state_dict
from .torchao import tensor_class


def add_arguments(parser):
    parser.add_argument("input", help="a file of torch.save that holds an optimizer's state_dict()")
    parser.add_argument("output", help="where to write the converted one")
    parser.add_argument("--from", dest="source", required=True, choices=FORMS, help="the library that wrote it")
    parser.add_argument("--to", dest="target", required=True, choices=FORMS, help="the library that is to load it")
    parser.add_argument(
        "--state-format", choices=("8bit", "8bit_dynamic", "fp32"), help="as the input has it, if not given"
    )
    parser.add_argument(
        "--weights",
        help="a file with the model's state_dict(), found by the parameters' names if the optimizer has them, else in "
        "order; needed for flashoptim and for weights that keep more than 16 bits",
    )


def run(args):
    """Reads, converts and writes; loads tensors and plain values only, no code."""
    try:
        converted = _converted(args)
    except (ImportError, ValueError) as error:
        raise SystemExit(str(error)) from error
    torch.save(converted, args.output)


def _converted(args):
    if args.source == "torchao":
        tensor_class()
    saved = torch.load(args.input, map_location="cpu", weights_only=True)
    if not isinstance(saved, dict) or not saved.keys() >= {"state", "param_groups"}:
        found = ", ".join(map(repr, saved)) if isinstance(saved, dict) else type(saved).__name__
        raise ValueError(f"{args.input} holds {found}; expected an optimizer's 'state' and 'param_groups'")
    params = _params(saved, args.weights) if args.weights else None
    return convert_state_dict(saved, args.source, args.target, params=params, state_format=args.state_format)


def _params(saved, path):
    weights = torch.load(path, map_location="cpu", weights_only=True)
    names = [name for group in saved["param_groups"] for name in group.get("param_names", ())]
    count = sum(len(group["params"]) for group in saved["param_groups"])
    found = [weights[name] for name in names if name in weights] if names else [*weights.values()]
    if len(found) != count:
        raise ValueError(f"{path} holds {len(weights)} tensors, of which {len(found)} fit the optimizer's {count}")
    return found
