"""Triangle meshes as plain arrays: frame, areas, volume, topology and points drawn from a surface."""

import hashlib
from collections.abc import Callable, Sequence
from functools import wraps
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from flowsdf.conventions import Mesh, Points

Result = TypeVar("Result")


class Samples(NamedTuple):
    """Points drawn from a surface, the unit normals there, and the faces they lie on."""

    points: Points
    normals: Points
    faces: Int[np.ndarray, " n"]


def normalise(mesh: Mesh) -> tuple[Mesh, Float[np.ndarray, "3"], float]:
    """The mesh with its bounding box centred and its farthest vertex at distance 1, the centre and the scale.

    ``vertices = normalised * scale + centre``, in float64. Only vertices that faces use count. Raises ValueError
    when there are no faces, when a coordinate is not finite, or when all vertices coincide.
    """
    vertices = np.asarray(mesh.vertices, np.float64)
    corners = vertices[np.unique(mesh.faces)]
    if not len(corners) or not np.isfinite(corners).all():
        raise ValueError("a mesh needs at least one face and finite vertices")
    centre = corners.min(0) / 2 + corners.max(0) / 2
    extent = np.abs(corners - centre).max()
    if extent == 0:
        raise ValueError("all vertices of the mesh coincide")
    scale = float(extent * np.linalg.norm((corners - centre) / extent, axis=1).max())  # no overflow in the squares
    return Mesh((vertices - centre) / scale, mesh.faces), centre, scale


def face_areas(mesh: Mesh) -> Float[np.ndarray, " f"]:
    """The area of each face."""
    return np.linalg.norm(_cross(mesh), axis=1) / 2


def face_normals(mesh: Mesh) -> Float[np.ndarray, "f 3"]:
    """The outward unit normal of each face; zero where the area is zero."""
    cross = _cross(mesh)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    return np.divide(cross, length, out=np.zeros_like(cross), where=length > 0)


def vertex_normals(mesh: Mesh) -> Float[np.ndarray, "v 3"]:
    """Unit normals at the vertices: the area-weighted mean of the faces around each; zero where no face has area."""
    summed = np.zeros(mesh.vertices.shape)
    for axis in range(3):
        weight = np.repeat(_cross(mesh)[:, axis], 3)
        summed[:, axis] = np.bincount(mesh.faces.ravel(), weight, minlength=len(summed))
    return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-300)


def area(mesh: Mesh) -> float:
    """The area of the surface."""
    return float(face_areas(mesh).sum())


def volume(mesh: Mesh) -> float:
    """The signed volume that the surface encloses, positive when its faces look outward; meaningful when closed."""
    a, b, c = _corners(mesh)
    return float((a * np.cross(b, c)).sum() / 6)


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator) -> Samples:
    """``count`` points uniform over the area of the surface; ValueError when it has none."""
    cumulative = np.cumsum(face_areas(mesh))
    if not len(cumulative) or not cumulative[-1] > 0:
        raise ValueError("the mesh has no area to draw points from")
    faces = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    u, v = rng.random((2, count, 1))
    flip = u + v > 1  # the far half of the parallelogram folds back onto the triangle
    u, v = np.where(flip, 1 - u, u), np.where(flip, 1 - v, v)
    chosen = Mesh(mesh.vertices, mesh.faces[faces])
    a, b, c = _corners(chosen)
    return Samples(a + u * (b - a) + v * (c - a), face_normals(chosen), faces)


def concatenate(meshes: Sequence[Mesh]) -> Mesh:
    """One mesh of all the parts, which share no vertex."""
    offsets = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=True)]),
    )


def components(mesh: Mesh) -> int:
    """How many pieces the faces form, connected through shared vertices."""
    a, b = _edges(mesh).T
    size = len(mesh.vertices)
    _, label = connected_components(coo_array((np.ones(len(a), bool), (a, b)), shape=(size, size)), directed=False)
    return np.count_nonzero(np.bincount(label[a]))


def is_watertight(mesh: Mesh) -> bool:
    """Whether every edge is shared by exactly two faces that run along it in opposite directions."""
    a, b = _edges(mesh).T
    size = len(mesh.vertices)
    forward, backward = np.sort(a * size + b), np.sort(b * size + a)
    return bool(len(forward) and (np.diff(forward) > 0).all() and (forward == backward).all())


def euler_number(mesh: Mesh) -> int:
    """Vertices - edges + faces, over the vertices that faces use."""
    a, b = _edges(mesh).T
    edges = np.sort(np.minimum(a, b) * len(mesh.vertices) + np.maximum(a, b))  # faster than numpy's table of hashes
    distinct = np.count_nonzero(np.diff(edges)) + bool(len(edges))
    return np.count_nonzero(np.bincount(mesh.faces.ravel())) - distinct + len(mesh.faces)


def genus(mesh: Mesh) -> float:
    """The number of handles, summed over components; NaN when the mesh is not watertight."""
    return components(mesh) - euler_number(mesh) / 2 if is_watertight(mesh) else float("nan")


def remembered(function: Callable[[Mesh], Result], *, last: int = 64) -> Callable[[Mesh], Result]:
    """The function, computed once for equal meshes among the ``last`` ones asked; its results are not to be changed."""
    results: dict[bytes, Result] = {}

    @wraps(function)
    def known(mesh: Mesh) -> Result:
        kind = str([(of.shape, of.dtype) for of in mesh]).encode()
        key = hashlib.sha256(kind + mesh.vertices.tobytes() + mesh.faces.tobytes()).digest()
        results[key] = results.pop(key) if key in results else function(mesh)  # the one asked last is at the end
        if len(results) > last:
            del results[next(iter(results))]
        return results[key]

    return known


def _corners(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b, c = (np.asarray(mesh.vertices, np.float64)[mesh.faces[:, corner]] for corner in range(3))
    return a, b, c  # each (f, 3)


def _cross(mesh: Mesh) -> np.ndarray:
    a, b, c = _corners(mesh)
    return np.cross(b - a, c - a)  # (f, 3)


def _edges(mesh: Mesh) -> np.ndarray:
    faces = np.asarray(mesh.faces, np.int64)
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])  # (3f, 2), directed
