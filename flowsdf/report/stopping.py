"""Work that Ctrl-C and SIGTERM stop at any moment, with nothing left behind.

Nothing heavy is imported, so that a report with nothing to do says so at once.
"""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

Result = TypeVar("Result")

GRACE = 3.0  # seconds a kernel gets to leave its cell, after an interrupt, before it is killed
CLEARING = 2.0  # seconds after which the temporary files of what is being killed may stay
_folders: list[str] = []  # for temporary files of what runs


def stoppable(job: Callable[[], Result]) -> Result:
    """What ``job`` returns, while Ctrl-C and SIGTERM ``stop`` it at any moment."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(job())
        except BaseException as error:
            errors.append(error)

    with _temporary_folder():
        for number in stops():
            signal.signal(number, stop)
        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():  # a main thread that only waits can always answer a signal
            thread.join(0.5)
    for error in errors:
        raise error
    return results[0]


@contextlib.contextmanager
def _temporary_folder() -> Iterator[None]:
    """One folder for all temporary files of this process and of those that it starts, however these end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        before = os.environ.get("TMPDIR"), tempfile.tempdir
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        _folders.append(folder)
        try:
            yield
        finally:
            os.environ.pop("TMPDIR") if before[0] is None else os.environ.update(TMPDIR=before[0])
            tempfile.tempdir = before[1]


def stop(number: int, _frame: Any = None) -> NoReturn:
    """End at once on one of ``stops``: interrupt the kernel, then kill everything below this process."""
    for each in stops():
        signal.signal(each, signal.SIG_IGN)  # a second one would come in the middle of this
    import psutil

    family = psutil.Process().children(recursive=True)
    for child in family:
        send(child, signal.SIGINT)
    psutil.wait_procs(family, timeout=GRACE)
    for child in {*family, *psutil.Process().children(recursive=True)}:
        send(child, signal.SIGKILL)
    deadline = time.monotonic() + CLEARING
    while any(map(os.path.exists, _folders)) and time.monotonic() < deadline:  # who is killed may still write
        for folder in _folders:
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.05)
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(f"stopped by {signal.Signals(number).name}; what was finished is kept", file=sys.stderr, flush=True)
    os._exit(128 + number)


def stops() -> list[signal.Signals]:
    """The signals that end work: Ctrl-C, SIGTERM, and a terminal that closes, unless ``nohup`` says to go on."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hangs_up else [])]


def send(process: Any, number: int) -> None:
    """Send a signal to a process that may have gone."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
