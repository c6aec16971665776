"""The executor's workers on a Dask cluster that already runs, held to the source of the process that asks."""

import hashlib
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowsdf.data.faults import Failed


def _source() -> str:
    package = Path(__file__).parents[1]
    files = {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*.py")}
    return hashlib.sha256(b"".join(name.encode() + files[name] for name in sorted(files))).hexdigest()


SOURCE = _source()  # of the library when this process first came here; what is on the disk may be newer


class Checked(Executor):
    """A cluster's executor whose tasks fail on workers that began with another library."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def submit(self, function: Callable, /, *words: Any, **named: Any) -> Future:
        """The future of ``function`` of the words."""
        return self.executor.submit(same, SOURCE, function, *words, **named)


def same(source: str, function: Callable, *words: Any, **named: Any) -> Any:
    """In the worker: ``function`` of the words; Failed where the library is not the one that asks."""
    if source != SOURCE:
        raise Failed(f"the worker on {platform.node()} began with another version of flowsdf: restart the workers")
    return function(*words, **named)


@contextmanager
def cluster(address: str) -> Iterator[tuple[Checked, Callable[[], int]]]:
    """The executor of the scheduler at ``address``, and how many tasks it runs at once now."""
    try:
        from distributed import Client
    except ImportError:
        raise Failed(f"SCHEDULER={address} needs one more package: pip install dask distributed") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise Failed(f"SCHEDULER={address}: no scheduler answers there ({error})") from None
    try:
        with client, client.get_executor(pure=False) as executor:  # pure: a retry would get the first try's error
            yield Checked(executor), lambda: max(1, sum(client.ncores().values()))  # workers join when queues let them
    except (CancelledError, OSError) as lost:
        if isinstance(lost, OSError) and type(lost).__name__ != "CommClosedError":
            raise
        raise Failed(f"SCHEDULER={address} was lost: start one and run this again; what was done is kept") from None
