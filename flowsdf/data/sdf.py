"""Signed distances at the 200,000 points of a shape: half near its surface, half uniform in the cube."""

import numpy as np

from flowsdf.conventions import HALF_EXTENT, Mesh, Points, Values
from flowsdf.geometry.distance import signed_distance
from flowsdf.geometry.mesh import sample_surface

NEAR_SIGMAS = (0.05, 0.005)  # of the Gaussian offsets, half of the near points each; the thesis does not say
LARGEST = 2.0  # |sdf| that a shape in the unit sphere can have in the cube, generously


def sample_points(mesh: Mesh, count: int, rng: np.random.Generator) -> Points:
    """``count`` points: first half the near-surface ones, then half uniform in [-1, 1]^3, as float32."""
    near = count // 2
    on_surface, _, _ = sample_surface(mesh, near, rng)
    sigma = np.repeat(NEAR_SIGMAS, [near - near // 2, near // 2])[:, None]
    uniform = rng.uniform(-HALF_EXTENT, HALF_EXTENT, (count - near, 3))
    return np.concatenate([on_surface + sigma * rng.normal(size=(near, 3)), uniform]).astype(np.float32)


def exact_sdf(points: Points, mesh: Mesh) -> Values:
    """Distances to a closed mesh, negative inside, float32."""
    return signed_distance(points, mesh).astype(np.float32)


def check_sdf(points: Points, sdf: Values, *, exact: bool = True) -> None:
    """Raise ValueError unless the distances could be those of a solid in the unit sphere.

    The reference backend gets some signs wrong, so only the majority of its far points must be outside.
    """
    if not np.isfinite(points).all() or not np.isfinite(sdf).all():
        raise ValueError("a point or distance is not finite")
    if np.abs(sdf).max() > LARGEST:
        raise ValueError(f"|sdf| reaches {np.abs(sdf).max():.2f}, above {LARGEST}")
    if not sdf.min() < 0 < sdf.max():
        raise ValueError("no point is inside, or none is outside")
    far = np.linalg.norm(points, axis=1) > 1.2  # nothing of the shape reaches there
    if (sdf[far] < 0).mean() > (0 if exact else 0.5):
        raise ValueError("points outside the bounding sphere have negative distances: the sign is inverted")
