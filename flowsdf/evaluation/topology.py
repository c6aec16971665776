"""What a surface is made of: pieces, handles, and the spokes of a wheel; and which surfaces are extreme."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull

from flowsdf.conventions import Field, Mesh
from flowsdf.geometry import mesh as measure


class Topology(NamedTuple):
    """Pieces, handles over all pieces (NaN when open), 1 when closed, vertices - edges + faces, and signed volume."""

    components: int
    genus: float
    watertight: int
    euler: int
    volume: float


@measure.remembered
def topology(mesh: Mesh) -> Topology:
    """The topology of a mesh; zeros and a NaN genus when it has no faces."""
    return Topology(
        measure.components(mesh),
        measure.genus(mesh),
        int(measure.is_watertight(mesh)),
        measure.euler_number(mesh),
        measure.volume(mesh),
    )


def piece_volumes(mesh: Mesh) -> Float[np.ndarray, " p"]:
    """The signed volume within each piece of a closed mesh: positive of an outer wall, negative of a cavity's."""
    corners = mesh.faces[:, 0]
    edges = np.concatenate([mesh.faces[:, :2], mesh.faces[:, 1:]]).T
    size = len(mesh.vertices)
    graph = coo_array((np.ones(edges.shape[1], bool), tuple(edges)), shape=(size, size))
    _, piece = np.unique(connected_components(graph, directed=False)[1][corners], return_inverse=True)
    a, b, c = (np.asarray(mesh.vertices, np.float64)[mesh.faces[:, corner]] for corner in range(3))
    return np.bincount(piece, (a * np.cross(b, c)).sum(-1) / 6)


def telling(meshes: Sequence[Mesh], each: int = 2) -> dict[str, list[int]]:
    """The numbers of the thinnest closed meshes, of those with most holes and of the most convex; none is there twice.

    Thin is little volume for its area, convex much of its convex hull.
    """
    by = {
        "thin": [measure.volume(mesh) / measure.area(mesh) for mesh in meshes],
        "most holes": [-measure.genus(mesh) for mesh in meshes],
        "convex": [-measure.volume(mesh) / ConvexHull(mesh.vertices).volume for mesh in meshes],
    }
    found: dict[str, list[int]] = {}
    for name, values in by.items():
        taken = {number for numbers in found.values() for number in numbers}
        order = [int(number) for number in np.argsort(values, kind="stable")]
        found[name] = [number for number in order if number not in taken][:each]
    return found


def spokes(field: Field, *, radius: float, axis: int = 2, samples: int = 720) -> int:
    """How many solid arcs the circle of ``radius`` around a coordinate axis has: the spokes of a wheel there."""
    angle = np.arange(samples) * 2 * np.pi / samples
    circle = np.zeros((samples, 3), np.float32)
    circle[:, axis - 2], circle[:, axis - 1] = radius * np.cos(angle), radius * np.sin(angle)
    solid = np.asarray(field(circle)) < 0
    return int((solid & ~np.roll(solid, 1)).sum())
