"""What a surface is made of: pieces, handles, and the spokes of a wheel."""

from typing import NamedTuple

import numpy as np

from flowsdf.conventions import Field, Mesh
from flowsdf.geometry import mesh as measure


class Topology(NamedTuple):
    """Pieces, handles over all pieces (NaN when open), 1 when closed, vertices - edges + faces, and signed volume."""

    components: int
    genus: float
    watertight: int
    euler: int
    volume: float


def topology(mesh: Mesh) -> Topology:
    """The topology of a mesh; zeros and a NaN genus when it has no faces."""
    return Topology(
        measure.components(mesh),
        measure.genus(mesh),
        int(measure.is_watertight(mesh)),
        measure.euler_number(mesh),
        measure.volume(mesh),
    )


def spokes(field: Field, *, radius: float, axis: int = 2, samples: int = 720) -> int:
    """How many solid arcs the circle of ``radius`` around a coordinate axis has: the spokes of a wheel there."""
    angle = np.arange(samples) * 2 * np.pi / samples
    circle = np.zeros((samples, 3), np.float32)
    circle[:, axis - 2], circle[:, axis - 1] = radius * np.cos(angle), radius * np.sin(angle)
    solid = np.asarray(field(circle)) < 0
    return int((solid & ~np.roll(solid, 1)).sum())
