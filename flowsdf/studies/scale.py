"""The executor at a size that no laptop prepares: tasks that only wait as long as real shapes took, and go wrong.

python -m flowsdf.studies.scale artifacts/procedural-laptop/00_data/manifest.json --shapes 50000
"""

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flowsdf.data.executor import run_tasks
from flowsdf.data.faults import Failed, Rejected
from flowsdf.data.manifest import read_manifest

FATES = ("done", "rejected", "kills its worker once", "kills every worker")


class Task(NamedTuple):
    """One pretended shape: how long it takes, how it ends, and where it notes that it was tried."""

    number: int
    seconds: float
    fate: str
    folder: Path


def pretend(task: Task) -> int:
    """In a worker: wait; then return the task's number, raise Rejected, or kill the worker as the fate says."""
    time.sleep(task.seconds)
    tried = task.folder / str(task.number)
    if task.fate == FATES[3] or (task.fate == FATES[2] and not tried.exists()):
        tried.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if task.fate == FATES[1]:
        raise Rejected("pretended", "this shape was meant to be rejected")
    return task.number


def simulate(
    seconds: Sequence[float], count: int, *, speed: float, rates: Sequence[float], workers: int, seed: int
) -> dict[str, float]:
    """Run ``count`` tasks of durations drawn from ``seconds`` and divided by ``speed``; how each kind of them ended.

    ``rates`` are the shares that are rejected, kill their worker once, and kill it every time. Failed when a task is
    lost, is answered twice, or ends otherwise than it was meant to.
    """
    rng = np.random.default_rng(seed)
    fates = rng.choice(4, size=count, p=[1 - sum(rates), *rates])
    waits = rng.choice(np.asarray(seconds, np.float64), size=count) / speed
    seen = np.zeros(count, int)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        drawn = zip(waits.tolist(), fates, strict=True)
        tasks = [Task(i, wait, FATES[fate], Path(folder)) for i, (wait, fate) in enumerate(drawn)]

        def note(number: int, _outcome: object) -> None:
            seen[number] += 1

        outcomes = run_tasks(pretend, tasks, workers=workers, label="pretended shapes", on_result=note)
    wrong = [t.number for t, o in zip(tasks, outcomes, strict=True) if _ended(o) not in _meant(t)]
    if wrong or (seen != 1).any():
        raise Failed(f"of {count} tasks {len(wrong)} ended wrongly, {(seen != 1).sum()} were not answered once")
    took, work = time.perf_counter() - began, float(waits.sum())
    ends = {name: int((fates == number).sum()) for number, name in enumerate(FATES)}
    return ends | {"seconds": took, "seconds of work": work, "overhead a task": (took * workers - work) / count}


def _ended(outcome: object) -> str:
    return outcome.code if isinstance(outcome, Rejected) else f"done {outcome}"


def _meant(task: Task) -> tuple[str, ...]:
    """How a task may end; one that kills once may have been in flight when another did, and then has killed twice."""
    done = f"done {task.number}"
    return {
        FATES[0]: (done,),
        FATES[1]: ("pretended",),
        FATES[2]: (done, "killed_worker"),
        FATES[3]: ("killed_worker",),
    }[task.fate]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Pretend to prepare many shapes.")
    parser.add_argument("manifest", type=Path, help="of a real run, whose seconds a shape are drawn from")
    parser.add_argument("--shapes", type=int, default=50_000)
    parser.add_argument("--speed", type=float, default=1000, help="how many times faster than real")
    parser.add_argument("--workers", type=int, default=16)
    ask = parser.parse_args()
    entries = read_manifest(ask.manifest)
    seconds = [sum(stage.seconds for stage in entry.stages.values()) for entry in entries if entry.stages]
    rates = (0.02, 0.0001, 0.0001)
    found = simulate(seconds, ask.shapes, speed=ask.speed, rates=rates, workers=ask.workers, seed=0)
    for name, value in found.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        raise SystemExit(f"FAILED: {failure}") from None
