"""Optimizers pickled, copied, and moved by torch.distributed.checkpoint."""

import copy
import io
import pickle

import pytest
import torch
from conftest import STATEFUL, assert_same_bits, parameters, records, train
from references import Case

import fusedopt

CLIPPED = {"max_grad_norm": 1.0}
FACTORED = [
    Case(fusedopt.Adafactor, {"beta1": 0.9}),
    Case(fusedopt.SMMF),
    Case(fusedopt.SM3, {"momentum": 0.9}),
    Case(fusedopt.Amos),
]
EIGHT_BITS = [Case(fusedopt.AdamW8bit), Case(fusedopt.Lion8bit), Case(fusedopt.SGD8bit, {"lr": 0.1, "momentum": 0.9})]
SPECIAL = [Case(fusedopt.NAdam), Case(fusedopt.ASGD), Case(fusedopt.Rprop), Case(fusedopt.Lion)]
COPIES = {
    "pickle": lambda pair: pickle.loads(pickle.dumps(pair)),
    "deepcopy": copy.deepcopy,
    "torch.save": lambda pair: torch.load(io.BytesIO(_saved(pair)), weights_only=False),
}


def _saved(pair):
    file = io.BytesIO()
    torch.save(pair, file)
    return file.getvalue()


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("case", [*STATEFUL, *SPECIAL, Case(fusedopt.AdamW, CLIPPED), *FACTORED, *EIGHT_BITS], ids=str)
def test_copies_between_steps(backend, case, way):
    params, expected = parameters(), parameters()
    optimizer = case.build(params)
    train(optimizer, params, 3)
    copied, own = COPIES[way]((optimizer, params))
    assert copied.param_groups[0]["params"][0] is own[0]
    train(copied, own, 3, start=3)
    plain = case.build(expected)
    train(plain, expected, 3)
    assert_same_bits(params, expected)  # the original did not move
    train(optimizer, params, 3, start=3)
    train(plain, expected, 3, start=3)
    assert_same_bits(params, expected)
    assert_same_bits(own, expected)


def test_pickle_of_an_older_release(backend):
    """An option that did not exist yet gets its default."""
    params, expected = parameters(), parameters()
    optimizer = fusedopt.AdamW(params)
    for holder in (optimizer.defaults, *optimizer.param_groups):
        for option in ("cautious", "max_grad_norm", "state_format", "decoupled_weight_decay"):
            del holder[option]
    copied, own = copy.deepcopy((optimizer, params))
    train(copied, own, 2)
    train(fusedopt.AdamW(expected), expected, 2)
    assert_same_bits(own, expected)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    "case", [*STATEFUL, *SPECIAL, Case(fusedopt.SGD, {"lr": 0.1}), *FACTORED, *EIGHT_BITS], ids=str
)
def test_distributed_checkpoint(backend, case, flat):
    dcp = pytest.importorskip("torch.distributed.checkpoint.state_dict")
    options = dcp.StateDictOptions(flatten_optimizer_state_dict=flat)

    def build():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
        return net, list(net.parameters()), case.build(net.parameters())

    net, params, optimizer = build()
    train(optimizer, params, 3)
    saved = dcp.get_optimizer_state_dict(net, optimizer, options=options)
    other_net, others, other = build()
    other_net.load_state_dict(net.state_dict())
    dcp.set_optimizer_state_dict(other_net, other, copy.deepcopy(saved), options=options)
    assert_same_bits(others, params)
    for found, expected in zip(records(other, others), records(optimizer, params), strict=True):
        assert_same_bits(found, expected)
    train(optimizer, params, 2, start=3)
    train(other, others, 2, start=3)
    assert_same_bits(others, params)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("weights", ["split24", "split32", "kahan", "stochastic"])
def test_distributed_checkpoint_through_files(backend, tmp_path, weights):
    """Codes, scales and residuals are written and read by torch.distributed.checkpoint as any tensors."""
    dcp = pytest.importorskip("torch.distributed.checkpoint")

    def build():
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(30, 40), torch.nn.Linear(40, 2)).bfloat16()
        return net, fusedopt.AdamW8bit(net.parameters(), lr=0.01, weight_format=weights)

    def saved(net, optimizer):
        model, state = dcp.state_dict.get_state_dict(net, optimizer)
        return {"model": model, "optimizer": state}

    (net, optimizer), (other_net, other) = build(), build()
    train(optimizer, list(net.parameters()), 3)
    dcp.save(saved(net, optimizer), checkpoint_id=tmp_path, no_dist=True)
    loaded = saved(other_net, other)
    dcp.load(loaded, checkpoint_id=tmp_path, no_dist=True)
    dcp.state_dict.set_state_dict(
        other_net, other, model_state_dict=loaded["model"], optim_state_dict=loaded["optimizer"]
    )
    for start in (3, 5):
        for found, expected in zip(other_net.parameters(), net.parameters(), strict=True):
            assert_same_bits(dict(other.state[found]), dict(optimizer.state[expected]))
            assert_same_bits([found], [expected])
        train(optimizer, list(net.parameters()), 2, start)
        train(other, list(other_net.parameters()), 2, start)
