"""State dicts that do not fit are refused, and an optimizer that refuses is as it was."""

import copy

import pytest
import torch
from conftest import assert_same_bits, parameters, records, train

import fusedopt


def test_a_failing_load_leaves_no_trace(backend):
    params, expected = parameters(), parameters()
    optimizer, plain = fusedopt.AdamW(params), fusedopt.AdamW(expected)
    train(optimizer, params, 2)
    hooks = len(optimizer._optimizer_load_state_dict_pre_hooks)
    wrong = copy.deepcopy(optimizer.state_dict())
    wrong["param_groups"].append({**wrong["param_groups"][0], "params": []})
    with pytest.raises(ValueError, match="loaded state dict has a different number of parameter groups"):
        optimizer.load_state_dict(wrong)
    wrong = copy.deepcopy(optimizer.state_dict())
    wrong["param_groups"][0].update(lr=5.0, params=[0, 1])
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        optimizer.load_state_dict(wrong)
    assert len(optimizer._optimizer_load_state_dict_pre_hooks) == hooks
    train(optimizer, params, 2, start=2)
    train(plain, expected, 4)
    assert_same_bits(params, expected)


def torn(key, value=None, group=False):
    """A way to damage a state dict: ``value`` of the old value in place of ``key``, or nothing."""

    def damage(saved):
        holder = saved["param_groups"][0] if group else saved["state"][1]
        holder[key] = value(holder[key])
        if holder[key] is None:
            del holder[key]

    return damage


def gone(_):
    return None


def record_of_a_list(saved):
    saved["state"][1] = [1, 2]


# How a state dict is damaged, and what the message tells of it.
DAMAGES = {
    "a moment missing": (torn("exp_avg_sq", gone), ["state['exp_avg_sq']", "is missing", "'exp_avg'"]),
    "a count missing": (torn("step", gone), ["state['step']", "is missing"]),
    "scales missing": (torn("exp_avg_scale", gone), ["state['exp_avg_scale']", "None", "(2,)"]),
    "scales of another block": (
        torn("exp_avg_sq_scale", lambda t: t[:1]),
        ["state['exp_avg_sq_scale']", "(1,)", "(2,)"],
    ),
    "half scales": (torn("exp_avg_scale", torch.Tensor.half), ["state['exp_avg_scale']", "float16", "float32"]),
    "codes of another shape": (torn("exp_avg", lambda t: t[:7]), ["state['exp_avg']", "(7,)", "(300,)"]),
    "codes of the other sign": (torn("exp_avg", torch.Tensor.byte), ["state['exp_avg']", "uint8", "int8"]),
    "cast codes": (torn("exp_avg", torch.Tensor.bfloat16), ["state['exp_avg']", "bfloat16", "int8"]),
    "a residual missing": (torn("weight_residual", gone), ["state['weight_residual']", "is missing", "'split24'"]),
    "another residual": (torn("weight_residual", torch.Tensor.short), ["state['weight_residual']", "int16", "int8"]),
    "a word for a count": (torn("step", lambda _: "two"), ["state['step']", "'two'"]),
    "no record": (record_of_a_list, ["list", "dict"]),
    "an unknown state_format": (torn("state_format", lambda _: "4bit", group=True), ["state_format", "'4bit'"]),
    "an unknown weight_format": (
        torn("weight_format", lambda _: "split16", group=True),
        ["weight_format", "'split16'"],
    ),
    "an unknown rounding": (torn("state_rounding", lambda _: "up", group=True), ["state_rounding", "'up'"]),
    "a format that does not fit": (torn("state_format", lambda _: "nnmf", group=True), ["exp_avg_row"]),
}
EIGHT = {"state_format": "8bit", "weight_format": "split24", "lr": 0.01}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_dict_is_refused_and_changes_nothing(backend, damage):
    params, expected = (parameters(((7, 5), (300,)), torch.bfloat16) for _ in range(2))
    optimizer, plain = fusedopt.AdamW([("a", params[0]), ("b", params[1])], **EIGHT), fusedopt.AdamW(expected, **EIGHT)
    train(optimizer, params, 2)
    damaged = copy.deepcopy(optimizer.state_dict())
    damaged["param_groups"][0]["lr"] = 7.0
    apply, words = DAMAGES[damage]
    apply(damaged)
    with pytest.raises(ValueError, match="Invalid" if "unknown" in damage else r"params\[\d\] \('[ab]'\)") as error:
        optimizer.load_state_dict(damaged)
    assert all(word in str(error.value) for word in words), error.value
    assert optimizer.param_groups[0]["lr"] == 0.01
    train(plain, expected, 2)
    for found, record in zip(records(optimizer, params), records(plain, expected), strict=True):
        assert_same_bits(found, record)
    train(optimizer, params, 2, start=2)
    train(plain, expected, 2, start=2)
    assert_same_bits(params, expected)
    for found, record in zip(records(optimizer, params), records(plain, expected), strict=True):
        assert_same_bits(found, record)


KEPT = {
    "accum": [lambda t: t[:3], torch.Tensor.long, lambda t: t.unsqueeze(0), lambda _: [1.0] * 5],
    "grad_hist": [lambda t: t[:, :3], lambda t: t[0], lambda t: t[0, 0], torch.Tensor.long, lambda _: None],
}


@pytest.mark.parametrize(("key", "damage"), [(key, i) for key, ways in KEPT.items() for i in range(len(ways))])
def test_damaged_sums_and_histories_are_refused(backend, key, damage):
    """Cast ones are not, nor are histories of more or fewer terms: a step fits them."""
    params = parameters()
    optimizer = fusedopt.AdamW([("a", params[0]), ("b", params[1])], accumulate=2, fractional=(0.5, 2))
    train(optimizer, params[:2], 3)
    saved = copy.deepcopy(optimizer.state_dict())
    found = saved["state"][1][key]
    assert found.shape == ((5,) if key == "accum" else (2, 5))
    saved["state"][1][key] = KEPT[key][damage](found)
    with pytest.raises(
        ValueError, match=rf"state\['{key}'\] of params\[1\] \('b'\) is .*; expected a floating"
    ) as error:
        optimizer.load_state_dict(saved)
    assert ("of shape (5,)" if key == "accum" else ", 5); load a state dict that was saved") in str(error.value)
    train(optimizer, params[:2], 1, start=3)
    saved["state"][1][key] = found.double() if key == "accum" else found[:1]
    optimizer.load_state_dict(saved)
    train(optimizer, params[:2], 2)


def test_a_split_of_bfloat16_is_refused_by_a_float16_model(backend):
    params, others = parameters(dtype=torch.bfloat16), parameters(dtype=torch.float16)
    optimizer, other = fusedopt.AdamW(params, weight_format="split24"), fusedopt.AdamW(others)
    with pytest.raises(ValueError, match="weight_format='split24' needs bfloat16"):
        other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["weight_format"] == "plain"
