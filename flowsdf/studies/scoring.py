"""Scores of predicted surfaces against the true shapes of a prepared folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from flowsdf.conventions import Mesh, Surface
from flowsdf.data.artefacts import read_mesh_artefact
from flowsdf.data.executor import each
from flowsdf.data.manifest import Entry
from flowsdf.evaluation.generative import mean_nearest
from flowsdf.evaluation.scores import FAILED_DISTANCE, score, summarise, truth_samples, view_iou
from flowsdf.geometry.distance import inside, signed_distance_to
from flowsdf.geometry.extract import sparse_grid
from flowsdf.geometry.mesh import remembered, sample_surface

RESAMPLED = 2**32  # apart from the seeds of the truths: the floor is another sampling of the same surface
SILHOUETTE_PIXELS = 128
SHOWN = ("iou", "chamfer_l1", "chamfer_l2", "f_001", "f_002", "f_005", "iou_near", "normal_consistency", "view_iou")


def score_rows(
    rows: Mapping[str, Sequence[Surface]],
    folder: Path,
    entries: Sequence[Entry],
    *,
    surface_points: int,
    volume_points: int,
) -> pd.DataFrame:
    """One line per row of the table and shape: every score of each surface against the true shape in ``folder``."""
    counts = {"surface_points": surface_points, "volume_points": volume_points}
    tasks = [(folder, e, i, [answers[i] for answers in rows.values()], counts) for i, e in enumerate(entries)]
    scored = each(_scores, tasks, label="scores")
    return pd.DataFrame(
        {"row": row, "shape": e.name, "category": e.category, "split": e.split, **scored[i][k]}
        for k, row in enumerate(rows)
        for i, e in enumerate(entries)
    )


@remembered
def _outlines(mesh: Mesh) -> Bool[np.ndarray, "views h w"]:
    from flowsdf.data.views import silhouettes  # whose renderer most processes do without

    return silhouettes(mesh, size=SILHOUETTE_PIXELS)


def _scores(task: tuple[Path, Entry, int, list[Surface], dict[str, int]]) -> list[dict[str, float]]:
    folder, entry, number, answers, counts = task
    mesh = read_mesh_artefact(folder, entry)
    truth = truth_samples(mesh, lambda points: inside(points, mesh), seed=entry.index, **counts)
    return [
        score(answer, truth, seed=RESAMPLED + number) | {"view_iou": view_iou(_outlines(answer.mesh), _outlines(mesh))}
        for answer in answers
    ]


def summary(table: pd.DataFrame, *, by: str = "row") -> pd.DataFrame:
    """Per row of the table: counts, and the mean of each score with its bootstrap interval over shapes."""
    lines = []
    for name, group in table.groupby(by, sort=False):
        scores = summarise(group[[*(name for name in SHOWN if name in group), "failed"]])
        counts = scores.iloc[0][["n_in", "n_used", "n_failed"]].astype(int).to_dict()
        shown = {k: f"{s['mean']:.3f} [{s['low']:.3f}, {s['high']:.3f}]" for k, s in scores.iterrows()}
        lines.append({by: name, **counts, **shown})
    return pd.DataFrame(lines)


def resampled(folder: Path, entries: Sequence[Entry], resolution: int) -> list[Surface]:
    """The true surfaces with their exact distances on the extraction grid: the floor that no prediction can beat."""
    return each(_resampled, [(folder, entry, resolution) for entry in entries], label="truths resampled")


def _resampled(task: tuple[Path, Entry, int]) -> Surface:
    folder, entry, resolution = task
    mesh = read_mesh_artefact(folder, entry)
    return Surface(mesh, sparse_grid(signed_distance_to(mesh), resolution, steepness=1.05))


def clouds(folder: Path, entries: Sequence[Entry], *, points: int = 1000) -> list[Float[np.ndarray, "p 3"]]:
    """Points on the true surface of each shape."""
    return [_cloud(read_mesh_artefact(folder, entry), points) for entry in entries]


def cloud_distances(
    a: Sequence[Float[np.ndarray, "p 3"]], b: Sequence[Float[np.ndarray, "q 3"]]
) -> Float[np.ndarray, "n m"]:
    """The mean symmetric distance between the points of every a and every b."""
    ours, theirs = np.stack(a), np.stack(b)
    return (mean_nearest(ours, theirs) + mean_nearest(theirs, ours).T) / 2


def surface_distances(
    surfaces: Sequence[Surface], training: Sequence[Float[np.ndarray, "p 3"]], *, points: int = 1000
) -> Float[np.ndarray, "n m"]:
    """The mean symmetric distance of each surface to each cloud; sqrt(3) where a surface is empty."""
    matrix = np.full((len(surfaces), len(training)), FAILED_DISTANCE)
    full = [i for i, surface in enumerate(surfaces) if len(surface.mesh.faces)]
    if full:
        matrix[full] = cloud_distances([_cloud(surfaces[i].mesh, points) for i in full], training)
    return matrix


def _cloud(mesh: Mesh, points: int) -> Float[np.ndarray, "p 3"]:
    return sample_surface(mesh, points, np.random.default_rng(0)).points
