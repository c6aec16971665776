"""Signed distances of solids in closed form: functions of points (n, 3) to distances (n,), negative inside.

Every solid here is exact on both sides of its surface. Rigid motions and uniform scale keep that; a union is
exact outside and a lower bound on the depth inside. Solids are centred at the origin and stand along y.
"""

from functools import reduce

import numpy as np
from numpy.linalg import norm

from flowsdf.conventions import Field

IDENTITY = np.eye(3)


def sphere(radius: float) -> Field:
    """The ball of one radius."""
    return lambda points: norm(points, axis=1) - radius


def box(size) -> Field:
    """The box of full edge lengths ``size`` (3,)."""
    half = np.asarray(size, float) / 2
    return lambda points: _beyond(np.abs(points) - half)


def rounded_box(size, radius: float) -> Field:
    """The box of full edge lengths ``size`` (3,) whose edges and corners are rounded by ``radius``."""
    core = box(np.asarray(size, float) - 2 * radius)
    return lambda points: core(points) - radius


def cylinder(radius: float, height: float) -> Field:
    """The flat-ended cylinder along y."""
    return lambda points: _beyond(_half_plane(np.abs(points)) - (radius, height / 2))


def torus(major: float, minor: float) -> Field:
    """The ring around y: a circle of radius ``minor`` carried round at radius ``major``."""
    return lambda points: norm(_half_plane(points) - (major, 0), axis=1) - minor


def round_cone(lower: float, upper: float, height: float) -> Field:
    """The convex hull of two balls: radius ``lower`` at the origin, ``upper`` at y = ``height`` > |lower - upper|."""
    if not height > abs(lower - upper):
        raise ValueError(f"one ball holds the other: radii {lower} and {upper}, {height} apart")
    slope = (lower - upper) / height  # sine of the side's inclination
    side = np.array([np.sqrt(1 - slope**2), slope])  # its outward normal
    return lambda points: _to_hull(_half_plane(points), lower, upper, height, side)


def capsule(radius: float, height: float) -> Field:
    """The points within ``radius`` of the segment of length ``height`` along y."""
    hull = round_cone(radius, radius, height)
    return lambda points: hull(points + (0, height / 2, 0))


def cone(lower: float, upper: float, height: float) -> Field:
    """The flat-ended cone along y of radius ``lower`` at its foot and ``upper`` at its head."""
    return revolution([(0, -height / 2), (lower, -height / 2), (upper, height / 2), (0, height / 2)])


def ellipsoid(semi_axes) -> Field:
    """The ellipsoid of semi-axes (3,)."""
    axes = np.asarray(semi_axes, float)
    return lambda points: _to_ellipsoid(points, axes)


def extrusion(outline, depth: float) -> Field:
    """The simple polygon ``outline`` (k, 2) of the xy-plane, carried from z = -depth / 2 to depth / 2."""
    outline = np.asarray(outline, float)
    edges = outline, np.roll(outline, -1, axis=0)
    return lambda points: _beyond(
        np.stack([_to_polygon(points[:, :2], *edges), np.abs(points[:, 2]) - depth / 2], axis=1)
    )


def revolution(profile) -> Field:
    """The simple polygon ``profile`` (k, 2) of (radius, y), turned round y."""
    edges = profile_edges(profile)
    return lambda points: _to_polygon(_half_plane(points), *edges)


def profile_edges(profile) -> tuple[np.ndarray, np.ndarray]:
    """The starts and ends (e, 2) of a profile's edges, without those on the axis, which bound nothing."""
    starts = np.asarray(profile, float)
    ends = np.roll(starts, -1, axis=0)
    kept = (starts[:, 0] > 0) | (ends[:, 0] > 0)
    return starts[kept], ends[kept]


def placed(field: Field, rotation=IDENTITY, offset=(0, 0, 0), scale: float = 1.0) -> Field:
    """The solid scaled, then turned by ``rotation`` (3, 3), then moved by ``offset`` (3,)."""
    offset = np.asarray(offset, float)
    return lambda points: scale * field((points - offset) @ rotation / scale)


def union(fields) -> Field:
    """The solid that is any of the fields' solids: exact outside, a lower bound on the depth inside."""
    fields = tuple(fields)
    return lambda points: reduce(np.minimum, (field(points) for field in fields))


def _half_plane(points):
    """Distance from the y axis, and y: (n, 2)."""
    return np.stack([np.hypot(points[:, 0], points[:, 2]), points[:, 1]], axis=1)


def _beyond(excess):
    """The distance to a product of intervals from how far each coordinate is beyond its own, (n, k)."""
    return norm(np.maximum(excess, 0), axis=1) + np.minimum(excess.max(axis=1), 0)


def _to_hull(q, lower, upper, height, side):
    """The signed distance from (radius, y) (n, 2) to the hull of two circles, whose side has this normal (2,)."""
    along = q @ (-side[1], side[0])
    ends = np.where(along < 0, norm(q, axis=1) - lower, norm(q - (0, height), axis=1) - upper)
    return np.where((along < 0) | (along > side[0] * height), ends, q @ side - lower)


def _to_ellipsoid(points, axes):
    """The foot of each point's perpendicular by Newton's method from below.

    The root is that of Eberly, "Distance from a point to an ellipse, an ellipsoid": the sum of squares is convex
    and falls in the unknown, so steps from a lower bound never overshoot.
    """
    excess = axes**2 - axes.min() ** 2
    y = np.maximum(np.abs(points), 1e-12)  # off the planes of symmetry, where the root is singular
    pull = axes * y
    u = np.maximum((pull - excess).max(1), norm(pull, axis=1) - excess.max())[:, None]
    for _ in range(100):
        share = (pull / (u + excess)) ** 2
        step = (share.sum(1, keepdims=True) - 1) / (2 * (share / (u + excess)).sum(1, keepdims=True))
        u = u + np.maximum(step, 0)
        if (step <= 1e-14 * u).all():
            break
    gap = norm(y - axes**2 * y / (u + excess), axis=1)
    return np.where(((y / axes) ** 2).sum(1) < 1, -gap, gap)


def _to_polygon(points, starts, ends):
    """The signed distance in the plane (n, 2) to edges (e, 2): nearest edge, sign by crossings to the right."""
    nearest, inside = np.full(len(points), np.inf), np.zeros(len(points), bool)
    for start, edge in zip(starts, ends - starts, strict=True):
        x, y = (points - start).T
        t = np.clip((x * edge[0] + y * edge[1]) / (edge @ edge), 0, 1)
        nearest = np.minimum(nearest, (x - t * edge[0]) ** 2 + (y - t * edge[1]) ** 2)
        crosses = (y >= 0) != (y >= edge[1])
        inside ^= crosses & ((edge[0] * y > edge[1] * x) == (edge[1] > 0))
    return np.where(inside, -1, 1) * np.sqrt(nearest)
