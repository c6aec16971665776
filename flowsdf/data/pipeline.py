"""All shapes through the four stages: parallel, resumable, a broken shape set aside, duplicates on one side."""

import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from flowsdf.data.artefacts import artefact, read_images, read_mesh_artefact
from flowsdf.data.executor import run_tasks
from flowsdf.data.faults import Failed, Rejected
from flowsdf.data.files import write_arrays, write_whole
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
from flowsdf.data.stages import Job, beside, features_key, finished, prepare_shape, sdf_backend, stage_keys
from flowsdf.geometry.mesh import sample_surface

DUPLICATE_POINTS = 2048  # per surface, for near-duplicates
NO_FILE = "there is no such regular file"  # the reason of a worker that is shown none


def prepare(shapes: Sequence[RawShape], folder: Path, *, samples: int, workers: int | None = None) -> list[Entry]:
    """Every shape through watertight, sdf, views and features, into ``folder``; what is there already is kept.

    Writes ``manifest.json`` after every shape. Raises Failed when no shape survives.
    """
    backend = sdf_backend()
    entries = _resumed(number_shapes(shapes), folder)
    raw = {shape.uid: shape for shape in shapes}
    keys = [stage_keys(e, backend, samples, others=beside(raw[e.uid].path, raw[e.uid].root)) for e in entries]
    jobs = [
        Job(e, raw[e.uid].path, raw[e.uid].root, folder, k, backend, samples)
        for e, k in zip(entries, keys, strict=True)
    ]

    def keep(number: int, outcome: dict[str, Stage] | Rejected) -> None:
        if isinstance(outcome, Rejected):
            outcome = {
                "watertight": Stage("rejected", outcome.code, outcome.reason, key=jobs[number].keys["watertight"])
            }
        if any(stage.reason == NO_FILE for stage in outcome.values()) and (file := jobs[number].path).is_file():
            raise Failed(f"{file} is here, and a worker does not see it: mount its folder there, and start again")
        features = entries[number].stages.get("features")
        outcome |= {"features": features} if features and "views" in outcome else {}
        entries[number] = entries[number]._replace(stages=outcome)
        write_manifest(folder / "manifest.json", entries)

    waiting = [number for number, job in enumerate(jobs) if not finished(job)]
    for number in waiting:  # what is about to be overwritten must not count as done if this is interrupted
        of = entries[number].stages.items()
        current = {name: stage for name, stage in of if stage.key == keys[number].get(name, stage.key)}
        entries[number] = entries[number]._replace(stages=current)
    if waiting:
        write_manifest(folder / "manifest.json", entries)
    run_tasks(
        prepare_shape,
        [jobs[number] for number in waiting],
        workers=workers,
        label="shapes",
        on_result=lambda number, outcome: keep(waiting[number], outcome),
    )
    alive = [entry for entry in entries if usable(entry)]
    if not alive:
        raise Failed(
            f"{shapes[0].root}: none of its {len(entries)} meshes survived: the reasons are in {folder}/manifest.json"
        )
    return _without_leaks_between_splits(entries, alive, folder)


def usable(entry: Entry) -> bool:
    """Whether every stage so far is done."""
    return bool(entry.stages) and all(stage.status == "done" for stage in entry.stages.values())


def add_features(entries: Sequence[Entry], folder: Path, *, progress: Callable = iter) -> list[Entry]:
    """The class token of every view of every usable shape, by the encoder in force; what is there already is kept."""
    from flowsdf.data.features import encode, load_encoder

    keys = {entry.index: features_key(entry) for entry in entries if usable(entry)}
    stale = [e for e in entries if e.index in keys and not _has_features(e, folder, keys[e.index])]
    encoder, entries = load_encoder() if stale else None, list(entries)
    for entry in stale:  # what is about to be overwritten must not count as done if this is interrupted
        stages = {name: stage for name, stage in entry.stages.items() if name != "features"}
        entries[entry.index] = entry._replace(stages=stages)
    if stale:
        write_manifest(folder / "manifest.json", entries)
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


def _resumed(entries: list[Entry], folder: Path) -> list[Entry]:
    """The entries with the stages that an earlier run recorded for the same shape under the same number."""
    path = folder / "manifest.json"
    if not path.exists():
        return entries
    try:
        before = {(old.index, old.uid, old.sha256): old.stages for old in read_manifest(path)}
    except Failed as broken:
        warnings.warn(f"{broken}; every shape is prepared anew", stacklevel=3)
        return entries
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
