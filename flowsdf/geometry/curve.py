"""A space-filling curve: what is near on it is near in space."""

import numpy as np
from jaxtyping import Int

from flowsdf.conventions import HALF_EXTENT, Points


def along_curve(points: Points) -> Int[np.ndarray, " n"]:
    """The order of the points along a Morton curve (Morton 1966) through the 1,024^3 cells of the frame's cube."""
    cells = np.clip((np.asarray(points) + HALF_EXTENT) * 512, 0, 1023).astype(np.int64)
    for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
        cells = (cells | (cells << shift)) & mask
    return np.argsort(cells @ np.array([1, 2, 4]))
