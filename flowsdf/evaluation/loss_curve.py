"""The loss of a part of a run, from the moving average that the run kept."""

from collections.abc import Sequence

import numpy as np

Curve = Sequence[tuple[int, float, float]]  # step, seconds, moving average of the loss


def loss_between(curve: Curve, first: float, last: float, *, decay: float) -> float:
    """The mean loss from after step ``first`` to step ``last``, both rounded to the nearest steps of the curve.

    A moving average lags by ``1 / (1 - decay)`` steps: in a shorter run it is the mean of all losses since the start,
    those of the untrained network among them. ``decay`` is that of ``train.progress.follow``, which made the curve;
    what it had kept of the losses up to ``first`` is taken out again. ValueError if no step lies between.
    """
    steps = np.array([step for step, _, _ in curve])
    begin, end = (int(np.abs(steps - step).argmin()) for step in (first, last))
    if begin >= end:
        raise ValueError(f"no step of the curve between {first} and {last}")
    counts = np.arange(steps[begin] + 2, steps[end] + 2)  # of the losses seen, at each step between
    kept = np.prod(1 - np.maximum(1 - decay, 1 / counts))
    return float((curve[end][2] - kept * curve[begin][2]) / (1 - kept))


def end_loss(curve: Curve, *, decay: float) -> float:
    """The mean loss over the last tenth of a run, at least from the curve's last but one step."""
    if len(curve) < 2:
        return float(curve[-1][2])
    return loss_between(curve, min(0.9 * curve[-1][0], curve[-2][0]), curve[-1][0], decay=decay)
