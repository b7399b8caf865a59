"""Drop-in optimizers for PyTorch whose step is one fused pass over memory.

Layers, from the paper to the machine:

- ``math``: the vocabulary of rules
- ``rule``, ``rules/``: one file per paper, the maths as plain functions and the classes that users construct
- ``trace``, ``stages``: a rule's formulas, sorted into sweeps and loops over row and column values
- ``matrix``, ``nnmf``, ``bits``: how a rule sees a parameter, and rank-1 state
- ``codecs``, ``state``: how states and weights are stored in few bits, and the records of state dicts
- ``modifiers``, ``denominators``, ``blocks``, ``settings``, ``combinations``: building blocks, and which go together
- ``scalars``, ``planner``, ``layout``: what is the same for all rules, done once per step on the host
- ``backends/``: engines (eager, C++, CUDA, Triton) that own memory and know no rule
- ``converters/``: state dicts of other libraries' 8-bit optimizers
- ``emit``: rule text to C++ headers

Around the optimizers: ``custom`` (rules of users), ``registry`` (by name), ``groups`` (of a model's parameters),
``memory``, ``schedules``, ``losses``, ``scaling`` (closures with a gradient scaler), ``choices`` and ``advice`` (which
optimizer for what).
"""

from torch.optim import LBFGS  # not fused: its line search needs several evaluations a step; so that all have a name

from .advice import recommend
from .backends import use_backend
from .converters import convert_state_dict
from .custom import register_rule
from .eight_bit import Adam8bit, AdamW8bit, Lion8bit, SGD8bit
from .groups import param_groups
from .losses import soft_median
from .memory import memory_usage
from .registry import create_optimizer, list_optimizers
from .rules.adadelta import Adadelta
from .rules.adafactor import Adafactor
from .rules.adagrad import Adagrad
from .rules.adalo import AdaLo
from .rules.adam import Adam, AdamW
from .rules.adam_atan2 import AdamAtan2
from .rules.adam_mini import AdaMini
from .rules.adamax import Adamax
from .rules.adamomentum import AdaMomentum
from .rules.adanorm import AdaBeliefNorm, AdamNorm, AdaNorm, DiffGradNorm, RAdamNorm
from .rules.adaptive_memory import AMSGD, AMAdamW
from .rules.amos import Amos
from .rules.asgd import ASGD
from .rules.came import CAME
from .rules.diffgrad import DiffGrad
from .rules.lamb import LAMB
from .rules.lion import Lion
from .rules.nadam import NAdam
from .rules.novograd import NovoGrad
from .rules.nsgda import NSGDA
from .rules.radam import RAdam
from .rules.ranger import Ranger
from .rules.rmsprop import RMSprop
from .rules.rprop import Rprop
from .rules.sadam import SAdam
from .rules.sgd import SGD
from .rules.sm3 import SM3
from .rules.smmf import SMMF
from .scaling import scaled_step
from .schedules import InverseSquareLR, InverseTimeLR, PiecewiseLinearLR

__all__ = [
    "AMSGD",
    "ASGD",
    "CAME",
    "LAMB",
    "LBFGS",
    "NSGDA",
    "SGD",
    "SM3",
    "SMMF",
    "AMAdamW",
    "AdaBeliefNorm",
    "AdaLo",
    "AdaMini",
    "AdaMomentum",
    "AdaNorm",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "Adam8bit",
    "AdamAtan2",
    "AdamNorm",
    "AdamW",
    "AdamW8bit",
    "Adamax",
    "Amos",
    "DiffGrad",
    "DiffGradNorm",
    "InverseSquareLR",
    "InverseTimeLR",
    "Lion",
    "Lion8bit",
    "NAdam",
    "NovoGrad",
    "PiecewiseLinearLR",
    "RAdam",
    "RAdamNorm",
    "RMSprop",
    "Ranger",
    "Rprop",
    "SAdam",
    "SGD8bit",
    "convert_state_dict",
    "create_optimizer",
    "list_optimizers",
    "memory_usage",
    "param_groups",
    "recommend",
    "register_rule",
    "scaled_step",
    "soft_median",
    "use_backend",
]
__version__ = "0.1.0"
