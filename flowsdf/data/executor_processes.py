"""The executor's worker processes on this machine: how they start, stay for the next call, and end."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, get_context, parent_process
from pathlib import Path

KEPT_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}  # what glibc would give back and zero
_WORKER_ENVIRONMENT = KEPT_MEMORY | dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
_WORKER_ENVIRONMENT |= {"IGL_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}  # llvmpipe's 0: render in the caller's thread
FORKED = sys.platform == "linux"  # elsewhere the systems' own libraries do not stand it
WORKERS_IMPORT = "FLOWSDF_WORKERS_IMPORT"  # the environment variable of what workers will need besides
SLOW_IMPORTS = ["torch", "torch._dynamo", "trimesh", "scipy.stats", "pandas"]  # optimizers import the second
_kept: list[tuple[tuple, ProcessPoolExecutor]] = []  # at most one idle pool, with its surroundings


@contextmanager
def pool(width: int) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """Processes that stay for the next call in the same surroundings: a new one imports for seconds first."""
    around = (width, Path.cwd(), tuple(sys.path), dict(os.environ))
    prepare_workers()
    with _worker_environment():
        context = get_context("forkserver" if FORKED else "spawn")  # what is forked from here shares the renderer
        workers = _left(around) or ProcessPoolExecutor(width, context, initializer=_begin, initargs=(dict(os.environ),))
        try:
            yield workers, lambda: width
        except BaseException:
            workers.shutdown()
            raise
    if _kept or parent_process():  # a worker's own workers must end before it can
        workers.shutdown()
    else:
        _kept.append((around, workers))


def _left(around: tuple) -> ProcessPoolExecutor | None:
    """The pool that the last call left, if it was started in these surroundings and its processes still answer."""
    if _kept and _kept[0][0] == around:
        with suppress(BrokenExecutor):  # Ctrl-C in a terminal ends idle workers too
            _kept[0][1].submit(os.getpid).result()
            return _kept.pop()[1]
    end_workers()
    return None


def workers_wait() -> bool:
    """Whether processes wait for the next call."""
    return bool(_kept)


def end_workers() -> None:
    """End the processes that wait for the next call."""
    while _kept:
        _kept.pop()[1].shutdown()


def prepare_workers() -> None:
    """Start the process that forks workers, if it does not run: what takes them seconds to import, it imports once."""
    if FORKED:
        with _worker_environment():
            forkserver.set_forkserver_preload([*SLOW_IMPORTS, *os.environ.get(WORKERS_IMPORT, "").split()])
            forkserver.ensure_running()


def end_processes() -> None:
    """``end_workers``, and end what forks them: only then does the system tell how much memory they took."""
    end_workers()
    server = forkserver._forkserver
    if FORKED and server._forkserver_pid:  # type: ignore[attr-defined]
        os.kill(server._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
        server._stop()  # type: ignore[attr-defined]


def _begin(environment: dict[str, str]) -> None:
    """In a new worker: the settings of its parent, whose end is its own; Ctrl-C ends it without a traceback."""
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    parent = parent_process()

    def watch() -> None:
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _worker_environment() -> Iterator[None]:
    """The environment in which workers start; two processes of two threads on two cores slow each other tenfold."""
    before = {name: os.environ.get(name) for name in _WORKER_ENVIRONMENT}
    os.environ.update(_WORKER_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
