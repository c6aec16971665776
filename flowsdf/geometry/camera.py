"""Viewpoints around the origin and the matrices that render from them."""

import numpy as np
from jaxtyping import Float

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def fibonacci_sphere(count: int) -> Float[np.ndarray, "n 3"]:
    """``count`` nearly even unit directions, from the top (y = 1) to the bottom."""
    height = 1 - (2 * np.arange(count) + 1) / count
    radius, angle = np.sqrt(1 - height**2), GOLDEN_ANGLE * np.arange(count)
    return np.stack([radius * np.cos(angle), height, radius * np.sin(angle)], axis=1)


def look_at(position: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """Camera-to-world matrix of a camera at ``position`` that looks at the origin, y up (OpenGL: it looks along -z)."""
    backward = position / np.linalg.norm(position)
    up = np.array([0.0, 1.0, 0.0]) if abs(backward[1]) < 0.999 else np.array([0.0, 0.0, 1.0])
    right = np.cross(up, backward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(backward, right), backward, position], axis=1)
    return pose
