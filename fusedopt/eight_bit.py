"""Optimizers whose state is kept in eight bits, under the names that bitsandbytes and torchao gave them.

Each is its parent with ``state_format="8bit"``: codes and a float32 scale for every 256 elements, so 2.03 bytes a
parameter where Adam keeps two moments, 1.02 where there is one. The codes are ours, see :mod:`fusedopt.codecs`.
"""

from .rules.adam import Adam, AdamW
from .rules.lion import Lion
from .rules.sgd import SGD

EIGHT_BITS = {"state_format": "8bit"}


class Adam8bit(Adam):
    """Adam with 8-bit state."""

    presets = EIGHT_BITS


class AdamW8bit(AdamW):
    """AdamW with 8-bit state."""

    presets = EIGHT_BITS


class Lion8bit(Lion):
    """Lion with 8-bit state."""

    presets = EIGHT_BITS


class SGD8bit(SGD):
    """SGD with an 8-bit momentum buffer."""

    presets = EIGHT_BITS
