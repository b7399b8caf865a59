"""Rules with statistics per row and column: accuracy, range, shapes, layouts, and what their state costs."""

import functools
import math

import pytest
import torch
from conftest import assert_same_bits, parameters, records, set_gradients, train
from references import Case
from references.factored import ReferenceAdafactor, ReferenceAdaMini, ReferenceAmos, ReferenceCAME, ReferenceSM3
from references.rank1 import ReferenceSMMF

import fusedopt

ADAFACTOR = Case(fusedopt.Adafactor, {}, ReferenceAdafactor)
HF = Case(fusedopt.Adafactor, dict(second_moment_form="hf"), ReferenceAdafactor, {})
FLAT = Case(
    fusedopt.Adafactor,
    dict(factor_mode="flatten", beta1=0.9, state_format="fp32"),
    ReferenceAdafactor,
    dict(flatten=True, beta1=0.9),
)
SM3 = Case(fusedopt.SM3, {}, ReferenceSM3)
SM3_I = Case(fusedopt.SM3, {"variant": "I"}, ReferenceSM3)
AMOS = Case(fusedopt.Amos, {"lr": 0.1}, ReferenceAmos)
AMOS_TENSOR = Case(
    fusedopt.Amos,
    dict(lr=0.1, reduction="tensor", momentum=0.9, state_format="fp32"),
    ReferenceAmos,
    dict(lr=0.1, reduction="tensor", momentum=0.9),
)
SMMF = Case(fusedopt.SMMF, {"lr": 0.1}, ReferenceSMMF)
CAME = Case(fusedopt.CAME, dict(lr=0.01, state_format="fp32"), ReferenceCAME, dict(lr=0.01))
ADAMINI = Case(fusedopt.AdaMini, dict(state_format="fp32"), ReferenceAdaMini, {})
FACTORED = [ADAFACTOR, HF, FLAT, SM3, SM3_I, AMOS, AMOS_TENSOR, SMMF, CAME, ADAMINI]
SHAPES = [(), (1,), (5,), (1, 1), (1, 9), (9, 1), (0, 3), (3, 0), (4, 0, 2), (13, 7), (31, 37), (127,), (64, 96)]
SHAPES += [(6, 3, 3, 3), (2, 3, 5), (5, 1, 4), (1, 4, 3, 5), (127, 3)]
MATRICES = [(64, 96), (200, 130), (1, 50), (50, 1), (31, 37), (4, 3, 3, 3), (1000,), (2000, 2)]


def moved(build, start, gradients, exact=False):
    """The displacement of every tensor in float64, and the optimizer; ``exact`` runs in float64 on the same numbers."""
    dtype = torch.float64 if exact else start[0].dtype
    params = [p.detach().to(dtype).clone().requires_grad_() for p in start]
    optimizer = build(params)
    for grads in gradients:
        for p, g in zip(params, grads, strict=True):
            p.grad = g.to(dtype)
        optimizer.step()
    return [p.detach().double() - q.detach().double() for p, q in zip(params, start, strict=True)], optimizer


def draws(shapes, steps, change=lambda g: g):
    return [[change(g.detach()) for g in parameters(shapes, seed=1000 + i)] for i in range(steps)]


def zeros(shapes):
    return [torch.zeros(shape) for shape in shapes]


def assert_finite(displacements, optimizer):
    tensors = [*displacements, *(x for record in optimizer.state.values() for x in record.values())]
    assert all(bool(torch.isfinite(x).all()) for x in tensors)


def assert_near(found, expected, tolerance):
    """Equal up to ``tolerance`` of the largest number."""
    for x, y in zip(found, expected, strict=True):
        largest = y.abs().max().item() if y.numel() else 0.0
        torch.testing.assert_close(x, y, rtol=0, atol=tolerance * largest)


# --- accuracy ---


@pytest.mark.parametrize("form", ["late_sqrt", "torch", "hf"])
def test_adafactor_is_as_accurate_as_torch(backend, form):
    """The float32 error of ten steps against float64: at most three times torch's own."""
    start, gradients = parameters(MATRICES), draws(MATRICES, 10)
    theirs = functools.partial(torch.optim.Adafactor, eps=(1e-30, 1e-3))
    ours = functools.partial(fusedopt.Adafactor, eps=(1e-30, 1e-3), second_moment_form=form)

    def run(build, exact):
        return torch.cat([x.flatten() for x in moved(build, start, gradients, exact)[0]])

    exact = run(theirs, True)
    torch.testing.assert_close(run(ours, True), exact, rtol=0, atol=1e-14)
    error, limit = run(ours, False) - exact, run(theirs, False) - exact
    assert error.norm() <= 3 * limit.norm()
    assert error.abs().max() <= 3 * limit.abs().max()


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_float32_equals_float64_to_rounding(backend, case):
    """From zero, so that no rounding of weights hides an error of the steps."""
    start, gradients = zeros(SHAPES), draws(SHAPES, 10)
    found, optimizer = moved(case.build, start, gradients)
    expected, _ = moved(case.build_reference, start, gradients, exact=True)
    assert_near(found, expected, 1e-5)
    assert_finite(found, optimizer)


HALF = [torch.bfloat16, torch.float16]


def unit_in_the_last_place(x, dtype):
    info = torch.finfo(dtype)
    return info.eps * x.abs().clamp(min=info.tiny).log2().floor().exp2()


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_half_weights_are_the_formula_rounded(backend, case, dtype):
    """Within one unit in the last place of the weight, from the weights of the step before; statistics are float32."""
    params = parameters(SHAPES, dtype)
    exact = [p.detach().double().requires_grad_() for p in params]
    optimizer, reference = case.build(params), case.build_reference(exact)
    for seed in range(5):
        set_gradients(params, seed)
        for p, q in zip(params, exact, strict=True):
            q.data.copy_(p.data)
            q.grad = p.grad.double()
        optimizer.step()
        reference.step()
        for p, q in zip(params, exact, strict=True):
            units = (p.detach().double() - q.detach()) / unit_in_the_last_place(q.detach(), dtype)
            assert not units.numel() or units.abs().max() <= 1
    for record in records(optimizer, params):
        signs = {"exp_avg_sign": torch.uint8}
        assert {key: x.dtype for key, x in record.items()} == {key: signs.get(key, torch.float32) for key in record}


# --- range ---

SCALES = [1e-20, 1e-12, 1e-6, 1e6, 1e10]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_gradients_of_any_size(backend, case, scale):
    """Squares below 1e-38 are denormal: they have few digits left, where they still count."""
    start, gradients = zeros(SHAPES), draws(SHAPES, 5, lambda g: g * scale)
    found, optimizer = moved(case.build, start, gradients)
    expected, _ = moved(case.build_reference, start, gradients, exact=True)
    assert_finite(found, optimizer)
    assert_near(found, expected, 1e-3 if scale == 1e-20 else 1e-5)


@pytest.mark.parametrize("scale", [1e-10, 1e-4, 1.0, 1e10])
def test_torchs_form_has_torchs_range(backend, scale):
    """Too large a step for gradients below the epsilon, none where the product of the means overflows."""
    shapes = [(13, 7), (5,), (), (4, 3, 3, 3)]
    start, gradients = parameters(shapes), draws(shapes, 5, lambda g: g * scale)
    found, _ = moved(functools.partial(fusedopt.Adafactor, second_moment_form="torch"), start, gradients)
    expected, _ = moved(torch.optim.Adafactor, start, gradients)
    assert_near(found, expected, 1e-4)


def spread(g, rows, columns):
    """From 10**-rows to 10**rows down the rows, and so along the columns."""
    if g.dim() < 2 or not g.numel():
        return g
    return g * torch.logspace(-rows, rows, g.shape[-2])[:, None] * torch.logspace(-columns, columns, g.shape[-1])


SPREAD = [(case, 9, 6) for case in (ADAFACTOR, FLAT, SM3, AMOS)]
SPREAD.append((SMMF, 5, 3))  # squares of columns, relative to their mean, must be float32: here, and at the authors'


@pytest.mark.parametrize(("case", "rows", "columns"), SPREAD, ids=str)
def test_rows_and_columns_of_any_size(backend, case, rows, columns):
    start, gradients = zeros(SHAPES), draws(SHAPES, 5, lambda g: spread(g, rows, columns))
    found, optimizer = moved(case.build, start, gradients)
    expected, _ = moved(case.build_reference, start, gradients, exact=True)
    assert_finite(found, optimizer)
    assert_near(found, expected, 1e-5)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e10])
@pytest.mark.parametrize("dead_from", [0, 3])
@pytest.mark.parametrize("case", [ADAFACTOR, FLAT, SM3, SM3_I, AMOS, AMOS_TENSOR, SMMF], ids=str)
def test_dead_rows_cross_dead_columns(backend, case, dead_from, scale):
    """A padding row and a dead unit: no gradient, in later steps or ever."""
    shapes = [(8, 6), (16, 16), (4, 3, 5, 5)]
    gradients = draws(shapes, 8, lambda g: g * scale)
    for grads in gradients[dead_from:]:
        for g in grads:
            g[..., 2, :] = 0
            g[..., :, 1] = 0
    found, optimizer = moved(case.build, zeros(shapes), gradients)
    expected, _ = moved(case.build_reference, zeros(shapes), gradients, exact=True)
    assert_finite(found, optimizer)
    assert_near(found, expected, 1e-3 if scale == 1e-20 else 1e-5)
    if dead_from == 0 and case is ADAFACTOR:
        assert all(x[..., 2, :].abs().max() == 0 for x in found)


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_all_gradients_zero(backend, case):
    found, optimizer = moved(case.build, parameters(SHAPES), [[torch.zeros(shape) for shape in SHAPES]] * 3)
    assert_finite(found, optimizer)
    assert all(bool((x == 0).all()) for x in found)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_a_broken_gradient_stays_visible(backend, case, value):
    """In its element at least, and in no other tensor."""
    shapes = [(8, 6), (8, 6), (5,)]
    gradients = draws(shapes, 1)
    gradients[0][0][3, 2] = value
    (broken, *others), _ = moved(case.build, parameters(shapes), gradients)
    assert bool(broken[3, 2].isnan())
    assert_same_bits(others, moved(case.build, parameters(shapes)[1:], [gradients[0][1:]])[0])


# --- the same bits ---

LARGE = [(200, 300), (20011,), (5, 7, 30, 30), (3, 5), ()]
SHARED = [(1100, 1000), (3, 700, 600), (120_000, 3, 3)]  # of a million elements and more


def trained(case, params, steps=3):
    optimizer = case.build(params)
    train(optimizer, params, steps)
    return [*params, *(x for record in records(optimizer, params) for x in record.values())]


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_two_runs_are_equal(backend, case):
    assert_same_bits(trained(case, parameters(LARGE)), trained(case, parameters(LARGE)))


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_any_number_of_threads_is_equal(case):
    threads, results = torch.get_num_threads(), []
    try:
        with fusedopt.use_backend("cpu"):
            for n in (1, 2, 5):
                torch.set_num_threads(n)
                results.append(trained(case, parameters([*LARGE, *SHARED])))
    finally:
        torch.set_num_threads(threads)
    assert_same_bits(results[1], results[0])
    assert_same_bits(results[2], results[0])


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_tensors_that_take_all_threads(case):
    """Many threads share one such tensor; in float64, eager's sums and theirs are equal to rounding."""
    results = {}
    for backend in ("eager", "cpu"):
        with fusedopt.use_backend(backend):
            results[backend] = trained(case, parameters(SHARED, torch.float64), 2)
    for found, expected in zip(results["cpu"], results["eager"], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-13)


# --- memory layouts ---

LAYOUTS = {
    "transposed": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x,
    "permuted": lambda x: x.transpose(0, -1).contiguous().transpose(0, -1),
    "every second": lambda x: torch.stack([x, x], -1)[..., 0],
}
LAID_OUT = [(6, 4, 3, 5), (1, 4, 3, 5), (3, 1, 4), (12, 10), (1, 9)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_layouts_step_by_logical_values(backend, case, layout):
    """Of parameter and gradient, and after loading their state: statistics stay dense, in the order of the values."""
    expected = parameters(LAID_OUT)
    params, resumed = ([LAYOUTS[layout](p.detach()).clone().requires_grad_() for p in expected] for _ in range(2))
    optimizer, other = case.build(params), case.build(resumed)
    train(optimizer, params, 2)
    for p, q in zip(resumed, params, strict=True):
        p.data.copy_(q.data)
    other.load_state_dict(optimizer.state_dict())
    train(other, resumed, 2, start=2)
    plain = case.build(expected)
    train(plain, expected, 4)
    assert_same_bits(resumed, expected)
    for found, record in zip(records(other, resumed), records(plain, expected), strict=True):
        assert_same_bits(found, record)
        strided = [key for key, x in found.items() if not x.is_contiguous() and key != "exp_avg"]
        assert strided == []


@pytest.mark.parametrize("case", FACTORED, ids=str)
def test_gradient_of_another_layout(backend, case):
    params, expected = parameters(LAID_OUT), parameters(LAID_OUT)
    optimizer, plain = case.build(params), case.build(expected)
    for seed in range(2):
        set_gradients(params, seed)
        set_gradients(expected, seed)
        for p in params:
            p.grad = LAYOUTS["permuted"](p.grad)
        optimizer.step()
        plain.step()
    assert_same_bits(params, expected)


# --- state ---

FACTOR_SHAPES = {"row": (8, 1), "col": (1, 6)}
STATES = [
    (ADAFACTOR, (8, 6), {"row_var": (8, 1), "col_var": (1, 6)}),
    (ADAFACTOR, (4, 3, 2, 5), {"row_var": (4, 3, 2, 1), "col_var": (4, 3, 1, 5)}),
    (ADAFACTOR, (7,), {"variance": (7,)}),
    (ADAFACTOR, (), {"variance": ()}),
    (FLAT, (4, 3, 2, 5), {"exp_avg": (4, 3, 2, 5), "row_var": (4, 1, 1, 1), "col_var": (1, 3, 2, 5)}),
    (SM3, (4, 3, 2), {"accumulator_0": (4, 1, 1), "accumulator_1": (1, 3, 2)}),
    (SM3, (7,), {"accumulator": (7,)}),
    (AMOS, (4, 3, 2), {"v": (4, 1, 1), "b": (4, 1, 1)}),
    (AMOS, (7,), {"v": (), "b": ()}),
    (AMOS_TENSOR, (4, 3), {"exp_avg": (4, 3), "v": (), "b": ()}),
    (
        CAME,
        (8, 6),
        {"exp_avg": (8, 6)}
        | {f"exp_avg_{x}_{key}": shape for x in ("sq", "res") for key, shape in FACTOR_SHAPES.items()},
    ),
    (CAME, (7,), {"exp_avg": (7,), "exp_avg_sq": (7,)}),
    (ADAMINI, (4, 3, 2), {"exp_avg": (4, 3, 2), "exp_avg_sq": (4, 1, 1)}),
    (ADAMINI, (7,), {"exp_avg": (7,), "exp_avg_sq": ()}),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("case", "shape", "expected"), STATES)
def test_state_of_a_shape(backend, case, shape, expected, dtype):
    (p,) = parameters([shape], dtype)
    optimizer = case.build([p])
    train(optimizer, [p], 1)
    record = dict(optimizer.state[p])
    assert ("step" in record) == optimizer.counts_steps
    record.pop("step", None)
    assert {key: tuple(x.shape) for key, x in record.items()} == expected
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    assert {x.dtype for key, x in record.items() if key != "exp_avg"} == {exact}


GPT2_BLOCK = [(768, 2304), (2304,), (768, 768), (768,), (768, 3072), (3072,), (3072, 768), *[(768,)] * 5]


@pytest.mark.parametrize("shapes", [GPT2_BLOCK, [(768, 768)]], ids=["block", "matrix"])
@pytest.mark.parametrize(("case", "limit"), [(ADAFACTOR, 0.05), (SMMF, 0.15)], ids=str)
def test_bytes_of_state_per_parameter(case, limit, shapes):
    params = [torch.zeros(shape) for shape in shapes]
    for p in params:
        p.grad = torch.zeros_like(p)
    optimizer = case.build(params)
    with fusedopt.use_backend("eager"):
        optimizer.step()
    used = sum(x.numel() * x.element_size() for record in optimizer.state.values() for x in record.values() if x.dim())
    assert used <= limit * sum(p.numel() for p in params)


# --- construction ---

HF_OPTIONS = [
    {},
    {"warmup_init": True},
    {"scale_parameter": False, "weight_decay": 0.1},
    {"lr": 0.01, "relative_step": False, "scale_parameter": False, "beta1": 0.9},
    {"eps": (1e-2, 0.1), "clip_threshold": 0.5, "decay_rate": -0.5},
]


@pytest.mark.parametrize("options", HF_OPTIONS, ids=str)
def test_from_hf_takes_transformers_arguments(options):
    """The reference has been compared with transformers 5.23 in float64: 6e-15 apart after 30 steps."""
    names = {"clip_threshold": "d", "decay_rate": "beta2_decay"}
    reference = functools.partial(
        ReferenceAdafactor, hf_decay=True, **{names.get(key, key): value for key, value in options.items()}
    )
    start, gradients = parameters(SHAPES), draws(SHAPES, 5)
    with fusedopt.use_backend("eager"):
        found, _ = moved(functools.partial(fusedopt.Adafactor.from_hf, **options), start, gradients, exact=True)
    assert_near(found, moved(reference, start, gradients, exact=True)[0], 1e-10)


REFUSED = [
    ("Adafactor", {"beta1": 1.0}, r"Invalid beta1: 1\.0; it must be in \[0, 1\)"),
    ("Adafactor", {"second_moment_form": "x"}, "Invalid second_moment_form: 'x'; choose from late_sqrt, torch, hf"),
    ("Adafactor", {"factor_mode": "all"}, "Invalid factor_mode: 'all'; choose from last2, flatten"),
    ("Adafactor", {"clip_threshold": 0.5}, r"Clipping threshold d should be >= 1 but is: 0\.5"),
    ("Adafactor", {"second_moment_form": "hf", "d": -0.5}, r"Clipping threshold d should be >= 0 but is: -0\.5"),
    ("Adafactor", {"warmup_init": True, "relative_step": False}, "`warmup_init=True` requires `relative_step=True`"),
    *(("SM3", {"momentum": x}, rf"Invalid momentum: {x}; it must be in \[0, 1\)") for x in (-0.1, 1.0, math.nan)),
    ("SM3", {"eps": -1.0}, r"Invalid epsilon value: -1\.0"),
    ("SM3", {"variant": "III"}, "Invalid variant: 'III'; choose from II, I"),
    *(("Amos", {key: 1.0}, rf"Invalid {key}: 1\.0; it must be in \[0, 1\)") for key in ("beta", "momentum")),
    *(("Amos", {key: -1}, f"Invalid {key}: -1") for key in ("eta", "extra_l2", "c_coef", "d_coef", "eps")),
    *(("CAME", {"lr": 0.1, "betas": x}, "three numbers in") for x in ((0.9, 0.999), (0.9, 0.999, 1.0))),
    ("CAME", {"lr": 0.1, "eps": (0.0, 1e-16)}, "two numbers above 0"),
    ("AdaMini", {"betas": (0.9, 1.0)}, r"Invalid beta parameter at index 1: 1\.0"),
    ("AdaMini", {"head_dim": 0}, "Invalid head_dim: 0; it must be a whole number above 0, or None"),
    ("Amos", {"reduction": "col"}, "Invalid reduction: 'col'; choose from tensor, row"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(fusedopt, name)(parameters(), **options)


def test_from_hf_refuses_what_transformers_refuses():
    with pytest.raises(ValueError, match="Cannot combine manual `lr` and `relative_step=True` options"):
        fusedopt.Adafactor.from_hf(parameters(), lr=1e-3)
    with pytest.raises(ValueError, match="`warmup_init=True` requires `relative_step=True`"):
        fusedopt.Adafactor.from_hf(parameters(), lr=1e-3, relative_step=False, warmup_init=True)


BLOCKS = [  # name, shape, head_dim, shape of the second moment
    ("layer.attn.q_proj.weight", (8, 4), 2, (4,)),
    ("layer.attn.q_proj.weight", (8, 4), None, (8, 1)),
    ("layer.attn.q_proj.weight", (8, 4), 3, (8, 1)),
    ("layer.attn.q_proj.bias", (8,), 2, (8,)),
    ("wte.weight", (5, 4), None, (5, 1)),
    ("MLP.fc.weight", (5, 4, 2), None, (5, 1, 1)),
    ("mlp.scale", (5,), None, ()),
    ("conv.weight", (5, 4, 3, 3), None, ()),
]


@pytest.mark.parametrize(("name", "shape", "head_dim", "expected"), BLOCKS)
def test_blocks_of_adam_mini_follow_from_the_name(backend, name, shape, head_dim, expected):
    (p,) = parameters([shape])
    start = p.detach().clone()
    optimizer = fusedopt.AdaMini([(name, p)], lr=1.0, betas=(0.0, 0.0), eps=0.0, head_dim=head_dim)
    train(optimizer, [p], 1)
    assert optimizer.state[p]["exp_avg_sq"].shape == expected
    blocks = p.grad.reshape(max(1, math.prod(expected)), -1)  # one step without averages: by each block's own size
    size = blocks.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(start - p.detach(), (blocks / size).reshape(shape), rtol=1e-6, atol=1e-6)
