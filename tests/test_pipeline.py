"""All shapes through the stages: what is rejected is listed, what is there is kept, what changed is made again."""

import functools
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from broken_meshes import CORNERS, broken_bytes, gltf, prism, scene, write_broken, write_good
from transformers import Dinov2Config, Dinov2Model

from flowsdf import fingerprint
from flowsdf.conventions import Mesh
from flowsdf.data import pipeline, stages, views
from flowsdf.data.artefacts import artefact, read_features, read_images, read_mesh_artefact, read_samples, usable_shapes
from flowsdf.data.executor import _guarded
from flowsdf.data.faults import Failed, Rejected
from flowsdf.data.manifest import Entry, Stage, read_manifest
from flowsdf.data.mesh_io import read_mesh, write_mesh
from flowsdf.data.pipeline import add_features, prepare, usable
from flowsdf.data.sdf import check_sdf
from flowsdf.data.sources import RawShape, folder_source
from flowsdf.geometry import watertight
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.geometry.distance import signed_distance
from flowsdf.geometry.mesh import is_watertight

STAGES = ("watertight", "sdf", "views")


@pytest.fixture(autouse=True)
def _exact_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDF_BACKEND", raising=False)


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages in this process, coarse and of few views; gives the names of the shapes worked on."""
    worked: list[str] = []

    def here(function, tasks, *, label, on_result, workers=None):
        for number, task in enumerate(tasks):
            worked.append(task.entry.name)
            on_result(number, _guarded(function, task))

    closing, drawing = watertight.watertight, views.render_views
    monkeypatch.setattr(pipeline, "run_tasks", here)
    monkeypatch.setattr(watertight, "watertight", functools.partial(closing, resolution=28))
    monkeypatch.setattr(views, "render_views", lambda mesh: drawing(mesh, fibonacci_sphere(4)))
    return worked


def folder_of(path: Path, good: int) -> Path:
    path.mkdir()
    write_good(path, good)
    return path


def times(folder: Path, stage: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / stage).iterdir()}


def codes(entries: list[Entry]) -> dict[str, str]:
    """The code under which each file was set aside."""
    return {Path(e.file).name: s.code for e in entries for s in e.stages.values() if s.status == "rejected"}


def test_good_meshes_come_through_and_broken_ones_are_listed(tmp_path):
    meshes, out, wanted = folder_of(tmp_path / "in", 3), tmp_path / "out", {}
    for name in ("empty.glb", "length.glb", "draco.glb", "nan.glb", "uri_up.gltf", "points.ply", "index.off"):
        wanted[name], data = broken_bytes()[name]
        (meshes / name).write_bytes(data)
    entries = prepare(folder_source(meshes), out, samples=1000, workers=2)
    assert codes(entries) == wanted
    assert sum(map(usable, entries)) == 3 and len(entries) == 10
    assert read_manifest(out / "manifest.json") == entries
    for entry in filter(usable, entries):
        mesh, (points, sdf) = read_mesh_artefact(out, entry), read_samples(out, [entry])
        assert is_watertight(mesh) and np.abs(mesh.vertices).max() < 1.1
        assert points.shape == (1, 1000, 3) and sdf.dtype == np.float32
        np.testing.assert_allclose(sdf[0], signed_distance(points[0], mesh), atol=1e-6)
        images = read_images(out, entry)
        assert images.shape == (64, 224, 224, 3) and images.reshape(64, -1).any(1).all()
        assert all(stage.seconds > 0 and stage.key for stage in entry.stages.values())
    rejected = next(e for e in entries if not usable(e))
    assert list(rejected.stages) == ["watertight"] and rejected.stages["watertight"].reason
    assert not list((out / "watertight").glob("*.part"))


def test_a_second_run_does_nothing(tmp_path, light):
    meshes, out = folder_of(tmp_path / "in", 4), tmp_path / "out"
    (meshes / "empty.glb").touch()
    first = prepare(folder_source(meshes), out, samples=100)
    before = {stage: times(out, stage) for stage in STAGES}
    assert sorted(light) == [entry.name for entry in first]
    light.clear()
    assert prepare(folder_source(meshes), out, samples=100) == first
    assert light == [] and {stage: times(out, stage) for stage in STAGES} == before


@pytest.mark.parametrize("stage", STAGES)
def test_a_removed_artefact_alone_is_made_again(tmp_path, light, stage):
    meshes, out = folder_of(tmp_path / "in", 3), tmp_path / "out"
    entries = prepare(folder_source(meshes), out, samples=100)
    before, lost = {name: times(out, name) for name in STAGES}, artefact(out, stage, entries[1])
    content = lost.read_bytes()
    lost.unlink()
    light.clear()
    prepare(folder_source(meshes), out, samples=100)
    assert light == ["obj_0001"] and lost.read_bytes() == content
    after = {name: times(out, name) for name in STAGES}
    after[stage][lost.name] = before[stage][lost.name]
    assert after == before


def test_another_count_of_samples_makes_the_samples_again(tmp_path, light):
    meshes, out = folder_of(tmp_path / "in", 3), tmp_path / "out"
    prepare(folder_source(meshes), out, samples=100)
    before = {stage: times(out, stage) for stage in STAGES}
    entries = prepare(folder_source(meshes), out, samples=120)
    assert read_samples(out, entries)[0].shape == (3, 120, 3)
    changed = {stage: times(out, stage) != before[stage] for stage in STAGES}
    assert changed == {"watertight": False, "sdf": True, "views": False}


def test_an_edited_mesh_is_made_again_under_its_number(tmp_path, light):
    paths = [tmp_path / "a.obj", tmp_path / "b.obj"]
    shapes = [RawShape(path.stem, "box", "cc0", "test", path, "train") for path in paths]
    for path, sides in zip(paths, (3, 6), strict=True):
        write_mesh(path, prism(sides, 1.0))
    prepare(shapes, tmp_path / "out", samples=100)
    light.clear()
    write_mesh(paths[1], prism(5, 0.6))
    prepare(shapes, tmp_path / "out", samples=100)
    assert light == ["obj_0001"]


def test_the_same_input_gives_the_same_artefacts(tmp_path, light):
    meshes = folder_of(tmp_path / "in", 2)
    for name in "ab":
        prepare(folder_source(meshes), tmp_path / name, samples=100)
    for stage in STAGES:
        for path in (tmp_path / "a" / stage).iterdir():
            assert path.read_bytes() == (tmp_path / "b" / stage / path.name).read_bytes()


def test_near_duplicates_are_on_one_side(tmp_path, light):
    files = {"a.obj": prism(5, 1.0), "b.stl": prism(5, 1.001), "c.ply": prism(3, 0.4), "d.off": prism(9, 3.0)}
    splits = ("held_out_shape", "train", "train", "held_out_shape")
    for name, mesh in files.items():
        write_mesh(tmp_path / name, mesh)
    shapes = [RawShape(n, "box", "cc0", "test", tmp_path / n, s) for n, s in zip(files, splits, strict=True)]
    entries = prepare(shapes, tmp_path / "out", samples=100)
    assert {e.file: e.split for e in entries} == {
        "a.obj": "train", "b.stl": "train", "c.ply": "train", "d.off": "held_out_shape",
    }  # fmt: skip
    (pair,) = json.loads((tmp_path / "out" / "duplicates.json").read_text())
    assert {e.file for e in entries if e.name in pair} == {"a.obj", "b.stl"}


def test_equal_files_are_on_one_side_even_when_broken(tmp_path, light):
    write_good(tmp_path, 1)
    for name in ("a.glb", "b.glb"):
        (tmp_path / name).write_bytes(b"glTF broken")
    shapes = [
        RawShape(p.name, "box", "cc0", "test", p, "train" if p.name == "b.glb" else "held_out_shape")
        for p in sorted(tmp_path.glob("*.glb"))
    ]
    entries = prepare(shapes, tmp_path / "out", samples=50)
    assert {e.split for e in entries if e.file in ("a.glb", "b.glb")} == {"train"}


def test_how_a_stage_handles_what_it_reads_is_part_of_its_key(monkeypatch):
    entry = Entry(0, "u", "cup", "CC0-1.0", True, "test", "f", "0" * 64, "train", {"views": Stage("done", key="v")})

    def keys() -> dict[str, str]:
        fingerprint.source_fingerprint.cache_clear()
        return stages.stage_keys(entry, "exact", 100) | {"features": stages.features_key(entry)}

    first, read = keys(), fingerprint._read
    for file in ("stages.py", "artefacts.py", "files.py"):
        monkeypatch.setattr(fingerprint, "_read", lambda p, f=file: ("x", []) if p.name == f else read(p))
        assert all(key != first[name] for name, key in keys().items())
    monkeypatch.setattr(fingerprint, "_read", lambda p: ("x", []) if p.name == "views.py" else read(p))
    changed = keys()
    monkeypatch.undo()
    fingerprint.source_fingerprint.cache_clear()
    assert [name for name in first if changed[name] != first[name]] == ["views"]


def test_an_unknown_backend_stops_before_any_work(tmp_path, light, monkeypatch):
    monkeypatch.setenv("SDF_BACKEND", "bogus")
    with pytest.raises(Failed, match="SDF_BACKEND=bogus: choose one of exact, mesh_to_sdf"):
        prepare(folder_source(folder_of(tmp_path / "in", 1)), tmp_path / "out", samples=100)
    assert light == [] and not (tmp_path / "out").exists()


REFERENCE = """
import functools, json, os, sys
from pathlib import Path
import mesh_to_sdf, numpy as np
from flowsdf.data import pipeline, views
from flowsdf.data.artefacts import read_samples
from flowsdf.data.executor import _guarded
from flowsdf.data.sources import folder_source
from flowsdf.geometry import watertight
from flowsdf.geometry.camera import fibonacci_sphere

def here(function, tasks, *, label, on_result, workers=None):
    for number, task in enumerate(tasks):
        on_result(number, _guarded(function, task))

pipeline.run_tasks, drawing = here, views.render_views
watertight.watertight = functools.partial(watertight.watertight, resolution=28)
views.render_views = lambda mesh: drawing(mesh, fibonacci_sphere(4))
scan = mesh_to_sdf.get_surface_point_cloud
mesh_to_sdf.get_surface_point_cloud = functools.partial(scan, scan_count=20, scan_resolution=100)
meshes, out = map(Path, sys.argv[1:])
ours = pipeline.prepare(folder_source(meshes), out, samples=400)
points, exact = read_samples(out, ours)
os.environ["SDF_BACKEND"] = "mesh_to_sdf"
theirs = pipeline.prepare(folder_source(meshes), out, samples=400)
again, reference = read_samples(out, theirs)
(out / "views" / "obj_0001.png").unlink()
pipeline.prepare(folder_source(meshes), out, samples=400)
sure = np.abs(exact) > 0.02
json.dump({
    "usable": sum(map(pipeline.usable, theirs)),
    "keys": [a.stages["sdf"].key != b.stages["sdf"].key for a, b in zip(ours, theirs)],
    "views": [a.stages["views"] == b.stages["views"] for a, b in zip(ours, theirs)],
    "points": bool((points == again).all()),
    "gap": float(np.median(np.abs(np.abs(exact) - np.abs(reference)))),
    "signs": float((np.sign(exact) == np.sign(reference))[sure].mean()),
}, sys.stdout)
"""


def test_the_reference_backend_runs_the_whole_pipeline(tmp_path):
    """In a process of its own, as mesh-to-sdf must be imported before pyrender; with fewer scans than it takes."""
    command = [sys.executable, "-c", REFERENCE, str(folder_of(tmp_path / "in", 3)), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    got = json.loads(done.stdout)
    assert got["usable"] == 3 and all(got["keys"]) and all(got["views"]) and got["points"]
    assert 0 < got["gap"] < 0.01 and got["signs"] > 0.95


def test_bad_distances_set_the_shape_aside(tmp_path, light, monkeypatch):
    from flowsdf.data import sdf

    monkeypatch.setattr(sdf, "exact_sdf", lambda points, mesh: np.linalg.norm(points, axis=1))
    with pytest.raises(Failed, match="none of its 2 meshes survived"):
        prepare(folder_source(folder_of(tmp_path / "in", 2)), tmp_path / "out", samples=50)
    entries = read_manifest(tmp_path / "out" / "manifest.json")
    assert {e.stages["sdf"].code for e in entries} == {"bad_sdf"} and not (tmp_path / "out" / "views").exists()


def test_blank_views_set_the_shape_aside(tmp_path, light, monkeypatch):
    monkeypatch.setattr(views, "render_views", lambda mesh: np.zeros((4, 8, 8, 3), np.uint8))
    with pytest.raises(Failed, match="none of its 1 meshes survived"):
        prepare(folder_source(folder_of(tmp_path / "in", 1)), tmp_path / "out", samples=50)
    (entry,) = read_manifest(tmp_path / "out" / "manifest.json")
    assert entry.stages["views"].code == "blank_views"


def test_what_a_busy_machine_did_is_tried_again(tmp_path, light, monkeypatch):
    closing, meshes = watertight.watertight, folder_of(tmp_path / "in", 3)
    faults = iter([MemoryError("no room"), Rejected("timeout", "slow"), Rejected("no_solid", "nothing")])

    def failing(mesh):
        raise next(faults)

    monkeypatch.setattr(watertight, "watertight", failing)
    with pytest.raises(Failed, match="none of its 3 meshes survived"):
        prepare(folder_source(meshes), tmp_path / "out", samples=50)
    rejected = [e.stages["watertight"].code for e in read_manifest(tmp_path / "out" / "manifest.json")]
    assert rejected == ["unforeseen", "timeout", "no_solid"]
    monkeypatch.setattr(watertight, "watertight", closing)
    assert [usable(e) for e in prepare(folder_source(meshes), tmp_path / "out", samples=50)] == [True, True, False]


def test_a_worker_that_does_not_see_a_mesh_stops_the_run_and_does_not_reject_it(tmp_path, light, monkeypatch):
    def blind(function, tasks, *, label, on_result, workers=None):
        for number, task in enumerate(tasks):
            hidden = task._replace(path=task.path.with_name(f"elsewhere-{task.path.name}"))
            on_result(number, _guarded(function, hidden))

    meshes = folder_of(tmp_path / "in", 2)
    with monkeypatch.context() as on_a_cluster:
        on_a_cluster.setattr(pipeline, "run_tasks", blind)
        with pytest.raises(Failed, match="is here, and a worker does not see it: mount its folder there"):
            prepare(folder_source(meshes), tmp_path / "out", samples=50)
    assert all(usable(e) for e in prepare(folder_source(meshes), tmp_path / "out", samples=50))


def test_a_shape_that_kills_its_worker_is_listed(tmp_path, light, monkeypatch):
    def killing(function, tasks, *, label, on_result, workers=None):
        on_result(0, Rejected("killed_worker", "twice"))
        on_result(1, _guarded(function, tasks[1]))

    monkeypatch.setattr(pipeline, "run_tasks", killing)
    entries = prepare(folder_source(folder_of(tmp_path / "in", 2)), tmp_path / "out", samples=50)
    assert [e.stages["watertight"].code for e in entries] == ["killed_worker", ""]
    assert [usable(e) for e in entries] == [False, True]


def test_what_an_interrupted_run_finished_is_kept(tmp_path, light, monkeypatch):
    meshes, out, here = folder_of(tmp_path / "in", 3), tmp_path / "out", pipeline.run_tasks

    def stopped(function, tasks, **settings):
        here(function, tasks[:2], **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run_tasks", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare(folder_source(meshes), out, samples=50)
    assert [len(e.stages) for e in read_manifest(out / "manifest.json")] == [3, 3, 0]
    light.clear()
    monkeypatch.setattr(pipeline, "run_tasks", here)
    assert all(map(usable, prepare(folder_source(meshes), out, samples=50))) and light == ["obj_0002"]


def test_what_an_interrupted_run_left_half_made_is_made_again(tmp_path, light, monkeypatch):
    meshes, out, here = folder_of(tmp_path / "in", 2), tmp_path / "out", pipeline.run_tasks
    first = prepare(folder_source(meshes), out, samples=50)
    before = read_samples(out, first)[0]

    def stopped(function, tasks, **settings):
        function(tasks[0])  # its files are written, and nobody is told
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run_tasks", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare(folder_source(meshes), out, samples=60)
    monkeypatch.setattr(pipeline, "run_tasks", here)
    np.testing.assert_array_equal(read_samples(out, prepare(folder_source(meshes), out, samples=50))[0], before)


def test_a_gltf_is_made_again_when_a_file_beside_it_changes(tmp_path, light):
    meshes, out = folder_of(tmp_path / "in", 1), tmp_path / "out"
    (meshes / "split.gltf").write_bytes(gltf("split.bin"))
    assert codes(prepare(folder_source(meshes), out, samples=50)) == {"split.gltf": "missing_file"}
    light.clear()
    (meshes / "split.bin").write_bytes(scene()[1])
    entries = prepare(folder_source(meshes), out, samples=50)
    assert codes(entries) == {} and light == [next(e.name for e in entries if e.file == "split.gltf")]
    light.clear()
    (meshes / "split.bin").write_bytes(scene(vertices=CORNERS * [1, 1, 3])[1])
    assert prepare(folder_source(meshes), out, samples=50) != entries and len(light) == 1


def test_an_unreadable_manifest_costs_its_stages_but_stops_nothing(tmp_path, light):
    meshes, out = folder_of(tmp_path / "in", 2), tmp_path / "out"
    entries = prepare(folder_source(meshes), out, samples=50)
    (out / "manifest.json").write_text("{")
    light.clear()
    with pytest.warns(UserWarning, match="not a manifest .* every shape is prepared anew"):
        again = prepare(folder_source(meshes), out, samples=50)
    assert [e.name for e in again] == light and again[0].stages.keys() == entries[0].stages.keys()


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    Dinov2Model(Dinov2Config(**sizes)).save_pretrained(tmp_path / "tiny")
    monkeypatch.setenv("ENCODER", str(tmp_path / "tiny"))
    return tmp_path / "tiny"


def test_features_of_every_usable_shape_are_kept_until_something_changes(tmp_path, light, encoder):
    meshes, out = folder_of(tmp_path / "in", 3), tmp_path / "out"
    (meshes / "empty.glb").touch()
    entries = add_features(prepare(folder_source(meshes), out, samples=50), out)
    shapes = usable_shapes(out)
    assert read_manifest(out / "manifest.json") == entries and len(shapes) == 3
    assert read_features(out, shapes).shape == (3, 4, 12)
    before = times(out, "features")
    assert add_features(prepare(folder_source(meshes), out, samples=50), out) == entries
    assert times(out, "features") == before
    artefact(out, "features", shapes[1]).unlink()
    add_features(entries, out)
    assert {name for name, at in times(out, "features").items() if at != before[name]} == {f"{shapes[1].name}.npz"}
    shutil.rmtree(encoder)
    torch.manual_seed(1)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    Dinov2Model(Dinov2Config(**sizes)).save_pretrained(encoder)
    add_features(entries, out)
    assert read_features(out, shapes).shape == (3, 4, 8)


def test_other_samples_leave_the_features_alone(tmp_path, light, encoder):
    meshes, out = folder_of(tmp_path / "in", 2), tmp_path / "out"
    add_features(prepare(folder_source(meshes), out, samples=50), out)
    before = times(out, "features")
    add_features(prepare(folder_source(meshes), out, samples=60), out)
    assert times(out, "features") == before


def write_two_hundred_and_forty(folder: Path) -> dict[str, str]:
    """200 good meshes and 40 broken ones; returns the codes of the broken."""
    folder.mkdir()
    write_good(folder, 200)
    broken = folder.parent / "broken"
    broken.mkdir()
    heavy = {"million.glb", "instances.glb", "deep.gltf", "data_uri.gltf", "faces_20m.stl", "pipe.glb", "mesh.fbx"}
    wanted = {name: code for name, code in write_broken(broken).items() if name not in heavy}
    wanted = dict(list(wanted.items())[:40])
    for name in wanted:
        (broken / name).rename(folder / name)
    return wanted


def check_two_hundred_and_forty(meshes: Path, out: Path, wanted: dict[str, str], samples: int) -> None:
    entries = prepare(folder_source(meshes), out, samples=samples)
    assert len(wanted) == 40 and codes(entries) == wanted
    assert sum(map(usable, entries)) == 200
    for stage in STAGES:
        assert len(list((out / stage).iterdir())) == 200


def test_two_hundred_good_meshes_survive_forty_broken_ones(tmp_path, light, monkeypatch):
    def read_here(path: Path, root: Path) -> Mesh:
        try:
            return read_mesh(path, root)
        except Rejected:
            raise
        except Exception as error:
            raise Rejected("malformed", str(error)) from None

    drawn = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    monkeypatch.setattr(stages, "read_limited", read_here)
    monkeypatch.setattr(watertight, "watertight", lambda mesh: watertight.Watertight(mesh, 0.0, 1.0, 0.0))
    monkeypatch.setattr(views, "render_views", lambda mesh: drawn)
    wanted = write_two_hundred_and_forty(tmp_path / "in")
    check_two_hundred_and_forty(tmp_path / "in", tmp_path / "out", wanted, samples=64)


@pytest.mark.slow
def test_two_hundred_good_meshes_survive_forty_broken_ones_for_real(tmp_path):
    wanted, began = write_two_hundred_and_forty(tmp_path / "in"), time.perf_counter()
    check_two_hundred_and_forty(tmp_path / "in", tmp_path / "out", wanted, samples=20_000)
    print(f"\n240 meshes in {time.perf_counter() - began:.0f} s")
    for entry in usable_shapes_of(tmp_path / "out")[::20]:
        points, sdf = (array[0] for array in read_samples(tmp_path / "out", [entry]))
        check_sdf(points, sdf)


def usable_shapes_of(out: Path) -> list[Entry]:
    return [entry for entry in read_manifest(out / "manifest.json") if usable(entry)]
