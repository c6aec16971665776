"""Flow-SDF's data from meshes: shapes of any source as solids, so that the same study runs on their silhouettes."""

import hashlib
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

from flowsdf.conventions import Field, Mesh, Points
from flowsdf.data.faults import Failed, Rejected
from flowsdf.data.limited import read_limited
from flowsdf.data.sources import folder_of
from flowsdf.geometry.distance import signed_distance
from flowsdf.geometry.mesh import normalise
from flowsdf.geometry.watertight import watertight
from flowsdf.studies.dataset import open_source
from flowsdf.studies.solids import Renders, Solid, random_directions
from flowsdf.train.progress import progress

NODES = 64  # along each edge of the cube, between which distances are interpolated
MOST_SHEET = 0.5  # of a mesh's area


def mesh_solids(source: str, folder: Path, count: int, *, seed: int) -> list[Solid]:
    """``count`` meshes of a source, closed, each with a camera of its own.

    Those that cannot be closed, or are mostly sheets, which fall between the nodes, are left out. ``folder`` takes what
    a built-in source writes. Raises Failed when none is left.
    """
    shapes = open_source(source, folder, training=count, held_out=0, held_out_categories=0, most=count)[:count]
    root, found = folder_of(shapes, folder), []
    for shape, direction in zip(
        progress(shapes, "meshes", len(shapes)), random_directions(len(shapes), seed=seed), strict=True
    ):
        try:
            mesh, _, _ = normalise(read_limited(shape.path, root))
            closed = watertight(mesh)
        except Rejected:
            continue
        if len(closed.mesh.faces) and closed.sheet_share < MOST_SHEET:
            found.append(Solid(shape.category, interpolated_distance(closed.mesh), direction))
    if not found:
        raise Failed(f"{source}: none of {len(shapes)} meshes can be read and closed")
    return found


def interpolated_distance(mesh: Mesh, *, nodes: int = NODES) -> Field:
    """The exact distance to a closed mesh at the nodes of a grid, and linearly between them."""
    ticks = np.linspace(-1, 1, nodes)
    at = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = signed_distance(at, mesh).reshape(nodes, nodes, nodes)

    def value(points: Points) -> np.ndarray:
        return map_coordinates(grid, (points.T + 1) * (nodes - 1) / 2, order=1, mode="nearest")

    return value


def content_hash(renders: Renders) -> str:
    """The hash of images, cameras and silhouettes: what a fit on them depends on."""
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in renders)).hexdigest()
