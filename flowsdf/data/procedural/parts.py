"""The vocabulary of the generators: solid parts that know their exact distance and their own mesh.

Lengths are in units of the whole shape's radius, y is up and shapes face +z. A part is built at the origin and
then turned and moved: ``box(1, 0.1, 1).turn("x", 20).at(0, 0.5, 0)``.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from flowsdf.conventions import Field, Mesh
from flowsdf.data.procedural import tessellate
from flowsdf.geometry import implicit

Number = float | int


class Part(NamedTuple):
    """A closed solid: its signed distance, exact on both sides, and its mesh, made when asked for."""

    distance: Field
    mesh: Callable[[], Mesh]

    def placed(self, rotation=implicit.IDENTITY, offset=(0, 0, 0), scale: Number = 1.0) -> "Part":
        """The part scaled, turned by ``rotation`` (3, 3) and moved by ``offset`` (3,)."""
        field = implicit.placed(self.distance, rotation, offset, scale)
        return Part(field, lambda: _moved(self.mesh(), rotation, offset, scale))

    def at(self, x: Number, y: Number, z: Number) -> "Part":
        """The part moved."""
        return self.placed(offset=(x, y, z))

    def turn(self, axis: str, degrees: Number) -> "Part":
        """The part turned about one of the frame's axes, counter-clockwise seen from the axis's tip."""
        return self.placed(rotation=_rotation("xyz".index(axis), np.radians(degrees)))


def box(x: Number, y: Number, z: Number, *, rounded: Number = 0.0) -> Part:
    """A box of full edge lengths x, y, z, its edges rounded by a radius."""
    size = (x, y, z)
    field = implicit.rounded_box(size, rounded) if rounded else implicit.box(size)
    return Part(field, lambda: tessellate.boxed(size, rounded))


def ball(radius: Number) -> Part:
    """A ball."""
    return Part(implicit.sphere(radius), lambda: tessellate.revolved(_on_axis(tessellate.arc(radius, *_HALF_TURN))))


def egg(x: Number, y: Number, z: Number) -> Part:
    """An ellipsoid of semi-axes x, y, z."""
    return Part(implicit.ellipsoid((x, y, z)), lambda: _stretched((x, y, z)))


def disc(radius: Number, height: Number) -> Part:
    """A flat-ended cylinder along y."""
    half = height / 2
    profile = [(0, -half), (radius, -half), (radius, half), (0, half)]
    return Part(implicit.cylinder(radius, height), lambda: tessellate.revolved(profile))


def ring(major: Number, minor: Number) -> Part:
    """A torus around y."""
    return Part(
        implicit.torus(major, minor),
        lambda: tessellate.revolved(tessellate.arc(minor, 0, 2 * np.pi, centre=(major, 0))[:-1]),
    )


def revolve(profile) -> Part:
    """A counter-clockwise profile (k, 2) of (radius, y), turned round y."""
    profile = np.asarray(profile, float)
    return Part(implicit.revolution(profile), lambda: tessellate.revolved(profile))


def cone(lower: Number, upper: Number, height: Number) -> Part:
    """A flat-ended cone that stands on y = 0."""
    return revolve([(0, 0), (lower, 0), (upper, height), (0, height)])


def plate(outline, depth: Number) -> Part:
    """A counter-clockwise outline (k, 2) of the xy-plane, thickened along z."""
    outline = np.asarray(outline, float)
    return Part(implicit.extrusion(outline, depth), lambda: tessellate.extruded(outline, depth))


def rod(start, end, radius: Number) -> Part:
    """A flat-ended cylinder from one point to another."""
    along = np.subtract(end, start)
    return disc(radius, float(np.linalg.norm(along))).placed(_upright(along), np.add(start, end) / 2)


def limb(start, end, radius: Number, tip: Number | None = None) -> Part:
    """A round-ended rod from one point to another, of its own radius at either end."""
    tip, along = radius if tip is None else tip, np.subtract(end, start)
    height = float(np.linalg.norm(along))
    hull = Part(implicit.round_cone(radius, tip, height), lambda: _hull(radius, tip, height))
    return hull.placed(_upright(along), start)


def tube(path, radius: Number, tip: Number | None = None) -> list[Part]:
    """Limbs along a path (k, 3), thinning evenly from one radius to another."""
    radii = np.linspace(radius, radius if tip is None else tip, len(path))
    return [limb(*ends) for ends in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True)]


def bow(radius: Number, start: Number, stop: Number, *, centre=(0, 0, 0), steps: int = 10) -> np.ndarray:
    """A path (steps + 1, 3) along a circle of the xy-plane, angles in degrees."""
    angle = np.radians(np.linspace(start, stop, steps + 1))
    return np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1) * radius + centre


def smooth(points, rounds: int = 3) -> np.ndarray:
    """An open curve (k, d) rounded by cutting its corners, ends kept (Chaikin, 1974)."""
    points = np.asarray(points, float)
    for _ in range(rounds):
        near, far = 0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]
        cut = np.stack([near, far], axis=1).reshape(-1, points.shape[1])
        points = np.concatenate([points[:1], cut[1:-1], points[-1:]])
    return points


def vessel(outside, wall: Number) -> Part:
    """A hollow body, open at the top: its outer curve (k, 2) of (radius, y) from the rim of its foot to its lip."""
    outside = np.array([(0.0, outside[0][1]), *outside])
    along = np.diff(outside, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    along = np.concatenate([along[:1], along[:-1] + along[1:], along[-1:]])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    inside = outside + wall * np.stack([-along[:, 1], along[:, 0]], axis=1)
    inside[0, 0] = 0
    return revolve([*outside, *inside[::-1]])


def around(count: int, part: Part, *, axis: str = "y") -> list[Part]:
    """Copies of a part at equal angles about an axis."""
    return [part.turn(axis, 360 * i / count) for i in range(count)]


def mirrored(build: Callable[[int], Part | Iterable[Part]]) -> list[Part]:
    """What ``build`` makes of -1 and of 1: the left side and the right side."""
    both = [build(side) for side in (-1, 1)]
    return [part for made in both for part in ([made] if isinstance(made, Part) else made)]


_HALF_TURN = (-np.pi / 2, np.pi / 2)


def _on_axis(profile) -> np.ndarray:
    """The open profile (k, 2) with its two ends put exactly on the axis."""
    profile = np.asarray(profile)
    profile[[0, -1], 0] = 0
    return profile


def _moved(mesh: Mesh, rotation, offset, scale: Number) -> Mesh:
    """The mesh scaled, turned and moved."""
    return Mesh(scale * mesh.vertices @ np.transpose(rotation) + offset, mesh.faces)


def _hull(lower: Number, upper: Number, height: float) -> Mesh:
    """The convex hull of two balls: two arcs and the line that touches both, turned round."""
    lean = np.arcsin((lower - upper) / height)
    foot = tessellate.arc(lower, -np.pi / 2, lean)
    head = tessellate.arc(upper, lean, np.pi / 2, centre=(0, height))
    return tessellate.revolved(_on_axis([*foot, *head]))


def _stretched(semi_axes) -> Mesh:
    """The ellipsoid as a stretched sphere, as finely cut as its largest axis needs."""
    largest = max(semi_axes)
    unit = tessellate.revolved(_on_axis(tessellate.arc(largest, *_HALF_TURN)))
    return Mesh(unit.vertices * np.divide(semi_axes, largest), unit.faces)


def _upright(along) -> np.ndarray:
    """A rotation (3, 3) that takes y to a direction."""
    y = np.asarray(along, float) / np.linalg.norm(along)
    aside = np.array([0.0, 0, 1]) if abs(y[2]) < 0.9 else np.array([1.0, 0, 0])
    x = np.cross(y, aside)
    x /= np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _rotation(axis: int, angle: Number) -> np.ndarray:
    """The rotation (3, 3) about one of the frame's axes."""
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix, (i, j) = np.eye(3), ((axis + 1) % 3, (axis + 2) % 3)
    matrix[[i, j], [i, j]], matrix[i, j], matrix[j, i] = cosine, -sine, sine
    return matrix
