"""The one executor: a task per shape, in worker processes of one thread each, or on a cluster that already runs."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from typing import TypeVar

from flowsdf.data.executor_processes import pool, workers_wait
from flowsdf.data.faults import Failed, Rejected

Task = TypeVar("Task")
Result = TypeVar("Result")

_FEW = 5
_LINE_SECONDS = 5.0  # between lines of progress where the terminal cannot redraw one
_JOINING_SECONDS = 5.0  # between looks at whether more workers have joined


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int | None = None,
    label: str,
    on_result: Callable[[int, Result | Rejected], None] | None = None,
) -> list[Result | Rejected]:
    """``function`` of each task, in the tasks' order whatever finishes first; a Rejected takes its task's place.

    Every outcome also goes to ``on_result(task number, outcome)`` as it comes. A lost worker costs the tasks in
    flight one retry, each alone; a task that loses its worker twice is rejected as ``killed_worker``. On a cluster the
    scheduler tries a lost worker's task again, as often as it is set to (Dask: three times). Any other exception stops
    the run as Failed. ``function`` must be importable by name; ``workers`` defaults to the cores.
    """
    outcomes: dict[int, Result | Rejected] = {}
    progress = _progress(label, len(tasks))
    next(progress)

    def settle(number: int, outcome: Result | Rejected) -> None:
        outcomes[number] = outcome
        if on_result:
            on_result(number, outcome)
        progress.send(isinstance(outcome, Rejected))

    waiting = list(range(len(tasks)))[::-1]
    while waiting:
        for number in _until_broken(function, tasks, waiting, workers, label, settle):
            settle(number, _alone(function, tasks[number], number, label))
    return [outcomes[number] for number in range(len(tasks))]


def map_tasks(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, label: str, workers: int | None = None
) -> list[Result]:
    """``function`` of each task, as ``run_tasks`` does it, where none may be set aside: a rejected one is Failed."""
    outcomes = run_tasks(function, tasks, label=label, workers=workers)
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, Rejected):
            raise Failed(f"{label}, task {number}: {outcome}")
    return outcomes


def each(function: Callable[[Task], Result], tasks: Sequence[Task], *, label: str) -> list[Result]:
    """``map_tasks``, but in this process for a single task, and for few ones if workers had to be started for them."""
    here = len(tasks) < (2 if workers_wait() else _FEW)
    return [function(task) for task in tasks] if here else map_tasks(function, tasks, label=label)


@contextmanager
def open_executor(workers: int | None = None) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """An executor and how many tasks it runs at once now: the cluster's at ``SCHEDULER``, or a pool of processes."""
    address = os.environ.get("SCHEDULER")
    if address:
        from flowsdf.data.executor_cluster import cluster  # reads the whole library's source
    with cluster(address) if address else pool(workers or os.cpu_count() or 1) as opened:
        yield opened


def _until_broken(function, tasks, waiting: list[int], workers, label: str, settle) -> list[int]:
    """Works through ``waiting`` from its end; returns the tasks in flight when a worker was lost, if one was."""
    with open_executor(workers) as (executor, width):
        _check_start(executor, label)
        flying: dict[Future, int] = {}
        while waiting or flying:
            room = width() if waiting else 0  # more workers may have joined
            while waiting and len(flying) < room:
                number = waiting.pop()
                flying[_submit(executor, function, tasks[number])] = number
            done = wait(flying, _JOINING_SECONDS if waiting else None, return_when=FIRST_COMPLETED).done
            for future in [future for future in done if not isinstance(future.exception(), BrokenExecutor)]:
                number = flying.pop(future)
                settle(number, _outcome(future, number, label))
            if done & flying.keys():
                return sorted(flying.values())
    return []


def _submit(executor: Executor, function, task) -> Future:
    """The task's future; where the pool is already broken, a future that says so."""
    try:
        return executor.submit(_guarded, function, task)
    except BrokenExecutor as error:
        future: Future = Future()
        future.set_exception(error)
        return future


def _alone(function, task, number: int, label: str):
    """The outcome of a task that may have lost a worker, run by itself."""
    with open_executor(1) as (executor, _):
        future = executor.submit(_guarded, function, task)
        if isinstance(future.exception(), BrokenExecutor):
            return Rejected("killed_worker", "the worker process was killed twice on this task")
        return _outcome(future, number, label)


def _guarded(function, task):
    """In the worker: a rejection comes back as a value, anything else unforeseen as one line."""
    try:
        return function(task)
    except Rejected as rejected:
        return rejected
    except Failed:
        raise
    except Exception as error:
        raise Failed(f"{type(error).__name__}: {error}") from None


def _outcome(future: Future, number: int, label: str):
    if type(future.exception()).__name__ == "KilledWorker":  # a cluster's word for a task that it tried often enough
        return Rejected("killed_worker", "every worker that took this task was lost")
    try:
        return future.result()
    except Failed as failed:
        raise Failed(f"{label}, task {number}: {failed}") from None


def _check_start(executor: Executor, label: str) -> None:
    """Tells workers that cannot start from workers that a task kills."""
    try:
        executor.submit(os.getpid).result()
    except BrokenExecutor:
        hint = "run it from a module guarded by if __name__ == '__main__', or free some memory"
        raise Failed(f"{label}: the worker processes do not start: {hint}") from None


def _progress(label: str, total: int):
    """Takes whether each next task was rejected; keeps a line on stderr up to date, with an estimate of the rest."""
    start, shown, rejected, live = time.monotonic(), 0.0, 0, sys.stderr.isatty()
    for done in range(total + 1):
        elapsed = time.monotonic() - start
        if done and (live or done == total or elapsed - shown > _LINE_SECONDS):
            shown = elapsed
            line = f"{label}: {done}/{total}, {rejected} rejected, {elapsed:.0f} s"
            line += f", about {elapsed / done * (total - done):.0f} s left" if done < total else ""
            sys.stderr.write(f"\r\033[K{line}" + "\n" * (done == total) if live else line + "\n")
            sys.stderr.flush()
        rejected += bool((yield))
