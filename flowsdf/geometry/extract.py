"""From a field to its surface: marching cubes, dense or coarse to fine with the same result."""

from functools import partial

import numpy as np
from skimage.measure import marching_cubes

from flowsdf.conventions import HALF_EXTENT, Field, Grid, Mesh, Points, Surface

STEEPNESS = 1.2  # the steepest slope that refinement allows a field between two nodes; an exact SDF has 1
TRUSTED = 0.1  # what a decoder says of larger distances, clamped in its training, is no more than that they are larger
NUDGE = 1e-4  # voxels that a value is moved off a node
COARSE_ERROR = 0.002  # how far a cheaper version of a field may be off near its surface; bfloat16 is by 0.0008


def extract(field: Field, resolution: int, *, coarse: Field | None = None, steepness: float = STEEPNESS) -> Surface:
    """The zero level of ``field`` in the cube on ``resolution``^3 nodes, evaluating it near the surface only.

    The mesh equals ``extract_dense``'s wherever the field is no steeper than ``steepness``. ``coarse`` may be a
    cheaper version of the field, off by at most COARSE_ERROR: it says where the surface is, the field itself is
    evaluated at both ends of every edge that the surface crosses.
    """
    grid = sparse_grid(field, resolution, coarse=coarse, steepness=steepness, trusted=TRUSTED)
    return Surface(isosurface(grid), grid)


def sparse_grid(
    field: Field,
    resolution: int,
    *,
    half_extent: float = HALF_EXTENT,
    coarsest: int = 32,
    coarse: Field | None = None,
    steepness: float = STEEPNESS,
    trusted: float = np.inf,
) -> Grid:
    """Values on the nodes of [-half_extent, half_extent]^3, exact at all corners of every cell that holds a zero.

    With ``coarse``, exact at the ends of the edges that a zero crosses, where a surface takes its vertices from.

    Starts on a lattice of at least ``coarsest`` cells a side and halves the spacing of every cell whose corners
    cannot rule out a zero; the other nodes hold values of the right sign. Larger values than ``trusted`` count as no
    more than that.
    """
    spacing, ask = 2 * half_extent / (resolution - 1), partial(_ask, half_extent=half_extent)
    strides = [stride for stride in (8, 4, 2, 1) if resolution // stride >= coarsest or stride == 1]
    side, level = -(-(resolution - 1) // strides[0]) + 1, coarse or field
    grid, seen = np.zeros((side,) * 3, np.float32), np.zeros((side,) * 3, bool)
    ask(level, grid, ~seen, seen, strides[0] * spacing)
    for stride in strides[1:]:
        change = steepness * 2 * stride * spacing
        wanted = _split(_undecided(grid, change, trusted))
        implied = _implied(np.where(seen, grid, 0), change, trusted)
        grid, seen = _upsampled(grid), _spread(seen)
        if stride == 1:  # where a sign is enough
            told = wanted & ~seen & (np.abs(implied) > COARSE_ERROR)
            grid[told] = implied[told]
            wanted &= ~told
        ask(level, grid, wanted & ~seen, seen, stride * spacing)
    if coarse:
        exact, wanted = np.zeros(seen.shape, bool), np.abs(grid) <= COARSE_ERROR
        while wanted.any():  # a value that turns out to have the other sign crosses other edges
            ask(field, grid, wanted, exact, spacing)
            positive = _positive(grid, spacing)
            wanted = (_ends(positive) | _corners_of(_ambiguous(positive))) & ~exact
        seen |= exact
    ask(level, grid, _corners_of(_mixed(_positive(grid, spacing))) & ~seen, seen, spacing)
    return np.ascontiguousarray(grid[:resolution, :resolution, :resolution])


def _ask(
    sdf: Field, grid: np.ndarray, wanted: np.ndarray, seen: np.ndarray, spacing: float, *, half_extent: float
) -> None:
    """Put the field's own values at the ``wanted`` nodes of a grid, and mark these as ``seen``."""
    grid[wanted] = sdf(_positions(np.argwhere(wanted), spacing, half_extent))
    seen |= wanted


def extract_dense(field: Field, resolution: int) -> Surface:
    """The zero level of ``field`` from all ``resolution``^3 nodes: the oracle of ``extract``."""
    nodes = np.stack(np.meshgrid(*[np.arange(resolution)] * 3, indexing="ij"), -1).reshape(-1, 3)
    values = field(_positions(nodes, 2 * HALF_EXTENT / (resolution - 1), HALF_EXTENT))
    grid = np.asarray(values, np.float32).reshape((resolution,) * 3)
    return Surface(isosurface(grid), grid)


def isosurface(grid: Grid, half_extent: float = HALF_EXTENT) -> Mesh:
    """The zero level of a cubic grid of values spanning [-half_extent, half_extent]^3; no faces where it has none."""
    spacing = 2 * half_extent / (len(grid) - 1)
    nudge = np.float32(NUDGE * spacing)
    nudged = np.where(np.abs(grid) < nudge, nudge, grid)  # a zero on a node opens seams
    if not nudged.min() < 0 < nudged.max():
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    vertices, faces, _, _ = marching_cubes(nudged, 0.0, spacing=(spacing,) * 3)
    return Mesh(vertices.astype(np.float64) - half_extent, faces.astype(np.int64))


def _positions(nodes: np.ndarray, spacing: float, half_extent: float) -> Points:
    return (nodes * spacing - half_extent).astype(np.float32)


def _split(cells: np.ndarray) -> np.ndarray:
    """The nodes of the eight children of the marked cells: (n, n, n) -> (2n + 1, 2n + 1, 2n + 1)."""
    side = len(cells)
    nodes = np.zeros((2 * side + 1,) * 3, bool)
    for offset in np.ndindex(3, 3, 3):
        nodes[tuple(slice(o, o + 2 * side, 2) for o in offset)] |= cells
    return nodes


def _positive(grid: np.ndarray, spacing: float) -> np.ndarray:
    """Which nodes are outside for marching cubes: zeros are, and what `isosurface` moves off them."""
    return grid > -NUDGE * spacing


def _ends(positive: np.ndarray) -> np.ndarray:
    """Both ends of every edge whose signs differ."""
    ends = np.zeros(positive.shape, bool)
    for axis in range(3):
        a, b = (np.moveaxis(positive, axis, 0)[part] for part in (slice(-1), slice(1, None)))
        crossed = a != b
        along = np.moveaxis(ends, axis, 0)
        along[:-1] |= crossed
        along[1:] |= crossed
    return ends


def _undecided(grid: np.ndarray, change: float, trusted: float) -> np.ndarray:
    """Cells that may hold a zero of a field that changes by at most ``change`` along an edge.

    No point of a cell is further than sqrt(3) edges from one corner, 3/2 from the nearer one of an edge, sqrt(3/2) from
    the nearest one of a face, sqrt(3/4) from the nearest of all: values beyond that, all of one sign, rule out a zero.
    """
    corners = _at_corners(grid)
    positive = corners[0, 0, 0] > 0
    decided = np.zeros_like(positive)
    size = np.minimum(np.abs(corners), trusted)
    for axes in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
        nearest = size.min(axes, keepdims=True).max((0, 1, 2))
        decided |= nearest > np.sqrt(3 - 0.75 * len(axes)) * change
    return ~(decided & ((corners > 0) == positive).all((0, 1, 2)))


def _mixed(positive: np.ndarray) -> np.ndarray:
    """Cells whose corners have both signs."""
    corners = _at_corners(positive)
    return corners.any((0, 1, 2)) & ~corners.all((0, 1, 2))


def _ambiguous(positive: np.ndarray) -> np.ndarray:
    """Cells with a face whose signs alternate around it: there marching cubes asks all corners for their values."""
    corners = _at_corners(positive)
    faces = [corners.take(side, axis) for axis in range(3) for side in range(2)]  # each (2, 2, n, n, n)
    return np.any([(f[0, 0] == f[1, 1]) & (f[0, 1] == f[1, 0]) & (f[0, 0] != f[0, 1]) for f in faces], axis=0)


def _corners_of(cells: np.ndarray) -> np.ndarray:
    """The nodes of the marked cells: (n, n, n) -> (n + 1, n + 1, n + 1)."""
    side = len(cells)
    nodes = np.zeros((side + 1,) * 3, bool)
    for offset in np.ndindex(2, 2, 2):
        nodes[tuple(slice(o, o + side) for o in offset)] |= cells
    return nodes


def _implied(grid: np.ndarray, change: float, trusted: float) -> np.ndarray:
    """What the nodes of a grid imply for those of the next finer one: the value nearest to zero that each may have.

    A field that changes by at most ``change`` along an edge keeps a node's sign for as far as its value reaches; 0
    where no corner of a node's cell, edge or face rules out a zero. (n, n, n) -> (2n - 1, 2n - 1, 2n - 1).
    """
    side = len(grid)
    size, found = np.minimum(np.abs(grid), trusted), np.zeros((2 * side - 1,) * 3, np.float32)
    for parity in np.ndindex(2, 2, 2):
        node = found[tuple(slice(p, None, 2) for p in parity)]
        for offset in np.ndindex(*(p + 1 for p in parity)):
            corner = tuple(slice(o, side - p + o) for o, p in zip(offset, parity, strict=True))
            left = size[corner] - np.float32(0.5 * np.sqrt(sum(parity)) * change)
            np.copyto(node, np.copysign(left, grid[corner]), where=left > np.abs(node))
    return found


def _spread(nodes: np.ndarray) -> np.ndarray:
    """Marked nodes on the next finer grid: (n, n, n) -> (2n - 1, 2n - 1, 2n - 1)."""
    fine = np.zeros(tuple(2 * side - 1 for side in nodes.shape), bool)
    fine[::2, ::2, ::2] = nodes
    return fine


def _at_corners(grid: np.ndarray) -> np.ndarray:
    """The values at the corners of every cell: (n + 1, n + 1, n + 1) -> (2, 2, 2, n, n, n)."""
    return np.lib.stride_tricks.sliding_window_view(grid, (2, 2, 2)).transpose(3, 4, 5, 0, 1, 2)


def _upsampled(grid: np.ndarray) -> np.ndarray:
    """Trilinear values at the midpoints: (n, n, n) -> (2n - 1, 2n - 1, 2n - 1)."""
    for axis in range(3):
        grid = np.moveaxis(grid, axis, 0)
        fine = np.empty((2 * len(grid) - 1, *grid.shape[1:]), grid.dtype)
        fine[::2], fine[1::2] = grid, (grid[1:] + grid[:-1]) / 2
        grid = np.moveaxis(fine, 0, axis)
    return grid
