"""Fresh kernels that start at once: one process imports what is slow and forks itself for every notebook's kernel.

python -m flowsdf.report.forked_kernels make chapters    # while the command runs, notebooks in it get such kernels
"""

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from fcntl import F_GETFL, F_SETFL, F_SETOWN, F_SETSIG, fcntl
from importlib import import_module
from multiprocessing import forkserver, process, resource_tracker, util
from pathlib import Path
from typing import Any, NoReturn

from flowsdf.data.executor_processes import FORKED, KEPT_MEMORY, SLOW_IMPORTS, prepare_workers
from flowsdf.report.stopping import stops

ADDRESS = "FLOWSDF_KERNELS"  # the environment variable that says where kernels are to be had
IMPORTED = (*SLOW_IMPORTS, "ipykernel.kernelapp", "matplotlib.pyplot", "seaborn", "skimage.measure")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LONGEST = 107  # bytes of a socket's name
POLLED = 1.0  # seconds between looks at whether the process that wanted a kernel is still there


@contextmanager
def kernels() -> Iterator[None]:
    """While this is open, a process waits to be asked for kernels; it imports when the first one is wanted.

    Where the folder for temporary files has too long a name for a socket there is none.
    """
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = str(Path(folder) / "kernels")
        if len(os.fsencode(address)) > LONGEST:
            yield
            return
        listener.bind(address)
        listener.listen()
        before, os.environ[ADDRESS] = os.environ.get(ADDRESS, ""), address
        words = code(f"serve({listener.fileno()})")
        around = os.environ | KEPT_MEMORY | {"MPLBACKEND": "agg", "TMPDIR": folder}
        settings: dict[str, Any] = {"env": around, "start_new_session": True}
        server = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[listener.fileno()], **settings)
        listener.close()  # whoever asks a server that has ended must be refused
        try:
            yield
        finally:
            os.environ[ADDRESS] = before
            server.kill()
            server.wait()


def code(call: str) -> list[str]:
    """The command line of a new interpreter that calls something of this module."""
    return [sys.executable, "-c", f"from {__spec__.name} import *; {call}"]


def write_kernelspec(folder: Path) -> None:
    """Say below a folder of Jupyter's what a kernel is, where there are any to be had; elsewhere it starts its own."""
    if os.environ.get(ADDRESS):
        (folder / "kernels" / "python3").mkdir(parents=True)
        spec = {"argv": [*code("stand_in()"), "{connection_file}"], "display_name": "Python 3", "language": "python"}
        (folder / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def serve(listening: int) -> None:
    """Fork a kernel for every connection, until standard input ends."""
    with socket.socket(fileno=listening) as listener:
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            for name in IMPORTED:
                import_module(name)
            gc.freeze()  # no fork looks for rubbish in what all share
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how kernels ended
            if connection.recv(1, socket.MSG_PEEK) and not os.fork():
                listener.close()
                _begin(connection)
            connection.close()


def expect() -> None:
    """Let what forks kernels begin to import, where there is one: a kernel will be wanted soon."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.environ.get(ADDRESS, ""))


def stand_in() -> NoReturn:
    """What Jupyter takes for the kernel: it asks for one, hands interrupts on, and both end with each other.

    Where nobody answers it becomes a kernel itself.
    """
    asked_by = int(os.environ.get("JPY_PARENT_PID") or os.getppid())
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.environ[ADDRESS])
            request = {"arguments": sys.argv[1:], "folder": str(Path.cwd()), "environment": dict(os.environ)}
            request["nice"] = os.getpriority(os.PRIO_PROCESS, 0)
            socket.send_fds(connection, [b" "], [0, 1, 2])
            connection.sendall(json.dumps(request).encode() + b"\n")
            kernel = int(connection.recv(20))
        except (OSError, ValueError):
            os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", "-f", *sys.argv[1:]])
        signal.signal(signal.SIGINT, lambda number, _: _send(kernel, number))
        while os.getppid() == asked_by and not select.select([connection], [], [], POLLED)[0]:
            pass
    sys.exit(1)


def _send(group: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended
        os.killpg(group, number)


def _begin(connection: socket.socket) -> NoReturn:
    """In the fork: put on the surroundings of the process that asks, make its workers ready, and be its kernel.

    When that process ends, the system kills this one and its workers, whatever they are doing.
    """
    _, files, *_ = socket.recv_fds(connection, 1, 3)
    request = json.loads(connection.makefile().readline())
    environment = request["environment"]
    if any(os.environ.get(name) != environment.get(name) for name in THREADS):
        os._exit(0)  # what is imported has made up its mind how many threads it takes
    os.setsid()
    fcntl(connection, F_SETOWN, -os.getpid())  # the minus is for the whole group
    fcntl(connection, F_SETSIG, signal.SIGKILL)
    fcntl(connection, F_SETFL, fcntl(connection, F_GETFL) | os.O_ASYNC)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    _surround(environment, request["folder"], request["nice"])
    _prepare_workers()  # before there are threads
    try:
        connection.sendall(str(os.getpid()).encode())
    except OSError:  # it was stopped meanwhile
        os._exit(0)
    sys.argv = ["kernel", "-f", *request["arguments"]]
    import_module("ipykernel.kernelapp").launch_new_instance()
    sys.exit()


def _surround(environment: dict[str, str], folder: str, nice: int) -> None:
    """Take over another process's environment, folder and niceness, and forget what belongs to this one alone."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    with suppress(PermissionError):  # only root may be less nice again
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    process.ORIGINAL_DIR = folder  # type: ignore[attr-defined]  # where multiprocessing starts workers
    paths = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[1:1] = [path for path in paths if path not in sys.path]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    tempfile.tempdir = None
    import_module("numpy").random.seed()  # nobody here asks for it, but other libraries may
    for name in [name for name in sys.modules if name.split(".")[0] == "flowsdf"]:
        del sys.modules[name]  # what was edited since is imported as it is now


def _prepare_workers() -> None:
    """``prepare_workers``, but what multiprocessing would start as new interpreters are forks of this one."""
    usual, util.spawnv_passfds = util.spawnv_passfds, _forked
    prepare_workers()
    util.spawnv_passfds = usual


def _forked(_path: bytes, words: list[str], files: Sequence[int]) -> int:
    """A fork that runs the code in the last of the ``words`` with one thread and only these open files; its number."""
    child = os.fork()
    if child:
        return child
    try:
        low = 3
        for file in sorted(files):
            os.closerange(low, file)
            low = file + 1
        os.closerange(low, os.sysconf("SC_OPEN_MAX"))
        forkserver._forkserver.__init__()  # type: ignore[misc]  # its lock is held, and its files are the parent's
        resource_tracker._resource_tracker.__init__()  # type: ignore[misc]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as multiprocessing does, but it imports first
        import_module("torch").set_num_threads(1)
        import_module("threadpoolctl").threadpool_limits(1)
        exec(words[-1], {})  # noqa: S102 - multiprocessing's own
    finally:
        if not isinstance(sys.exception(), SystemExit | None):
            traceback.print_exc()
        os._exit(0)


def main() -> int:
    """Run a command; its notebooks get forked kernels where this system's libraries can be forked.

    Ctrl-C, SIGTERM and the end of a terminal reach every process of the command: a shell among them would keep them.
    """
    waiting: list[int] = []  # what came before there was a command
    ends = stops()
    for number in ends:
        signal.signal(number, lambda number, _: waiting.append(number))
    start: dict[str, Any] = {"close_fds": False, "process_group": 0}  # make hands its descriptors on
    with kernels() if FORKED else nullcontext(), subprocess.Popen(sys.argv[1:], **start) as command:
        for number in ends:
            signal.signal(number, lambda number, _: _send(command.pid, number))
        for number in waiting:
            _send(command.pid, number)
        status = command.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
