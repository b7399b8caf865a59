"""What ``optima.py`` steps each optimizer with: found by ``--tune``, a row for every optimizer and problem."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuned:
    steps: int
    options: dict


def tuned(steps, **options):
    return Tuned(steps, options)


SETTINGS = {
}
