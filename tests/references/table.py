"""One row per configuration; every property test runs over this table."""

import math

import fusedopt

from .case import Case
from .elements import (
    AdaLoOnNorms,
    ReferenceAdaLo,
    ReferenceAdamAtan2,
    ReferenceAdaMomentum,
    ReferenceCautiousAdamW,
    ReferenceDiffGrad,
    ReferenceLion,
    ReferenceRanger,
    ReferenceSAdam,
)
from .factored import ClippedAdafactor, ReferenceAdafactor, ReferenceAdaMini, ReferenceAmos, ReferenceCAME, ReferenceSM3
from .of_torch import ClippedAdamW, TorchAdafactor, TorchASGD, TorchNAdam
from .rank1 import Rank1AdamW, Rank1Lion, Rank1SGD, ReferenceSMMF
from .tensors import (
    ClippedAMSGD,
    ClippedLAMB,
    ReferenceAdamNorm,
    ReferenceAMAdamW,
    ReferenceAMSGD,
    ReferenceLAMB,
    ReferenceNovoGrad,
    ReferenceNSGDA,
)

CASES = [
    Case(fusedopt.Adam),
    Case(fusedopt.Adam, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1)),
    Case(fusedopt.Adam, dict(maximize=True, weight_decay=0.1)),
    Case(fusedopt.Adam, dict(decoupled_weight_decay=True, weight_decay=0.1)),
    Case(fusedopt.Adam, dict(amsgrad=True, weight_decay=0.1)),
    Case(fusedopt.Adam, dict(betas=(0.0, 0.0), eps=1e-3)),
    Case(fusedopt.AdamW),
    Case(fusedopt.AdamW, dict(lr=0.1, weight_decay=0.1, amsgrad=True, maximize=True)),
    Case(fusedopt.AdamW, dict(cautious=True), ReferenceCautiousAdamW, {}),
    Case(fusedopt.AdamW, dict(max_grad_norm=0.5), ClippedAdamW),
    Case(fusedopt.SGD),
    Case(fusedopt.SGD, dict(lr=0.1, weight_decay=0.1, maximize=True)),
    Case(fusedopt.SGD, dict(momentum=0.9, dampening=0.3, weight_decay=0.1)),
    Case(fusedopt.SGD, dict(momentum=0.9, nesterov=True, maximize=True)),
    Case(fusedopt.Lion, {}, ReferenceLion),
    Case(fusedopt.Lion, dict(lr=0.1, betas=(0.5, 0.8), weight_decay=0.1, maximize=True), ReferenceLion),
    *(
        Case(fusedopt.Adafactor, dict(second_moment_form="torch", **options), TorchAdafactor, options)
        for options in (
            {},
            dict(weight_decay=0.1, maximize=True),
            dict(lr=0.1, beta2_decay=-0.5, eps=(1e-3, 1e-2), d=2.0),
        )
    ),
    Case(fusedopt.Adafactor, dict(second_moment_form="torch", beta1=0.9), ReferenceAdafactor, dict(beta1=0.9)),
    Case(fusedopt.Adafactor, {}, ReferenceAdafactor),
    Case(fusedopt.Adafactor, dict(max_grad_norm=0.5), ClippedAdafactor),
    Case(fusedopt.Adafactor, dict(factor_mode="flatten", beta1=0.9), ReferenceAdafactor, dict(flatten=True, beta1=0.9)),
    Case(fusedopt.Adafactor, dict(lr=0.05, relative_step=False, scale_parameter=False, d=math.inf), ReferenceAdafactor),
    Case(fusedopt.Adafactor, dict(warmup_init=True, eps=(1e-2, 0.5), maximize=True), ReferenceAdafactor),
    Case(
        fusedopt.Adafactor,
        dict(weight_decay=0.1, decoupled_weight_decay=False, cautious=True),
        ReferenceAdafactor,
    ),
    Case(
        fusedopt.Adafactor,
        dict(second_moment_form="hf", weight_decay=0.1),
        ReferenceAdafactor,
        dict(hf_decay=True, weight_decay=0.1),
    ),
    Case(
        fusedopt.Adafactor.from_hf,
        dict(lr=0.05, relative_step=False, beta1=0.9, clip_threshold=0.5, decay_rate=-0.5),
        ReferenceAdafactor,
        dict(lr=0.05, relative_step=False, beta1=0.9, d=0.5, beta2_decay=-0.5),
    ),
    Case(fusedopt.SMMF, {}, ReferenceSMMF),
    Case(
        fusedopt.SMMF,
        dict(lr=0.1, beta=0.5, eps=1e-3, weight_decay=0.1, decay_rate=-0.8, growth_rate=0.9, maximize=True),
        ReferenceSMMF,
    ),
    Case(
        fusedopt.SMMF,
        dict(beta=None, weight_decay=0.1, weight_decay_mode="adam"),
        ReferenceSMMF,
        dict(beta=None, weight_decay=0.1, decoupled_weight_decay=False),
    ),
    Case(fusedopt.SMMF, dict(vector_reshape=False), ReferenceSMMF),
    Case(fusedopt.AdamW, dict(state_format="nnmf"), Rank1AdamW, {}),
    Case(fusedopt.Lion, dict(state_format="nnmf", weight_decay=0.1), Rank1Lion, dict(weight_decay=0.1)),
    *(
        Case(fusedopt.SGD, dict(state_format="nnmf", **options), Rank1SGD, options)
        for options in (dict(momentum=0.9, dampening=0.3), dict(momentum=0.9, nesterov=True))
    ),
    Case(fusedopt.CAME, dict(lr=0.01), ReferenceCAME),
    Case(
        fusedopt.CAME,
        dict(lr=0.1, betas=(0.5, 0.9, 0.8), eps=(1e-3, 1e-2), clip_threshold=0.5, weight_decay=0.1, maximize=True),
        ReferenceCAME,
    ),
    Case(fusedopt.AdaMini, {}, ReferenceAdaMini),
    Case(fusedopt.AdaMini, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1), ReferenceAdaMini),
    Case(fusedopt.SM3, {}, ReferenceSM3),
    Case(fusedopt.SM3, dict(momentum=0.9, weight_decay=0.1, maximize=True), ReferenceSM3),
    Case(fusedopt.SM3, dict(variant="I", decoupled_weight_decay=True, weight_decay=0.1), ReferenceSM3),
    Case(fusedopt.SM3, dict(variant="I", momentum=0.5, eps=0.1), ReferenceSM3),
    Case(fusedopt.Amos, {}, ReferenceAmos),
    Case(fusedopt.Amos, dict(lr=0.1, beta=0.9, momentum=0.9, extra_l2=0.1), ReferenceAmos),
    Case(fusedopt.Amos, dict(lr=0.1, eta=0.3, reduction="tensor", c_coef=0.5, d_coef=2.0, eps=0.1), ReferenceAmos),
    Case(fusedopt.Amos, dict(reduction="tensor", momentum=0.5, maximize=True), ReferenceAmos),
    Case(fusedopt.RMSprop),
    Case(fusedopt.RMSprop, dict(lr=0.1, alpha=0.5, eps=1e-3, weight_decay=0.1, momentum=0.9, maximize=True)),
    Case(fusedopt.RMSprop, dict(centered=True, eps=1e-3)),
    Case(fusedopt.RMSprop, dict(centered=True, momentum=0.5, alpha=0.9, weight_decay=0.1)),
    Case(fusedopt.Adagrad),
    Case(fusedopt.Adagrad, dict(lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3)),
    Case(fusedopt.Adadelta),
    Case(fusedopt.Adadelta, dict(lr=0.1, rho=0.5, eps=1e-3, weight_decay=0.1, maximize=True)),
    Case(fusedopt.Adamax),
    Case(fusedopt.Adamax, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, maximize=True)),
    Case(fusedopt.RAdam),
    Case(fusedopt.Ranger, {}, ReferenceRanger),
    Case(fusedopt.RAdam, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, maximize=True)),
    Case(fusedopt.RAdam, dict(betas=(0.9, 0.5), decoupled_weight_decay=True, weight_decay=0.1)),
    Case(fusedopt.NAdam, {}, TorchNAdam),
    Case(
        fusedopt.NAdam,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, momentum_decay=0.5, maximize=True),
        TorchNAdam,
    ),
    Case(fusedopt.NAdam, dict(momentum_decay=0, decoupled_weight_decay=True, weight_decay=0.1), TorchNAdam),
    Case(fusedopt.Rprop),
    Case(fusedopt.Rprop, dict(lr=0.1, etas=(0.3, 1.5), step_sizes=(0.05, 0.2), maximize=True)),
    Case(fusedopt.ASGD, {}, TorchASGD),
    Case(fusedopt.ASGD, dict(lr=0.1, lambd=0.1, alpha=0.5, t0=3, weight_decay=0.1, maximize=True), TorchASGD),
    Case(fusedopt.SAdam, {}, ReferenceSAdam),
    Case(
        fusedopt.SAdam,
        dict(lr=0.01, betas=(0.5, 0.8), smooth=5.0, amsgrad=False, weight_decay=0.1, maximize=True),
        ReferenceSAdam,
    ),
    Case(fusedopt.AdamAtan2, {}, ReferenceAdamAtan2),
    Case(
        fusedopt.AdamAtan2,
        dict(lr=0.1, betas=(0.5, 0.8), a=1.0, b=0.5, weight_decay=0.1, maximize=True),
        ReferenceAdamAtan2,
    ),
    Case(fusedopt.DiffGrad, {}, ReferenceDiffGrad),
    Case(
        fusedopt.DiffGrad, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, maximize=True), ReferenceDiffGrad
    ),
    Case(fusedopt.AdaMomentum, {}, ReferenceAdaMomentum),
    Case(
        fusedopt.AdaMomentum,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, maximize=True),
        ReferenceAdaMomentum,
    ),
    Case(fusedopt.LAMB, {}, ClippedLAMB),
    Case(fusedopt.LAMB, dict(weight_decay=0.0, max_grad_norm=None), ReferenceLAMB, dict(weight_decay=0.0)),
    Case(
        fusedopt.LAMB,
        dict(lr=0.1, bias_correction=False, max_grad_norm=None, adapt="always", weight_decay=0.0, maximize=True),
        ReferenceLAMB,
        dict(lr=0.1, bias_correction=False, adapt="always", weight_decay=0.0, maximize=True),
    ),
    Case(
        fusedopt.LAMB,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, phi_bounds=(2.0, 10.0), max_grad_norm=0.5),
        ClippedLAMB,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, phi=(2.0, 10.0), max_grad_norm=0.5),
    ),
    Case(
        fusedopt.LAMB,
        dict(trust_clip=True, grad_averaging=False, decoupled_weight_decay=True, weight_decay=0.1, max_grad_norm=None),
        ReferenceLAMB,
        dict(limit=1.0, grad_averaging=False, outside=True, weight_decay=0.1),
    ),
    Case(fusedopt.NovoGrad, {}, ReferenceNovoGrad),
    Case(
        fusedopt.NovoGrad,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, amsgrad=True, maximize=True),
        ReferenceNovoGrad,
    ),
    Case(
        fusedopt.NovoGrad,
        dict(grad_averaging=True, bias_correction=True, weight_decay=0.1, decoupled_weight_decay=True),
        ReferenceNovoGrad,
        dict(grad_averaging=True, bias_correction=True, weight_decay=0.1, inside=False),
    ),
    Case(fusedopt.NSGDA, {}, ReferenceNSGDA),
    Case(fusedopt.NSGDA, dict(lr=0.1, momentum=0.0, eps=0.1, weight_decay=0.0, maximize=True), ReferenceNSGDA),
    *(
        Case(cls, options, ReferenceAdamNorm, dict(base=base, **options))
        for cls, base in (
            (fusedopt.AdamNorm, "adam"),
            (fusedopt.AdaBeliefNorm, "adabelief"),
            (fusedopt.DiffGradNorm, "diffgrad"),
            (fusedopt.RAdamNorm, "radam"),
        )
        for options in ({}, dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, gamma=0.5, weight_decay=0.1, maximize=True))
    ),
    Case(AdaLoOnNorms, {}, ReferenceAdaLo),
    Case(
        AdaLoOnNorms,
        dict(betas=(0.5, 0.8), kappa=0.5, eps=1e-3, mode="compliant", weight_decay=0.1, maximize=True),
        ReferenceAdaLo,
    ),
    Case(fusedopt.AMSGD, {}, ReferenceAMSGD),
    Case(fusedopt.AMSGD, dict(lr=0.1, momentum=0.5, memory=0.5, weight_decay=0.1, maximize=True), ReferenceAMSGD),
    Case(fusedopt.AMSGD, dict(lr=0.1, weight_decay=0.1, max_grad_norm=0.5), ClippedAMSGD),
    Case(fusedopt.AMSGD, dict(per_tensor=True, lr=0.1), ReferenceAMSGD),
    Case(
        fusedopt.AMSGD,
        dict(per_tensor=True, momentum=0.5, memory=0.5, weight_decay=0.1, maximize=True),
        ReferenceAMSGD,
    ),
    Case(fusedopt.AMAdamW, {}, ReferenceAMAdamW),
    Case(
        fusedopt.AMAdamW,
        dict(lr=0.1, betas=(0.5, 0.8), eps=1e-3, weight_decay=0.1, memory=0.5, maximize=True),
        ReferenceAMAdamW,
    ),
    Case(fusedopt.AMAdamW, dict(decoupled_weight_decay=False, weight_decay=0.1), ReferenceAMAdamW),
]
