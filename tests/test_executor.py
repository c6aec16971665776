import os
import platform
import resource
import signal
import subprocess
import sys
import time
import types
from concurrent.futures import CancelledError, ThreadPoolExecutor
from multiprocessing import forkserver
from pathlib import Path

import pytest

from flowsdf.data import executor, executor_cluster, executor_processes
from flowsdf.data.executor import run_tasks
from flowsdf.data.faults import Failed, Rejected


def square(task):
    time.sleep(0.01 * (task % 3))
    return task**2


def reject_odd(task):
    if task % 2:
        raise Rejected("odd", f"{task} is\nodd")
    return task


def fail_at_two(task):
    if task == 2:
        raise ValueError("first line\nsecond line")
    return task


def die_once(task):
    flag = Path(task)
    if flag.name == "victim" and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return flag.name


def die_always(task):
    if task == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def threads(_task):
    return os.environ["OMP_NUM_THREADS"]


def faults_of_the_second(_task):
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        _ = b"x" * 2**26
        del _
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def worker(_task):
    time.sleep(0.1)
    return os.getpid()


def through_others(task):
    return run_tasks(square, range(task), workers=2, label="inner")


def nap(task):
    Path(task, str(os.getpid())).touch()
    time.sleep(60)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_the_same_for_any_number_of_workers(workers):
    assert run_tasks(square, range(7), workers=workers, label="squares") == [n**2 for n in range(7)]


def test_rejections_take_their_places_and_are_told_as_they_come():
    seen = {}
    outcomes = run_tasks(reject_odd, range(4), workers=2, label="parity", on_result=seen.__setitem__)
    assert outcomes == [seen[i] for i in range(4)]
    assert [str(outcome) for outcome in outcomes] == ["0", "odd: 1 is odd", "2", "odd: 3 is odd"]


def test_another_exception_stops_with_one_line():
    with pytest.raises(Failed) as failed:
        run_tasks(fail_at_two, range(4), workers=2, label="stage")
    assert str(failed.value) == "stage, task 2: ValueError: first line second line"


def test_a_lost_worker_costs_one_retry(tmp_path):
    tasks = [str(tmp_path / name) for name in ("a", "b", "victim", "c", "d")]
    assert run_tasks(die_once, tasks, workers=2, label="once") == ["a", "b", "victim", "c", "d"]


def test_a_task_that_kills_twice_is_rejected_and_the_others_go_on():
    outcomes = run_tasks(die_always, range(5), workers=2, label="always")
    assert [outcome for outcome in outcomes if not isinstance(outcome, Rejected)] == [0, 2, 3, 4]
    assert outcomes[1].code == "killed_worker"


def test_workers_have_one_thread_and_the_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert run_tasks(threads, [0], workers=1, label="threads") == ["1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
def test_a_worker_keeps_the_memory_that_a_step_frees():
    executor_processes.end_workers()
    forkserver._forkserver._stop()  # another test's would have another environment
    assert run_tasks(faults_of_the_second, [0], workers=1, label="faults")[0] < 100


def test_the_next_call_finds_the_same_workers_unless_the_surroundings_are_others(monkeypatch):
    first = set(run_tasks(worker, range(4), workers=2, label="first"))
    assert set(run_tasks(worker, range(4), workers=2, label="again")) == first
    monkeypatch.setenv("A_SETTING", "changed")
    others = set(run_tasks(worker, range(4), workers=2, label="others"))
    assert not others & first
    assert not any(Path(f"/proc/{pid}").exists() for pid in first)
    executor_processes.end_workers()
    assert not any(Path(f"/proc/{pid}").exists() for pid in others)


def test_workers_that_died_while_idle_are_replaced():
    (lost,) = run_tasks(worker, [0], workers=1, label="before")
    os.kill(lost, signal.SIGKILL)
    (found,) = run_tasks(worker, [0], workers=1, label="after")
    assert found != lost


def test_workers_with_workers_of_their_own_end():
    assert run_tasks(through_others, [3], workers=1, label="outer") == [[0, 1, 4]]
    executor_processes.end_workers()


def test_progress_says_how_far_and_how_many_rejected(capsys):
    run_tasks(reject_odd, range(4), workers=1, label="parity")
    assert "parity: 4/4, 2 rejected" in capsys.readouterr().err


def test_no_tasks_need_no_worker(monkeypatch):
    monkeypatch.setattr(executor, "open_executor", None)
    assert run_tasks(square, [], label="none") == []


def test_a_cluster_needs_its_package(monkeypatch):
    monkeypatch.setenv("SCHEDULER", "tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Failed, match="pip install dask distributed"):
        run_tasks(square, [1], label="cluster")


class Client:
    """As much of a cluster's client as is used, with the work done by threads."""

    def __init__(self, address, timeout):
        if address.endswith(":1"):
            raise OSError("refused")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def get_executor(self, pure):
        return ThreadPoolExecutor(2)

    def ncores(self):
        return {"a": 1, "b": 1}


def test_a_cluster_that_runs_is_used(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Client))
    monkeypatch.setenv("SCHEDULER", "tcp://127.0.0.1:2")
    assert run_tasks(square, range(5), label="cluster") == [n**2 for n in range(5)]
    monkeypatch.setenv("SCHEDULER", "tcp://127.0.0.1:1")
    with pytest.raises(Failed, match="no scheduler answers"):
        run_tasks(square, [1], label="cluster")


def test_a_worker_of_another_library_refuses_its_tasks(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Client))
    monkeypatch.setenv("SCHEDULER", "tcp://127.0.0.1:2")
    head = executor_cluster.same
    monkeypatch.setattr(executor_cluster, "same", lambda source, *words: head("an older one", *words))
    with pytest.raises(Failed, match="another version of flowsdf: restart the workers"):
        run_tasks(square, [1, 2], label="cluster")


def test_on_a_cluster_a_task_that_kills_is_set_aside_and_the_others_run_once(monkeypatch):
    class KilledWorker(Exception):  # noqa: N818 - as Dask calls it
        pass

    ran = []

    def work(number):
        ran.append(number)
        if number == 1:
            raise KilledWorker
        time.sleep(0.1)
        return number

    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Client))
    monkeypatch.setenv("SCHEDULER", "tcp://127.0.0.1:2")
    monkeypatch.setattr(executor, "_guarded", lambda function, task: function(task))
    outcomes = run_tasks(work, range(4), label="cluster")
    assert outcomes[0::2] == [0, 2] and outcomes[3] == 3 and sorted(ran) == [0, 1, 2, 3]
    assert str(outcomes[1]) == "killed_worker: every worker that took this task was lost"


@pytest.mark.parametrize("error", [CancelledError(), type("CommClosedError", (OSError,), {})("closed")])
def test_a_scheduler_that_is_lost_is_said_in_a_line(monkeypatch, error):
    class Lost(Client):
        def ncores(self):
            raise error

    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Lost))
    monkeypatch.setenv("SCHEDULER", "tcp://127.0.0.1:2")
    with pytest.raises(Failed, match="SCHEDULER=tcp://127.0.0.1:2 was lost: start one"):
        run_tasks(square, [1], label="cluster")


def test_workers_that_join_a_cluster_later_are_used(monkeypatch):
    class Growing(Client):
        joined, flying, most = [0], [0], [0]

        def get_executor(self, pure):
            return ThreadPoolExecutor(4)

        def ncores(self):
            self.joined[0] += 1
            return dict.fromkeys(range(min(self.joined[0] // 3, 4)), 1)

    def work(number):
        Growing.flying[0] += 1
        Growing.most[0] = max(Growing.most[0], Growing.flying[0])
        time.sleep(0.1)
        Growing.flying[0] -= 1
        return number

    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Growing))
    monkeypatch.setenv("SCHEDULER", "tcp://127.0.0.1:2")
    assert run_tasks(work, range(20), label="cluster") == list(range(20))
    assert Growing.most[0] == 4 and Growing.joined[0] < 30  # asked once a turn


def test_workers_end_when_their_parent_is_killed(tmp_path):
    program = f"""if True:
        import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_executor import nap, run_tasks
        if __name__ == "__main__":
            run_tasks(nap, [{str(tmp_path)!r}] * 2, workers=2, label="nap")"""
    script = tmp_path / "parent.py"
    script.write_text(program)
    root = Path(executor.__file__).parents[2]
    parent = subprocess.Popen([sys.executable, str(script)], env=os.environ | {"PYTHONPATH": str(root)})
    pids = wait_for(lambda: [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()], 2)
    parent.kill()
    parent.wait()
    wait_for(lambda: [pid for pid in pids if not Path(f"/proc/{pid}/cmdline").exists() or gone(pid)], 2)


@pytest.mark.skipif(not executor_processes.FORKED, reason="other systems spawn their workers")
def test_workers_have_imported_what_is_named(monkeypatch):
    executor_processes.end_processes()
    monkeypatch.setenv(executor_processes.WORKERS_IMPORT, "flowsdf.studies.solids flowsdf.studies.not_there")
    found = run_tasks(eval, ["'flowsdf.studies.solids' in __import__('sys').modules"], label="imported")
    executor_processes.end_processes()
    assert found == [True]


def gone(pid):
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"


def wait_for(found, count):
    deadline = time.monotonic() + 120  # beside the smoke report a new process imports for half a minute
    while len(result := found()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return result
