"""The benchmark: that every comparison runs, and that what they share computes what it says."""

import json
import math

import numpy as np
import pytest

from flowsdf import bench
from flowsdf.conventions import Mesh
from flowsdf.data.faults import Failed
from flowsdf.geometry.mesh import area
from flowsdf.studies import benchmarks, pershape_benchmarks
from flowsdf.studies.benchmarks import Row, in_turn, mesh_gap, with_faces

NAMES = {"sdf", "watertight", "views", "views_rate", "views_steady", "extraction", "extraction_128"}
NAMES |= {"deepsdf_bf16", "deepsdf_step", "predict", "field", "silhouette", "pershape", "latent_fit"}
TRIANGLE = Mesh(np.eye(3), np.array([[0, 1, 2]]))


def test_quick_bench_writes_every_name(tmp_path, capsys) -> None:
    assert bench.main(["--quick", "--out", str(tmp_path / "bench.json")]) == 0
    rows = json.loads((tmp_path / "bench.json").read_text())
    assert set(rows) == NAMES
    for name, row in rows.items():
        assert list(row) == ["ours", "baseline", "unit", "difference", "note", "ratio"], name
        assert all(math.isfinite(row[part]) for part in ("ours", "baseline", "ratio", "difference"))
        assert row["ratio"] > 0 and row["note"] and name in capsys.readouterr().out + name
    exact = {"watertight", "views", "views_rate", "views_steady", "field"}
    assert {name for name in exact if rows[name]["difference"] > 1e-5} == set()
    steep = {"extraction", "extraction_128"}  # of a decoder hardly trained, steeper here and there than is trusted
    assert {name for name in steep if rows[name]["difference"] > 0.01} == set()
    assert json.loads((tmp_path / "run.json").read_text())["versions"]
    assert (tmp_path / "README.md").read_text().count("\n| ") == len(NAMES) + 1


def test_only_known_names(capsys) -> None:
    rows = bench.measure({"one": lambda: Row(1.0, 2.0, "s", 0.0, "a note"), "two": lambda: pytest.fail()}, ["one"])
    assert rows["one"].ratio == 2 and "a note" in capsys.readouterr().out
    with pytest.raises(Failed, match="three: choose from one"):
        bench.measure({"one": lambda: pytest.fail()}, ["three"])
    with pytest.raises(Failed, match="one: a result is not finite"):
        bench.measure({"one": lambda: Row(1.0, 2.0, "s", math.nan, "")}, [])


def test_ratio_follows_the_unit() -> None:
    assert Row(2.0, 10.0, "s", 0, "").ratio == 5
    assert Row(10.0, 2.0, benchmarks.PER_SECOND, 0, "").ratio == 5


def test_in_turn_alternates() -> None:
    order: list[str] = []
    ours, baseline, first, second = in_turn(lambda: order.append("a"), lambda: order.append("b") or 7, rounds=3)
    assert order == ["a", "b"] * 3 and (first, second) == (None, 7)
    assert 0 <= ours < 1 and 0 <= baseline < 1


def test_with_faces_keeps_the_surface() -> None:
    for count in (1, 2, 7, 100):
        finer = with_faces(TRIANGLE, count)
        assert len(finer.faces) == count
        assert area(finer) == pytest.approx(area(TRIANGLE))


def test_mesh_gap() -> None:
    moved = Mesh(TRIANGLE.vertices + 0.25, TRIANGLE.faces)
    gap, note = mesh_gap([(TRIANGLE, TRIANGLE), (TRIANGLE, moved)], "")
    assert gap == 0.25 and note == "faces equal in 2 of 2"
    lifted = with_faces(Mesh(TRIANGLE.vertices + np.full(3, 0.1), TRIANGLE.faces), 2)
    gap, note = mesh_gap([(TRIANGLE, lifted)], "")
    assert gap == pytest.approx(0.1 * np.sqrt(3)) and note == "faces equal in 0 of 1"
    with pytest.raises(Failed, match="empty"):
        mesh_gap([(TRIANGLE, Mesh(np.zeros((0, 3)), np.zeros((0, 3), int)))], "")


def test_decoders_trained_together_are_those_trained_alone() -> None:
    problem = pershape_benchmarks.balls(4, 16, 3)
    together, alone = (run(problem, None) for run in (pershape_benchmarks.trained, pershape_benchmarks.one_by_one))
    np.testing.assert_allclose(together, alone, rtol=1e-4)
