"""What 00_data measures: yields, rejections, the closing, the cross-checks and the features."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from broken_meshes import write_good
from PIL import Image

from flowsdf.data import procedural
from flowsdf.data.artefacts import artefact
from flowsdf.data.faults import Failed
from flowsdf.data.files import write_arrays
from flowsdf.data.manifest import Entry, Stage
from flowsdf.data.sdf import exact_sdf, sample_points
from flowsdf.geometry.extract import extract
from flowsdf.geometry.mesh import normalise
from flowsdf.studies import dataset


def entry(index: int, uid: str = "", category: str = "box", **stages: Stage) -> Entry:
    return Entry(index, uid or f"u{index}", category, "cc0", True, "test", f"in/{index}.obj", "0", "train", stages)


def done(seconds: float) -> Stage:
    return Stage("done", seconds=seconds)


def rejected(code: str) -> Stage:
    return Stage("rejected", code, f"because of {code}", seconds=9.0)


ENTRIES = [
    entry(0, watertight=done(1.0), sdf=done(0.5), views=done(2.0), features=done(0.1)),
    entry(1, watertight=done(3.0), sdf=rejected("bad_sdf")),
    entry(2, watertight=rejected("empty")),
]


def test_rejections_name_shape_file_stage_and_reason():
    table = dataset.rejections(ENTRIES)
    assert table.to_numpy().tolist() == [
        ["obj_0001", "1.obj", "sdf", "bad_sdf", "because of bad_sdf"],
        ["obj_0002", "2.obj", "watertight", "empty", "because of empty"],
    ]
    assert list(dataset.rejections(ENTRIES[:1]).columns) == ["shape", "file", "stage", "code", "reason"]
    assert dataset.rejections(ENTRIES[:1]).empty


def test_the_stage_table_counts_in_done_and_rejected(tmp_path: Path):
    (tmp_path / "sdf").mkdir()
    (tmp_path / "sdf" / "obj_0000.npz").write_bytes(b"x" * 3_000_000)
    (tmp_path / "sdf" / "obj_0001.npz.part").write_bytes(b"x" * 1000)  # left by a run that was killed
    (tmp_path / "sdf" / "obj_0007.npz").write_bytes(b"x" * 1000)  # and by one of more shapes
    table = dataset.stage_table(ENTRIES, tmp_path).set_index("stage")
    counts = table[["n_in", "n_done", "n_rejected"]].to_numpy().tolist()
    assert counts == [[3, 2, 1], [2, 1, 1], [1, 1, 0], [1, 1, 0]]
    assert table["seconds a shape"].tolist() == [2.0, 0.5, 2.0, 0.1]  # of those done
    assert table["megabytes"].tolist() == [0, 3.0, 0, 0]
    empty = dataset.stage_table(ENTRIES[2:], tmp_path).set_index("stage")
    assert np.isnan(empty.loc["watertight", "seconds a shape"]) and empty.loc["sdf", "n_in"] == 0


def test_the_nearest_training_view_gives_its_category():
    gallery = np.array([[1.0, 0, 0], [0, 2, 0], [0, 0, 0.1]])
    features = np.array([[0.1, 3, 0], [5, 1, 1], [0, 0.1, 0.2]])
    assert dataset.nearest_categories(features, gallery, ["chair", "lamp", "mug"]) == ["lamp", "chair", "mug"]


def test_pixel_features_are_block_means_without_their_mean(tmp_path: Path):
    images = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), np.uint8)
    sheet = np.concatenate([np.concatenate(images[:2], axis=1), np.concatenate(images[2:], axis=1)])
    path = artefact(tmp_path, "views", ENTRIES[0])
    path.parent.mkdir()
    Image.fromarray(sheet).save(path)
    got = dataset.pixel_features(tmp_path, ENTRIES[:1], [3, 0])
    assert got.shape == (1, 2, 28 * 28 * 3)
    np.testing.assert_allclose(got.mean(-1), 0, atol=1e-9)
    block = images[3][8:16, 16:24, 1].mean() - images[3].mean()
    assert got[0, 0].reshape(28, 28, 3)[1, 2, 1] == pytest.approx(block)


@pytest.fixture
def prepared(tmp_path: Path) -> tuple[Path, list[Entry]]:
    """A folder of one built-in shape as the pipeline leaves it, cut from its exact distance."""
    shape = procedural.special("tunnel")
    raw, centre, scale = normalise(procedural.clean_mesh(shape))
    closed = extract(lambda points: procedural.distance(shape, points * scale + centre) / scale, 96).mesh
    one = entry(0, shape.uid, shape.category, watertight=done(1.0))
    write_arrays(
        artefact(tmp_path, "watertight", one),
        vertices=closed.vertices.astype(np.float32),
        faces=closed.faces.astype(np.int32),
        centre=centre,
        scale=np.array(scale),
        input_faces=np.array(len(raw.faces)),
        **{name: np.array(value) for name, value in zip(dataset.MEASURES, (0.25, 0.99, 0.5), strict=True)},
    )
    points = sample_points(closed, 16_000, np.random.default_rng(0))
    write_arrays(artefact(tmp_path, "sdf", one), points=points, sdf=exact_sdf(points, closed))
    return tmp_path, [one]


def test_the_closing_table_repeats_what_was_measured(prepared):
    folder, entries = prepared
    (row,) = dataset.closing_table(entries, folder).to_dict("records")
    assert (row["sheet_share"], row["kept_share"], row["leak_share"]) == (0.25, 0.99, 0.5)
    assert row["shape"] == "obj_0000" and row["category"] == "tunnel" and row["faces_out"] > row["faces_in"] > 100
    assert (row["pieces"], row["cavities"]) == (1, 0)


def test_what_a_closing_comes_to_is_counted():
    columns = ["kept_share", "leak_share", "sheet_share", "pieces", "cavities"]
    lines = [(1.0, 0.0, 0.0, 1, 0), (0.97, 0.2, 0.02, 2, 1), (0.99, 0.05, 0.005, 1, 3), (0.99, 0.0, 0.0, 1, 0)]
    assert dataset.closing_counts(pd.DataFrame(lines, columns=columns)) == {
        "closing_kept_98_share": 0.75,
        "closing_leaks": 1,
        "closing_sheets": 1,
        "closing_cavities": 2,
        "closing_one_piece_share": 0.75,
    }


def test_an_exact_shape_has_no_error_and_a_shrunk_one_has(prepared):
    folder, entries = prepared
    (row,) = dataset.exact_check(entries, folder).to_dict("records")
    assert row["surface error (voxels)"] < 0.15 and row["sign error"] < 0.01
    assert row["volume ratio"] == pytest.approx(1, abs=0.2)  # a thin wall, 2,000 points of it looked at
    points = sample_points(procedural.primitive("sphere").parts[0].mesh(), 4000, np.random.default_rng(0))
    write_arrays(artefact(folder, "sdf", entries[0]), points=points, sdf=np.ones(4000, np.float32))
    (row,) = dataset.exact_check(entries, folder).to_dict("records")
    assert row["sign error"] > 0.02


def test_both_backends_see_the_same_points(prepared, monkeypatch):
    folder, entries = prepared
    library = SimpleNamespace(get_surface_point_cloud=lambda mesh, scan_count: scan_count)
    stand_in = SimpleNamespace(mesh_to_sdf=library)
    stand_in.reference_sdf = lambda points, mesh: library.get_surface_point_cloud(mesh) * 1e-4 + exact_sdf(points, mesh)
    monkeypatch.setitem(sys.modules, "flowsdf.data.reference_sdf", stand_in)
    pairs = dataset._both_backends((folder, entries[0], 300, 10))
    assert pairs.shape == (300, 2) and pairs.dtype == np.float32
    np.testing.assert_allclose(pairs[:, 1] - pairs[:, 0], 1e-3, atol=1e-6)


def test_mesh_to_sdf_agrees(prepared):
    """The library itself, in its own process, with a fifth of its scans."""
    folder, entries = prepared
    tensors, _ = dataset.compare_backends([(folder, entries[0], 300)], scans=20)
    (row,) = dataset.agreement(tensors["pairs"].numpy(), ["tunnel"]).to_dict("records")
    assert 0 < row["median gap"] < 1.5e-3
    assert row["wrong signs elsewhere"] < 0.05


def test_agreement_splits_wrong_signs_by_distance():
    ours = np.array([0.001, -0.002, 0.1, -0.2, 0.3, 0.4])
    theirs = np.array([-0.001, -0.002, -0.1, -0.2, 0.301, 0.402])
    table = dataset.agreement(np.stack([np.stack([ours, theirs], 1)] * 2), ["a", "b"])
    assert table["shape"].tolist() == ["a", "b"]
    assert table["wrong signs near"].tolist() == [0.5, 0.5]
    assert table["wrong signs elsewhere"].tolist() == [0.25, 0.25]
    np.testing.assert_allclose(table["median gap"], 0, atol=1e-9)


def test_a_source_is_opened_whole_or_thinned_evenly(tmp_path: Path):
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    write_good(meshes, 11)
    counts = {"training": 2, "held_out": 1, "held_out_categories": 1}
    assert len(dataset.open_source(str(meshes), tmp_path, **counts, most=0)) == 11
    few = dataset.open_source(str(meshes), tmp_path, **counts, most=4)
    assert [shape.path.name[:8] for shape in few] == ["good_000", "good_003", "good_006", "good_009"]
    built_in = dataset.open_source("procedural", tmp_path, **counts, most=1)
    assert [shape.split for shape in built_in] == ["train"] * 2 + ["held_out_shape", "held_out_category"] + [
        "special"
    ] * 3
    with pytest.raises(Failed, match="no such folder"):
        dataset.open_source(str(tmp_path / "absent"), tmp_path, **counts, most=0)
