"""Shapes side by side in threads of this process, for what cannot be sent to another one: fields are closures."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from flowsdf.train.progress import progress

Task = TypeVar("Task")
Result = TypeVar("Result")


def side_by_side(function: Callable[[Task], Result], tasks: Sequence[Task], *, label: str = "") -> list[Result]:
    """``function`` of each task, in order, as many at a time as torch has threads, which has one for each meanwhile.

    It pays where the time goes into libraries that let other threads run. What is in force around the call for this
    thread alone, as ``torch.no_grad`` is, must be said in the function again. Progress is shown under a ``label``.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            results = pool.map(function, tasks)
            return list(progress(results, label, len(tasks)) if label else results)
    finally:
        torch.set_num_threads(threads)
