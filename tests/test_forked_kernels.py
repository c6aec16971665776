"""Kernels forked from a process that has imported what is slow are as fresh as others, and end as surely."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import toy_report
from test_execute import kernel_asleep, mode
from toy_report import HERE

from flowsdf.report.forked_kernels import ADDRESS, FORKED, expect, kernels
from flowsdf.report.freshness import read_json
from flowsdf.report.stopping import stops

pytestmark = pytest.mark.skipif(not FORKED, reason="this system's libraries cannot be forked")
AT_START = """import os
import sys
nice = os.getpriority(os.PRIO_PROCESS, 0)
ready, old = "seaborn" in sys.modules, "flowsdf.report.results" in sys.modules
"""
WORKERS = r"""# %%
import torch
from flowsdf.data import executor
outer = "__import__('flowsdf.data.executor').data.executor.map_tasks"  # a worker with a worker of its own
inner = '(eval, ["__import__(\\"torch\\").get_num_threads()"], label="inner")[0]'
threads, = executor.map_tasks(eval, [outer + inner], label="outer")
found = {"ready": ready, "old": old, "threads": torch.get_num_threads(), "of_worker": threads, "nice": nice}
results.record_metrics(chapter, found)

"""


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """Kernels are to be had, on two threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "2")
        with kernels():
            yield


@pytest.fixture
def report(tmp_path: Path, server: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A report while kernels are to be had."""
    shutil.copytree(toy_report.finished(), tmp_path / "report")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    return tmp_path / "report"


def ended(number: int) -> Callable[[], bool]:
    """Whether a process has ended."""

    def gone() -> bool:
        try:
            return psutil.Process(number).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return gone


@contextmanager
def own_server() -> Iterator[psutil.Process]:
    """A process that forks kernels for this test alone."""
    before = psutil.Process().children()
    with kernels():
        (server,) = [child for child in psutil.Process().children() if child not in before]
        yield server


def wait(until: Callable[[], bool]) -> None:
    deadline = time.time() + 60
    while not until():
        assert time.time() < deadline
        time.sleep(0.1)


def with_threads(report: Path) -> None:
    """Let the first chapter say what was imported before it, and how many threads it and a worker have."""
    source, begin, end = report / "notebooks" / "00_first.py", "import os\n", "# %%\nresults.record_claims"
    source.write_text(source.read_text().replace(begin, AT_START + begin, 1).replace(end, WORKERS + end))


def test_a_forked_kernel_is_fresh(report: Path) -> None:
    metrics = report / "reports" / "smoke" / "00_first" / "metrics.json"
    before = read_json(metrics)
    with_threads(report)
    nicer = os.getpriority(os.PRIO_PROCESS, 0) + 2
    words = ["nice", "-n", "2", *toy_report.command("execute", "00_first")]
    subprocess.run(words, cwd=report, env=toy_report.environment(report), check=True)
    assert read_json(metrics) == before | {"ready": 1, "old": 0, "threads": 2, "of_worker": 1, "nice": nicer}


def test_a_forked_kernel_ends_as_others_do(report: Path) -> None:
    for value, reason in (("die", "the kernel died"), ("sleep", "longer than 3 s")):
        mode(report, value)
        done = toy_report.run(report, "execute", "00_first", "--timeout", "3")
        assert done.returncode == 1 and reason in done.stderr
    mark = report / "artifacts" / "procedural-smoke" / "00_first" / "kernel.pid"
    mode(report, "sleep")
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        wait(ended(int(mark.read_text())))
        mark.unlink()
        words = toy_report.command("execute", "00_first")
        with subprocess.Popen(words, cwd=report, env=toy_report.environment(report)) as process:
            family = psutil.Process(kernel_asleep(report)).children(recursive=True)
            process.send_signal(number)
            assert process.wait(60) == code
        assert family
        for member in family:
            wait(ended(member.pid))


def test_a_word_that_a_kernel_will_be_wanted_makes_none(capfd: pytest.CaptureFixture[str], report: Path) -> None:
    with own_server() as server:  # whose words are captured
        for _ in range(3):
            expect()
        assert "done in" in toy_report.run(report, "execute", "00_first", "--force").stdout  # answered after the three
        assert server.memory_info().rss > 1e8  # it has imported
    assert "Traceback" not in capfd.readouterr().err  # as a fork without a request would print


def test_where_nobody_answers_a_kernel_starts_itself(report: Path) -> None:
    with own_server() as server:
        server.kill()
        assert toy_report.run(report, "execute", "00_first", "--force").returncode == 0


def test_other_threads_than_the_server_s_are_not_to_be_had(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    metrics = report / "reports" / "smoke" / "00_first" / "metrics.json"
    with_threads(report)
    assert toy_report.run(report, "execute", "00_first").returncode == 0
    assert read_json(metrics) | {"threads": 1, "of_worker": 1, "ready": 0} == read_json(metrics)


def test_a_terminal_that_closes_stops_work_but_for_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        assert signal.SIGHUP in stops()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        assert stops() == [signal.SIGINT, signal.SIGTERM]
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_stop_reaches_every_process_of_the_command(number: int, code: int) -> None:
    words = [sys.executable, "-m", "flowsdf.report.forked_kernels", "sh", "-c", "sh -c 'sleep 600; true'; true"]

    def asleep() -> list[psutil.Process]:
        return [below for below in psutil.Process(process.pid).children(recursive=True) if below.name() == "sleep"]

    with subprocess.Popen(words, cwd=HERE, start_new_session=True) as process:
        wait(lambda: bool(asleep()))
        (sleeper,) = asleep()
        process.send_signal(number)
        assert process.wait(60) == code
    wait(ended(sleeper.pid))


def test_a_socket_s_name_may_be_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ("long" * 30)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 30)))
    monkeypatch.setenv(ADDRESS, "other")
    with kernels():
        assert os.environ[ADDRESS] == "other"
