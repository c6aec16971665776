"""Reading a mesh of unknown origin in a process of its own, limited in memory and time and without a network.

A clean server process imports the readers once and forks one child per mesh, which costs milliseconds; the child
sets its limits, reads, leaves the arrays in its own temporary folder and ends.
"""

import atexit
import contextlib
import functools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from flowsdf.conventions import Mesh
from flowsdf.data.faults import Failed, Rejected

MEMORY = 2 * 2**30  # bytes of address space
SECONDS = 120  # of processor time, and of the clock
NO_ROOM = 3  # the exit status where what was read cannot be written
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_REFUSED = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system")
_lock = threading.Lock()


def read_limited(path: Path, root: Path) -> Mesh:
    """``read_mesh`` in a fresh process of at most 2 GiB and 120 s that opens no connection; raises Rejected.

    Failed where its temporary folder has no room, which is no fault of the mesh.
    """
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        status = _asked(json.dumps([str(Path(path).absolute()), str(Path(root).absolute()), folder]))
        if status in (-signal.SIGALRM, -signal.SIGXCPU):
            raise Rejected("timeout", f"reading took more than {SECONDS} s")
        if status == NO_ROOM:
            raise Failed(f"{folder}: no room for temporary files: free some, or set TMPDIR to another folder")
        answer = Path(folder, "answer.json")
        if status != 0 or not answer.exists():
            raise Rejected("crashed", f"the reading process ended with status {status}")
        if fault := json.loads(answer.read_text()):
            raise Rejected(*fault)
        return Mesh(np.load(f"{folder}/vertices.npy"), np.load(f"{folder}/faces.npy"))


def _asked(request: str) -> int:
    """The exit status of the child that the server forked for this request."""
    with _lock:
        server = _server(os.getpid())
        with contextlib.suppress(BrokenPipeError):
            print(request, file=server.stdin, flush=True)
        answer = server.stdout.readline() if server.stdout else ""
        if not answer:  # somebody ended the server: the next mesh gets a new one
            _server.cache_clear()
        return int(answer or server.wait())


@functools.cache
def _server(_pid: int) -> subprocess.Popen:
    """This process's server; it ends when this process does."""
    package = Path(__file__).parents[2]
    command = [sys.executable, "-m", __name__]
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=package, env=os.environ | _ONE_THREAD
    )
    atexit.register(server.communicate)  # closes its stdin and waits for its end
    return server


def _serve() -> None:
    """Forks a child for each request on stdin and answers with its exit status."""
    from flowsdf.data.mesh_io import read_mesh  # here, because only the server needs its imports

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for request in sys.stdin:
        child = os.fork()
        if child == 0:
            _read(read_mesh, *json.loads(request))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _read(read_mesh, path: str, root: str, folder: str) -> None:
    """The child's whole life; other than by a signal or for want of room it ends with ``answer.json``.

    That holds null, or the code and the reason of the mesh's fault.
    """
    os.chdir(folder)
    _limit()
    mesh, fault = None, None
    try:
        mesh = read_mesh(Path(path), Path(root))
    except Rejected as rejected:
        fault = rejected.code, rejected.reason
    except MemoryError:
        fault = "too_large", f"reading needs more than {MEMORY / 2**30:.0f} GiB"
    except Exception as error:  # whatever a broken file makes a parser raise
        fault = "malformed", f"{type(error).__name__}: {str(error)[:200]}"
    try:
        if mesh:
            np.save("vertices.npy", mesh.vertices)
            np.save("faces.npy", mesh.faces)
        Path("answer.json").write_text(json.dumps(fault))
    except OSError:
        os._exit(NO_ROOM)
    os._exit(0)


def _limit() -> None:
    """Limits on this process that it cannot lift: memory, time, connections, other programs."""
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))  # equal limits would kill without a word
    with contextlib.suppress(ValueError, OSError):  # not every system limits address space
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    def refuse(event: str, _arguments: tuple) -> None:
        if event.startswith(_REFUSED):
            raise PermissionError(f"{event} is refused while a mesh is read")

    sys.addaudithook(refuse)


if __name__ == "__main__":
    _serve()
