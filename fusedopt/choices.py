"""Which optimizer for what: the table behind :func:`fusedopt.recommend`, in the order of preference for each task.

Settings are those of the cited papers; ratios of time are rows of ``bench/results`` (2 cores, float32, GPT-2 124M).
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Scaling:
    """How lr follows the batch: by a power of it, from ``batch``, which it belongs to, to ``most``, where it stays."""

    batch: int
    power: float
    most: int
    source: str

    def factor(self, batch_size):
        return (min(batch_size, self.most) / self.batch) ** self.power

    def __str__(self):
        how = {1.0: "with them", 0.5: "with their square root"}[self.power]
        return f"lr is for batches of {self.batch} and grows {how} up to {self.most}"


@dataclass(frozen=True)
class Choice:
    """A row: the first of its task whose limits hold and whose tensors fit the memory is recommended."""

    task: str
    name: str  # as create_optimizer takes it
    options: dict
    reason: str
    source: str
    smallest_batch: int = 1
    most_parameters: float = math.inf
    scaling: Scaling | None = None
    unforeseen: float = 0.0  # bytes a parameter that memory_usage cannot tell in advance


TASKS = {
    "language": "training a language model from scratch",
    "fine-tuning": "adapting a pretrained transformer",
    "convolutions": "image models made of convolutions",
    "vision-transformer": "image models made of attention, and diffusion",
    "adversarial": "two networks against each other",
    "reinforcement": "policies and value functions",
    "recurrent": "recurrent networks",
    "sparse": "features that are seldom there: recommendation, click rates, bags of words",
    "full-batch": "few parameters and an exact gradient: fitting curves, physics, calibration",
    "other": "anything else, or not known yet",
}

GPT3 = {"lr": 3e-4, "betas": (0.9, 0.95), "weight_decay": 0.1, "max_grad_norm": 1.0}
BERT = {"lr": 2e-5, "weight_decay": 0.01, "max_grad_norm": 1.0}
T5 = {"lr": 1e-3, "relative_step": False, "scale_parameter": False}
GOYAL = {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}
DEIT = {"lr": 1e-3, "weight_decay": 0.05}
DEIT_III = {"lr": 3e-3, "weight_decay": 0.05}
BERT_32K = {"lr": 5e-3, "weight_decay": 0.01}
RSB = {"lr": 5e-3, "weight_decay": 0.02}
NVGRAD = {"lr": 0.02, "weight_decay": 1e-4}
DCGAN = {"lr": 2e-4, "betas": (0.5, 0.999)}
PPO = {"lr": 3e-4, "eps": 1e-5, "max_grad_norm": 0.5}
A2C = {"lr": 7e-4, "alpha": 0.99, "eps": 1e-5, "max_grad_norm": 0.5}
GRAVES = {"lr": 1e-4, "alpha": 0.95, "momentum": 0.9, "centered": True, "eps": 1e-4}
CLIPPED = {"lr": 1e-3, "max_grad_norm": 1.0}

YOU = "You et al. 2020, arXiv:1904.00962"
# Beyond the last number a rule was not shown to hold.
PROPORTIONAL = Scaling(256, 1.0, 8192, "Goyal et al. 2017, arXiv:1706.02677")
ROOT = Scaling(1024, 0.5, 8192, "Malladi et al. 2022, arXiv:2205.10287")
LAYERED_ROOT, BERT_ROOT = Scaling(2048, 0.5, 32768, YOU), Scaling(32768, 0.5, 32768, YOU)

LAYERED = "each tensor moves by the same part of its own norm, as large batches want; Adam tuned anew may equal it"
HALF_LAYERED = "gradients of length one for every tensor, as large batches want; half of LAMB's state"
EIGHT_BITS = "two moments in 2.03 bytes a parameter instead of 8, decaying without bias"
RANK_ONE = "two moments in 0.13 bytes a parameter, in 1.1 times the time of torch's fused AdamW"
HALF = "half of AdamW's state, nothing approximated, in 0.7 of the time of torch's fused AdamW; wants large batches"
NO_MOMENTUM = "0.01 bytes of state a parameter and the time of torch's fused AdamW; there is no momentum"

CHOICES = (
    Choice("language", "lamb", BERT_32K, LAYERED, f"{YOU}; against it: Nado et al. 2021, arXiv:2102.06356",
           smallest_batch=16384, scaling=BERT_ROOT),
    Choice("language", "adamw", GPT3, "what language models are tuned for; try cautious_adamw with the same settings",
           "Brown et al. 2020, arXiv:2005.14165, appendix B"),
    Choice("language", "lion", {**GPT3, "lr": 1e-4, "betas": (0.95, 0.98), "weight_decay": 0.3}, HALF,
           "Chen et al. 2023, arXiv:2302.06675", smallest_batch=64),
    Choice("language", "adamw_8bit", GPT3, EIGHT_BITS, "Dettmers et al. 2021, arXiv:2110.02861"),
    Choice("language", "adamw_nnmf", GPT3, RANK_ONE, "Park & Lee 2025, arXiv:2412.08894"),
    Choice("language", "adafactor", {}, NO_MOMENTUM, "Shazeer & Stern 2018, arXiv:1804.04235"),

    Choice("fine-tuning", "adamw", BERT, "pretrained weights want small steps, of the kind they were trained with",
           "Devlin et al. 2018, arXiv:1810.04805, appendix A.3"),
    Choice("fine-tuning", "adamw_8bit", BERT, EIGHT_BITS, "Dettmers et al. 2021, arXiv:2110.02861"),
    Choice("fine-tuning", "adamw_nnmf", BERT, RANK_ONE, "Park & Lee 2025, arXiv:2412.08894"),
    Choice("fine-tuning", "adafactor", T5, NO_MOMENTUM, "Raffel et al. 2019, arXiv:1910.10683, section 3.1"),

    Choice("convolutions", "lamb", RSB, LAYERED, f"{YOU}; settings: Wightman et al. 2021, arXiv:2110.00476, A2",
           smallest_batch=16384, scaling=LAYERED_ROOT),
    Choice("convolutions", "novograd", NVGRAD, HALF_LAYERED, "Ginsburg et al. 2019, arXiv:1905.11286; settings: "
           "OpenSeq2Seq, resnet-50v2-nvgrad", smallest_batch=16384),
    Choice("convolutions", "sgd", GOYAL, "generalizes better there than adaptive steps do; one state, half of Adam's",
           "Wilson et al. 2017, arXiv:1705.08292; settings: Goyal et al. 2017, arXiv:1706.02677", scaling=PROPORTIONAL),
    Choice("convolutions", "sgd_8bit", GOYAL, "the same momentum in 1.02 bytes a parameter",
           "Dettmers et al. 2021, arXiv:2110.02861", scaling=PROPORTIONAL),
    Choice("convolutions", "sgd_nnmf", GOYAL, "the same momentum in 0.13 bytes a parameter",
           "Park & Lee 2025, arXiv:2412.08894", scaling=PROPORTIONAL),

    Choice("vision-transformer", "lamb", DEIT_III, LAYERED, "Touvron et al. 2022, arXiv:2204.07118",
           smallest_batch=2048, scaling=LAYERED_ROOT),
    Choice("vision-transformer", "adamw", DEIT, "attention needs a step for every weight; SGD trails there",
           "Touvron et al. 2020, arXiv:2012.12877, table 9", scaling=ROOT),
    Choice("vision-transformer", "lion", {"lr": 1e-4, "weight_decay": 0.25}, HALF,
           "Chen et al. 2023, arXiv:2302.06675", smallest_batch=64),
    Choice("vision-transformer", "adamw_8bit", DEIT, EIGHT_BITS,
           "Dettmers et al. 2021, arXiv:2110.02861", scaling=ROOT),
    Choice("vision-transformer", "adamw_nnmf", DEIT, RANK_ONE, "Park & Lee 2025, arXiv:2412.08894", scaling=ROOT),

    Choice("adversarial", "adam", DCGAN, "little momentum: the other network moves too",
           "Radford et al. 2015, arXiv:1511.06434, section 4"),
    Choice("adversarial", "rmsprop", {"lr": 5e-5}, "no momentum at all, half of Adam's state",
           "Arjovsky et al. 2017, arXiv:1701.07875, Algorithm 1"),
    Choice("adversarial", "adam_nnmf", DCGAN, RANK_ONE, "Park & Lee 2025, arXiv:2412.08894"),

    Choice("reinforcement", "adam", PPO, "gradients whose size drifts with the rewards, clipped",
           "Schulman et al. 2017, arXiv:1707.06347; eps and clipping as in OpenAI's baselines"),
    Choice("reinforcement", "rmsprop", A2C, "no momentum towards where the policy was; half of Adam's state",
           "Mnih et al. 2016, arXiv:1602.01783; settings as in OpenAI's baselines"),
    Choice("reinforcement", "adam_nnmf", PPO, RANK_ONE, "Park & Lee 2025, arXiv:2412.08894"),

    Choice("recurrent", "rmsprop", GRAVES, "divides by the gradient's deviation; made for long sequences",
           "Graves 2013, arXiv:1308.0850, section 4.2"),
    Choice("recurrent", "adam", CLIPPED, "two thirds of the state; clipped, as recurrent gradients explode",
           "Kingma & Ba 2015, arXiv:1412.6980; Pascanu et al. 2013, arXiv:1211.5063"),
    Choice("recurrent", "adam_nnmf", CLIPPED, RANK_ONE, "Park & Lee 2025, arXiv:2412.08894"),

    Choice("sparse", "adagrad", {"lr": 1e-2}, "what is seldom seen keeps a large step, as squares are summed",
           "Duchi et al. 2011, JMLR 12"),
    Choice("sparse", "sgd", {"lr": 0.025}, "no state at all; takes sparse gradients too, which SM3 does not",
           "Mikolov et al. 2013, arXiv:1301.3781"),

    Choice("full-batch", "lbfgs", {"history_size": 10, "line_search_fn": "strong_wolfe"},
           "curvature from past gradients; converges in tens of steps. Call step(closure), without noise in the loss",
           "Liu & Nocedal 1989, Mathematical Programming 45", most_parameters=1e6, unforeseen=100),
    Choice("full-batch", "adam", {"lr": 1e-3}, "too many parameters for LBFGS's history of gradients",
           "Kingma & Ba 2015, arXiv:1412.6980"),

    Choice("other", "lamb", BERT_32K, LAYERED, f"{YOU}; against it: Nado et al. 2021, arXiv:2102.06356",
           smallest_batch=16384, scaling=BERT_ROOT),
    Choice("other", "adamw", {"lr": 1e-3}, "works untuned more often than any other; a baseline to compare with",
           "Loshchilov & Hutter 2019, arXiv:1711.05101"),
    Choice("other", "adamw_8bit", {"lr": 1e-3}, EIGHT_BITS, "Dettmers et al. 2021, arXiv:2110.02861"),
    Choice("other", "adamw_nnmf", {"lr": 1e-3}, RANK_ONE, "Park & Lee 2025, arXiv:2412.08894"),
    Choice("other", "adafactor", {}, NO_MOMENTUM, "Shazeer & Stern 2018, arXiv:1804.04235"),
)  # fmt: skip
