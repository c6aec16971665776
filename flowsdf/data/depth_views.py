"""What the views do not say outright: the depth and the normal of every pixel, from the true mesh."""

import numpy as np
from jaxtyping import Float, UInt8

from flowsdf.conventions import CAMERA_DISTANCE, Mesh
from flowsdf.data import views
from flowsdf.data.views import DRAWN_FACES, FIELD_OF_VIEW, VIEW_SIZE
from flowsdf.geometry.simplify import decimate

NEAREST, FURTHEST = CAMERA_DISTANCE - 1, CAMERA_DISTANCE + 1  # of the unit sphere


def depth_maps(
    mesh: Mesh, directions: Float[np.ndarray, "n 3"], *, size: int = VIEW_SIZE
) -> Float[np.ndarray, "n h w"]:
    """Distance along the camera's axis of what each pixel sees, from ``directions`` at 2.5; 0 where it sees nothing."""
    drawn = decimate(mesh, DRAWN_FACES)
    depth_only = views.pyrender.RenderFlags.DEPTH_ONLY
    return np.stack(list(views._frames(drawn, directions, size, depth_only, samples=0)))  # of four, one off the middle


def normal_maps(depths: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n h w 3"]:
    """Unit normals in the camera's frame (x right, y up, z towards it) from neighbouring depths; 0 off the surface.

    Of the two neighbours along an axis the one nearer in depth is taken, so that outlines do not smear.
    """
    size = depths.shape[-1]
    slope = np.tan(FIELD_OF_VIEW / 2) * (2 * np.arange(size) + 1 - size) / size
    points = np.stack([depths * slope, -depths * slope[:, None], -depths], axis=-1)  # (n, h, w, 3)
    right, down = _towards_nearer(points, depths, axis=2), _towards_nearer(points, depths, axis=1)
    normals = np.cross(right, -down)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.where((depths > 0)[..., None] & (length > 0), normals / np.where(length > 0, length, 1), 0.0)


def as_images(values: Float[np.ndarray, "n h w *c"]) -> UInt8[np.ndarray, "n h w 3"]:
    """Depths (n, h, w) or normals (n, h, w, 3) as pictures on black ground: nearer is brighter, x y z are r g b."""
    if values.ndim == 3:
        bright = np.where(values > 0, (FURTHEST - values) / (FURTHEST - NEAREST), 0.0)
        values, seen = np.repeat(bright[..., None], 3, axis=-1), values > 0
    else:
        values, seen = (values + 1) / 2, values.any(-1)
    return (255 * values.clip(0, 1) * seen[..., None]).round().astype(np.uint8)


def _towards_nearer(
    points: Float[np.ndarray, "n h w 3"], depths: Float[np.ndarray, "n h w"], *, axis: int
) -> Float[np.ndarray, "n h w 3"]:
    """The step along an axis to the next pixel, or from the one before: whichever changes depth less."""
    pad = [(0, 0)] * depths.ndim
    pad[axis] = (1, 1)
    gaps = np.abs(np.diff(np.pad(depths, pad, constant_values=np.inf), axis=axis))
    gaps[np.isnan(gaps)] = np.inf
    steps = np.diff(np.pad(points, [*pad, (0, 0)], mode="edge"), axis=axis)
    before, after = (np.s_[:-1], np.s_[1:])
    pick = lambda array, part: np.moveaxis(np.moveaxis(array, axis, 0)[part], 0, axis)  # noqa: E731
    return np.where((pick(gaps, after) <= pick(gaps, before))[..., None], pick(steps, after), pick(steps, before))
