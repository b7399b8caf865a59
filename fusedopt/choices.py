"""Which optimizer for what: the table behind :func:`fusedopt.recommend`, in the order of preference for each task.

Settings are those of the cited papers; ratios of time are rows of ``bench/results`` (2 cores, float32, GPT-2 124M).
"""

import math
from dataclasses import dataclass


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
    lr_batch: int | None = None  # the batch that lr belongs to, if it is to grow in proportion
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
DEIT = {"lr": 5e-4, "weight_decay": 0.05}
DCGAN = {"lr": 2e-4, "betas": (0.5, 0.999)}
PPO = {"lr": 3e-4, "eps": 1e-5, "max_grad_norm": 0.5}
A2C = {"lr": 7e-4, "alpha": 0.99, "eps": 1e-5, "max_grad_norm": 0.5}
GRAVES = {"lr": 1e-4, "alpha": 0.95, "momentum": 0.9, "centered": True, "eps": 1e-4}
CLIPPED = {"lr": 1e-3, "max_grad_norm": 1.0}

EIGHT_BITS = "two moments in 2.03 bytes a parameter instead of 8, decaying without bias"
RANK_ONE = "two moments in 0.13 bytes a parameter, in 1.1 times the time of torch's fused AdamW"
HALF = "half of AdamW's state, nothing approximated, in 0.7 of the time of torch's fused AdamW; wants large batches"
NO_MOMENTUM = "0.01 bytes of state a parameter and the time of torch's fused AdamW; there is no momentum"

CHOICES = (
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

    Choice("convolutions", "sgd", GOYAL, "generalizes better there than adaptive steps do; one state, half of Adam's",
           "Wilson et al. 2017, arXiv:1705.08292; settings: Goyal et al. 2017, arXiv:1706.02677", lr_batch=256),
    Choice("convolutions", "sgd_8bit", GOYAL, "the same momentum in 1.02 bytes a parameter",
           "Dettmers et al. 2021, arXiv:2110.02861", lr_batch=256),
    Choice("convolutions", "sgd_nnmf", GOYAL, "the same momentum in 0.13 bytes a parameter",
           "Park & Lee 2025, arXiv:2412.08894", lr_batch=256),

    Choice("vision-transformer", "adamw", DEIT, "attention needs a step for every weight; SGD trails there",
           "Touvron et al. 2020, arXiv:2012.12877, table 9", lr_batch=512),
    Choice("vision-transformer", "lion", {"lr": 1e-4, "weight_decay": 0.25}, HALF,
           "Chen et al. 2023, arXiv:2302.06675", smallest_batch=64),
    Choice("vision-transformer", "adamw_8bit", DEIT, EIGHT_BITS,
           "Dettmers et al. 2021, arXiv:2110.02861", lr_batch=512),
    Choice("vision-transformer", "adamw_nnmf", DEIT, RANK_ONE, "Park & Lee 2025, arXiv:2412.08894", lr_batch=512),

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
    Choice("sparse", "sm3", {"lr": 0.1}, "Adagrad in 0.01 bytes a parameter, in 0.6 of the time of torch's fused AdamW",
           "Anil et al. 2019, arXiv:1901.11150"),

    Choice("full-batch", "lbfgs", {"history_size": 10, "line_search_fn": "strong_wolfe"},
           "curvature from past gradients; converges in tens of steps. Call step(closure), without noise in the loss",
           "Liu & Nocedal 1989, Mathematical Programming 45", most_parameters=1e6, unforeseen=100),
    Choice("full-batch", "adam", {"lr": 1e-3}, "too many parameters for LBFGS's history of gradients",
           "Kingma & Ba 2015, arXiv:1412.6980"),

    Choice("other", "adamw", {"lr": 1e-3}, "works untuned more often than any other; a baseline to compare with",
           "Loshchilov & Hutter 2019, arXiv:1711.05101"),
    Choice("other", "adamw_8bit", {"lr": 1e-3}, EIGHT_BITS, "Dettmers et al. 2021, arXiv:2110.02861"),
    Choice("other", "adamw_nnmf", {"lr": 1e-3}, RANK_ONE, "Park & Lee 2025, arXiv:2412.08894"),
    Choice("other", "adafactor", {}, NO_MOMENTUM, "Shazeer & Stern 2018, arXiv:1804.04235"),
)  # fmt: skip
