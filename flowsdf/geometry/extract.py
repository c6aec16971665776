"""From a field to its surface: marching cubes, dense or coarse to fine with the same result."""

import numpy as np
from skimage.measure import marching_cubes

from flowsdf.conventions import HALF_EXTENT, Field, Grid, Mesh, Points, Surface

STEEPNESS = 1.2  # the steepest slope that refinement allows a field between two nodes; an exact SDF has 1
SLACK = 2  # times as steep it may be in the last halving, where that costs little: a network is, here and there
TRUSTED = 0.1  # what a decoder says of larger distances, clamped in its training, is no more than that they are larger
NUDGE = 1e-4  # a value on a node nearer to zero than this, in units of the spacing, counts as plus this much
COARSE_ERROR = 0.002  # how far a cheaper version of a field may be off near its surface; bfloat16 is by 0.0008


def extract(field: Field, resolution: int, *, coarse: Field | None = None, steepness: float = STEEPNESS) -> Surface:
    """The zero level of ``field`` in the cube on ``resolution``^3 nodes, evaluating it near the surface only.

    The mesh equals ``extract_dense``'s wherever the field is no steeper than ``steepness``. ``coarse`` may be a
    cheaper version of the field, off by at most COARSE_ERROR: it says where the surface is, the field itself is
    evaluated at the corners of every cell that the surface crosses.
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
    """Values on the nodes of [-half_extent, half_extent]^3, the field's own around every cell that changes sign.

    Starts on a lattice of at least ``coarsest`` cells a side, with ``coarse`` where it is given, and halves the spacing
    of every cell whose corners cannot rule out a zero. In the last halving a node is asked for only if the values
    around it leave its sign open, or if it turns out to lie beside a zero; the others hold interpolated values of the
    right sign. Values above ``trusted`` count as no more than that.
    """
    spacing = 2 * half_extent / (resolution - 1)
    strides = [stride for stride in (8, 4, 2, 1) if resolution // stride >= coarsest or stride == 1]
    side, level = -(-(resolution - 1) // strides[0]) + 1, coarse or field
    grid, error = np.zeros((side,) * 3, np.float32), COARSE_ERROR if coarse else 0.0

    def ask(of: Field, wanted: np.ndarray, stride: int) -> None:
        grid[wanted] = of(_positions(_places(wanted) * stride, spacing, half_extent))

    ask(level, np.ones(grid.shape, bool), strides[0])
    for stride in strides[1:-1]:
        wanted = _split(_undecided(grid, steepness * 2 * stride * spacing, trusted, error))
        wanted[::2, ::2, ::2] = False  # these have been asked for, or no cell around them holds a zero
        grid = _upsampled(grid)
        ask(level, wanted, stride)
    unsure, known = np.abs(grid) <= error, np.ones(grid.shape, bool)
    if len(strides) > 1:
        near = _split(_undecided(grid, steepness * 2 * spacing, trusted, error))
        near = _unsure(grid, near, SLACK * steepness * spacing, trusted, error)
        unsure = _unsure(grid, near, steepness * spacing, trusted, error)
        known = near & ~unsure
        grid = _upsampled(grid)
        ask(level, known, 1)
        known[::2, ::2, ::2] = True
    known &= coarse is None
    ask(field, unsure & ~known, 1)
    ask(field, _beside_zeros(grid, NUDGE * spacing) & ~(known | unsure), 1)
    return np.ascontiguousarray(grid[:resolution, :resolution, :resolution])


def extract_dense(field: Field, resolution: int) -> Surface:
    """The zero level of ``field`` from all ``resolution``^3 nodes: the oracle of ``extract``."""
    nodes = np.stack(np.meshgrid(*[np.arange(resolution)] * 3, indexing="ij"), -1).reshape(-1, 3)
    values = field(_positions(nodes, 2 * HALF_EXTENT / (resolution - 1), HALF_EXTENT))
    grid = np.asarray(values, np.float32).reshape((resolution,) * 3)
    return Surface(isosurface(grid), grid)


def isosurface(grid: Grid, half_extent: float = HALF_EXTENT) -> Mesh:
    """The zero level of a cubic grid of values spanning [-half_extent, half_extent]^3; no faces where it has none."""
    spacing = 2 * half_extent / (len(grid) - 1)
    nudged = np.where(np.abs(grid) < NUDGE * spacing, np.float32(NUDGE * spacing), grid)  # a zero on a node opens seams
    if not nudged.min() < 0 < nudged.max():
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    vertices, faces, _, _ = marching_cubes(nudged, 0.0, spacing=(spacing,) * 3)
    return Mesh(vertices.astype(np.float64) - half_extent, faces.astype(np.int64))


def _positions(nodes: np.ndarray, spacing: float, half_extent: float) -> Points:
    return (nodes * spacing - half_extent).astype(np.float32)


def _places(marked: np.ndarray) -> np.ndarray:
    """``np.argwhere``, by one sweep over flat memory: several times as fast."""
    return np.stack(np.unravel_index(np.flatnonzero(marked), marked.shape), axis=1)


def _split(cells: np.ndarray) -> np.ndarray:
    """The nodes of the eight children of the marked cells: (n, n, n) -> (2n + 1, 2n + 1, 2n + 1)."""
    side = len(cells)
    nodes = np.zeros((2 * side + 1,) * 3, bool)
    for offset in np.ndindex(3, 3, 3):
        nodes[tuple(slice(o, o + 2 * side, 2) for o in offset)] |= cells
    return nodes


def _unsure(grid: np.ndarray, among: np.ndarray, change: float, trusted: float, error: float) -> np.ndarray:
    """Those ``among`` the nodes of twice as fine a grid whose sign is open: (n, n, n), (2n - 1, ...) -> (2n - 1, ...).

    A new node lies amid two, four or eight old ones, one, sqrt(2) or sqrt(3) fine edges away. It has their sign if all
    have the same, whatever their ``error``, and one of them is larger than the ``change`` of that many edges.
    """
    nodes, unsure = _places(among), among.copy()
    odd = nodes % 2
    amid = _around(grid, nodes // 2, odd)
    low, high = amid.min(axis=0), amid.max(axis=0)
    one_sign = (low > error) | (high < -error)
    largest = np.minimum(np.maximum(high, -low), trusted)
    unsure[among] = ~(one_sign & (largest > np.sqrt(odd.sum(1)) * change + error))
    return unsure


def _beside_zeros(grid: np.ndarray, tiny: float) -> np.ndarray:
    """The corners of every cell whose corners are not all above ``tiny`` or all below -``tiny``."""
    cells = _over_cells(np.logical_or, grid < tiny) & _over_cells(np.logical_or, grid > -tiny)
    return _over_cells(np.logical_or, np.pad(cells, 1))


def _undecided(grid: np.ndarray, change: float, trusted: float, error: float) -> np.ndarray:
    """Cells that may hold a zero of a field that changes by at most ``change`` along an edge.

    Values may be off by ``error``.
    No point of a cell is further than sqrt(3) edges from one corner, 3/2 from the nearer one of an edge, sqrt(3/2) from
    the nearest one of a face, sqrt(3/4) from the nearest of all: values beyond that, all of one sign, rule out a zero.
    """
    low, high = _over_cells(np.minimum, grid), _over_cells(np.maximum, grid)
    one_sign, largest = (low > 0) | (high <= 0), np.minimum(np.maximum(high, -low), trusted)
    undecided = ~(one_sign & (largest > np.sqrt(3) * change + error))
    close = undecided & one_sign
    size = np.minimum(np.abs(_around(grid, _places(close), np.ones(3, int))), trusted).reshape(2, 2, 2, -1)
    decided = np.zeros(size.shape[-1], bool)
    for axes in ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
        nearest = size.min(axes, keepdims=True).max((0, 1, 2))
        decided |= nearest > np.sqrt(3 - 0.75 * len(axes)) * change + error
    undecided[close] = ~decided
    return undecided


def _over_cells(of: np.ufunc, grid: np.ndarray) -> np.ndarray:
    """``of`` the values at the eight corners of every cell: (n + 1, n + 1, n + 1) -> (n, n, n)."""
    for axis in range(3):
        grid = np.moveaxis(grid, axis, 0)
        grid = np.moveaxis(of(grid[1:], grid[:-1]), 0, axis)
    return grid


def _around(grid: np.ndarray, nodes: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """The values at the nodes (k, 3) and as far ``apart`` from them along each axis as that says: (8, k)."""
    steps = np.array([grid.shape[1] * grid.shape[2], grid.shape[2], 1])
    values, first, further = grid.ravel(), nodes @ steps, apart * steps
    return np.stack([values[first + further @ offset] for offset in np.ndindex(2, 2, 2)])


def _upsampled(grid: np.ndarray) -> np.ndarray:
    """Trilinear values at the midpoints: (n, n, n) -> (2n - 1, 2n - 1, 2n - 1)."""
    for axis in range(3):
        grid = np.moveaxis(grid, axis, 0)
        fine = np.empty((2 * len(grid) - 1, *grid.shape[1:]), grid.dtype)
        fine[::2], fine[1::2] = grid, (grid[1:] + grid[:-1]) / 2
        grid = np.moveaxis(fine, 0, axis)
    return grid
