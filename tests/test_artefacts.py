"""Files of a shape: written whole, read back as they were, and refused in one line when they are not."""

import hashlib
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowsdf.data import artefacts
from flowsdf.data.faults import Failed
from flowsdf.data.files import read_arrays, sha256_of, write_arrays, write_whole
from flowsdf.data.manifest import Entry, Stage, write_manifest

DONE = Stage("done")


def entry(index: int, split: str = "train", **stages: Stage) -> Entry:
    return Entry(index, f"u{index}", "box", "cc0", True, "test", f"{index}.obj", "0" * 64, split, stages)


def npz(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def refused(path: Path, match: str, **dtypes: type) -> None:
    with pytest.raises(Failed, match=match) as failed:
        read_arrays(path, **(dtypes or {"x": np.float32}))
    assert str(path) in str(failed.value) and "\n" not in str(failed.value)


def test_arrays_come_back_as_they_were(tmp_path):
    x, n, scalar = np.arange(12, dtype=np.float32).reshape(3, 4), np.zeros((0, 3), np.int32), np.float64(0.3)
    write_arrays(tmp_path / "new" / "a.npz", x=x, n=n, scalar=scalar)
    back = read_arrays(tmp_path / "new" / "a.npz", x=np.float32, n=np.int32, scalar=np.float64)
    for name, value in {"x": x, "n": n, "scalar": scalar}.items():
        np.testing.assert_array_equal(back[name], value)
        assert back[name].dtype == value.dtype and back[name].shape == value.shape
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.npz"]


def test_a_pickle_is_never_read(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    np.savez(tmp_path / "a.npz", x=np.array([Bomb()], dtype=object), allow_pickle=True)
    refused(tmp_path / "a.npz", "x is object")
    assert not (tmp_path / "exploded").exists()


def test_a_missing_key_or_file_and_a_wrong_type_are_named(tmp_path):
    write_arrays(tmp_path / "a.npz", x=np.zeros(3))
    refused(tmp_path / "a.npz", "x is float64, not float32")
    refused(tmp_path / "a.npz", "'y.npy'", y=np.float32)
    refused(tmp_path / "absent.npz", "No such file")


def test_fortran_order_is_refused(tmp_path):
    write_arrays(tmp_path / "a.npz", x=np.asfortranarray(np.zeros((3, 4), np.float32)))
    refused(tmp_path / "a.npz", "x is float32")


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(1000000, 1000000)", "(100, 3)"])
def test_a_header_that_claims_more_than_there_is(tmp_path, shape):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    refused(npz(tmp_path / "a.npz", x=npy(header, b"\0" * 44)), "x claims")


@pytest.mark.parametrize(
    "content",
    [b"", b"no array", npy("{'descr': '<f4'"), npy("__import__('os').getcwd()"), npy("{'shape': (2,)}")],
)
def test_what_is_no_array(tmp_path, content):
    refused(npz(tmp_path / "a.npz", x=content), "a.npz")


def test_a_truncated_or_altered_file_at_any_length(tmp_path):
    path = tmp_path / "a.npz"
    write_arrays(path, x=np.random.default_rng(0).random(64).astype(np.float32))
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        refused(path, "make chapter CH=00_data FORCE=1")
    flipped = bytearray(whole)
    flipped[200] ^= 1
    path.write_bytes(flipped)
    refused(path, "make chapter CH=00_data FORCE=1")


def test_a_directory_that_lies_about_a_members_size(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (100000,), }"
    path = npz(tmp_path / "a.npz", x=npy(header))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 20 : at + 28] = struct.pack("<II", 500_000, 500_000)
    path.write_bytes(data)
    refused(path, "a.npz")


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", b"old")

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a", b"newer")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old"}
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"old").hexdigest()


def test_a_mesh_and_its_samples_come_back(tmp_path):
    shapes = [entry(0), entry(1)]
    vertices, faces = np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32)
    rng = np.random.default_rng(0)
    points, sdf = rng.random((2, 8, 3)).astype(np.float32), rng.random((2, 8)).astype(np.float32)
    features = rng.random((2, 4, 5)).astype(np.float32)
    for shape, p, s, f in zip(shapes, points, sdf, features, strict=True):
        write_arrays(artefacts.artefact(tmp_path, "watertight", shape), vertices=vertices, faces=faces)
        write_arrays(artefacts.artefact(tmp_path, "sdf", shape), points=p, sdf=s)
        write_arrays(artefacts.artefact(tmp_path, "features", shape), features=f)
    mesh = artefacts.read_mesh_artefact(tmp_path, shapes[0])
    assert mesh.vertices.dtype == np.float64 and mesh.faces.dtype == np.int64
    np.testing.assert_array_equal(mesh.vertices, vertices)
    for ours, theirs in zip(artefacts.read_samples(tmp_path, shapes[::-1]), (points, sdf), strict=True):
        np.testing.assert_array_equal(ours, theirs[::-1])
    np.testing.assert_array_equal(artefacts.read_features(tmp_path, shapes), features)
    assert artefacts.artefact(tmp_path, "sdf", shapes[1]) == tmp_path / "sdf" / "obj_0001.npz"


def test_images_come_back_row_by_row_from_their_sheet(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    rows = [np.concatenate(images[start : start + 3], axis=1) for start in (0, 3)]
    path = artefacts.artefact(tmp_path, "views", entry(0))
    path.parent.mkdir()
    Image.fromarray(np.concatenate(rows)).save(path)
    np.testing.assert_array_equal(artefacts.read_images(tmp_path, entry(0), size=8), images)


@pytest.mark.parametrize("kept", [0, 20, 600])
def test_a_broken_sheet_is_one_line(tmp_path, kept):
    path = artefacts.artefact(tmp_path, "views", entry(0))
    path.parent.mkdir()
    sheet = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(sheet, format="PNG")
    path.write_bytes(sheet.getvalue()[:kept])
    with pytest.raises(Failed, match="obj_0000.png"):
        artefacts.read_images(tmp_path, entry(0), size=8)


def test_usable_shapes_came_through_every_stage(tmp_path):
    all_four = dict.fromkeys(("watertight", "sdf", "views", "features"), DONE)
    rejected = {**all_four, "sdf": Stage("rejected", "bad_sdf", "why")}
    without = dict.fromkeys(("watertight", "sdf", "views"), DONE)
    listed = [entry(0, **all_four), entry(1, **rejected), entry(2, **without), entry(3, "held_out_shape", **all_four)]
    write_manifest(tmp_path / "manifest.json", listed)
    assert [e.index for e in artefacts.usable_shapes(tmp_path)] == [0, 3]
    assert [e.index for e in artefacts.usable_shapes(tmp_path, "train")] == [0]
    assert json.loads((tmp_path / "manifest.json").read_text())["obj_idx"]["u3"] == 3
