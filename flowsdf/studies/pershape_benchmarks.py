"""Speed of many small decoders trained as one batched program, against training them one by one."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowsdf.models.pershape import PerShape
from flowsdf.studies.benchmarks import Row
from flowsdf.studies.pershape import chosen_points, starts

SIZE = {"width": 128, "depth": 4, "sine": False}
PROCESSES = 2  # of one thread each


class Problem(NamedTuple):
    """Decoders to train: their first weights, every shape's samples, and which of them each step takes."""

    start: Float[Tensor, "s w"]
    points: Float[Tensor, "s n 3"]
    sdf: Float[Tensor, "s n"]
    chosen: Int[Tensor, "steps s p"]

    def only(self, shapes: slice) -> "Problem":
        """The same problem for some of the shapes."""
        return Problem(self.start[shapes], self.points[shapes], self.sdf[shapes], self.chosen[:, shapes])


Way = Callable[[Problem, torch.dtype | None], Tensor]


def pershape(*, decoders: int, points: int, steps: int) -> Row:
    """Seconds to train ``decoders`` by Adam, ours the faster of two batched ways, the baseline the fastest of four."""
    problem = balls(decoders, points, steps)
    seconds, losses = {}, {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, context, torch.set_num_threads, (1,)) as pool:
        ways: dict[str, Way] = {
            "one by one": one_by_one,
            "two processes": partial(in_processes, pool),
            "batched": trained,
        }
        for way, run in ways.items():
            for name, dtype in {"float32": None, "bfloat16": torch.bfloat16}.items():
                run(problem.only(slice(PROCESSES)), dtype)  # what is done once is not timed
                began = time.perf_counter()
                losses[way, name] = run(problem, dtype)
                seconds[way, name] = time.perf_counter() - began
    ours = min(value for (way, _), value in seconds.items() if way == "batched")
    baseline = min(value for (way, _), value in seconds.items() if way != "batched")
    exact = [losses[way, "float32"] for way in ("batched", "one by one", "two processes")]
    gap = max(float((exact[0] / other - 1).abs().max()) for other in exact[1:])
    told = "; ".join(f"{way}, {name} {value:.1f} s" for (way, name), value in seconds.items())
    mean = {name: float(losses["batched", name].mean()) for name in ("float32", "bfloat16")}
    note = f"{decoders} decoders, {steps} steps of {points} points each, Adam included: {told}; mean loss "
    note += f"{mean['float32']:.5f} and {mean['bfloat16']:.5f}; difference: the largest relative gap of a float32 loss"
    return Row(ours, baseline, "s", gap, note)


def balls(decoders: int, points: int, steps: int) -> Problem:
    """Balls of different sizes, and different first weights."""
    random = torch.Generator().manual_seed(0)
    at = 2 * torch.rand(decoders, 20_000, 3, generator=random) - 1
    sdf = at.norm(dim=-1) - torch.linspace(0.2, 0.8, decoders)[:, None]
    chosen = torch.randint(at.shape[1], (steps, decoders, points), generator=random)
    return Problem(starts(decoders, seed=0, **SIZE), at, sdf, chosen)


def trained(problem: Problem, dtype: torch.dtype | None) -> Float[Tensor, " s"]:
    """The last losses of decoders trained together."""
    decoders = PerShape(len(problem.points))
    decoders.load_vectors(problem.start)
    optimizer = torch.optim.Adam(decoders.parameters(), lr=1e-3, fused=True)
    for chosen in problem.chosen:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            at, truth = chosen_points(problem.points, problem.sdf, chosen)
            losses = (decoders(at) - truth).abs().mean(1)
        losses.sum().backward()
        optimizer.step()
    return losses.detach()


def one_by_one(problem: Problem, dtype: torch.dtype | None) -> Float[Tensor, " s"]:
    """The last losses of decoders trained alone, one after the other."""
    return torch.cat([trained(problem.only(slice(i, i + 1)), dtype) for i in range(len(problem.points))])


def in_processes(pool: ProcessPoolExecutor, problem: Problem, dtype: torch.dtype | None) -> Float[Tensor, " s"]:
    """``one_by_one`` of every other decoder in each of the pool's processes."""
    parts = [problem.only(slice(k, None, PROCESSES)) for k in range(PROCESSES)]
    tasks = [tuple(part.numpy() for part in of) for of in parts]
    found = list(pool.map(_in_process, tasks, [dtype] * PROCESSES))
    losses = torch.zeros(len(problem.points))
    for k, of in enumerate(found):
        losses[k::PROCESSES] = torch.from_numpy(of)
    return losses


def _in_process(parts: tuple[np.ndarray, ...], dtype: torch.dtype | None) -> np.ndarray:
    return one_by_one(Problem(*map(torch.from_numpy, parts)), dtype).numpy()
