"""What ``optima.py`` steps each optimizer with: found by ``--tune``, or by hand where that falls short."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tuned:
    steps: int
    options: dict


def tuned(steps, **options):
    return Tuned(steps, options)


SETTINGS = {
    "adabeliefnorm": {
        "rosenbrock": tuned(1000, lr=0.1, betas=(0.95, 0.99)),
        "beale": tuned(500, lr=0.5, betas=(0.95, 0.99)),
        "quadratic": tuned(1000, lr=0.5, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.05),
    },
    "adadelta": {
        "rosenbrock": tuned(20000, lr=0.1),
        "beale": tuned(500, lr=5.0),
        "quadratic": tuned(20000, lr=50.0),
        "digits": tuned(400, lr=20.0),
    },
    "adafactor": {
        "rosenbrock": tuned(2000, lr=50.0, beta1=0.9),
        "beale": tuned(200, lr=50.0, beta1=0.9),
        "quadratic": tuned(2000, lr=0.1, beta1=0.95, relative_step=False),
        "digits": tuned(400, lr=0.2),
    },
    "adagrad": {
        "rosenbrock": tuned(50000, lr=1.0),
        "beale": tuned(1000, lr=1.0),
        "quadratic": tuned(50000, lr=1.0),
        "digits": tuned(400, lr=0.05),
    },
    "adalo": {
        "rosenbrock": tuned(1000, kappa=10.0, weight_decay=0.0, betas=(0.97, 0.9)),
        "beale": tuned(500, kappa=2.5, weight_decay=0.0, betas=(0.9, 0.9)),
        "quadratic": tuned(1000, kappa=0.0075, weight_decay=0.0, betas=(0.97, 0.9)),
        "digits": tuned(400, kappa=0.5, weight_decay=0.0, betas=(0.9, 0.9)),
    },
    "adam": {
        "rosenbrock": tuned(1000, lr=2.0, betas=(0.95, 0.99)),
        "beale": tuned(500, lr=1.0, betas=(0.9, 0.99)),
        "quadratic": tuned(1000, lr=1.0, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.05),
    },
    "adam8bit": {
        "rosenbrock": tuned(1000, lr=2.0, betas=(0.95, 0.99)),
        "beale": tuned(500, lr=0.5, betas=(0.9, 0.99)),
        "quadratic": tuned(1000, lr=1.0, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.05),
    },
    "adamatan2": {
        "rosenbrock": tuned(1000, lr=1.0, betas=(0.95, 0.99)),
        "beale": tuned(200, lr=0.5, betas=(0.9, 0.99)),
        "quadratic": tuned(1000, lr=2.0, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.01),
    },
    "adamax": {
        "rosenbrock": tuned(1000, lr=0.1, betas=(0.9, 0.99)),
        "beale": tuned(500, lr=0.2, betas=(0.9, 0.99)),
        "quadratic": tuned(1000, lr=1.0, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.2),
    },
    "adamini": {
        "rosenbrock": tuned(1000, lr=1.0, betas=(0.95, 0.99)),
        "beale": tuned(500, lr=1.0, betas=(0.9, 0.99)),
        "quadratic": tuned(1000, lr=1.0, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.01),
    },
    "adamnorm": {
        "rosenbrock": tuned(1000, lr=0.1, betas=(0.95, 0.99)),
        "beale": tuned(500, lr=0.1, betas=(0.95, 0.99)),
        "quadratic": tuned(1000, lr=1.0, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.01),
    },
    "adamomentum": {
        "rosenbrock": tuned(1000, lr=0.2, betas=(0.95, 0.99)),
        "beale": tuned(500, lr=0.1, betas=(0.9, 0.99)),
        "quadratic": tuned(2000, lr=0.5, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.01),
    },
    "adamw": {
        "rosenbrock": tuned(2000, lr=0.01, betas=(0.95, 0.99)),
        "beale": tuned(2000, lr=0.02, betas=(0.95, 0.99)),
        "quadratic": tuned(2000, lr=0.2, betas=(0.99, 0.99)),
        "digits": tuned(400, lr=0.01),
    },
    "adamw8bit": {
        "rosenbrock": tuned(2000, lr=0.01, betas=(0.95, 0.99)),
        "beale": tuned(2000, lr=0.05, betas=(0.95, 0.99)),
        "quadratic": tuned(2000, lr=0.05, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.05),
    },
    "amadamw": {
        "rosenbrock": tuned(1000, lr=10.0, weight_decay=0.0, betas=(0.89, 0.999)),
        "beale": tuned(100, lr=1.0, weight_decay=0.0, betas=(0.89, 0.999)),
        "quadratic": tuned(2000, lr=2.0, weight_decay=0.0, betas=(0.89, 0.999)),
        "digits": tuned(400, lr=0.05, weight_decay=0.0, betas=(0.89, 0.999)),
    },
    "amos": {
        "rosenbrock": tuned(1000, lr=0.5, beta=0.9, momentum=0.9),
        "beale": tuned(500, lr=0.05, beta=0.95, momentum=0.9),
        "quadratic": tuned(1000, lr=0.02, beta=0.9, momentum=0.97),
        "digits": tuned(400, lr=0.05),
    },
    "amsgd": {
        "rosenbrock": tuned(5000, lr=0.01, momentum=0.97, per_tensor=True),
        "beale": tuned(1000, lr=0.05, momentum=0.97, per_tensor=True),
        "quadratic": tuned(2000, lr=50.0, momentum=0.97, per_tensor=True),
        "digits": tuned(400, lr=5.0),
    },
    "asgd": {
        "rosenbrock": tuned(20000, lr=0.002, lambd=0.0, alpha=0.0),
        "beale": tuned(1000, lr=0.05, lambd=0.0, alpha=0.0),
        "quadratic": tuned(50000, lambd=0.0, alpha=0.0, lr=2.0),
        "digits": tuned(400, lr=1.0),
    },
    "came": {
        "rosenbrock": tuned(1000, lr=0.2, betas=(0.95, 0.99, 0.9999)),
        "beale": tuned(200, lr=1.0, betas=(0.9, 0.99, 0.9999)),
        "quadratic": tuned(1000, lr=0.05, betas=(0.95, 0.99, 0.9999)),
        "digits": tuned(400, lr=0.002),
    },
    "diffgrad": {
        "rosenbrock": tuned(1000, lr=2.0, betas=(0.9, 0.99)),
        "beale": tuned(500, lr=0.5, betas=(0.9, 0.99)),
        "quadratic": tuned(1000, lr=2.0, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.05),
    },
    "diffgradnorm": {
        "rosenbrock": tuned(2000, lr=0.02, betas=(0.95, 0.99)),
        "beale": tuned(500, lr=0.2, betas=(0.95, 0.99)),
        "quadratic": tuned(1000, lr=2.0, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.05),
    },
    "lamb": {
        "rosenbrock": tuned(5000, lr=0.05, weight_decay=0.0, adapt="always", max_grad_norm=None, betas=(0.95, 0.99)),
        "beale": tuned(1000, lr=0.005, weight_decay=0.0, adapt="always", max_grad_norm=None, betas=(0.9, 0.99)),
        "quadratic": tuned(2000, lr=0.005, weight_decay=0.0, adapt="always", max_grad_norm=None, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.01, weight_decay=0.0, adapt="always", max_grad_norm=None, betas=(0.95, 0.99)),
    },
    "lbfgs": {
        "rosenbrock": tuned(10, line_search_fn="strong_wolfe"),
        "beale": tuned(5, line_search_fn="strong_wolfe"),
        "quadratic": tuned(10, line_search_fn="strong_wolfe"),
        "digits": tuned(400, max_iter=5, history_size=5, line_search_fn="strong_wolfe"),
    },
    "lion": {
        "rosenbrock": tuned(2000, lr=0.005, betas=(0.95, 0.99)),
        "beale": tuned(1000, lr=0.05, betas=(0.9, 0.99)),
        "quadratic": tuned(2000, lr=0.01, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.002),
    },
    "lion8bit": {
        "rosenbrock": tuned(5000, lr=0.005, betas=(0.95, 0.99)),
        "beale": tuned(2000, lr=0.01, betas=(0.95, 0.99)),
        "quadratic": tuned(5000, lr=0.005, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.002),
    },
    "nadam": {
        "rosenbrock": tuned(5000, lr=0.01, betas=(0.99, 0.99)),
        "beale": tuned(500, lr=0.2, betas=(0.9, 0.999)),
        "quadratic": tuned(5000, lr=1.0, betas=(0.99, 0.99)),
        "digits": tuned(400, lr=0.01),
    },
    "novograd": {
        "rosenbrock": tuned(1000, lr=0.1, grad_averaging=True, betas=(0.95, 0.98)),
        "beale": tuned(500, lr=5.0, grad_averaging=True, betas=(0.95, 0.98)),
        "quadratic": tuned(1000, lr=50.0, grad_averaging=True, betas=(0.95, 0.98)),
        "digits": tuned(400, lr=1.0, grad_averaging=True, betas=(0.95, 0.98)),
    },
    "nsgda": {
        "rosenbrock": tuned(1000, lr=0.02, momentum=0.97, weight_decay=0.0),
        "beale": tuned(500, lr=0.02, momentum=0.0, weight_decay=0.0),
        "quadratic": tuned(1000, lr=0.05, momentum=0.97, weight_decay=0.0),
        "digits": tuned(400, lr=0.2, weight_decay=0.0),
    },
    "radam": {
        "rosenbrock": tuned(5000, lr=0.002, betas=(0.9, 0.99)),
        "beale": tuned(1000, lr=0.05, betas=(0.9, 0.99)),
        "quadratic": tuned(1000, lr=2.0, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.2),
    },
    "radamnorm": {
        "rosenbrock": tuned(5000, lr=0.005, betas=(0.95, 0.99)),
        "beale": tuned(1000, lr=0.05, betas=(0.95, 0.99)),
        "quadratic": tuned(1000, lr=1.0, betas=(0.95, 0.99)),
        "digits": tuned(400, lr=0.2),
    },
    "ranger": {
        "rosenbrock": tuned(5000, lr=0.005, betas=(0.95, 0.99)),
        "beale": tuned(2000, lr=0.02, betas=(0.95, 0.99)),
        "quadratic": tuned(1000, lr=5.0, betas=(0.95, 0.99), centralize=False),
        "digits": tuned(400, lr=0.2),
    },
    "rmsprop": {
        "rosenbrock": tuned(1000, lr=0.02, momentum=0.97),
        "beale": tuned(500, lr=0.05, momentum=0.9),
        "quadratic": tuned(1000, lr=0.1, momentum=0.97),
        "digits": tuned(400, lr=0.01),
    },
    "rprop": {
        "rosenbrock": tuned(5000, lr=0.002, step_sizes=(1e-09, 50)),
        "beale": tuned(100, lr=0.005),
        "quadratic": tuned(5000, lr=0.0002),
        "digits": tuned(400, lr=0.0001, etas=(0.8, 1.2), step_sizes=(1e-06, 0.005)),
    },
    "sadam": {
        "rosenbrock": tuned(2000, lr=2.0, betas=(0.9, 0.999)),
        "beale": tuned(500, lr=1.0, betas=(0.9, 0.99)),
        "quadratic": tuned(2000, lr=5.0, betas=(0.9, 0.999)),
        "digits": tuned(400, lr=0.2),
    },
    "sgd": {
        "rosenbrock": tuned(1000, lr=0.002, momentum=0.97),
        "beale": tuned(500, lr=0.02, momentum=0.9),
        "quadratic": tuned(2000, lr=2.0, momentum=0.97),
        "digits": tuned(400, lr=0.2, momentum=0.9),
    },
    "sgd8bit": {
        "rosenbrock": tuned(1000, lr=0.002, momentum=0.97),
        "beale": tuned(500, lr=0.02, momentum=0.9),
        "quadratic": tuned(2000, lr=2.0, momentum=0.97),
        "digits": tuned(400, lr=0.2, momentum=0.9),
    },
    "sm3": {
        "rosenbrock": tuned(5000, lr=10.0, momentum=0.99),
        "beale": tuned(500, lr=10.0, momentum=0.9),
        "quadratic": tuned(20000, lr=50.0, momentum=0.99),
        "digits": tuned(400, lr=0.1, momentum=0.9),
    },
    "smmf": {
        "rosenbrock": tuned(500, lr=2.0, decay_rate=-0.8, beta=0.95, growth_rate=1.0),
        "beale": tuned(200, lr=0.1, beta=0.9),
        "quadratic": tuned(5000, lr=0.05, decay_rate=-0.8, beta=0.95, growth_rate=1.0),
        "digits": tuned(400, lr=0.05),
    },
}
