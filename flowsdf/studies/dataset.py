"""What ``00_data`` measures of the pipeline: its yield, its cost, and its cross-checks against exact answers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.conventions import Mesh
from flowsdf.data import procedural
from flowsdf.data.artefacts import artefact, read_images, read_mesh_artefact, read_samples
from flowsdf.data.executor import map_tasks
from flowsdf.data.executor_processes import end_workers
from flowsdf.data.files import read_arrays
from flowsdf.data.manifest import STAGES, Entry
from flowsdf.data.sdf import exact_sdf
from flowsdf.data.sources import RawShape, folder_source, objaverse_source, procedural_source
from flowsdf.evaluation.diagnostics import cosine
from flowsdf.evaluation.topology import piece_volumes
from flowsdf.geometry.distance import unsigned_distance
from flowsdf.geometry.watertight import LEAK_SHARE
from flowsdf.studies.scans import SCANS, scanning

MEASURES = ("sheet_share", "kept_share", "leak_share")


def open_source(
    data: str, folder: Path, *, training: int, held_out: int, held_out_categories: int, most: int
) -> list[RawShape]:
    """The raw shapes of a run: the counts are those of the built-in source, ``most`` (0: all) limits the others."""
    if data == "procedural":
        return procedural_source(
            folder, training=training, held_out=held_out, held_out_categories=held_out_categories, specials=True
        )
    if data == "objaverse":
        return objaverse_source(folder, most or 1000)
    return folder_source(Path(data), most=most)


def stage_table(entries: Sequence[Entry], folder: Path) -> pd.DataFrame:
    """Per stage: shapes in, done and rejected, seconds a shape, bytes in all."""
    rows = []
    for name in STAGES:
        stages = [entry.stages[name] for entry in entries if name in entry.stages]
        done = [stage for stage in stages if stage.status == "done"]
        files = [artefact(folder, name, entry) for entry in entries if entry.stages.get(name) in done]
        size = sum(path.stat().st_size for path in files if path.exists())
        seconds = np.mean([stage.seconds for stage in done]) if done else np.nan
        rows.append((name, len(stages), len(done), len(stages) - len(done), seconds, size / 1e6))
    return pd.DataFrame(rows, columns=["stage", "n_in", "n_done", "n_rejected", "seconds a shape", "megabytes"])


def rejections(entries: Sequence[Entry]) -> pd.DataFrame:
    """The shapes that a stage set aside, and why."""
    rows = [
        (entry.name, Path(entry.file).name, name, stage.code, stage.reason)
        for entry in entries
        for name, stage in entry.stages.items()
        if stage.status == "rejected"
    ]
    return pd.DataFrame(rows, columns=["shape", "file", "stage", "code", "reason"])


def closing_table(entries: Sequence[Entry], folder: Path) -> pd.DataFrame:
    """Per shape: what the closing measured, faces in and out, the pieces of its solid, and cavities: errors of ours."""
    types = dict.fromkeys(MEASURES, np.float64) | {"input_faces": np.int64}
    rows = []
    for entry in entries:
        arrays = read_arrays(artefact(folder, "watertight", entry), **types)
        measures = {name: float(arrays[name]) for name in MEASURES}
        mesh = read_mesh_artefact(folder, entry)
        within = piece_volumes(mesh)
        counts = {"faces_in": int(arrays["input_faces"]), "faces_out": len(mesh.faces)}
        counts |= {"pieces": int((within > 0).sum()), "cavities": int((within < 0).sum())}
        rows.append({"shape": entry.name, "category": entry.category, **measures, **counts})
    return pd.DataFrame(rows)


def closing_counts(closing: pd.DataFrame) -> dict[str, float]:
    """What a ``closing_table`` comes to: shapes that leak, hold sheets or have cavities, and the share kept whole."""
    return {
        "closing_kept_98_share": float((closing.kept_share > 0.98).mean()),
        "closing_leaks": int((closing.leak_share > LEAK_SHARE).sum()),
        "closing_sheets": int((closing.sheet_share > 0.01).sum()),
        "closing_cavities": int((closing.cavities > 0).sum()),
        "closing_one_piece_share": float((closing.pieces == 1).mean()),
    }


def exact_check(entries: Sequence[Entry], folder: Path) -> pd.DataFrame:
    """Per procedural shape: how far the watertight mesh and its signs are from the generator's exact solid.

    The surface error is the mean distance of mesh vertices from the raw surface, in voxels of the closing. Of a
    quarter of the uniform points, the sign error is the share whose sign differs from the exact occupancy, and the
    volume ratio that of how many are inside.
    """
    measured = map_tasks(_against_exact, [(folder, entry) for entry in entries], label="exact solids")
    rows = [(e.name, e.category, *values) for e, values in zip(entries, measured, strict=True)]
    return pd.DataFrame(rows, columns=["shape", "category", "surface error (voxels)", "sign error", "volume ratio"])


def _against_exact(task: tuple[Path, Entry]) -> tuple[float, float, float]:
    folder, entry = task
    shape = procedural.by_uid(entry.uid)
    arrays = read_arrays(artefact(folder, "watertight", entry), centre=np.float64, scale=np.float64)
    points, sdf = (array[0] for array in read_samples(folder, [entry]))
    uniform = slice(len(points) // 2, None, 4)
    exact = procedural.occupancy(shape, points[uniform] * arrays["scale"] + arrays["centre"])
    mesh, raw = read_mesh_artefact(folder, entry), procedural.clean_mesh(shape)
    raw = Mesh((raw.vertices - arrays["centre"]) / arrays["scale"], raw.faces)
    error = unsigned_distance(mesh.vertices[::7], raw).mean() / (2 / 127)
    inside = sdf[uniform] < 0
    return error, (inside != exact).mean(), inside.mean() / exact.mean() if exact.any() else np.nan


def compare_backends(
    jobs: Sequence[tuple[Path, Entry, int]], *, scans: int = SCANS, folder: Path | None = None
) -> tuple[dict[str, Tensor], dict]:
    """Ours beside mesh-to-sdf's distances on the same points of each (folder, shape, count): ``pairs`` (s, n, 2).

    ``scans`` is the number of virtual scans that mesh-to-sdf takes of a shape.
    """
    end_workers()  # mesh-to-sdf wants processes that have not rendered before
    pairs = map_tasks(_both_backends, [(*job, scans) for job in jobs], label="mesh-to-sdf")
    return {"pairs": torch.as_tensor(np.stack(pairs))}, {}


def _both_backends(job: tuple[Path, Entry, int, int]) -> Float[np.ndarray, "n 2"]:
    from flowsdf.data.reference_sdf import reference_sdf

    folder, entry, count, scans = job
    points = read_samples(folder, [entry])[0][0]
    at, mesh = np.random.default_rng(0).permutation(points)[:count], read_mesh_artefact(folder, entry)
    with scanning(scans):
        theirs = reference_sdf(at, mesh)
    return np.stack([exact_sdf(at, mesh), theirs], axis=1).astype(np.float32)


def agreement(pairs: Float[np.ndarray, "s n 2"], names: Sequence[str]) -> pd.DataFrame:
    """Per shape: the median gap between the two backends' magnitudes and the share of differing signs, by distance."""
    ours, theirs = pairs[..., 0], pairs[..., 1]
    differs, near = np.sign(ours) != np.sign(theirs), np.abs(ours) < 0.0025
    table = {"shape": names, "median gap": np.median(np.abs(np.abs(ours) - np.abs(theirs)), axis=1)}
    table["wrong signs near"] = [d[n].mean() for d, n in zip(differs, near, strict=True)]
    table["wrong signs elsewhere"] = [d[~n].mean() for d, n in zip(differs, near, strict=True)]
    return pd.DataFrame(table)


def nearest_categories(
    features: Float[np.ndarray, "n d"], gallery: Float[np.ndarray, "m d"], categories: Sequence[str]
) -> list[str]:
    """The category of the nearest gallery row, by cosine, of each feature."""
    return [categories[i] for i in cosine(features, gallery).argmax(1)]


def pixel_features(folder: Path, entries: Sequence[Entry], views: Sequence[int]) -> Float[np.ndarray, "s k d"]:
    """Raw pixels as features: the chosen views at 28 x 28, the mean of each taken away."""
    small = [read_images(folder, e)[views].reshape(len(views), 28, 8, 28, 8, 3).mean((2, 4)) for e in entries]
    flat = np.stack(small).reshape(len(entries), len(views), -1)
    return flat - flat.mean(-1, keepdims=True)
