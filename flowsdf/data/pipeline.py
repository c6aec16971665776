"""The four stages from raw mesh to features, shape by shape: parallel, resumable, a broken shape set aside."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from flowsdf.data.artefacts import artefact, read_images, read_mesh_artefact
from flowsdf.data.executor import run_tasks
from flowsdf.data.faults import Failed, Rejected
from flowsdf.data.files import write_arrays, write_whole
from flowsdf.data.limited import read_limited
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
from flowsdf.fingerprint import source_fingerprint
from flowsdf.geometry.mesh import normalise, sample_surface

BACKENDS = ("exact", "mesh_to_sdf")
DUPLICATE_POINTS = 2048  # per surface, for near-duplicates


class Job(NamedTuple):
    """One shape on its way through the stages that need no network: what a worker gets."""

    entry: Entry
    path: Path  # of the raw mesh
    root: Path  # that the mesh and the files it names must lie in
    folder: Path  # of the artefacts
    keys: dict[str, str]  # stage -> hash of everything its result depends on
    backend: str
    samples: int


def prepare(shapes: Sequence[RawShape], folder: Path, *, samples: int, workers: int | None = None) -> list[Entry]:
    """Every shape through watertight, sdf, views and features, into ``folder``; what is there already is kept.

    Writes ``manifest.json`` after every shape. Raises Failed when no shape survives.
    """
    backend = sdf_backend()
    entries = _resumed(number_shapes(shapes), folder)
    paths = {shape.uid: shape.path for shape in shapes}
    root = Path(os.path.commonpath([path.parent for path in paths.values() if path.exists()] or [folder]))
    jobs = [Job(e, paths[e.uid], root, folder, stage_keys(e, backend, samples), backend, samples) for e in entries]

    def keep(number: int, outcome: dict[str, Stage] | Rejected) -> None:
        if isinstance(outcome, Rejected):
            outcome = {"watertight": Stage("rejected", outcome.code, outcome.reason)}
        entries[number] = entries[number]._replace(stages=outcome)
        write_manifest(folder / "manifest.json", entries)

    waiting = [number for number, job in enumerate(jobs) if not _finished(job)]
    run_tasks(
        prepare_shape,
        [jobs[number] for number in waiting],
        workers=workers,
        label="shapes",
        on_result=lambda number, outcome: keep(waiting[number], outcome),
    )
    alive = [entry for entry in entries if usable(entry)]
    if not alive:
        raise Failed(f"{root}: none of its {len(entries)} meshes survived: the reasons are in {folder}/manifest.json")
    return _without_leaks_between_splits(entries, alive, folder)


def usable(entry: Entry) -> bool:
    """Whether every stage so far is done."""
    return bool(entry.stages) and all(stage.status == "done" for stage in entry.stages.values())


def sdf_backend() -> str:
    """The backend that ``SDF_BACKEND`` names: exact by default."""
    backend = os.environ.get("SDF_BACKEND") or "exact"
    if backend not in BACKENDS:
        raise Failed(f"SDF_BACKEND={backend}: choose one of {', '.join(BACKENDS)}")
    return backend


def stage_keys(entry: Entry, backend: str, samples: int) -> dict[str, str]:
    """A hash for each stage that changes with its parameters, its input or the source that computes it."""
    closing = _key(entry.sha256, source_fingerprint("flowsdf.geometry.watertight", "flowsdf.data.mesh_io"))
    module = "flowsdf.data.sdf" if backend == "exact" else "flowsdf.data.reference_sdf"
    return {
        "watertight": closing,
        "sdf": _key(closing, backend, str(samples), source_fingerprint(module)),
        "views": _key(closing, source_fingerprint("flowsdf.data.views")),
    }


def prepare_shape(job: Job) -> dict[str, Stage]:
    """In a worker: the stages of one shape that are not up to date, in order, up to the first that rejects it."""
    stages: dict[str, Stage] = {}
    for name, compute in (("watertight", _watertight), ("sdf", _sdf), ("views", _views)):
        done = job.entry.stages.get(name)
        if (
            done
            and done.key == job.keys[name]
            and done.status == "done"
            and artefact(job.folder, name, job.entry).exists()
        ):
            stages[name] = done
            continue
        began = time.perf_counter()
        stages[name] = _outcome(compute, job)._replace(
            seconds=round(time.perf_counter() - began, 3), key=job.keys[name]
        )
        if stages[name].status == "rejected":
            break
    return stages


def _outcome(compute: Callable[[Job], None], job: Job) -> Stage:
    try:
        compute(job)
    except Rejected as rejected:
        return Stage("rejected", rejected.code, rejected.reason)
    return Stage("done")


def _watertight(job: Job) -> None:
    from flowsdf.geometry.watertight import watertight

    mesh, centre, scale = normalise(read_limited(job.path, job.root))
    closed = watertight(mesh)
    if not len(closed.mesh.faces):
        raise Rejected("no_solid", "closing the mesh leaves nothing")
    measures = {name: np.float64(value) for name, value in closed._asdict().items() if name != "mesh"}
    write_arrays(
        artefact(job.folder, "watertight", job.entry),
        vertices=closed.mesh.vertices.astype(np.float32),
        faces=closed.mesh.faces.astype(np.int32),
        centre=centre,
        scale=np.float64(scale),
        input_faces=np.int64(len(mesh.faces)),
        **measures,
    )


def _sdf(job: Job) -> None:
    from flowsdf.data.sdf import check_sdf, exact_sdf, sample_points

    mesh = read_mesh_artefact(job.folder, job.entry)
    points = sample_points(mesh, job.samples, np.random.default_rng(_seed(job.entry)))
    if job.backend == "exact":
        sdf = exact_sdf(points, mesh)
    else:
        from flowsdf.data.reference_sdf import reference_sdf

        sdf = reference_sdf(points, mesh)
    try:
        check_sdf(points, sdf, exact=job.backend == "exact")
    except ValueError as error:
        raise Rejected("bad_sdf", str(error)) from None
    write_arrays(artefact(job.folder, "sdf", job.entry), points=points, sdf=sdf)


def _views(job: Job) -> None:
    from flowsdf.data.views import render_views

    images = render_views(read_mesh_artefact(job.folder, job.entry))  # (64, h, w, 3)
    if not images.any():
        raise Rejected("blank_views", "no view shows the shape")
    side = int(np.sqrt(len(images)))
    height, width = images.shape[1:3]
    sheet = images.reshape(side, side, height, width, 3).swapaxes(1, 2).reshape(side * height, side * width, 3)
    path = artefact(job.folder, "views", job.entry)
    part = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(part, format="PNG", compress_level=1)
    os.replace(part, path)


def add_features(entries: Sequence[Entry], folder: Path, *, progress: Callable = iter) -> list[Entry]:
    """The class token of every view of every usable shape, by the encoder in force; what is there already is kept."""
    from flowsdf.data.features import encode, encoder_hash, load_encoder

    source, weights = source_fingerprint("flowsdf.data.features"), encoder_hash()
    keys = {e.index: _key(e.stages["views"].key, weights, source) for e in entries if usable(e)}
    stale = [e for e in entries if e.index in keys and not _has_features(e, folder, keys[e.index])]
    encoder, entries = load_encoder() if stale else None, list(entries)
    for entry in progress(stale):
        began = time.perf_counter()
        features = encode(read_images(folder, entry), encoder)
        write_arrays(artefact(folder, "features", entry), features=features)
        stage = Stage("done", seconds=round(time.perf_counter() - began, 3), key=keys[entry.index])
        entries[entry.index] = with_stage(entry, "features", stage)
        write_manifest(folder / "manifest.json", entries)
    return entries


def _has_features(entry: Entry, folder: Path, key: str) -> bool:
    done = entry.stages.get("features")
    return bool(done and done.key == key and artefact(folder, "features", entry).exists())


def _finished(job: Job) -> bool:
    """Whether each stage is up to date, or one is rejected for the same input."""
    for name in ("watertight", "sdf", "views"):
        stage = job.entry.stages.get(name)
        if stage is None or stage.key != job.keys[name]:
            return False
        if stage.status == "rejected":
            return True
        if not artefact(job.folder, name, job.entry).exists():
            return False
    return True


def _resumed(entries: list[Entry], folder: Path) -> list[Entry]:
    """The entries with the stages that an earlier run recorded for the same shape under the same number."""
    path = folder / "manifest.json"
    if not path.exists():
        return entries
    before = {(old.index, old.uid, old.sha256): old.stages for old in read_manifest(path)}
    return [e._replace(stages=before.get((e.index, e.uid, e.sha256), {})) for e in entries]


def _without_leaks_between_splits(entries: list[Entry], alive: list[Entry], folder: Path) -> list[Entry]:
    """The entries with near-duplicates on one side of the split, written to the manifest."""
    samples = [
        sample_surface(read_mesh_artefact(folder, entry), DUPLICATE_POINTS, np.random.default_rng(0)).points
        for entry in alive
    ]
    pairs = near_duplicates(np.stack(samples), lambda number: read_mesh_artefact(folder, alive[number]))
    entries = same_side(entries, [(alive[i].index, alive[j].index) for i, j in pairs])
    write_manifest(folder / "manifest.json", entries)
    write_whole(folder / "duplicates.json", json.dumps([[alive[i].name, alive[j].name] for i, j in pairs]).encode())
    return entries


def _seed(entry: Entry) -> int:
    return int(entry.sha256[:16], 16)


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
