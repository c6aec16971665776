"""Fits by content: what is computed again, and what is not."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from flowsdf import fingerprint as sources
from flowsdf.data.faults import Failed
from flowsdf.studies import deepsdf
from flowsdf.train import checkpoint, fits

CALLS: list[dict] = []


def study(*data: object, folder: Path, rate: float, steps: int) -> tuple[dict[str, torch.Tensor], dict]:
    CALLS.append({"data": data, "rate": rate, "steps": steps, "resumed": folder.exists()})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoint").touch()
    if rate < 0:
        raise Failed("diverged")
    return {"w": torch.full((3,), rate * steps)}, {"loss": 0.5}


study.__module__ = "flowsdf.models.deepsdf"
PARAMETERS, INPUTS = {"rate": 0.5, "steps": 4}, {"samples": "abc"}
DECODER = {"width": 16, "depth": 4, "shapes_per_step": 2, "points_per_step": 20, "seed": 0, "ema": 0.5}
DECODER |= {"decoder_rate": 1e-3, "latent_rate": 1e-3}


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def fit(store: Path, parameters: dict = PARAMETERS, inputs: dict = INPUTS) -> fits.Fit:
    return fits.fit(study, "data", store=store, name="toy", parameters=parameters, inputs=inputs)


def test_a_fit_runs_once(tmp_path: Path) -> None:
    first, second = fit(tmp_path), fit(tmp_path)
    assert CALLS == [{"data": ("data",), "rate": 0.5, "steps": 4, "resumed": False}]
    assert torch.equal(first.tensors["w"], torch.full((3,), 2.0))
    assert torch.equal(first.tensors["w"], second.tensors["w"])
    assert first.facts == second.facts
    assert first.facts["loss"] == 0.5
    assert first.facts["seconds"] >= 0
    assert first.facts["peak_bytes"] > 1e7
    assert (first.facts["parameters"], first.facts["inputs"]) == (PARAMETERS, INPUTS)
    (place,) = tmp_path.iterdir()
    assert place.name == f"toy-{first.facts['fingerprint'][:12]}"
    assert sorted(p.name for p in place.iterdir()) == [".lock", "result.json", "result.safetensors"]


@pytest.mark.parametrize("change", [{"parameters": {"rate": 0.5, "steps": 5}}, {"inputs": {"samples": "abd"}}])
def test_another_parameter_or_input_is_another_fit(tmp_path: Path, change: dict) -> None:
    fit(tmp_path)
    fit(tmp_path, **change)
    assert len(CALLS) == len(list(tmp_path.iterdir())) == 2


def test_changed_source_is_another_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(tmp_path)
    monkeypatch.setattr(fits, "source_fingerprint", lambda *modules: "changed")
    fit(tmp_path)
    assert len(CALLS) == 2


def test_a_broken_result_is_made_again(tmp_path: Path) -> None:
    fit(tmp_path)
    (path,) = tmp_path.glob("*/result.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="fitting again"):
        assert torch.equal(fit(tmp_path).tensors["w"], torch.full((3,), 2.0))
    assert len(CALLS) == 2


def test_fits_side_by_side_are_those_of_one_after_another(tmp_path: Path) -> None:
    points, sdf = torch.rand(2, 50, 3) - 0.5, torch.rand(2, 50) - 0.5
    data = {"short": (3, (points, sdf)), "long": (5, (points[:1], sdf[:1]))}
    jobs = {
        name: fits.Job(deepsdf.fit_decoder, given, DECODER | {"steps": steps}, {})
        for name, (steps, given) in data.items()
    }
    found = fits.fit_all(jobs, store=tmp_path / "workers")
    assert not list((tmp_path / "workers").glob("*/data"))
    assert list(found) == ["short", "long"] and [len(fit.facts["curve"]) for fit in found.values()] == [3, 5]
    for name, job in jobs.items():
        named = {"name": name, "parameters": job.parameters, "inputs": job.inputs}
        here = fits.fit(deepsdf.fit_decoder, *job.data, store=tmp_path / "here", **named)
        torch.testing.assert_close(found[name].tensors, here.tensors, rtol=1e-3, atol=1e-5)
    again = fits.fit_all(jobs, store=tmp_path / "workers")
    assert [fit.facts for fit in again.values()] == [fit.facts for fit in found.values()]


def job_of(value: float) -> fits.Job:
    data = torch.full((2, 50, 3), value), torch.full((2, 50), value)
    return fits.Job(deepsdf.fit_decoder, data, DECODER | {"steps": 3}, {"points": str(value)})


def test_two_runs_with_other_data_in_one_store_have_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filed, others = {}, [job_of(2.0)]

    def meanwhile(function, tasks, *, label, workers):
        if others:  # another run begins and ends before these workers have read their data
            fits.fit_all({"few": others.pop()}, store=tmp_path)
        filed[float(torch.load(tasks[0][0].data[0]).mean())] = tasks[0][0].data[0]

    monkeypatch.setattr(fits, "map_tasks", meanwhile)
    monkeypatch.setattr(fits, "fit", lambda *data, **named: fits.Fit({}, {}))
    fits.fit_all({"few": job_of(1.0)}, store=tmp_path)
    assert sorted(filed) == [1.0, 2.0] and len(set(filed.values())) == 2
    assert all(torch.load(path).eq(value).all() for value, path in filed.items())


def test_with_one_of_three_workers_killed_the_fits_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    data = torch.rand(2, 50, 3) - 0.5, torch.rand(2, 50) - 0.5
    job = fits.Job(deepsdf.fit_decoder, data, DECODER | {"steps": 700}, {})
    jobs = dict.fromkeys("abc", job)
    victims: list[int] = []

    def kill_one() -> None:
        until = time.monotonic() + 60
        while not list(tmp_path.glob("workers/*/checkpoints/*.json")) and time.monotonic() < until:
            time.sleep(0.01)
        victims.append(multiprocessing.active_children()[0].pid)
        os.kill(victims[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    found = fits.fit_all(jobs, store=tmp_path / "workers")
    killer.join(timeout=60)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = fits.fit(job.study, *data, store=tmp_path / "here", name="whole", parameters=job.parameters, inputs={})
    finally:
        torch.set_num_threads(threads)
    for one in found.values():
        assert all(torch.equal(tensor, one.tensors[key]) for key, tensor in whole.tensors.items())
        losses = [[(step, loss) for step, _, loss in fit.facts["curve"]] for fit in (whole, one)]
        assert losses[0] == losses[1]
    assert len(victims) == 1 and not (tmp_path / "workers" / "data").exists()


def test_one_of_several_fits_fails_by_its_name(tmp_path: Path) -> None:
    data = torch.full((2, 50, 3), float("nan")), torch.zeros(2, 50)
    with pytest.raises(Failed, match="broken: training diverged"):
        fits.fit_all({"broken": fits.Job(deepsdf.fit_decoder, data, DECODER | {"steps": 3}, {})}, store=tmp_path)
    assert [path.name[:6] for path in tmp_path.iterdir()] == ["broken"]


def test_a_failed_fit_keeps_its_checkpoints_for_the_next(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(Failed, match="diverged"):
            fit(tmp_path, {"rate": -1.0, "steps": 1})
    assert [call["resumed"] for call in CALLS] == [False, True]


def test_the_second_at_once_is_refused(tmp_path: Path) -> None:
    place = tmp_path / f"toy-{fits.fingerprint(PARAMETERS, INPUTS, [study.__module__])[:12]}"
    with checkpoint.locked(place), pytest.raises(Failed, match="another run"):
        fit(tmp_path)


def test_a_study_whose_source_is_out_of_sight_is_refused(tmp_path: Path) -> None:
    def notebook_cell(folder: Path) -> None: ...

    with pytest.raises(Failed, match="must be a function of flowsdf"):
        fits.fit(notebook_cell, store=tmp_path, name="x", parameters={}, inputs={})


@pytest.mark.parametrize("value", [float("nan"), Path("x"), torch.ones(1)])
def test_parameters_are_plain_numbers_and_names(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        fits.fingerprint({"rate": value}, {}, ["flowsdf.models.deepsdf"])


def test_prose_and_plots_do_not_change_the_source_but_code_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "flowsdf"
    for floor in ("models", "report"):
        (package / floor).mkdir(parents=True)
    monkeypatch.setattr(sources, "PACKAGE", package)

    def hashed(net: str, below: str = "X = 1", plot: str = "") -> str:
        (package / "models" / "net.py").write_text(net)
        (package / "models" / "below.py").write_text(below)
        (package / "report" / "plots.py").write_text(plot)
        sources.source_fingerprint.cache_clear()
        sources._read.cache_clear()
        return sources.source_fingerprint("flowsdf.models.net")

    head = "from flowsdf.models import below\nfrom flowsdf.report.plots import draw\n"
    first = hashed(head + "def f():\n    return below.X\n")
    assert hashed(f'"""New prose."""\n{head}def f():\n    "Says more."\n    return (below.X)  # a comment\n') == first
    assert hashed(head + "def f():\n    return below.X\n", plot="def draw(): return 3") == first
    assert hashed(head + "def f():\n    return below.X + 1\n") != first
    assert hashed(head + "def f():\n    return below.X\n", below="X = 2") != first
