"""One notebook in one fresh kernel: started clean, its end put in a line."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from flowsdf.data.executor_processes import KEPT_MEMORY, WORKERS_IMPORT
from flowsdf.data.faults import Failed
from flowsdf.report.forked_kernels import LONGEST, expect, write_kernelspec
from flowsdf.report.freshness import imported
from flowsdf.report.places import Places

PREPARE = "from flowsdf.data import executor_processes; executor_processes.prepare_workers(); del executor_processes"
UNUSED = ("rfc3987_syntax", "jupytext.sync_contentsmanager", "jupytext.async_contentsmanager")  # 2 s to import


def run_notebook(where: Places, chapter: str, given: dict[str, Any], *, output: Path, timeout: int) -> None:
    """Convert the percent notebook and execute it by papermill in a fresh kernel; Failed says how it ended."""
    expect()
    for name in UNUSED:
        sys.modules.setdefault(name, None)
    import jupytext
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillException
    from traitlets.config import Config

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        private_jupyter(Path(scratch), studies=studies_of(where.notebook(chapter).read_text("utf-8")))
        notebook = jupytext.read(where.notebook(chapter), fmt="py:percent")
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        source = Path(scratch) / f"{chapter}.ipynb"
        jupytext.write(notebook, source, fmt="ipynb")
        settings = {"parameters": given, "cwd": str(where.root), "progress_bar": False, "execution_timeout": timeout}
        settings["start_timeout"] = 600  # the first kernel of a report imports for all
        settings["shutdown_kernel"] = "immediate"  # asked to end, it waits 2.5 s for helpers that do not heed it
        sockets = str(Path(scratch) / "kernel")
        if len(os.fsencode(f"{sockets}-5")) <= LONGEST:  # files, not ports that another process may take meanwhile
            settings["config"] = Config({"KernelManager": {"transport": "ipc", "ip": sockets}})
        streams = {"stdout_file": sys.stdout, "stderr_file": sys.stderr}
        try:
            papermill.execute_notebook(str(source), str(output), kernel_name="python3", **settings, **streams)
        except PapermillException as error:
            raise Failed(last_line(error)) from None
        except CellTimeoutError:
            raise Failed(f"a cell ran longer than {timeout} s; raise TIMEOUT or shorten it") from None
        except DeadKernelError:
            raise Failed("the kernel died (killed, or out of memory)") from None
        except OSError as error:
            raise Failed(f"{error.filename or output.name}: {error.strerror or error}") from None


def studies_of(notebook: str) -> list[str]:
    """What a notebook imports of the studies: it may want workers, which are made ready meanwhile and need it too."""
    return sorted(name for name in imported(notebook, "") if name.startswith("flowsdf.studies."))


def private_jupyter(scratch: Path, *, studies: list[str]) -> None:
    """Point Jupyter at this environment's kernel and at a scratch home, so that no user setting enters a run.

    The kernel keeps the memory that it frees, as workers do; where it imports ``studies`` it makes workers ready first.
    """
    library = str(Path(__file__).resolve().parents[2])
    settings = scratch / "ipython" / "profile_default" / "ipython_kernel_config.py"
    settings.parent.mkdir(parents=True)
    settings.write_text(  # no word on sockets, nor on how a kernel ends
        f"c.IPKernelApp.log_level = 50\nc.InteractiveShellApp.exec_lines = [{PREPARE if studies else ''!r}]\n"
    )
    write_kernelspec(scratch / "path")
    os.environ.update(
        KEPT_MEMORY | {WORKERS_IMPORT: " ".join(studies)},
        JUPYTER_PREFER_ENV_PATH="1",
        JUPYTER_PATH=str(scratch / "path"),
        JUPYTER_RUNTIME_DIR=str(scratch / "runtime"),
        JUPYTER_DATA_DIR=str(scratch / "data"),
        IPYTHONDIR=str(scratch / "ipython"),
        MPLBACKEND="agg",
        PYTHONPATH=os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH")])),
    )


def last_line(error: Exception) -> str:
    """The last line of a notebook's error, without colours."""
    name, value = getattr(error, "ename", ""), getattr(error, "evalue", "") or str(error)
    line = value.strip().splitlines()[-1] if value.strip() else ""
    return line if name in ("Failed", "") else f"{name}: {line}"
