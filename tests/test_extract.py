"""Coarse-to-fine extraction equals dense extraction; surfaces face outward; no zero, no faces."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from flowsdf.data.procedural import parts
from flowsdf.geometry import implicit
from flowsdf.geometry.extract import COARSE_ERROR, TRUSTED, _undecided, extract, extract_dense, isosurface, sparse_grid
from flowsdf.geometry.mesh import components, euler_number, is_watertight, volume
from flowsdf.models.deepsdf import CLAMP, DeepSDF, field

FIELDS = {
    "sphere": implicit.sphere(0.7),
    "off centre": implicit.placed(implicit.sphere(0.3), offset=(0.52, -0.41, 0.13)),
    "touches the cube": implicit.sphere(0.97),
    "leaves the cube": implicit.placed(implicit.box((0.6, 0.6, 0.6)), offset=(0.9, 0.9, 0.9)),
    "torus": implicit.torus(0.6, 0.2),
    "thin torus": implicit.torus(0.7, 0.04),
    "plate": implicit.box((1.6, 0.035, 1.2)),
    "leaning plate": parts.box(1.3, 0.03, 0.9).turn("x", 37).turn("z", 21).distance,
    "crumbs": implicit.union(
        [implicit.placed(implicit.sphere(0.05), offset=o) for o in np.random.default_rng(2).uniform(-0.9, 0.9, (25, 3))]
    ),
    "shell": lambda points: np.abs(implicit.sphere(0.6)(points)) - 0.03,
}


def crumbs_on_fine_nodes(resolution: int, steepness: float):
    """Balls that hold one node, in the middle of a cell, a face and an edge of the coarse lattice."""
    centres = np.array([[31, 17, 45], [6, 33, 33], [51, 8, 22]]) * 2 / (resolution - 1) - 1
    balls = implicit.union([implicit.placed(implicit.sphere(0.02), offset=centre) for centre in centres])
    return lambda points: steepness * balls(points)


def decoder_field(seed: int, scale: float):
    """The field of an untrained decoder, without its octaves, that crosses zero: bumpy, and no distance."""
    torch.manual_seed(seed)
    decoder, latent = DeepSDF(32, 4), torch.randn(64)
    with torch.no_grad():
        for layer in (decoder.hidden[0], decoder.hidden[2]):
            layer.weight[:, -36:] = 0
    raw = field(decoder.requires_grad_(False), latent)
    probe = raw(np.random.default_rng(0).uniform(-1, 1, (2000, 3)))
    return lambda points: scale * (raw(points) - np.median(probe)) / probe.std()


def assert_same(ours, dense):
    assert len(dense.mesh.faces) > 0
    np.testing.assert_array_equal(ours.mesh.faces, dense.mesh.faces)
    np.testing.assert_allclose(ours.mesh.vertices, dense.mesh.vertices, atol=1e-5)


@pytest.mark.parametrize("resolution", [64, 75])
@pytest.mark.parametrize("name", FIELDS)
def test_sparse_equals_dense(name, resolution):
    ours, dense = extract(FIELDS[name], resolution), extract_dense(FIELDS[name], resolution)
    assert_same(ours, dense)
    np.testing.assert_array_equal(ours.grid < 0, dense.grid < 0)


@pytest.mark.parametrize("error", [0.0, 0.95 * COARSE_ERROR])
@pytest.mark.parametrize("steepness", [0.5, 1.0, 1.5])
def test_nothing_is_missed_up_to_the_steepness_that_is_allowed(steepness, error):
    crumbs = crumbs_on_fine_nodes(64, steepness)
    ours = extract(crumbs, 64, coarse=(lambda points: crumbs(points) + error) if error else None)
    assert_same(ours, extract_dense(crumbs, 64))
    assert components(ours.mesh) == 3


@pytest.mark.parametrize("trusted, error", [(np.inf, 0.0), (0.7, 0.1)])
def test_only_cells_whose_corners_rule_out_a_zero_are_decided(trusted, error):
    random = np.random.default_rng(0)
    grid = (random.normal(1.2, 1, (9, 10, 11)) * random.choice([-1, 1], (9, 1, 1))).astype(np.float32)
    corners = sliding_window_view(grid, (2, 2, 2)).reshape(-1, 2, 2, 2)
    size, change = np.minimum(np.abs(corners), trusted), 0.3
    decided = np.zeros(len(corners), bool)
    reach = {(): 3, (1,): 2.25, (2,): 2.25, (3,): 2.25, (1, 2): 1.5, (1, 3): 1.5, (2, 3): 1.5, (1, 2, 3): 0.75}
    for axes, squared in reach.items():
        decided |= size.min(axes, keepdims=True).max((1, 2, 3)) > np.sqrt(squared) * change + error
    decided &= (corners > 0).all((1, 2, 3)) | (corners <= 0).all((1, 2, 3))
    np.testing.assert_array_equal(_undecided(grid, change, trusted, error).ravel(), ~decided)


def test_three_levels_equal_dense():
    assert_same(extract(FIELDS["leaning plate"], 128), extract_dense(FIELDS["leaning plate"], 128))


@pytest.mark.parametrize(
    "coarse", [None, lambda points: FIELDS["crumbs"](points) + 0.9 * COARSE_ERROR], ids=["alone", "found by another"]
)
@pytest.mark.parametrize("resolution", [40, 75, 128])
def test_every_cell_with_a_zero_has_the_fields_own_values_and_no_node_is_asked_for_twice(resolution, coarse):
    asked = []

    def noted(points):
        asked.append(points)
        return FIELDS["crumbs"](points)

    grid = sparse_grid(noted, resolution, coarse=coarse, trusted=TRUSTED)
    dense = extract_dense(FIELDS["crumbs"], resolution).grid
    corners, right = (sliding_window_view(values, (2, 2, 2)) for values in (grid, dense))
    crossed = (right < 0).any((3, 4, 5)) & (right > 0).any((3, 4, 5))
    np.testing.assert_array_equal(corners[crossed], right[crossed])
    assert len(np.unique(np.concatenate(asked), axis=0)) == sum(map(len, asked))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_decoder_of_random_weights_equals_dense(seed):
    wavy = decoder_field(seed, 0.3)
    probe = np.random.default_rng(1).uniform(-1, 1, (500, 3))
    steps = [wavy(probe + 1e-2 * axis) - wavy(probe) for axis in np.eye(3)]
    assert 0.2 < np.linalg.norm(steps, axis=0).max() / 1e-2 < 1.5
    assert_same(extract(wavy, 80), extract_dense(wavy, 80))


def test_few_points_are_asked_for():
    asked = []

    def counting(points):
        asked.append(len(points))
        return FIELDS["sphere"](points)

    extract(counting, 128)
    assert sum(asked) < 0.2 * 128**3


@pytest.mark.parametrize("resolution", [40, 96])  # one level, and two
def test_the_coarse_field_finds_the_surface_and_the_field_itself_shapes_it(resolution):
    seen = {"coarse": 0, "fine": 0}

    def told(name, error):
        def sdf(points):
            seen[name] += len(points)
            return FIELDS["torus"](points) + error * np.sin(50 * points[:, 0])

        return sdf

    ours = extract(told("fine", 0.0), resolution, coarse=told("coarse", 0.9 * COARSE_ERROR))
    dense = extract_dense(FIELDS["torus"], resolution)
    assert_same(ours, dense)
    assert seen["coarse"] <= resolution**3 and 0 < seen["fine"] < seen["coarse"] / 2
    assert np.array_equal(ours.grid < 0, dense.grid < 0)


@pytest.mark.parametrize("value", [1.0, -1.0, 0.0])
def test_no_zero_no_faces(value):
    surface = extract(lambda points: np.full(len(points), value), 64)
    assert surface.mesh.faces.shape == (0, 3) and surface.mesh.vertices.shape == (0, 3)
    assert surface.grid.shape == (64,) * 3


@pytest.mark.parametrize("name", ["sphere", "torus", "shell", "leaning plate", "crumbs"])
def test_surfaces_are_closed_and_face_outward(name):
    mesh = extract(FIELDS[name], 96).mesh
    assert is_watertight(mesh) and volume(mesh) > 0


def test_measures_of_the_extracted_solids():
    ball, ring = extract(FIELDS["sphere"], 96).mesh, extract(FIELDS["torus"], 96).mesh
    assert volume(ball) == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=2e-3)
    assert volume(ring) == pytest.approx(2 * np.pi**2 * 0.6 * 0.2**2, rel=5e-3)
    assert (euler_number(ball), euler_number(ring)) == (2, 0)
    assert components(extract(FIELDS["shell"], 96).mesh) == 2
    np.testing.assert_allclose(np.abs(FIELDS["sphere"](ball.vertices)), 0, atol=1e-3)


def test_a_zero_on_every_node_of_a_plane_leaves_no_seam():
    mesh = extract(implicit.box((1.0, 1.0, 1.0)), 65).mesh  # its faces lie on nodes
    assert is_watertight(mesh) and volume(mesh) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_zeros_on_nodes_open_no_seams(seed):
    grid = np.random.default_rng(seed).integers(-1, 2, (10, 10, 10)).astype(np.float32)
    assert is_watertight(isosurface(np.pad(grid, 1, constant_values=1)))


def test_the_grid_has_x_first_and_covers_the_cube():
    grid = sparse_grid(lambda points: points @ np.array([1.0, 10.0, 100.0]), 5, half_extent=2.0)
    nodes = np.linspace(-2, 2, 5)
    expected = nodes[:, None, None] + 10 * nodes[:, None] + 100 * nodes
    np.testing.assert_allclose(grid, expected, rtol=1e-6)
    assert grid.dtype == np.float32


def test_isosurface_lies_where_the_grid_says():
    nodes = np.linspace(-1, 1, 9)
    grid = np.broadcast_to(nodes[:, None, None] - 0.3, (9, 9, 9)).astype(np.float32)
    mesh = isosurface(grid)
    np.testing.assert_allclose(mesh.vertices[:, 0], 0.3, atol=1e-6)
    assert np.ptp(mesh.vertices[:, 1:], axis=0) == pytest.approx((2, 2))


def test_what_a_field_says_of_far_points_is_taken_for_far_and_no_more():
    assert TRUSTED == CLAMP
    sphere = implicit.sphere(0.6)

    def exaggerated(points):
        distance = sphere(points)
        return np.where(np.abs(distance) > 0.1, 20 * distance, distance)

    sparse, dense = extract(exaggerated, 96), extract_dense(exaggerated, 96)
    np.testing.assert_array_equal(sparse.mesh.faces, dense.mesh.faces)
    np.testing.assert_array_equal(sparse.mesh.vertices, dense.mesh.vertices)
