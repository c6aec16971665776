"""A part of a run's loss is found again in the moving average of the whole."""

import numpy as np
import pytest
import torch

from flowsdf.evaluation.loss_curve import end_loss, loss_between
from flowsdf.train.loop import Record
from flowsdf.train.progress import follow


@pytest.mark.parametrize(("steps", "decay"), [(600, 0.999), (3000, 0.999), (900, 0.98)])
def test_a_loss_that_steps_down_is_told_after_and_before(steps: int, decay: float) -> None:
    losses = [8.0] * (steps // 2) + [2.0] * (steps - steps // 2)
    records = (Record(step, torch.tensor(loss), 0.0) for step, loss in enumerate(losses))
    curve = follow(records, "loss", steps, decay=decay)
    assert end_loss(curve, decay=decay) == pytest.approx(2.0, abs=1e-6)
    assert loss_between(curve, 0.2 * steps, 0.4 * steps, decay=decay) == pytest.approx(8.0, abs=1e-6)
    assert decay < 0.99 or curve[-1][2] > 2.1  # what stood in the tables lagged
    with pytest.raises(ValueError, match="no step"):
        loss_between(curve, steps, steps, decay=decay)


def test_a_run_of_few_steps_has_an_end() -> None:
    assert end_loss([(0, 0.0, 3.0)], decay=0.9) == 3.0
    for steps in (2, 3, 5, 6):
        losses = np.arange(steps, 0, -1.0)
        curve = [(i, 0.0, float(losses[: i + 1].mean())) for i in range(steps)]
        assert end_loss(curve, decay=0.999) == pytest.approx(1.0)
