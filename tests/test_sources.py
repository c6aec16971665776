import csv
import json
import sys
import types
import urllib.error
from collections import Counter

import pytest
from broken_meshes import prism, scene, write_good

from flowsdf.data import sources
from flowsdf.data.faults import Failed, Rejected
from flowsdf.data.limited import read_limited
from flowsdf.data.mesh_io import write_mesh
from flowsdf.data.sources import (
    RawShape,
    folder_source,
    objaverse_source,
    procedural_source,
    redistributable,
    split_shapes,
)

SPLITS = ["train"] * 3 + ["held_out_shape"] * 2 + ["held_out_category"] + ["special"] * 3


def listed(folder, text):
    (folder / "manifest.csv").write_text(text)
    return folder_source(folder)


def raw(uid, category):
    return RawShape(uid, category, "CC0-1.0", "test", None, None)


def test_procedural_shapes_are_written_once_and_read(tmp_path):
    counts = {"training": 3, "held_out": 2, "held_out_categories": 1, "specials": True}
    shapes = procedural_source(tmp_path, **counts)
    assert [shape.split for shape in shapes] == SPLITS
    assert len({shape.uid for shape in shapes}) == 9 and shapes[0].category == "coffee_table"
    stamps = [shape.path.stat().st_mtime_ns for shape in shapes]
    assert procedural_source(tmp_path, **counts) == shapes
    assert [shape.path.stat().st_mtime_ns for shape in shapes] == stamps
    assert all(len(read_limited(shape.path, tmp_path).faces) for shape in shapes)


def test_a_folder_without_a_listing(tmp_path):
    (tmp_path / "chair").mkdir()
    paths = write_good(tmp_path / "chair", 2) + write_good(tmp_path, 1)
    shapes = folder_source(tmp_path)
    assert {shape.path for shape in shapes} == set(paths)
    assert [shape.category for shape in shapes if shape.path.parent != tmp_path] == ["chair"] * 2
    assert all(shape.licence == "unknown" and shape.split == "train" for shape in shapes)


def test_ids_are_hashes_of_the_content_whatever_the_name(tmp_path):
    for name in ("plain.obj", "<script>alert(1)</script\n>.obj".replace("/", "_"), "\N{SKULL}" * 20 + ".obj"):
        write_mesh(tmp_path / name, prism(5, 1.0))
    uids = [shape.uid for shape in folder_source(tmp_path)]
    assert len(set(uids)) == 3 and len({uid[:32] for uid in uids}) == 1
    assert all(set(uid) <= set("0123456789abcdef-") for uid in uids)


def test_a_listing_is_used_whole(tmp_path):
    names = [path.name for path in write_good(tmp_path, 2)]
    shapes = listed(
        tmp_path, f"\ufefffile,category,license,source\n{names[0]},lamp,CC0-1.0,me\n{names[1]},vase,by-nc,you\n"
    )
    assert [(s.category, s.licence, s.source) for s in shapes] == [("lamp", "CC0-1.0", "me"), ("vase", "by-nc", "you")]
    assert [redistributable(shape.licence) for shape in shapes] == [True, False]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("file\n../x.glb\n", "outside the folder: '../x.glb'"),
        ("file\n/etc/hostname\n", "outside the folder"),
        ("file\nC:\\x.glb\n", "outside the folder"),
        ("file\na\0.glb\n", "outside the folder"),
        ("file\nlink/x.glb\n", "outside the folder"),
        ("file\nFOLDER/good_000.glb\n", "outside the folder"),
        (f"file\n{'x' * 5000}.glb\n", "not there: 'xxx"),
        ("file\ngood_000.glb\ngood_000.glb\n", "listed twice"),
        ("file\ngood_000.glb\nGOOD_000.glb\n", "differ only in case"),
        ("file\nabsent.glb\n", "not there: 'absent.glb'"),
        ("file,sha256\ngood_000.glb,00ff\n", "differ from their sha256: 'good_000.glb'"),
        ("file,colour\ngood_000.glb,red\n", "not known: 'colour'"),
        ("file,file\ngood_000.glb,x\n", "come twice: 'file'"),
        ("file,license,licence\n", "keep one"),
        ("category\nlamp\n", "no column 'file'"),
        ("file,category\ngood_000.glb\n", "another width"),
        ("", "not a CSV file"),
    ],
)
def test_a_wrong_listing_stops_before_anything_is_read(tmp_path, text, reason):
    folder = tmp_path / "meshes"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    write_good(folder, 1)
    with pytest.raises(Failed) as failed:
        listed(folder, text.replace("FOLDER", str(folder)))
    assert reason in str(failed.value) and "\n" not in str(failed.value)


def test_a_listed_file_of_no_known_kind_is_kept_and_rejected(tmp_path):
    (tmp_path / "notes.txt").write_text("no mesh")
    (shape,) = listed(tmp_path, "file\nnotes.txt\n")
    with pytest.raises(Rejected, match="unsupported"):
        read_limited(shape.path, tmp_path)


def test_no_mesh_and_no_folder_stop(tmp_path):
    (tmp_path / "half.glb.part").write_bytes(b"glTF")
    with pytest.raises(Failed, match="holds no mesh"):
        folder_source(tmp_path)
    with pytest.raises(Failed, match="no such folder"):
        folder_source(tmp_path / "absent")


def test_links_that_leave_the_folder_are_not_opened(tmp_path):
    (tmp_path / "endless.glb").symlink_to("/dev/zero")
    assert len(folder_source(tmp_path)) == 1


def test_splits_hold_out_small_categories_and_a_tenth_of_the_others():
    categories = ["lamp"] * 60 + ["sofa"] * 50 + ["bed"] * 40 + ["rug"] * 6 + ["vase"] * 4 + ["unknown"] * 2
    shapes = split_shapes(raw(f"uid{i}", category) for i, category in enumerate(categories))
    count = Counter(shape.split for shape in shapes)
    assert {s.category for s in shapes if s.split == "held_out_category"} == {"rug", "vase"}
    assert count == {"held_out_category": 10, "held_out_shape": 15, "train": 137}
    assert {s.category for s in shapes if s.split == "held_out_shape"} <= {
        s.category for s in shapes if s.split == "train"
    }
    shuffled = split_shapes(shape._replace(split=None) for shape in shapes[::-1])
    assert sorted(shuffled) == sorted(shapes)


@pytest.mark.parametrize(("count", "held"), [(1, 0), (9, 0), (10, 1), (29, 3)])
def test_few_shapes_are_for_training(count, held):
    shapes = split_shapes(raw(f"uid{i}", f"category {i % 2}") for i in range(count))
    assert Counter(shape.split for shape in shapes)["held_out_shape"] == held


def test_the_last_shape_of_a_category_stays_in_training():
    shapes = split_shapes(raw(f"uid{i}", f"category {i}") for i in range(20))
    assert {shape.split for shape in shapes} == {"train"}


def stand_in(folder, licences, missing=()):
    """The objaverse package as far as it is used here: every uid in one category, GLB files on disk."""

    def load_objects(uids, download_processes=1):
        if set(uids) & set(missing):
            raise urllib.error.HTTPError("address", 404, "Not Found", None, None)
        for uid in uids:
            write_mesh(folder / f"{uid}.glb", prism(3 + len(uid), 1.0))
        return {uid: str(folder / f"{uid}.glb") for uid in uids}

    module = types.ModuleType("objaverse")
    module.load_objects = load_objects
    module.load_lvis_annotations = lambda: {"mug": list(licences)[::2], "vase": list(licences)[1::2]}
    module.load_annotations = lambda uids: {
        uid: {"license": licences[uid], "name": "=1+1", "user": {"displayName": "A, B"}, "viewerUrl": "x"}
        for uid in uids
    }
    return module


def test_a_busy_server_is_asked_again_and_not_taken_for_an_empty_one(monkeypatch):
    asked, waited, codes = [], [], [429, 503]

    def load_objects(uids):
        asked.append(list(uids))
        if codes:
            raise urllib.error.HTTPError("address", codes.pop(0), "busy", None, None)
        return dict.fromkeys(uids, "path")

    monkeypatch.setattr(sources.time, "sleep", waited.append)
    assert sources._fetched(load_objects, ["a", "b"]) == {"a": "path", "b": "path"}
    assert asked == [["a", "b"]] * 3 and waited == [5, 30]  # never halved
    codes[:] = [503] * 9
    with pytest.raises(Failed, match="Objaverse cannot be reached .*503"):
        sources._fetched(load_objects, ["a"])
    assert len(waited) == 5 and len(codes) == 5


def test_a_file_beside_the_meshes_folder_but_in_the_sources_may_be_read(tmp_path):
    document, data = scene()
    document["buffers"][0]["uri"] = "../buffers/x.bin"
    for name in ("gltf", "buffers"):
        (tmp_path / name).mkdir()
    (tmp_path / "buffers" / "x.bin").write_bytes(data)
    (tmp_path / "gltf" / "a.gltf").write_text(json.dumps(document))
    (shape,) = folder_source(tmp_path)
    assert shape.root == tmp_path and len(read_limited(shape.path, shape.root).faces)
    with pytest.raises(Rejected, match="uri"):
        read_limited(shape.path, shape.path.parent)


def test_fewer_are_chosen_evenly_in_the_splits_of_all(tmp_path):
    for number in range(34):
        write_mesh(tmp_path / "abcde"[number % 5] / f"{number:02d}.glb", prism(3 + number, 1.0))
    chosen = folder_source(tmp_path, most=30)
    every = folder_source(tmp_path)
    assert len(every) == 34 and len({shape.split for shape in every}) == 3
    assert chosen == [every[-(-number * 34 // 30)] for number in range(30)]
    assert folder_source(tmp_path, most=40) == every


def test_objaverse_keeps_free_licences_and_counts_what_is_missing(tmp_path, monkeypatch):
    licences = {f"u{i}": ("by", "cc0", "by-nc", "by-sa")[i % 4] for i in range(40)}
    monkeypatch.setitem(sys.modules, "objaverse", stand_in(tmp_path, licences, missing={"u4", "u9"}))
    shapes = objaverse_source(tmp_path / "data", 100)
    assert len(shapes) == 20 and {shape.licence for shape in shapes} == {"by", "cc0"}
    assert sorted(shape.uid for shape in shapes if not shape.path.exists()) == ["u4", "u9"]
    assert [shape.uid for shape in objaverse_source(tmp_path / "data", 5)] == [shape.uid for shape in shapes[:5]]
    rows = list(csv.DictReader((tmp_path / "data" / "attribution.csv").open()))
    assert len(rows) == 5 and rows[0]["author"] == "A, B"
    with pytest.raises(Rejected, match="missing_file"):
        read_limited(next(shape.path for shape in shapes if shape.uid == "u4"), tmp_path)


def test_objaverse_without_package_or_network(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "objaverse", None)
    with pytest.raises(Failed, match="pip install objaverse"):
        objaverse_source(tmp_path, 1)
    module = stand_in(tmp_path, {"u0": "by"})

    def unreachable(uids):
        raise urllib.error.URLError("no route")

    module.load_objects = unreachable
    monkeypatch.setitem(sys.modules, "objaverse", module)
    with pytest.raises(Failed, match="cannot be reached"):
        objaverse_source(tmp_path, 1)
