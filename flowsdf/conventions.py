"""The conventions every module shares: frame, signs, time, and the records that floors exchange.

Frame: y up, right-handed; a shape is scaled so that its bounding sphere is the unit sphere at the origin,
inside the cube [-1, 1]^3. A signed distance is negative inside. Grids index as [x, y, z] with nodes at
``linspace(-1, 1, resolution)``. Diffusion time runs 0 .. T - 1 from data to noise; flow time runs from
0 = noise to 1 = data. Lengths are in units of the frame, times in seconds, sizes in bytes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

Points = Float[np.ndarray, "n 3"]  # positions in the frame
Values = Float[np.ndarray, " n"]  # one signed distance per point
Inside = Bool[np.ndarray, " n"]  # occupancy, one per point
Grid = Float[np.ndarray, "r r r"]  # signed distances on the nodes of the cube
Field = Callable[[np.ndarray], np.ndarray]  # points (n, 3) -> signed distances (n,)

HALF_EXTENT = 1.0  # of the cube
CAMERA_DISTANCE = 2.5  # of the views, from the origin


class Mesh(NamedTuple):
    """A triangle mesh: positions and counter-clockwise faces seen from outside."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]


class Surface(NamedTuple):
    """A field's zero level: its mesh (no faces where there is no zero) and the grid of values it was cut from."""

    mesh: Mesh
    grid: Grid


def object_name(index: int) -> str:
    """The name of a shape's files: obj_0009."""
    return f"obj_{index:04d}"
