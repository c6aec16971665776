"""A sweep: every cell once, holes with their reasons, the same table after a lost worker, here and on a cluster."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pandas as pd
import psutil
import pytest
import toy_report

from flowsdf.data.faults import Failed, Rejected
from flowsdf.report import slurm, sweep
from flowsdf.report.places import Places

CELL = """# %% [markdown]
# # One cell

# %% tags=["parameters"]
profile = "smoke"
data = "procedural"
artifacts = ""
report = ""
shapes = 0
fixed_epochs = False
full_shapes = 4
seed = 0
victim = ""

# %%
import os
import pathlib
import time

import pandas as pd

from flowsdf.report import results

chapter = results.open_chapter("13_generalisation", globals())
started = chapter.artifacts / f"{shapes}-{seed}-{fixed_epochs}"
again = started.exists()
started.write_text(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}")
if victim == f"{shapes}-{seed}":
    time.sleep(0 if again else 60)
if victim == "edit":
    chapter.places.notebook(chapter.name).write_text("changed = 1")
if victim == "raise" and shapes == 3:
    raise ValueError("three is none")
results.record_metrics(chapter, {"held_out_iou": shapes + seed / 10, "seen": shapes * (2 if fixed_epochs else 1)})
table = pd.DataFrame({"row": "diffusion, 1 view", "shape": ["a", "b"], "category": "c", "split": "special"})
table = table.assign(iou=[shapes / 10, seed / 10], chamfer_l1=1.0 / shapes, f_005=0.5, failed=0.0)
results.save_table(chapter, table, "scores", caption="Scores.")
results.finish(chapter)
"""


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A report with a chapter to sweep, and data for four training shapes."""
    root = toy_report.make(tmp_path / "report")
    (root / "notebooks" / "13_generalisation.py").write_text(CELL)
    shutil.copy(root / "notebooks" / "00_first.py", root / "notebooks" / "00_data.py")
    for name, value in toy_report.environment(root).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sweep, "usable_shapes", lambda folder, split: range(4))
    return Places(root, "smoke", "procedural")


def swept(where: Places) -> dict[tuple, str]:
    """The state of every cell of a sweep of three cells."""
    table = sweep.sweep(where, [2, 4], [1], timeout=300)
    return {(line.shapes, line.budget): line.state for line in table.itertuples()}


def test_every_cell_runs_once_and_is_not_run_again(where: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(swept(where).values()) == {"done"}
    table = pd.read_csv(where.reports / "sweep" / "cells.csv")
    assert list(zip(table.shapes, table.budget, table.seen, strict=True)) == [
        (4, "fixed steps", 4),
        (2, "fixed steps", 2),
        (2, "fixed epochs", 4),
    ]
    scores = pd.read_csv(where.reports / "sweep" / "scores.csv")
    assert len(scores) == 6 and set(scores.seed) == {1}
    marks = {path: path.stat().st_mtime_ns for path in (where.artifacts / "13_generalisation").iterdir()}
    assert len(marks) == 3 and all(path.read_text().endswith(" 1") for path in marks)  # one thread each
    assert "4 shapes, fixed steps   done" in capsys.readouterr().out
    assert set(swept(where).values()) == {"done"}
    assert marks == {path: path.stat().st_mtime_ns for path in marks}
    found = sweep.read(where, len)
    assert found.own and found.current and found.scores.equals(scores)
    smaller = where.root / "params" / "smoke" / "sweep.yaml"
    smaller.write_text("victim: another\n")
    assert not sweep.read(where, len).current
    smaller.unlink()
    assert sweep.read(where, len).current
    data = where.artifacts / "00_data" / "manifest.json"
    data.parent.mkdir()
    data.write_text('{"shapes": [{"uid": "u", "split": "train", "stages": {"features": {"key": "other weights"}}}]}')
    assert not sweep.read(where, len).current
    data.unlink()
    notebook = where.notebook("13_generalisation")
    notebook.write_text(notebook.read_text() + "# prose\n")
    assert sweep.read(where, len).current
    notebook.write_text(notebook.read_text() + "changed = 1\n")
    assert not sweep.read(where, len).current


def test_a_cell_whose_code_was_edited_meanwhile_does_not_count(where: Places) -> None:
    (where.root / "params" / "smoke" / "sweep.yaml").write_text("victim: edit\n")
    (cell,) = sweep.cells(where, [2], [0], timeout=300)
    with pytest.raises(Rejected, match="edited: code or data changed since the sweep began"):
        sweep.run_cell(cell)
    assert not cell.folder.exists()


def test_a_cell_whose_result_is_elsewhere_is_a_hole(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "execute", lambda *words, **named: None)  # as of a worker with a folder of its own
    monkeypatch.setattr(sweep, "run_tasks", lambda work, cells, on_result, **_: list(map(on_result, range(9), cells)))
    assert set(swept(where).values()) == {"lost: its worker's result is not in this folder"}


def test_a_finished_cell_that_is_asked_for_again_is_not_run(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    swept(where)
    monkeypatch.setattr(sweep, "execute", None)
    for cell in sweep.cells(where, [2, 4], [1], timeout=300):
        sweep.run_cell(cell)


def test_a_small_sweep_of_its_own_is_not_drawn(where: Places) -> None:
    swept(where)
    with pytest.raises(Failed, match="no sweep of three counts"):
        sweep.read(where, lambda scores: len(scores) > 4)


def test_a_failed_cell_is_a_hole_with_its_reason(where: Places) -> None:
    (where.root / "params" / "smoke" / "sweep.yaml").write_text("victim: raise\n")
    table = sweep.sweep(where, [2, 3, 4], [0], timeout=300).set_index(["shapes", "budget"]).state
    assert table[3, "fixed steps"] == "failed: ValueError: three is none"
    assert (table.drop(3, level="shapes") == "done").all() and len(table) == 5
    assert set(pd.read_csv(where.reports / "sweep" / "scores.csv").shapes) == {2, 4}


@pytest.mark.parametrize("text", ["victim: 3\n", "steps: 3\n"])
def test_a_wrong_parameter_of_the_sweep_is_named(where: Places, text: str) -> None:
    (where.root / "params" / "smoke" / "sweep.yaml").write_text(text)
    with pytest.raises(Failed, match=r"params/smoke/sweep.yaml: (victim: expected a text|steps: no such parameter)"):
        sweep.sweep(where, [2], [0], timeout=300)


def test_more_shapes_than_there_are_is_refused(where: Places) -> None:
    with pytest.raises(Failed, match="COUNTS=2 9: this run has 2 to 4 shapes"):
        sweep.sweep(where, [2, 9], [0], timeout=300)


def test_nothing_held_out_is_refused(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "usable_shapes", lambda folder, split: range(4 if split == "train" else 0))
    with pytest.raises(Failed, match="no shape is held out"):
        sweep.sweep(where, [2], [0], timeout=300)


def test_no_sweep_at_all_says_what_to_do(where: Places) -> None:
    with pytest.raises(Failed, match="make sweep COUNTS"):
        sweep.read(where, len)


def kill_worker(kernel: Path, killed: list[int]) -> None:
    """Wait for a cell's kernel, then kill the worker that runs it."""
    for _ in range(600):
        if kernel.exists() and kernel.read_text():
            break
        time.sleep(0.1)
    worker = psutil.Process(int(kernel.read_text().split()[0])).parent()
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    killed.append(worker.pid)


@pytest.mark.parametrize("place", ["pool", "cluster"])
def test_a_killed_worker_changes_nothing(where: Places, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = sweep.sweep(where, [2, 4], [0], timeout=300).drop(columns="seconds")
    other = where._replace(root=where.root.with_name("other"))
    where.root.rename(other.root)
    for folder in ("reports", "artifacts"):
        (other.root / folder).rename(other.root / f"{folder}-before")
    (other.root / "params" / "smoke" / "sweep.yaml").write_text("victim: 4-0\n")
    monkeypatch.setenv("FLOWSDF_ROOT", str(other.root))
    cluster = None
    if place == "cluster":
        program = (
            "import time\nfrom distributed import LocalCluster\n"
            "if __name__ == '__main__':\n"
            "    c = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)\n"
            "    print(c.scheduler_address, flush=True)\n    time.sleep(300)\n"
        )
        script = other.root / "cluster.py"
        script.write_text(program)
        cluster = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
        assert cluster.stdout is not None
        monkeypatch.setenv("SCHEDULER", cluster.stdout.readline().strip())
    try:
        killed: list[int] = []
        killer = Thread(target=kill_worker, args=(other.artifacts / "13_generalisation" / "4-0-False", killed))
        killer.start()
        table = sweep.sweep(other, [2, 4], [0], timeout=300).drop(columns="seconds")
        killer.join()
    finally:
        if cluster:
            cluster.terminate()
            cluster.wait()
    assert killed and (table.state == "done").all()
    pd.testing.assert_frame_equal(table, undisturbed)


def test_the_job_script_of_a_slurm_worker(capsys: pytest.CaptureFixture[str]) -> None:
    assert slurm.main(["tcp://10.0.0.1:8786", "--cores", "4", "--memory", "16GB", "--queue", "cpu"]) == 0
    text = capsys.readouterr().out
    for line in ("#SBATCH --cpus-per-task=4", "#SBATCH --mem=15G", "#SBATCH -p cpu", "export OMP_NUM_THREADS=1"):
        assert line in text
    assert "tcp://10.0.0.1:8786" in text and "--nworkers 4" in text and "${SLURM_JOB_ID}" in text
    with pytest.raises(Failed, match="expected the address"):
        slurm.main(["10.0.0.1"])
