"""Steps of Lookahead in which slow weights rest: a rule without them makes the same step and moves fewer bytes."""

from dataclasses import replace

from .settings import synchronizes


def without_slow_weights(optimizer, bucket):
    """``bucket`` for steps in which slow weights rest, over the same records and counts; None if it has none.

    A captured graph replays one step for all, so there they stay.
    """
    if "slow_buffer" not in bucket.rule.states or bucket.capturable:
        return None
    group = optimizer.param_groups[bucket.rows[0].group]
    rule, _ = optimizer.layout({**group, "lookahead": None}, bucket.entries[0].owner)
    return replace(bucket, rule=rule, entries=[_narrowed(entry, rule) for entry in bucket.entries])


def _narrowed(entry, rule):
    """``entry`` with the states of ``rule`` alone."""
    param, *states = entry.codecs
    kept = [codec for key, codec in zip(entry.keys, states, strict=True) if key in rule.states]
    return replace(entry, keys=tuple(rule.states), codecs=[param, *kept])


def rest(optimizer, bucket):
    """Whether all slow weights of ``bucket`` rest in the step to come."""
    return not any(synchronizes(optimizer.param_groups[row.group], row.steps + 1) for row in bucket.rows)
