"""A closed solid from any triangle soup: a morphological closing of its surface, blind to face orientation.

The thesis scattered points and grew them into a volume, which inflates a shape by the particle radius. Here the
surface is dilated by ``RADIUS`` voxels, what the outside cannot reach is filled, and the solid is eroded by the
same radius, so convex parts come back where they were and holes narrower than two radii are closed.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import label, map_coordinates

from flowsdf.conventions import HALF_EXTENT, Field, Grid, Mesh, Points
from flowsdf.geometry.distance import distance_to, unsigned_distance
from flowsdf.geometry.extract import NUDGE, isosurface, sparse_grid

RESOLUTION = 128  # nodes over the cube
RADIUS = 1.5  # of the closing, in voxels
PADDING = 4  # voxels of outside around the cube
SHEET = 0.6  # half the thickness of a sheet, in voxels: half a voxel could fall between two layers of nodes
SEAL = 6  # radius in voxels of the larger closing by which leaks are told
LEAK_SHARE = 0.1  # of the volume that the larger closing encloses


class Watertight(NamedTuple):
    """A closed mesh and what closing did, as shares of the input's area (sheets, kept) and volume (leaked)."""

    mesh: Mesh
    sheet_share: float
    kept_share: float
    leak_share: float

    @property
    def leaks(self) -> bool:
        """Whether a hole wider than two radii let the outside in."""
        return self.leak_share > LEAK_SHARE


def watertight(mesh: Mesh, *, resolution: int = RESOLUTION, radius: float = RADIUS) -> Watertight:
    """The closing of ``mesh`` (in the unit sphere) at ``resolution``, with faces that it would lose kept as sheets.

    Faces further than half a voxel from the solid - plates, open shells - become sheets about one voxel thick.
    ``kept_share`` is the part of the input's area within one voxel of the output solid.
    """
    voxel = 2 * HALF_EXTENT / (resolution - 1)
    distance = distance_to(mesh)
    closing = _remembered(_closing(distance, resolution, radius * voxel), resolution)
    solid = _grid(closing, resolution)
    surface = isosurface(solid, _half_extent(resolution))
    pieces = _subdivided(mesh, 2 * voxel)
    triangles = pieces.vertices[pieces.faces]  # (f, 3, 3)
    centres, areas = triangles.mean(1), _areas(triangles)
    gaps = _distance_to_solid(centres, solid, surface)
    lost = gaps > voxel / 2
    if lost.any():
        sheet = distance_to(Mesh(pieces.vertices, pieces.faces[lost]))
        solid = _grid(lambda points: np.minimum(closing(points), sheet(points) - SHEET * voxel), resolution)
        surface = isosurface(solid, _half_extent(resolution))
        gaps = _distance_to_solid(centres, solid, surface)
    kept = gaps <= voxel
    return Watertight(
        surface,
        float(areas[lost].sum() / areas.sum()),
        float(areas[kept].sum() / areas.sum()),
        _leak(distance, solid),
    )


def _half_extent(resolution: int) -> float:
    return HALF_EXTENT + PADDING * 2 * HALF_EXTENT / (resolution - 1)


def _grid(field, resolution: int) -> Grid:
    side = resolution + 2 * PADDING
    return sparse_grid(field, side, half_extent=_half_extent(resolution), coarsest=16, steepness=1.05)


def _remembered(field: Field, resolution: int) -> Field:
    """The field at nodes of the padded grid, asked for once at each."""
    known = np.full((resolution + 2 * PADDING + 8,) * 3, np.nan)  # the coarsest lattice may end a few nodes further

    def of(points: Points) -> np.ndarray:
        at = tuple(np.rint(_nodes(points, resolution)).astype(int).T)
        new = np.isnan(known[at])
        known[tuple(axis[new] for axis in at)] = field(points[new])
        return known[at]

    return of


def _dilated(distance: Field, resolution: int, radius: float) -> Grid:
    """Distances to a surface, less the radius."""
    return _grid(lambda points: distance(points) - radius, resolution)


def _closing(distance: Field, resolution: int, radius: float) -> Field:
    """Signed distances to the closing: the distance to its offset surface, less the radius."""
    dilated = _dilated(distance, resolution, radius)
    outside, _ = label(dilated > 0)
    filled = outside != outside[0, 0, 0]  # the shell about the surface, and voids that the outside cannot reach
    deep = 2 * NUDGE * 2 * HALF_EXTENT / (resolution - 1)  # where shell and void meet no node may count as a zero
    dilated[filled] = -np.maximum(np.abs(dilated[filled]), deep)
    to_offset = distance_to(isosurface(dilated, _half_extent(resolution)))

    def eroded(points: Points) -> np.ndarray:
        gaps = to_offset(points)
        return np.where(_interpolated(dilated, points) < 0, -gaps, gaps) + radius

    return eroded


def _interpolated(grid: Grid, points: Points) -> np.ndarray:
    """Trilinear values of a padded grid."""
    return map_coordinates(grid, _nodes(points, len(grid) - 2 * PADDING).T, order=1, mode="nearest")


def _nodes(points: Points, resolution: int) -> np.ndarray:
    """The places of the points on the padded grid, in voxels, (n, 3)."""
    voxel = 2 * HALF_EXTENT / (resolution - 1)
    return (np.asarray(points, np.float64) + HALF_EXTENT) / voxel + PADDING


def _distance_to_solid(points: Points, solid: Grid, surface: Mesh) -> np.ndarray:
    """Distance from each point to the solid's surface, zero inside; infinite when there is no solid."""
    if not len(surface.faces):
        return np.full(len(points), np.inf)
    outside = _interpolated(solid, points) > 0
    distance = np.zeros(len(points))
    distance[outside] = unsigned_distance(points[outside], surface)
    return distance


def _leak(distance: Field, solid: Grid) -> float:
    """The share of the volume that closing by ``SEAL`` voxels would enclose and this one left outside."""
    resolution = len(solid) - 2 * PADDING
    reach = SEAL * 2 * HALF_EXTENT / (resolution - 1)
    coarse = _dilated(distance, resolution // 2, reach)
    regions, _ = label(coarse > 0)
    at = np.linspace(-1, 1, len(coarse)) * _half_extent(resolution // 2)
    nodes = np.stack(np.meshgrid(at, at, at, indexing="ij"), -1).reshape(-1, 3)
    inside = (_interpolated(solid, nodes) < 0).reshape(coarse.shape)
    leaked = (coarse > 0) & (regions != regions[0, 0, 0]) & ~inside
    return float(leaked.sum() / max(1, (leaked | inside).sum()))


def _areas(triangles: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1) / 2


def _subdivided(mesh: Mesh, longest: float) -> Mesh:
    """The same surface with no edge above ``longest``: each longer triangle is halved across its longest edge."""
    triangles = mesh.vertices[mesh.faces]  # (f, 3, 3)
    done = []
    while len(triangles):
        edges = np.linalg.norm(triangles - np.roll(triangles, -1, axis=1), axis=2)  # (f, 3): corner k to k + 1
        long = edges.max(1) > longest
        done.append(triangles[~long])
        rolled = np.take_along_axis(triangles[long], (edges[long].argmax(1)[:, None] + np.arange(3))[..., None] % 3, 1)
        a, b, c = rolled.transpose(1, 0, 2)
        middle = (a + b) / 2
        triangles = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
    corners = np.concatenate(done)
    return Mesh(corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3))
