"""What a group's options ask for: the blocks around a rule, and the scalars of a step.

Without an option of STRUCTURAL a rule stays as it is, and the engines' own flags do the rest.
"""

import math

import torch

# Options that change the text of a step, each with the value that leaves it alone.
STRUCTURAL = {
    "clip_value": None,
    "agc": None,
    "soft_clip": None,
    "centralize": False,
    "normalize": None,
    "eps_inside_root": False,
    "softplus": None,
    "atan2": None,
    "nesterov_mix": False,
    "rms_clip": None,
    "trust_ratio": None,
    "lookahead": None,
    "ema": None,
    "lazy": None,
}

# What weight_decay is multiplied by where that is not lr, from lr and its first value: as in optimi and timm; the third
# is Su's of Amos (kexue.fm/archives/9344), with weight_decay = 0.5 / sigma**2.
SCHEDULED = {
    "fully_decoupled": lambda lr, first: lr / first,
    "corrected": lambda lr, first: lr * lr / first,
    "amos": lambda lr, first: lr * first,
}


def is_set(group, option):
    return group[option] is not STRUCTURAL[option]


def decay_form(group):
    """How ``weight_decay`` acts: what ``decay`` says, else as torch's flag has it."""
    return group["decay"] or ("decoupled" if group["decoupled_weight_decay"] else "l2")


def is_structural(group):
    """Whether any option asks for another text than the rule's own."""
    return (
        group["decay"] in ("cautious", "stable", "cpr")
        or not isinstance(group["cautious"], bool)
        or any(is_set(group, option) for option in STRUCTURAL)
    )


def chosen(group, p):
    """The names of the blocks around the rule of ``p`` (:data:`fusedopt.blocks.BLOCKS`)."""
    form, decays, cautious = decay_form(group), group["weight_decay"] != 0, group["cautious"]
    lazy = "lazy" if p.dim() > 1 else "lazy_elements"
    wanted = {
        "clip_value": group["clip_value"] is not None,
        "agc": group["agc"] is not None,
        "soft_clip": group["soft_clip"] is not None,
        "centralize": group["centralize"] and p.dim() > 1,
        "l2": form == "l2" and decays,
        {"row": "normalize_rows", "layer": "normalize_layer"}.get(group["normalize"], "normalize"): group["normalize"],
        "rms_clip": group["rms_clip"] is not None,
        "cautious": cautious is True,
        "cautious_factor": not isinstance(cautious, bool),
        {"row": "trust_ratio_rows"}.get(group["trust_ratio"], "trust_ratio"): group["trust_ratio"],
        "decoupled": form not in ("l2", "cautious", "stable", "cpr") and decays,
        "stable_decay": form == "stable" and decays,
        "cautious_decay": form == "cautious" and decays,
        f"cpr_{cpr(group)[0]}": form == "cpr" and p.dim() > 1,
        lazy: group["lazy"] is not None,
        "lookahead": group["lookahead"] is not None,
        "ema": group["ema"] is not None,
    }
    return {name for name, asked in wanted.items() if asked}


def decay_scalars(group):
    """How much of the parameter a step takes by itself (``decay``), or adds to the gradient (``l2``)."""
    form, weight = decay_form(group), group["weight_decay"]
    if form == "l2":
        return {"decay": 0.0, "l2": weight}
    share = SCHEDULED[form](group["lr"], group["first_lr"]) if form in SCHEDULED else group["lr"]
    return {"decay": share * weight, "l2": 0.0}


def remember_lr(group):
    """Keeps the first learning rate of a group whose decay depends on it; schedulers may change theirs (initial_lr)."""
    if group["decay"] not in SCHEDULED or "first_lr" in group:
        return
    lr = group["lr"]
    if not lr > 0:
        raise ValueError(f"decay={group['decay']!r} is relative to the first lr, which is 0; begin with another")
    group["first_lr"] = lr.clone() if isinstance(lr, torch.Tensor) else lr  # tensors are filled anew


def scalars(group, t):
    """The scalars of all blocks at step ``t``; None for those that are not there."""
    _, alpha = group["lookahead"] or (1, None)
    beta, (bound, kappa) = group["ema"], cpr(group)
    return {
        **{name: group[name] for name in ("clip_value", "agc", "soft_clip", "rms_clip")},
        "softplus_slope": group["softplus"],
        **dict(zip(("atan2_range", "atan2_slope"), group["atan2"] or (None, None), strict=True)),
        **dict(zip(("trust_least", "trust_most"), group["trust_bounds"] or (0.0, math.inf), strict=True)),
        "stability": 0.0,  # until it is measured
        "cautious_factor": 0.0 if group["cautious"] == "rescaled" else group["cautious"],
        "cpr_kappa": kappa,
        "cpr_sets": kappa is not None and t >= kappa,
        "cpr_active": t > (kappa if bound == "warm_start" else 600),
        "lookahead_alpha": alpha,
        "synchronizes": synchronizes(group, t),
        "ema_beta": beta,
        "ema_rate": None if beta is None else 1 - beta,
    }


def synchronizes(group, t):
    """Whether slow weights follow, and the others go back to them, at step ``t``."""
    k, _ = group["lookahead"] or (1, None)
    return t % k == 0


def cpr(group):
    """How CPR finds its bound, and that way's number."""
    bound = group["cpr_bound"]
    return (bound, None) if isinstance(bound, str) else bound
