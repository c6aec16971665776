"""Chapters run in fresh kernels, are skipped when nothing changed, and end cleanly whatever happens."""

import ast
import errno
import fcntl
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import toy_report

from flowsdf.data import executor_processes
from flowsdf.report import execute
from flowsdf.report.doors import leave
from flowsdf.report.freshness import fresh, imported, inputs, read_json, sources
from flowsdf.report.kernel import studies_of
from flowsdf.report.places import Places

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    root = tmp_path / "report"
    shutil.copytree(toy_report.finished(), root)
    return root


def mode(root: Path, value: str) -> None:
    (root / "params" / "smoke" / "00_first.yaml").write_text(f"mode: {json.dumps(value)}\n")


def kernel_asleep(root: Path) -> int:
    """The process of a sleeping notebook's kernel, once it sleeps."""
    mark = root / "artifacts" / "procedural-smoke" / "00_first" / "kernel.pid"
    deadline = time.time() + 120
    while not (mark.exists() and mark.read_text()) and time.time() < deadline:
        time.sleep(0.2)
    return int(mark.read_text())


def test_a_run_leaves_results_and_nothing_else(report: Path) -> None:
    folder = report / "reports" / "smoke" / "00_first"
    run = read_json(folder / "run.json")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("claims.json", "figures", "metrics.json", "notebook.ipynb", "run.json", "tables", "views")
    ]
    assert run["parameters"] == {"mode": "good", "radius": 1.0, "counts": [1, 2]}
    assert {"commit", "dirty", "device", "threads", "seconds", "peak_gigabytes", "versions", "depends"} <= set(run)
    assert not list((report / "reports" / "smoke").glob(".*.part"))
    assert str(report) not in (folder / "notebook.ipynb").read_text()


def test_nothing_changed_nothing_runs(report: Path) -> None:
    began = time.time()
    done = toy_report.run(report, "execute", "00_first")
    assert "up to date" in done.stdout
    assert time.time() - began < 3


def test_without_its_artifacts_a_chapter_runs_again(report: Path) -> None:
    shutil.rmtree(report / "artifacts")
    done = toy_report.run(report, "execute", "00_first")
    assert done.returncode == 0 and "done in" in done.stdout


def test_what_a_killed_run_left_is_not_up_to_date(report: Path) -> None:
    mode(report, "sleep")
    with subprocess.Popen(
        toy_report.command("execute", "00_first"), cwd=report, env=toy_report.environment(report)
    ) as process:
        kernel_asleep(report)
        process.send_signal(signal.SIGTERM)
    mode(report, "good")
    assert "done in" in toy_report.run(report, "execute", "00_first").stdout
    assert "up to date" in toy_report.run(report, "execute", "00_first").stdout


def want_workers(root: Path) -> None:
    with (root / "notebooks" / "00_first.py").open("a") as notebook:
        notebook.write("\n# %%\nfrom flowsdf.studies import dataset\n")


def test_a_kernel_leaves_no_temporary_files(report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    want_workers(report)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    assert "done in" in toy_report.run(report, "execute", "00_first").stdout
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.skipif(not executor_processes.FORKED, reason="workers are not forked here")
def test_workers_are_made_ready_while_a_notebook_imports(report: Path) -> None:
    mode(report, "sleep")
    want_workers(report)
    with subprocess.Popen(
        toy_report.command("execute", "00_first"), cwd=report, env=toy_report.environment(report)
    ) as process:
        helpers = psutil.Process(kernel_asleep(report)).children()
        words = [word for helper in helpers for word in helper.cmdline()]
        process.send_signal(signal.SIGTERM)
    assert any("forkserver" in word or "serve(" in word for word in words)  # the latter of a forked kernel


def test_the_studies_of_a_notebook_are_known_however_they_are_imported() -> None:
    text = "from flowsdf.studies import one as first, two\nfrom flowsdf.studies.three import f\nimport flowsdf.report\n"
    assert {f"flowsdf.studies.{name}" for name in ("one", "two", "three")} <= set(studies_of(text))
    assert "flowsdf.studies.flow_sdf" in studies_of((ROOT / "notebooks" / "flow_sdf_stage1.py").read_text("utf-8"))
    assert studies_of((ROOT / "notebooks" / "99_ledger.py").read_text("utf-8")) == []


def test_seeds_share_what_no_seed_changes(report: Path) -> None:
    done = toy_report.run(report, "execute", "00_first", "--seed", "3")
    assert done.returncode == 0 and "up to date" in done.stdout
    for name in ("reports/smoke-seed3", "artifacts/procedural-smoke-seed3"):
        assert (report / name / "00_first").resolve() == (report / name.removesuffix("-seed3") / "00_first").resolve()
    assert read_json(report / "reports" / "smoke-seed3" / "00_first" / "run.json")["key"]


def test_the_report_s_own_seed_is_not_run_twice(report: Path) -> None:
    source = report / "notebooks" / "00_first.py"
    source.write_text(source.read_text().replace("radius = 1.0\n", "radius = 1.0\nseed = 0\n"))
    seeds = {seed: report / "reports" / f"smoke-seed{seed}" / "00_first" for seed in (0, 3)}
    for seed in seeds:
        assert toy_report.run(report, "execute", "00_first", "--seed", str(seed)).returncode == 0
    assert seeds[0].resolve() == report / "reports" / "smoke" / "00_first" and not seeds[3].is_symlink()
    assert [read_json(folder / "run.json")["parameters"]["seed"] for folder in seeds.values()] == [0, 3]
    source.write_text(source.read_text().replace("seed = 0\n", "seed = 1\n"))
    toy_report.run(report, "execute", "00_first", "--seed", "0")
    assert not seeds[0].is_symlink() and read_json(seeds[0] / "run.json")["parameters"]["seed"] == 0


def test_what_makes_a_result_stale(report: Path) -> None:
    folder = report / "reports" / "smoke" / "00_first"
    key = read_json(folder / "run.json")["key"]
    assert fresh(folder, key) and not fresh(folder, "other")
    metrics = (folder / "metrics.json").read_text()
    (folder / "metrics.json").write_text(metrics.replace("3.1", "3.2"))
    assert not fresh(folder, key)  # an edited metric is caught
    (folder / "metrics.json").write_text(metrics)
    assert fresh(folder, key)
    (folder / "figures" / "line.png").unlink()
    assert not fresh(folder, key)


def test_a_chapter_is_stale_when_the_one_before_has_other_numbers(report: Path) -> None:
    where = Places(report, "smoke", "procedural")
    before = inputs(where, "99_second", {}, ["00_first", "params/claims.yaml"])
    assert before["after"]["00_first"]
    run = report / "reports" / "smoke" / "00_first" / "run.json"
    run.write_text(run.read_text().replace(read_json(run)["files"]["metrics.json"], "0" * 64))
    after = inputs(where, "99_second", {}, ["00_first", "params/claims.yaml"])
    assert after["after"] != before["after"] and after["files"] == before["files"]


def test_a_notebook_that_another_follows_counts_with_what_it_imports(report: Path) -> None:
    where, followed = Places(report, "smoke", "procedural"), report / "notebooks" / "00_first.py"
    (report / "flowsdf").mkdir(exist_ok=True)
    followed.write_text(followed.read_text() + "import flowsdf.measures\n")
    keys = set()
    for text in ("A = 1\n", "A = 2\n"):
        (report / "flowsdf" / "measures.py").write_text(text)
        keys.add(inputs(where, "99_second", {}, ["notebooks/00_first.py"])["files"]["notebooks/00_first.py"])
    assert len(keys) == 2


def test_sources_follow_imports(tmp_path: Path) -> None:
    (tmp_path / "lib" / "deep").mkdir(parents=True)
    for name, text in {
        "__init__": "",
        "a": "def f():\n    from . import b\n",
        "b": "from lib.deep.c import x\n",
        "other": "",
        "deep/__init__": "",
        "deep/c": "from ..a import f\nx = 1\n",
        "deep/d": "",
    }.items():
        (tmp_path / "lib" / f"{name}.py").write_text(text)
    (tmp_path / "lib" / "deep" / "weights.safetensors").write_bytes(b"w")
    found = sources(tmp_path, "from lib import a\nimport numpy\n", library="lib")
    names = ["__init__.py", "a.py", "b.py", "deep/__init__.py", "deep/c.py", "deep/weights.safetensors"]
    assert list(found) == [f"lib/{name}" for name in names]
    assert imported("from ..x import y", "p.q.r") == {"p.q.x", "p.q.x.y"}


def test_what_draws_and_where_tasks_run_is_no_part_of_what_measures(tmp_path: Path) -> None:
    where, found = Places(tmp_path, "smoke", "procedural"), []
    for name in ("__init__", "report/__init__", "report/figures", "data/__init__", "data/executor", "studies"):
        (tmp_path / "flowsdf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "flowsdf" / f"{name}.py").write_text("")
    where.notebook("00_a").parent.mkdir()
    where.notebook("00_a").write_text(
        "import flowsdf.data.executor\nimport flowsdf.report.figures\nimport flowsdf.studies\n"
    )
    for edited in ("report/figures", "data/executor", "studies"):
        before = inputs(where, "00_a", {}, [])
        (tmp_path / "flowsdf" / f"{edited}.py").write_text("x = 1\n")
        after = inputs(where, "00_a", {}, [])
        found += [before["sources"] == after["sources"], before["measures"] == after["measures"]]
    assert found == [False, True, False, True, False, False]


def test_no_import_of_this_project_is_missed() -> None:
    for path in [*ROOT.glob("flowsdf/**/*.py"), *ROOT.glob("notebooks/*.py"), *ROOT.glob("tests/*.py")]:
        text = path.read_text(encoding="utf-8")
        named: set[str] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                base = ".".join(filter(None, ["p.q"[: 5 - 2 * node.level] if node.level else "", node.module]))
                named |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        assert not named - imported(text, "p.q"), path
    several = (
        "import a.b as c, d  # e\nfrom . import (  # those (of l)\n    f,  # g\n    h as i,\n)\nfrom .. import j as k\n"
    )
    assert imported(several, "p.q") == {"a.b", "d", "p.q", "p.q.f", "p.q.h", "p", "p.j"}


@pytest.mark.parametrize("how", ["edited", "gone"])
def test_a_ledger_that_is_not_as_it_was_made_is_made_again(report: Path, how: str) -> None:
    ledger = report / "reports" / "smoke" / "ledger.json"
    made = ledger.read_text()
    ledger.write_text(made.replace("reproduced-exact", "not reproduced")) if how == "edited" else ledger.unlink()
    second = toy_report.run(report, "execute", "99_second", "--after", "00_first")
    assert "99_second: done" in second.stdout and ledger.read_text() == made


def test_a_full_disk_ends_a_chapter_in_one_line(report: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "notebook.ipynb")

    where = Places(report, "smoke", "procedural")
    monkeypatch.setattr(execute, "seal_run", full)
    monkeypatch.setattr("flowsdf.report.kernel.run_notebook", lambda *_, **__: None)
    with pytest.raises(OSError, match="No space"):
        execute.execute(where, "00_first", {}, folder=where.reports / "00_first", timeout=1, seal={})
    assert "No space left" in read_json(where.reports / "00_first" / "failure.json")["reason"]
    assert not (where.reports / ".00_first.part").exists()


@pytest.mark.parametrize(
    ("number", "said"),
    [(number, "FAILED: x: full; what was finished is kept\n") for number in (errno.ENOSPC, errno.EACCES)]
    + [(99, None)],
)
def test_a_door_says_in_a_line_that_the_disk_failed(
    number: int, said: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise OSError(number, "full", "x")

    with pytest.raises(SystemExit if said else OSError):
        leave(main)
    assert capsys.readouterr().err == (said or "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            shutil.Error([("a", "b/c", "[Errno 28] full"), ("d", "e", "full")]),
            1,
            "FAILED: b/c: [Errno 28] full; what was",
        ),
        (OSError(errno.ENOSPC, "full", "from", None, "to"), 1, "FAILED: to: full; what was"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT; what was"),
    ],
)
def test_a_door_names_what_could_not_be_written_and_that_it_was_stopped(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as left:
        leave(main)
    assert left.value.code == code and capsys.readouterr().err == f"{said} finished is kept\n"


def test_a_chapter_needs_the_one_before(tmp_path: Path) -> None:
    done = toy_report.run(toy_report.make(tmp_path), "execute", "99_second", "--after", "00_first")
    assert done.returncode == 1
    assert done.stderr.startswith("FAILED: 99_second needs 00_first first")


@pytest.mark.parametrize(
    ("value", "reason"), [("raise", "ValueError: the disc is <b>square</b>"), ("die", "the kernel died")]
)
def test_a_failed_chapter_keeps_its_last_page(report: Path, value: str, reason: str) -> None:
    folder = report / "reports" / "smoke" / "00_first"
    before = (folder / "run.json").read_bytes()
    mode(report, value)
    done = toy_report.run(report, "execute", "00_first")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(f"FAILED: {reason}")
    assert "Traceback" not in done.stderr
    assert reason in read_json(folder / "failure.json")["reason"]
    assert (folder / "run.json").read_bytes() == before
    mode(report, "good")
    assert toy_report.run(report, "execute", "00_first").returncode == 0
    assert not (folder / "failure.json").exists()


def test_a_slow_cell_ends(report: Path) -> None:
    mode(report, "sleep")
    done = toy_report.run(report, "execute", "00_first", "--timeout", "3")
    assert done.returncode == 1
    assert "longer than 3 s" in done.stderr


def test_a_parameter_is_a_value_not_code(report: Path) -> None:
    mode(report, '"; import os; os.system("touch owned")  # ')
    assert toy_report.run(report, "execute", "00_first").returncode == 0
    assert not list(report.rglob("owned"))
    assert "touch owned" in read_json(report / "reports/smoke/00_first/run.json")["parameters"]["mode"]


def test_a_kernel_needs_no_port_that_another_process_could_take(report: Path) -> None:
    first = report / "notebooks" / "00_first.py"
    told = "import ipykernel\nresults.record_metrics(chapter, {'ipc': '\"ipc\"' in ipykernel.get_connection_info()})\n"
    first.write_text(first.read_text().replace("results.finish(chapter)", f"{told}results.finish(chapter)"))
    assert toy_report.run(report, "execute", "00_first").returncode == 0
    assert read_json(report / "reports/smoke/00_first/metrics.json")["ipc"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_stopped_run_leaves_no_orphan_and_no_temporary_file(tmp_path: Path, number: int, code: int) -> None:
    root, words = toy_report.make(tmp_path / "report"), toy_report.command("execute", "00_first")
    mode(root, "sleep")
    (tmp_path / "tmp").mkdir()
    around = toy_report.environment(root) | {"TMPDIR": str(tmp_path / "tmp")}
    with subprocess.Popen(words, cwd=root, env=around, stderr=subprocess.DEVNULL) as process:
        kernel, deadline = kernel_asleep(root), time.time() + 120
        process.send_signal(number)
        process.send_signal(number)  # as of somebody impatient
        assert process.wait(60) == code
    while psutil.pid_exists(kernel) and psutil.Process(kernel).status() != psutil.STATUS_ZOMBIE:
        assert time.time() < deadline, "the kernel outlives the run"
        time.sleep(0.2)
    assert not (root / "reports" / "smoke" / "00_first" / "run.json").exists()
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize(("held", "refused"), [("00_first", True), ("99_second", False)])
def test_a_second_run_of_a_chapter_refuses(tmp_path: Path, held: str, refused: bool) -> None:
    root = toy_report.make(tmp_path)
    folder = root / "artifacts" / "procedural-smoke"
    folder.mkdir(parents=True)
    with open(folder / f".{held}.lock", "w") as hold:
        fcntl.flock(hold, fcntl.LOCK_EX)
        done = toy_report.run(root, "execute", "00_first")
    assert done.returncode == int(refused)
    assert ("another run is using artifacts/procedural-smoke/00_first;" in done.stderr) == refused


def test_a_missing_output_folder_fails_at_the_start(tmp_path: Path) -> None:
    root = toy_report.make(tmp_path)
    (root / "reports").write_text("a file stands where the folder should be")
    done = toy_report.run(root, "execute", "00_first")
    assert done.returncode == 1
    assert done.stderr.startswith("FAILED: ")
    assert "writable" in done.stderr


def test_unknown_profile_and_folder_are_named(tmp_path: Path) -> None:
    root = toy_report.make(tmp_path)
    (root / "procedural").mkdir()
    of_folder = Places(root, "smoke", str(root / "procedural"))
    assert of_folder.reports != Places(root, "smoke", "procedural").reports
    assert of_folder.artifacts != Places(root, "smoke", "procedural").artifacts
    assert "DATA=nowhere: no such folder" in toy_report.run(root, "execute", "00_first", "--data", "nowhere").stderr
    words = [*toy_report.command("execute", "00_first")[:-1], "huge"]
    done = subprocess.run(words, cwd=root, env=toy_report.environment(root), capture_output=True, text=True)
    assert "PROFILE=huge: no folder params/huge; choose one of smoke" in done.stderr
    assert not (root / "reports").exists()


def test_a_folder_does_not_take_the_report_of_another_of_its_name(tmp_path: Path) -> None:
    root = toy_report.make(tmp_path / "report")
    for place in ("here", "there"):
        (tmp_path / place / "chairs").mkdir(parents=True)
        (tmp_path / place / "chairs" / f"{place}.obj").touch()
    words = "execute", "00_first", "--data"
    assert toy_report.run(root, *words, str(tmp_path / "here" / "chairs")).returncode == 0
    other = toy_report.run(root, *words, str(tmp_path / "there" / "chairs"))
    assert other.returncode == 1 and f"reports/smoke-chairs is of {tmp_path}/here/chairs" in other.stderr
    assert not (root / "reports" / "smoke-chairs" / "00_first" / "failure.json").exists()
    book = toy_report.run(root, "book", "--data", str(tmp_path / "there" / "chairs"))
    assert book.returncode == 1 and book.stderr == other.stderr
    (tmp_path / "here").rename(tmp_path / "moved")
    assert "done in" in toy_report.run(root, *words, str(tmp_path / "there" / "chairs")).stdout
