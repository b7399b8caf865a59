"""Sparse gradients: rows without values stay, values equal torch's, and what would touch all rows is refused."""

import pytest
import torch
from conftest import backend  # noqa: F401  a fixture

import fusedopt

SHAPE = (9, 4)
pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch's, once a process


def sparse_gradients(steps, dtype=torch.float64):
    """Rows of an embedding, one of them twice in every step."""
    generator = torch.Generator().manual_seed(5)
    for _ in range(steps):
        rows = torch.randint(SHAPE[0], (5,), generator=generator)
        rows[1] = rows[0]
        yield torch.sparse_coo_tensor(rows[None], torch.randn(5, SHAPE[1], generator=generator, dtype=dtype), SHAPE)


def trained(cls, steps=6, dtype=torch.float64, **options):
    p = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype).requires_grad_()
    optimizer = cls([p], **options)
    for g in sparse_gradients(steps, dtype):
        p.grad = g
        optimizer.step()
    return p.detach(), optimizer.state[p]


@pytest.mark.parametrize(
    ("cls", "theirs", "options"),
    [
        (fusedopt.SGD, torch.optim.SGD, {"lr": 0.1}),
        (fusedopt.Adagrad, torch.optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1}),
    ],
)
def test_equals_torch(cls, theirs, options, backend):  # noqa: F811
    torch.testing.assert_close(trained(cls, **options)[0], trained(theirs, **options)[0], rtol=1e-13, atol=1e-13)


def test_adam_equals_torchs_sparse_adam(backend):  # noqa: F811
    """But for eps, which SparseAdam adds before the bias correction of the root."""
    (ours, state), (theirs, _) = (
        trained(fusedopt.Adam, lr=0.1, eps=0.0),
        trained(torch.optim.SparseAdam, lr=0.1, eps=1e-300),
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert state["step"] == 6


def test_rows_without_values_stay(backend):  # noqa: F811
    p = torch.ones(SHAPE)
    optimizer = fusedopt.AdamW([p], lr=0.1, weight_decay=0.1, cautious=True, max_grad_norm=1.0)
    p.grad = torch.sparse_coo_tensor(torch.tensor([[2, 5]]), torch.ones(2, SHAPE[1]), SHAPE)
    optimizer.step()
    moved = (p != 1).all(dim=1)
    assert moved.tolist() == [i in (2, 5) for i in range(SHAPE[0])]
    assert (optimizer.state[p]["exp_avg"] != 0).all(dim=1).tolist() == moved.tolist()


def test_gradients_may_change_between_sparse_and_dense(backend):  # noqa: F811
    p, q = torch.ones(SHAPE, dtype=torch.float64), torch.ones(SHAPE, dtype=torch.float64)
    ours, theirs = fusedopt.SGD([p], lr=0.1), torch.optim.SGD([q], lr=0.1)
    for i, g in enumerate(sparse_gradients(6)):
        for x, optimizer in ((p, ours), (q, theirs)):
            x.grad = g if i % 3 == 1 else g.to_dense()
            optimizer.step()
    torch.testing.assert_close(p, q, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (fusedopt.Adam, {"weight_decay": 0.1}, "weight_decay is added to the gradient of all rows"),
        (fusedopt.Adam, {"ema": 0.9}, "an average or slow copy of all rows is kept"),
        (fusedopt.Adam, {"state_format": "8bit"}, "state_format='8bit' stores rows together"),
        (fusedopt.Adafactor, {}, "adds up over other rows too"),
        (fusedopt.Adam, {"lazy": "all"}, "touch only the rows that they have values for; leave lazy='all' out"),
        (fusedopt.SGD, {"lazy": "param"}, "touch only the rows that they have values for; leave lazy='param' out"),
        (fusedopt.Adam, {"accumulate": 2}, "accumulate and fractional need dense gradients"),
    ],
    ids=str,
)
def test_what_touches_all_rows_is_refused(cls, options, message):
    p = torch.ones(SHAPE)
    optimizer = cls([p], **options)
    p.grad = next(iter(sparse_gradients(1, torch.float32)))
    with pytest.raises(RuntimeError, match=message):
        optimizer.step()
    assert torch.equal(p, torch.ones(SHAPE))
    assert not optimizer.state
