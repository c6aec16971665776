"""What one worker does to one shape: watertight, sdf, views, each kept under a hash of all it depends on."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from flowsdf.data.artefacts import artefact, read_mesh_artefact
from flowsdf.data.encoders import encoder_key
from flowsdf.data.faults import Failed, Rejected
from flowsdf.data.files import sha256_of, write_arrays
from flowsdf.data.limited import read_limited
from flowsdf.data.manifest import Entry, Stage
from flowsdf.fingerprint import source_fingerprint
from flowsdf.geometry.mesh import normalise

BACKENDS = ("exact", "mesh_to_sdf")
HANDLING = ("flowsdf.data.stages", "flowsdf.data.artefacts", "flowsdf.data.files")  # between what is read and written
TRIED_AGAIN = ("timeout", "crashed", "killed_worker", "unforeseen")  # what a busy machine may have done, not the file


class Job(NamedTuple):
    """One shape on its way through the stages that need no network: what a worker gets."""

    entry: Entry
    path: Path  # of the raw mesh
    root: Path  # that the mesh and the files it names must lie in
    folder: Path  # of the artefacts
    keys: dict[str, str]  # stage -> hash of everything its result depends on
    backend: str
    samples: int


def sdf_backend() -> str:
    """The backend that ``SDF_BACKEND`` names: exact by default."""
    backend = os.environ.get("SDF_BACKEND") or "exact"
    if backend not in BACKENDS:
        raise Failed(f"SDF_BACKEND={backend}: choose one of {', '.join(BACKENDS)}")
    return backend


def beside(path: Path, root: Path) -> str:
    """A hash that changes with the files that a .gltf may name, all others below ``root``; a .glb is taken as whole."""
    if path.suffix.lower() != ".gltf":
        return ""
    others = sorted(other for other in root.rglob("*") if other.suffix.lower() != ".gltf" and other.is_file())
    stats = [(str(other.relative_to(root)), other.stat()) for other in others]
    return key_of(*(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats))


def stage_keys(entry: Entry, backend: str, samples: int, *, others: str = "") -> dict[str, str]:
    """A hash for each stage that changes with its parameters, its input or the source that computes it.

    ``others`` is the hash of further files that the mesh may be made of.
    """
    closing = key_of(entry.sha256 + others, _source("flowsdf.geometry.watertight", "flowsdf.data.mesh_io"))
    modules = ["flowsdf.data.sdf", *(["flowsdf.data.reference_sdf"] if backend != "exact" else [])]
    shaders = [sha256_of(Path(__file__).with_name(name)) for name in ("mesh.vert", "mesh.frag")]
    return {
        "watertight": closing,
        "sdf": key_of(closing, backend, str(samples), _source(*modules)),
        "views": key_of(closing, _source("flowsdf.data.views"), *shaders),
    }


def features_key(entry: Entry) -> str:
    """A hash that changes with the views of a shape, the encoder in force and the source that asks it."""
    return key_of(entry.stages["views"].key, encoder_key(), _source("flowsdf.data.features"))


def _source(*modules: str) -> str:
    return source_fingerprint(*modules, alone=HANDLING)


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
    except (MemoryError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return Stage("rejected", "unforeseen", reason)
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


def finished(job: Job) -> bool:
    """Whether each stage is up to date, or one is rejected for the same input by what the input itself is."""
    for name in ("watertight", "sdf", "views"):
        stage = job.entry.stages.get(name)
        if stage is None or stage.key != job.keys[name]:
            return False
        if stage.status == "rejected":
            return stage.code not in TRIED_AGAIN
        if not artefact(job.folder, name, job.entry).exists():
            return False
    return True


def _seed(entry: Entry) -> int:
    return int(hashlib.sha256(entry.uid.encode()).hexdigest()[:16], 16)


def key_of(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
