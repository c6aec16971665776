"""Closed, outward triangle meshes of the solids, every vertex on the exact surface."""

import numpy as np

from flowsdf.conventions import Mesh
from flowsdf.geometry.implicit import profile_edges

CHORD = 0.001  # the largest gap between a chord and its arc; a doubly curved face adds two. In shape radii
CELL = 0.2  # the longest edge on a flat box


def steps(radius: float) -> int:
    """How many chords a full circle needs."""
    return int(np.clip(np.ceil(np.pi * np.sqrt(radius / (2 * CHORD))), 10, 72))


def arc(radius: float, start: float | int, stop: float | int, *, centre=(0.0, 0.0)) -> np.ndarray:
    """Points (k, 2) on a circle from angle ``start`` to ``stop``, in radians, both included."""
    count = max(2, int(np.ceil(steps(radius) * abs(stop - start) / (2 * np.pi))) + 1)
    angle = np.linspace(start, stop, count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius + centre


def revolved(profile) -> Mesh:
    """The surface of revolution of a counter-clockwise profile (k, 2) of (radius, y)."""
    starts, ends = profile_edges(profile)
    count = steps(starts[:, 0].max())
    angle = np.arange(count) * 2 * np.pi / count
    rim = np.stack([starts, ends], axis=1)[:, :, None]  # (edges, 2, 1, 2)
    ring = np.stack([rim[..., 0] * np.cos(angle), rim[..., 1] + 0 * angle, rim[..., 0] * np.sin(angle)], axis=-1)
    corner = np.arange(ring.size // 3).reshape(ring.shape[:3])  # (edges, 2, count)
    a, b = corner[:, 0], corner[:, 1]
    return welded(ring.reshape(-1, 3), quads(a, b, np.roll(b, -1, axis=1), np.roll(a, -1, axis=1)))


def extruded(outline, depth: float) -> Mesh:
    """The prism over a counter-clockwise outline (k, 2)."""
    outline = np.asarray(outline, float)
    count = len(outline)
    levels = [np.column_stack([outline, np.full(count, z)]) for z in (-depth / 2, depth / 2)]
    lid, a = ears(outline), np.arange(count)
    b = np.roll(a, -1)
    return Mesh(np.concatenate(levels), np.concatenate([lid[:, ::-1], lid + count, quads(a, b, b + count, a + count)]))


def boxed(size, radius: float = 0.0) -> Mesh:
    """The box of full edge lengths ``size`` (3,), with edges and corners rounded by ``radius``."""
    half, core = np.asarray(size, float) / 2, np.asarray(size, float) / 2 - radius
    ticks = [_ticks(h, c) for h, c in zip(half, core, strict=True)]
    sides = [_side(ticks, half, axis, sign) for axis in range(3) for sign in (-1, 1)]
    counts = np.cumsum([0] + [len(vertices) for vertices, _ in sides])
    mesh = welded(
        np.concatenate([vertices for vertices, _ in sides]),
        np.concatenate([faces + first for (_, faces), first in zip(sides, counts, strict=False)]),
    )
    if not radius:
        return mesh
    inner = np.clip(mesh.vertices, -core, core)
    outward = mesh.vertices - inner
    return Mesh(inner + radius * outward / np.linalg.norm(outward, axis=1, keepdims=True), mesh.faces)


def _ticks(half: float, core: float) -> np.ndarray:
    """Where a box is cut along one axis: evenly on its flat, and at equal angles over its rounded ends."""
    flat = np.linspace(-core, core, max(2, int(np.ceil(2 * core / CELL)) + 1))
    if half == core:
        return flat
    angle = np.linspace(0, np.pi / 4, int(np.ceil(steps(half - core) / 8)) + 1)[1:]
    bend = core + (half - core) * np.tan(angle)
    return np.concatenate([-bend[::-1], flat, bend])


def _side(ticks, half, axis: int, sign: int) -> tuple[np.ndarray, np.ndarray]:
    """One side of the box: vertices (v, 3) and outward faces (f, 3)."""
    second, third = (axis + 1) % 3, (axis + 2) % 3
    grid = np.stack(np.meshgrid(ticks[second], ticks[third], indexing="ij"), axis=-1)
    vertices = np.full((*grid.shape[:2], 3), sign * half[axis])
    vertices[..., [second, third]] = grid
    index = np.arange(grid.size // 2).reshape(grid.shape[:2])
    faces = quads(index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:])
    return vertices.reshape(-1, 3), faces[:, ::sign]


def quads(a, b, c, d) -> np.ndarray:
    """Two faces for each quadrilateral of corners a, b, c, d: (2 n, 3)."""
    return np.concatenate([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)]).reshape(-1, 3)


def welded(vertices, faces) -> Mesh:
    """The mesh with coincident vertices merged and the faces that collapse dropped."""
    _, first, index = np.unique(np.round(vertices, 9) + 0.0, axis=0, return_index=True, return_inverse=True)
    faces = index.reshape(-1)[faces]
    proper = (faces != np.roll(faces, 1, axis=1)).all(axis=1)
    return Mesh(vertices[first], faces[proper])


def ears(outline) -> np.ndarray:
    """The triangulation (k - 2, 3) of a simple counter-clockwise polygon (k, 2) by clipping ears."""
    left, faces = list(range(len(outline))), []
    while len(left) > 3:
        ear = next(i for i in range(len(left)) if _is_ear(outline, left, i))
        faces.append((left[ear - 1], left[ear], left[(ear + 1) % len(left)]))
        left.pop(ear)
    return np.array([*faces, left])


def _is_ear(outline, left: list[int], i: int) -> bool:
    """Whether the corner i of what is left turns left and holds no other vertex."""
    a, b, c = outline[[left[i - 1], left[i], left[(i + 1) % len(left)]]]
    if _turn(a, b, c) <= 1e-12:
        return False
    others = outline[[j for j in left if j not in (left[i - 1], left[i], left[(i + 1) % len(left)])]].T
    within = (_turn(a, b, others) >= 0) & (_turn(b, c, others) >= 0) & (_turn(c, a, others) >= 0)
    return not within.any()


def _turn(a, b, c):
    """Twice the signed area of the triangle a, b, c."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
