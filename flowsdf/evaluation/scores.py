"""How far a predicted surface is from the true one: the scores of the frozen protocol, in the unit-sphere frame."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from flowsdf.conventions import HALF_EXTENT, Grid, Inside, Mesh, Points, Surface, Values
from flowsdf.evaluation.few_values import shapes_interval
from flowsdf.evaluation.topology import Topology, topology
from flowsdf.geometry.mesh import Samples, face_areas, sample_surface

SURFACE_POINTS = 30_000  # per surface; 100,000 in the thesis profile
VOLUME_POINTS = 100_000
NEAR = 0.05  # the reach of the near-surface points
THRESHOLDS = {"f_001": 0.01, "f_002": 0.02, "f_005": 0.05}
FAILED_DISTANCE = np.sqrt(3)  # each way, when there is no mesh


class Truth(NamedTuple):
    """What is drawn once from a true shape: surface points and their tree, occupancy everywhere and near, topology."""

    surface: Samples
    tree: cKDTree
    points: Points
    inside: Inside
    near_points: Points
    near_inside: Inside
    topology: Topology


def truth_samples(
    mesh: Mesh,
    inside: Callable[[Points], Inside],
    *,
    seed: int,
    surface_points: int = SURFACE_POINTS,
    volume_points: int = VOLUME_POINTS,
) -> Truth:
    """The samples of a true shape, ``inside`` telling the occupancy of points (n, 3) of the cube."""
    rng = np.random.default_rng(seed)
    surface = sample_surface(mesh, surface_points, rng)
    points = rng.uniform(-HALF_EXTENT, HALF_EXTENT, (volume_points, 3))
    near = sample_surface(mesh, volume_points, rng).points + _in_ball(volume_points, NEAR, rng)
    near = near.clip(-HALF_EXTENT, HALF_EXTENT)
    occupied = inside(np.concatenate([points, near]))  # at once, as what tells it may have to build a tree
    parts = points, occupied[:volume_points], near, occupied[volume_points:]
    return Truth(surface, cKDTree(surface.points), *parts, topology(mesh))


def score(prediction: Surface, truth: Truth, *, seed: int) -> dict[str, float]:
    """Every score of one prediction against its truth; without a surface the worst ones, and failed = 1."""
    shape = topology(prediction.mesh)
    failed = not _has_surface(prediction)
    scores = _worst() if failed else _agreement(prediction, truth, np.random.default_rng(seed))
    measured = {
        "components": shape.components,
        "genus": shape.genus,
        "watertight": shape.watertight,
        "euler": shape.euler,
        "volume_ratio": 0.0 if failed else shape.volume / truth.topology.volume if shape.watertight else np.nan,
        "components_truth": truth.topology.components,
        "genus_truth": truth.topology.genus,
        "watertight_truth": truth.topology.watertight,
        "euler_truth": truth.topology.euler,
        "failed": failed,
    }
    return scores | {name: float(value) for name, value in measured.items()}


def chamfer_l1(there: Values, back: Values) -> float:
    """Half the sum of the two mean distances, x10 (Mescheder et al. 2019)."""
    return float(10 * (there.mean() + back.mean()) / 2)


def chamfer_l2(there: Values, back: Values) -> float:
    """The sum of the two mean squared distances, x1e3 (Park et al. 2019)."""
    return float(1e3 * ((there**2).mean() + (back**2).mean()))


def f_score(there: Values, back: Values, threshold: float) -> float:
    """The harmonic mean of precision and recall: the shares of points nearer than ``threshold``."""
    precision, recall = (there < threshold).mean(), (back < threshold).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def iou(a: Bool[np.ndarray, " n"], b: Bool[np.ndarray, " n"]) -> float:
    """Intersection over union of two occupancies; 1 when both are empty."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def view_iou(a: Bool[np.ndarray, "views h w"], b: Bool[np.ndarray, "views h w"]) -> float:
    """The mean over views of the IoU of two stacks of silhouettes."""
    return float(np.mean([iou(one.ravel(), other.ravel()) for one, other in zip(a, b, strict=True)]))


def interpolate(grid: Grid, points: Points) -> Values:
    """Trilinear values of an extraction grid at points of the cube."""
    nodes = (points + HALF_EXTENT) / (2 * HALF_EXTENT) * (len(grid) - 1)
    return map_coordinates(grid, nodes.T, output=np.float64, order=1, mode="nearest")


def summarise(table: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Per numeric column of a table with one row per shape: counts, mean, and its interval over shapes.

    ``n_used`` are the defined values, worst values of failed shapes among them; the limits are NaN below two.
    """
    n_failed = int(table["failed"].sum())
    rows = {}
    for name in table.select_dtypes("number").columns.drop("failed"):
        values = table[name].to_numpy(np.float64)
        values = values[np.isfinite(values)]
        interval = shapes_interval(values, seed=seed) if len(values) else (np.nan,) * 3
        rows[name] = (len(table), len(values), n_failed, *interval)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["n_in", "n_used", "n_failed", "mean", "low", "high"])


def _agreement(prediction: Surface, truth: Truth, rng: np.random.Generator) -> dict[str, float]:
    drawn = sample_surface(prediction.mesh, len(truth.surface.points), rng)
    there, nearest = truth.tree.query(drawn.points)
    back, nearest_back = cKDTree(drawn.points).query(truth.surface.points)
    along = np.abs((drawn.normals * truth.surface.normals[nearest]).sum(1)).mean()
    along_back = np.abs((truth.surface.normals * drawn.normals[nearest_back]).sum(1)).mean()
    return {
        "chamfer_l1": chamfer_l1(there, back),
        "chamfer_l2": chamfer_l2(there, back),
        **{name: f_score(there, back, threshold) for name, threshold in THRESHOLDS.items()},
        "iou": iou(interpolate(prediction.grid, truth.points) < 0, truth.inside),
        "iou_near": iou(interpolate(prediction.grid, truth.near_points) < 0, truth.near_inside),
        "normal_consistency": float((along + along_back) / 2),
    }


def _worst() -> dict[str, float]:
    distance = np.full(1, FAILED_DISTANCE)
    zeros = dict.fromkeys([*THRESHOLDS, "iou", "iou_near", "normal_consistency"], 0.0)
    return {"chamfer_l1": chamfer_l1(distance, distance), "chamfer_l2": chamfer_l2(distance, distance)} | zeros


def _has_surface(prediction: Surface) -> bool:
    mesh, grid = prediction
    return bool(np.isfinite(mesh.vertices).all() and np.isfinite(grid).all() and face_areas(mesh).sum() > 0)


def _in_ball(count: int, radius: float, rng: np.random.Generator) -> Points:
    direction = rng.normal(size=(count, 3))
    length = radius * rng.random((count, 1)) ** (1 / 3)
    return length * direction / np.linalg.norm(direction, axis=1, keepdims=True)
