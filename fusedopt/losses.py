"""What may stand between the losses of a batch and the step."""

import torch


def soft_median(losses: torch.Tensor) -> torch.Tensor:
    """A differentiable median of per-sample ``losses`` (any shape, floating): outliers get little weight and gradient.

    The mean of the sorted losses under the weights ``softmax(-|i - (n - 1) / 2| / T)``, with ``T = max(0.1, std / 2)``
    and no gradient through T. Unlike the published sketch, an even number of losses is not padded by a loss of zero,
    which would pull the value down. Raises ValueError for no losses.
    """
    if losses.numel() == 0:
        raise ValueError(f"soft_median: losses has shape {tuple(losses.shape)}; it must hold at least one loss")
    values = losses.flatten().sort().values
    ranks = torch.arange(len(values), device=values.device, dtype=values.dtype)
    spread = values.detach().std() if len(values) > 1 else values.new_zeros(())
    weights = torch.softmax(-(ranks - (len(values) - 1) / 2).abs() / (spread / 2).clamp(min=0.1), dim=0)
    return (weights * values).sum()
