"""Exact distances from points to a triangle mesh, on libigl's bounding-volume tree."""

import igl
import numpy as np

from flowsdf.conventions import Inside, Mesh, Points, Values


def unsigned_distance(points: Points, mesh: Mesh) -> Values:
    """Euclidean distance of each point to the nearest triangle; whatever the faces' orientation."""
    squared, _, _ = igl.point_mesh_squared_distance(*_arrays(points, mesh))
    return np.sqrt(squared)


def winding_number(points: Points, mesh: Mesh) -> Values:
    """Generalised winding number (Barill et al. 2018): 1 inside a closed mesh, 0 outside, fractions in a leaky one."""
    points, vertices, faces = _arrays(points, mesh)
    return igl.fast_winding_number(vertices, faces, points)


def inside(points: Points, mesh: Mesh) -> Inside:
    """Occupancy of a closed, outward-facing mesh."""
    return winding_number(points, mesh) > 0.5


def signed_distance(points: Points, mesh: Mesh) -> Values:
    """Exact distance to a closed, outward-facing mesh, negative inside.

    The sign is taken from the winding number here because libigl's own combination scales the magnitude by it.
    """
    return np.where(inside(points, mesh), -1.0, 1.0) * unsigned_distance(points, mesh)


def _arrays(points: Points, mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.ascontiguousarray(points, dtype=np.float64),
        np.ascontiguousarray(mesh.vertices, dtype=np.float64),
        np.ascontiguousarray(mesh.faces, dtype=np.int64),
    )
