import json
import time

import numpy as np
import pytest
from broken_meshes import prism, write_good

from flowsdf.conventions import Mesh
from flowsdf.data.faults import Failed
from flowsdf.data.manifest import (
    Entry,
    Stage,
    near_duplicates,
    number_shapes,
    read_manifest,
    same_side,
    with_stage,
    write_manifest,
)
from flowsdf.data.sources import RawShape
from flowsdf.geometry.distance import unsigned_distance
from flowsdf.geometry.mesh import concatenate, normalise, sample_surface


def entries(*splits, hashes=None):
    hashes = hashes or [f"hash{i}" for i in range(len(splits))]
    return [
        Entry(i, f"uid{i}", "lamp", "CC0-1.0", True, "test", f"{i}.glb", hashes[i], split, {})
        for i, split in enumerate(splits)
    ]


def sampled(mesh, seed):
    return sample_surface(mesh, 2048, np.random.default_rng(seed)).points


def test_training_shapes_come_first_in_the_order_of_the_source(tmp_path):
    path = write_good(tmp_path, 1)[0]
    splits = ["special", "train", "held_out_shape", "train"]
    shapes = [RawShape(f"u{i}", "lamp", "by-nc", "test", path, split) for i, split in enumerate(splits)]
    numbered = number_shapes(shapes)
    assert [entry.uid for entry in numbered] == ["u1", "u3", "u0", "u2"]
    assert [entry.name for entry in numbered][:2] == ["obj_0000", "obj_0001"]
    assert not numbered[0].redistributable and len(numbered[0].sha256) == 64


def test_the_manifest_comes_back_and_names_both_ways(tmp_path):
    written = entries("train", "held_out_shape")
    written[1] = with_stage(written[1], "watertight", Stage("rejected", "nan", "line <b>\N{SKULL}", 1.5, "abc"))
    write_manifest(tmp_path / "manifest.json", written)
    assert read_manifest(tmp_path / "manifest.json") == written
    tree = json.loads((tmp_path / "manifest.json").read_text())
    assert tree["uid"]["obj_0001"] == "uid1" and tree["obj_idx"]["uid1"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"shapes": [{"index": 0}]}', "{"])
def test_a_wrong_manifest_is_one_line(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(Failed, match="make chapter CH=00_data FORCE=1"):
        read_manifest(tmp_path / "manifest.json")


def test_two_shapes_cannot_have_one_uid(tmp_path):
    with pytest.raises(Failed, match="one uid"):
        write_manifest(tmp_path / "manifest.json", [entries("train")[0]] * 2)


def test_groups_stay_on_one_side():
    before = entries("train", "held_out_shape", "held_out_category", "held_out_shape", "special", "held_out_category")
    after = same_side(before, [(2, 1), (0, 1), (4, 5)])
    assert [entry.split for entry in after] == ["train", "train", "train", "held_out_shape", "special", "special"]
    equal = same_side(entries("train", "held_out_shape", "held_out_shape", hashes=["a", "b", "a"]), [])
    assert [entry.split for entry in equal] == ["train", "held_out_shape", "train"]


def test_a_category_of_which_a_look_alike_is_trained_on_is_no_longer_held_out():
    before = entries("train", "held_out_category", "held_out_category", "held_out_category", "special")
    categories = ("table", "desk", "desk", "bed", "desk")
    named = [entry._replace(category=name) for entry, name in zip(before, categories, strict=True)]
    after = [entry.split for entry in same_side(named, [(0, 1)])]
    assert after == ["train", "train", "held_out_shape", "held_out_category", "special"]


def test_near_duplicates_are_pairs_of_surfaces_closer_than_a_hundredth():
    shapes = [normalise(prism(sides, height))[0] for sides, height in ((64, 1.0), (60, 1.0), (3, 1.0), (64, 2.0))]
    shifted = Mesh(shapes[0].vertices + [0, 0.012, 0], shapes[0].faces)  # its caps moved, not its side
    far = Mesh(shapes[0].vertices + [0, 0.026, 0], shapes[0].faces)
    shapes += [shifted, far]
    points = np.stack([sampled(mesh, seed) for seed, mesh in enumerate(shapes)])
    assert near_duplicates(points, shapes.__getitem__) == [(0, 1), (0, 4), (1, 4), (4, 5)]


def test_a_small_part_that_moved_far_is_no_difference():
    body, part = (normalise(prism(40, height))[0] for height in (1.0, 0.5))
    turned = [
        concatenate([Mesh(body.vertices / 2, body.faces), Mesh(part.vertices * 0.04 + way, part.faces)])
        for way in ([0, 0.9, 0], [0, -0.9, 0], [0.9, 0, 0])
    ]
    points = np.stack([sampled(mesh, seed) for seed, mesh in enumerate(turned)])
    assert near_duplicates(points, turned.__getitem__) == [(0, 1), (0, 2), (1, 2)]


def test_pairs_are_those_of_every_pair_held_against_the_other():
    rng = np.random.default_rng(1)
    raw = [prism(int(sides), 0.5 + rng.random()) for sides in rng.integers(3, 30, 40)]
    shapes = [normalise(mesh)[0] for mesh in raw]
    points = np.stack([sampled(mesh, seed) for seed, mesh in enumerate(shapes)])
    apart = np.array([[unsigned_distance(p, mesh).mean() for mesh in shapes] for p in points])
    near = np.argwhere(np.triu(apart + apart.T < 0.02, 1))
    assert len(near) > 5 and near_duplicates(points, shapes.__getitem__) == [(i, j) for i, j in near.tolist()]


def test_a_thousand_shapes_are_compared_in_seconds():
    rng = np.random.default_rng(0)
    shapes = [prism(3 + i % 30, 0.5 + 2 * rng.random()) for i in range(1000)]
    meshes = [normalise(Mesh(mesh.vertices * rng.uniform(0.3, 1, 3), mesh.faces))[0] for mesh in shapes]
    points = np.stack([sampled(mesh, i) for i, mesh in enumerate(meshes)])
    start = time.process_time()  # not of what else the machine does
    near_duplicates(points, meshes.__getitem__)
    assert time.process_time() - start < 20
