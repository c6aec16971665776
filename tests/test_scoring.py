"""Tables of scores: distances between clouds against every pair, empty surfaces, and the shape of a summary."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flowsdf.conventions import CAMERA_DISTANCE, Mesh, Surface
from flowsdf.data.artefacts import artefact
from flowsdf.data.files import write_arrays
from flowsdf.data.manifest import Entry, Stage
from flowsdf.geometry import implicit
from flowsdf.geometry.extract import extract
from flowsdf.studies import scoring

RADII = (0.5, 0.8)
EMPTY = Surface(Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64)), np.ones((8, 8, 8), np.float32))


def ball(radius: float) -> Surface:
    return extract(implicit.sphere(radius), 48)


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Path, list[Entry]]:
    """A folder of two balls."""
    done = {"watertight": Stage("done")}
    entries = [
        Entry(i, f"u{i}", f"ball{i}", "cc0", True, "test", f"{i}.obj", "0", "train", done) for i in range(len(RADII))
    ]
    for entry, radius in zip(entries, RADII, strict=True):
        vertices, faces = ball(radius).mesh
        arrays = {"vertices": vertices.astype(np.float32), "faces": faces.astype(np.int32)}
        write_arrays(artefact(tmp_path, "watertight", entry), **arrays)
    return tmp_path, entries


def test_cloud_distances_are_the_means_over_all_pairs():
    rng = np.random.default_rng(0)
    a, b = [rng.random((30, 3)) for _ in range(2)], [rng.random((20, 3)) for _ in range(3)]
    got = scoring.cloud_distances(a, b)
    assert got.shape == (2, 3)
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            gaps = np.linalg.norm(p[:, None] - q, axis=2)
            assert got[i, j] == pytest.approx((gaps.min(1).mean() + gaps.min(0).mean()) / 2)
    np.testing.assert_allclose(scoring.cloud_distances(a, a).diagonal(), 0)


def test_surface_distances_of_balls_and_of_nothing(prepared):
    clouds = scoring.clouds(*prepared, points=2000)
    assert [cloud.shape for cloud in clouds] == [(2000, 3)] * 2
    got = scoring.surface_distances([ball(0.8), EMPTY, ball(0.5)], clouds, points=2000)
    assert got[0, 0] == pytest.approx(0.3, abs=0.01) and got[2, 1] == pytest.approx(0.3, abs=0.01)
    assert got[0, 1] < 0.03 and got[2, 0] < 0.03
    np.testing.assert_allclose(got[1], np.sqrt(3))
    np.testing.assert_allclose(scoring.surface_distances([EMPTY], clouds), np.sqrt(3))


def test_a_perfect_a_wrong_and_an_empty_prediction(prepared):
    folder, entries = prepared
    rows = {
        "floor": scoring.resampled(folder, entries, 48),
        "swapped": [ball(radius) for radius in RADII[::-1]],
        "half": [ball(RADII[0]), EMPTY],
    }
    table = scoring.score_rows(rows, folder, entries, surface_points=20_000, volume_points=8000)
    assert len(table) == 6 and list(table.columns[:4]) == ["row", "shape", "category", "split"]
    assert table.row.tolist() == [name for name in rows for _ in entries]
    assert table["shape"].tolist() == ["obj_0000", "obj_0001"] * 3
    by = table.set_index(["row", "shape"])
    assert by.loc["floor"].iou.min() > 0.97 and by.loc["floor"].f_005.min() == 1
    assert by.loc["floor"].chamfer_l1.min() > 0  # the truth sampled again, not the same sample
    assert by.loc["swapped"].iou.to_numpy() == pytest.approx((RADII[0] / RADII[1]) ** 3, abs=0.03)
    assert by.loc["half"].failed.tolist() == [0, 1] and by.loc[("half", "obj_0001")].iou == 0
    summary = scoring.summary(table)
    assert summary.row.tolist() == list(rows)
    assert summary[["n_in", "n_used", "n_failed"]].to_numpy().tolist() == [[2, 2, 0], [2, 2, 0], [2, 2, 1]]
    tangent = [radius / np.sqrt(1 - (radius / CAMERA_DISTANCE) ** 2) for radius in RADII]  # of a silhouette, as seen
    seen = (tangent[0] / tangent[1]) ** 2
    assert table.view_iou.tolist() == pytest.approx([1, 1, seen, seen, 1, 0], abs=0.02)
    again = scoring.score_rows(rows, folder, entries, surface_points=20_000, volume_points=8000)
    pd.testing.assert_frame_equal(table, again)


def test_a_summary_has_a_mean_and_its_interval_in_every_cell():
    values = np.random.default_rng(0).random((12, len(scoring.SHOWN)))
    table = pd.DataFrame(values, columns=list(scoring.SHOWN)).assign(row=["b"] * 8 + ["a"] * 4, failed=0.0, other=1.0)
    summary = scoring.summary(table)
    assert list(summary.columns) == ["row", "n_in", "n_used", "n_failed", *scoring.SHOWN]
    assert summary.row.tolist() == ["b", "a"] and summary.n_in.tolist() == [8, 4]
    for name in scoring.SHOWN:
        for cell, part in zip(summary[name], (table[name][:8], table[name][8:]), strict=True):
            mean, low, high = (float(text.strip("[],")) for text in cell.split())
            assert mean == pytest.approx(part.mean(), abs=6e-4) and low < mean < high
    by_shape = scoring.summary(table.rename(columns={"row": "category"}), by="category")
    assert by_shape.columns[0] == "category"


def test_a_summary_of_one_shape_claims_no_interval():
    table = pd.DataFrame({name: [0.5] for name in scoring.SHOWN}).assign(row="a", failed=0.0)
    assert scoring.summary(table).iou.tolist() == ["0.500 [nan, nan]"]
