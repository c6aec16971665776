"""Work that Ctrl-C and SIGTERM stop at any moment, with nothing left behind.

Nothing heavy is imported, so that a report with nothing to do says so at once.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

Result = TypeVar("Result")

GRACE = 3.0  # seconds a kernel gets to leave its cell, after an interrupt, before it is killed
scratch_folders: list[str] = []  # of what runs in this process


def stoppable(job: Callable[[], Result]) -> Result:
    """What ``job`` returns, while Ctrl-C and SIGTERM ``stop`` it at any moment."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(job())
        except BaseException as error:
            errors.append(error)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():  # a main thread that only waits can always answer a signal
        thread.join(0.5)
    for error in errors:
        raise error
    return results[0]


def stop(number: int, _frame: Any = None) -> NoReturn:
    """End at once on Ctrl-C or SIGTERM: interrupt the kernel, then kill everything below this process."""
    import psutil

    family = psutil.Process().children(recursive=True)
    for child in family:
        send(child, signal.SIGINT)
    psutil.wait_procs(family, timeout=GRACE)
    for child in {*family, *psutil.Process().children(recursive=True)}:
        send(child, signal.SIGKILL)
    for folder in scratch_folders:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"stopped by {signal.Signals(number).name}; what was finished is kept", file=sys.stderr, flush=True)
    os._exit(128 + number)


def send(process: Any, number: int) -> None:
    """Send a signal to a process that may have gone."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
