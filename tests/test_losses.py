import math

import pytest
import torch

import fusedopt


def weighted(values, temperature):
    """The definition, in plain Python."""
    ranks = [-abs(i - (len(values) - 1) / 2) / temperature for i in range(len(values))]
    weights = [math.exp(rank) for rank in ranks]
    return sum(w * x for w, x in zip(weights, sorted(values), strict=True)) / sum(weights)


CASES = [
    ([5.0], 0.1),
    ([1.0, 3.0], math.sqrt(2) / 2),
    ([4.0, 1.0, 100.0], None),
    ([2.0, 2.0, 2.0, 2.0], 0.1),
    ([0.3, -0.2, 0.1, 0.25, 0.2], None),
]


@pytest.mark.parametrize(("values", "temperature"), CASES)
def test_definition(values, temperature):
    losses = torch.tensor(values, dtype=torch.float64)
    temperature = temperature or max(0.1, losses.std().item() / 2)
    assert fusedopt.soft_median(losses).item() == pytest.approx(weighted(values, temperature), rel=1e-14)


def test_an_outlier_gets_the_gradient_of_its_weight_and_the_spread_gets_none():
    losses = torch.tensor([1.0, 1.25, 1.5, 3.0, 1.75], dtype=torch.float64, requires_grad=True)
    fusedopt.soft_median(losses).backward()
    spread = losses.detach().std().item() / 2
    weights = [math.exp(-abs(rank - 2) / spread) for rank in (0, 1, 2, 4, 3)]
    assert losses.grad.tolist() == pytest.approx([w / sum(weights) for w in weights], rel=1e-14)


def test_shape_and_order_do_not_matter():
    losses = torch.tensor([[1.0, 9.0, 2.0], [4.0, 3.0, 7.0]])
    assert torch.equal(fusedopt.soft_median(losses), fusedopt.soft_median(losses.flatten().flip(0)))


def test_one_bad_loss_is_seen_and_none_are_refused():
    assert fusedopt.soft_median(torch.tensor([1.0, math.nan, 2.0])).isnan()
    with pytest.raises(ValueError, match=r"losses has shape \(0,\); it must hold at least one loss"):
        fusedopt.soft_median(torch.empty(0))
