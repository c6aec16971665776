"""Flow-SDF's data from meshes: shapes of any source as solids, so that the same study runs on their silhouettes."""

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.ndimage import map_coordinates

from flowsdf.conventions import Field, Mesh
from flowsdf.data.executor import run_tasks
from flowsdf.data.faults import Failed, Rejected
from flowsdf.data.limited import read_limited
from flowsdf.geometry.distance import signed_distance
from flowsdf.geometry.mesh import normalise
from flowsdf.geometry.watertight import watertight
from flowsdf.studies.dataset import open_source
from flowsdf.studies.solids import Renders, Solid, random_directions

MOST_SHEET = 0.5  # of a mesh's area


def mesh_solids(
    source: str, folder: Path, count: int, *, nodes: int, seed: int
) -> tuple[list[Solid], list[tuple[str, Rejected]]]:
    """``count`` meshes of a source, each with a camera of its own: distances at ``nodes`` along each edge.

    They are closed at twice as many nodes. Those that cannot be closed, or are mostly sheets, which fall between the
    nodes, are set aside: the second list, by file. ``folder`` takes what a built-in source writes. Raises Failed when
    none is left.
    """
    shapes = open_source(source, folder, training=count, held_out=0, held_out_categories=0, most=count)[:count]
    outcomes = run_tasks(_closed, [(shape.path, shape.root, nodes) for shape in shapes], label="meshes")
    directions = random_directions(len(shapes), seed=seed)
    found, aside = [], []
    for shape, outcome, direction in zip(shapes, outcomes, directions, strict=True):
        if isinstance(outcome, Rejected):
            aside.append((shape.path.name, outcome))
        else:
            found.append(Solid(shape.category, interpolated(outcome), direction))
    if not found:
        raise Failed(f"{source}: none of {len(shapes)} meshes can be read and closed; the first: {aside[0][1]}")
    return found, aside


def _closed(task: tuple[Path, Path, int]) -> Float[np.ndarray, "n n n"]:
    path, within, nodes = task
    mesh, _, _ = normalise(read_limited(path, within))
    closed = watertight(mesh, resolution=2 * nodes)
    if not len(closed.mesh.faces) or closed.sheet_share >= MOST_SHEET:
        raise Rejected("no_solid", "closing the mesh leaves nothing, or sheets")
    return distances(closed.mesh, nodes=nodes)


def distances(mesh: Mesh, *, nodes: int) -> Float[np.ndarray, "n n n"]:
    """The exact distance to a closed mesh at the nodes of a grid on the cube."""
    ticks = np.linspace(-1, 1, nodes)
    at = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    return signed_distance(at, mesh).reshape(nodes, nodes, nodes)


def interpolated(grid: Float[np.ndarray, "n n n"]) -> Field:
    """The values of a grid on the cube, linearly between its nodes."""
    return lambda points: map_coordinates(grid, (points.T + 1) * (len(grid) - 1) / 2, order=1, mode="nearest")


def content_hash(renders: Renders) -> str:
    """The hash of images, cameras and silhouettes: what a fit on them depends on."""
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in renders)).hexdigest()
