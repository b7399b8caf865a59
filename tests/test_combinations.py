"""What does not go together: each refused at construction by name, with the reason; or warned of."""

import pytest
import torch

import fusedopt

REFUSED = [
    ({"clip_value": 0.1, "max_grad_norm": 1.0}, "clip_value contradicts max_grad_norm"),
    ({"agc": 0.1, "soft_clip": 0.1}, "agc contradicts soft_clip"),
    ({"normalize": "row", "max_grad_norm": 1.0}, "normalize='tensor' or 'row' contradicts max_grad_norm"),
    ({"normalize": "layer", "trust_ratio": "row"}, "normalize='layer' contradicts trust_ratio"),
    ({"softplus": 50.0, "atan2": (1.0, 1.0)}, "softplus contradicts atan2"),
    ({"atan2": (1.0, 1.0), "eps": 1e-6}, "eps=1e-06 contradicts atan2"),
    ({"decay": "cpr", "weight_decay": 0.1}, "decay='cpr' contradicts weight_decay"),
    ({"lazy": "all", "trust_ratio": "tensor"}, "lazy='all' contradicts trust_ratio"),
    ({"trust_bounds": (0.0, 1.0)}, "trust_bounds without trust_ratio"),
    ({"cpr_bound": ("uniform", 1.0)}, "cpr_bound without decay='cpr'"),
    ({"decay": "stabel"}, "Invalid decay: 'stabel'; it must be 'l2'"),
    ({"cautious": "rescale"}, "Invalid cautious: 'rescale'; it must be True, 'rescaled', or a factor"),
    ({"lookahead": (0, 0.5)}, r"Invalid lookahead: \(0, 0.5\); it must be"),
    ({"ema": 1.0}, "Invalid ema: 1.0; it must be a share below 1"),
    ({"agc": -1.0}, "Invalid agc: -1.0; it must be a number above 0"),
    ({"agc": True}, "Invalid agc: True; it must be a number above 0, or None"),
    *(
        ({option: False}, f"Invalid {option}: False; it must be")
        for option in ("clip_value", "agc", "soft_clip", "rms_clip", "softplus", "atan2", "lookahead", "ema", "lazy")
    ),
    ({"cautious": None}, "Invalid cautious: None; it must be True, 'rescaled', .* or False"),
    ({"accumulate": None}, "Invalid accumulate: None; it must be a whole number of micro-batches from 1$"),
    ({"cpr_bound": None}, "Invalid cpr_bound: None; it must be 'inflection_point'"),
    *(
        ({"decay": "stable", other: value}, f"decay='stable' contradicts {other}: it goes by the root")
        for other, value in (("softplus", 20.0), ("atan2", (1.0, 1.0)), ("eps_inside_root", True))
    ),
    ({"trust_ratio": True}, "Invalid trust_ratio: True; it must be 'tensor' or 'row'"),
    ({"fractional": (1.5, 10)}, r"Invalid fractional: \(1.5, 10\); it must be"),
    ({"decay": "amos", "lr": 0.0}, "relative to the first lr"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=str)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        fusedopt.Adam([torch.ones(3, 4)], **options)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (fusedopt.Lion, {"softplus": 50.0}, "softplus does not fit the rule 'lion'"),
        (fusedopt.SGD, {"nesterov_mix": True}, "nesterov_mix does not fit the rule 'sgd'"),
        (fusedopt.AdamW, {"decay": "l2"}, "AdamW: decay='l2' contradicts decoupled_weight_decay"),
        (fusedopt.Adafactor, {"lazy": "all"}, "lazy='all' does not fit the rule"),
        *(
            (cls, {option: value}, f"{cls.__name__} contradicts {option}: its direction holds the step size")
            for cls in (fusedopt.Adafactor, fusedopt.Amos, fusedopt.Rprop, fusedopt.ASGD)
            for option, value in (("trust_ratio", "tensor"), ("rms_clip", 1.0))
        ),
        *(
            (fusedopt.ASGD, options, "ASGD contradicts .*: it would average parameters that are not written")
            for options in (
                {"cautious": "rescaled"},
                {"decoupled_weight_decay": True},
                {"decay": "cautious", "weight_decay": 0.1},
                {"decay": "cpr"},
                {"lazy": "param"},
                {"lookahead": (5, 0.5)},
            )
        ),
        (fusedopt.AdaMomentum, {"decay": "stable"}, "its second moment is that of momenta"),
        (fusedopt.LAMB, {"trust_ratio": "row"}, "LAMB contradicts trust_ratio: it has a trust ratio of its own"),
        (fusedopt.LAMB, {"normalize": "layer"}, "LAMB contradicts normalize='layer'"),
        (fusedopt.LAMB, {"clip_value": 1.0}, "LAMB sets max_grad_norm=1.0 by itself: give max_grad_norm=None"),
        (fusedopt.SMMF, {"agc": 0.1}, r"agc takes the rows of a \(6,\) parameter as 1 of 6 elements"),
    ],
    ids=str,
)
def test_what_a_rule_cannot_do_is_refused(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls([torch.ones(6)], **options)


@pytest.mark.parametrize(
    ("cls", "one", "other"),
    [
        (fusedopt.Adam, {"max_grad_norm": 1.0}, {"max_grad_norm": 2.0}),
        (fusedopt.Adam, {}, {"accumulate": 2}),
        (fusedopt.AMSGD, {"momentum": 0.9}, {"momentum": 0.5}),
    ],
)
def test_groups_that_differ_in_what_is_one_for_all_are_refused(cls, one, other):
    groups = [{"params": [torch.ones(3)], **options} for options in (one, other)]
    with pytest.raises(ValueError, match=r"groups (differ|have)"):
        cls(groups)
    optimizer = cls(groups[:1])
    with pytest.raises(ValueError, match=r"groups (differ|have)"):
        optimizer.add_param_group(groups[1])
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (fusedopt.Adam, {"cautious": "rescaled", "trust_ratio": "row"}),
        (fusedopt.Adam, {"lazy": "all", "ema": 0.9}),
        (fusedopt.Adam, {"lazy": "all", "weight_decay": 0.1}),
        (fusedopt.Lion, {"trust_ratio": "tensor"}),
        (fusedopt.AMSGD, {"cautious": True}),
        (fusedopt.AMAdamW, {"cautious": 0.5}),
    ],
    ids=str,
)
def test_pointless_pairs_warn(cls, options):
    with pytest.warns(UserWarning, match="beside"):
        cls([torch.ones(3, 4)], **options)


def test_too_many_states_are_refused():
    with pytest.raises(ValueError, match="cpr_inflection_point, lookahead, ema keeps 9 states a parameter"):
        fusedopt.Adam([torch.ones(3, 4)], amsgrad=True, decay="cpr", ema=0.9, lookahead=(5, 0.5))
