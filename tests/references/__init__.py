"""What each optimizer must equal: the torch class it replaces, or a float64 formula written from its paper."""

from .case import Case
from .of_torch import ScalarsInFloat64
from .table import CASES

__all__ = ["CASES", "Case", "ScalarsInFloat64"]
