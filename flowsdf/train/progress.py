"""One line on stderr that says how far long work is and how long it still takes."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
from tqdm import tqdm

from flowsdf.train.loop import Record

CURVE_POINTS = 60
Item = TypeVar("Item")


def progress(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """The items, one after another, with a line of progress and an estimate, redrawn every few seconds."""
    return iter(tqdm(items, label, total=total, file=sys.stderr, mininterval=5, ascii=True, dynamic_ncols=True))


def follow(records: Iterable[Record], label: str, steps: int, *, decay: float = 0.98) -> list[tuple[int, float, float]]:
    """Drain a training run: (step, seconds, moving average of the loss) now and then and at the end."""
    curve, average = [], torch.zeros((), dtype=torch.float64)  # a tensor, as looking at a number waits for the GPU
    for record in progress(records, label, steps):
        weight = max(1 - decay, 1 / (record.step + 1))  # a plain mean at first, so that the start does not linger
        average = average + weight * (record.loss - average)
        if record.step % max(1, steps // CURVE_POINTS) == 0 or record.step + 1 == steps:
            curve.append((record.step, round(record.seconds, 2), float(average)))
    return curve
