"""The built-in shapes: exact distances, meshes on the surface, numbering, variety."""

import numpy as np
import pytest

from flowsdf.conventions import Mesh
from flowsdf.data import procedural
from flowsdf.data.procedural import parts, tessellate
from flowsdf.geometry import implicit

SOLIDS = {
    **{name: procedural.primitive(name).parts[0] for name in procedural.PRIMITIVES},
    "round_cone": parts.limb((0.2, -0.4, 0), (-0.3, 0.5, 0.2), 0.35, 0.12),
    "star": parts.plate([(0, 0.2), (-0.7, 0.3), (-0.2, -0.1), (0, -0.8), (0.2, -0.1), (0.7, 0.3)], 0.4),
    "cup": parts.vessel([(0.4, -0.6), (0.6, 0.6)], 0.1),
    "turned": parts.box(0.9, 0.5, 0.3).turn("x", 30).turn("z", 50).at(0.2, 0.1, -0.2),
    "rod": parts.rod((-0.5, 0.1, 0.3), (0.4, -0.2, 0.1), 0.4),
}
EVERY = [
    *map(procedural.training, range(len(procedural.CATEGORIES))),
    *map(procedural.held_out_category, range(len(procedural.HELD_OUT_CATEGORIES))),
    *map(procedural.special, procedural.SPECIALS),
    *map(procedural.primitive, procedural.PRIMITIVES),
]
NAMES = [shape.category for shape in EVERY]


def centre_and_radius(mesh: Mesh) -> tuple[np.ndarray, float]:
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    return (low + high) / 2, np.linalg.norm(mesh.vertices - (low + high) / 2, axis=1).max()


def volume(mesh: Mesh) -> float:
    return np.linalg.det(mesh.vertices[mesh.faces]).sum() / 6


def open_edges(mesh: Mesh) -> int:
    """Directed edges without their opposite: none on a closed, consistently turned mesh."""
    ends = [mesh.faces[:, [i, (i + 1) % 3]] for i in range(3)]
    codes = [np.concatenate([pair[:, i] * len(mesh.vertices) + pair[:, 1 - i] for pair in ends]) for i in (0, 1)]
    return len(np.setxor1d(*codes)) + len(codes[0]) - len(np.unique(codes[0]))


def to_segments(points, starts, ends):
    """The slow oracle in the plane: from each point (n, 2) to the nearest of 4,000 samples of each edge."""
    t = np.linspace(0, 1, 4000)[:, None]
    samples = np.concatenate([start + t * (end - start) for start, end in zip(starts, ends, strict=True)])
    return np.array([np.linalg.norm(samples - point, axis=1).min() for point in points])


def to_triangles(points, mesh: Mesh):
    """The slow oracle in space: from each point to the nearest of the mesh's finely sampled faces."""
    u, v = np.meshgrid(*2 * [np.linspace(0, 1, 9)])
    kept = u + v <= 1 + 1e-9
    u, v = u[kept][:, None, None], v[kept][:, None, None]
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces], 1, 0)
    samples = (a + u * (b - a) + v * (c - a)).reshape(-1, 3)
    return np.array([np.linalg.norm(samples - point, axis=1).min() for point in points])


@pytest.mark.parametrize("solid", SOLIDS.values(), ids=SOLIDS)
def test_distance_is_that_to_the_surface_on_both_sides(solid):
    points = np.random.default_rng(0).uniform(-1, 1, (60, 3))
    oracle, signed = to_triangles(points, solid.mesh()), solid.distance(points)
    corners = solid.mesh().vertices[solid.mesh().faces]
    gap = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max() / 8
    chord = 2 * tessellate.CHORD
    assert (signed < 0).any() and (signed > 0).any()
    assert (oracle >= np.abs(signed) - chord - 1e-9).all()
    assert (oracle <= np.hypot(np.abs(signed) + chord, gap + chord) + 1e-9).all()


@pytest.mark.parametrize("solid", SOLIDS.values(), ids=SOLIDS)
def test_gradient_has_unit_length_off_the_medial_axis(solid):
    points, step = np.random.default_rng(1).uniform(-1, 1, (400, 3)), 1e-5
    moved = [[solid.distance(points + sign * step * axis) for sign in (1, -1)] for axis in np.eye(3)]
    slopes = np.array([(ahead - behind) / (2 * step) for ahead, behind in moved])
    curved = np.array([ahead + behind for ahead, behind in moved]) - 2 * solid.distance(points)
    smooth = np.abs(curved).max(axis=0) < 0.01 * step  # a crease of the field is on the medial axis
    assert smooth.mean() > 0.95
    np.testing.assert_allclose(np.linalg.norm(slopes[:, smooth], axis=0), 1, atol=1e-4)


@pytest.mark.parametrize("solid", SOLIDS.values(), ids=SOLIDS)
def test_stepping_by_the_distance_lands_on_the_surface(solid):
    points, step = np.random.default_rng(2).uniform(-1, 1, (300, 3)), 1e-6
    slopes = np.stack([(solid.distance(points + step * a) - solid.distance(points - step * a)) for a in np.eye(3)], 1)
    landed = points - solid.distance(points)[:, None] * slopes / (2 * step)
    assert np.quantile(np.abs(solid.distance(landed)), 0.97) < 1e-6


def test_polygon_distance_in_the_plane():
    profile = np.array([(0, -0.5), (0.6, -0.5), (0.3, 0), (0.7, 0.5), (0, 0.4)])
    points = np.abs(np.random.default_rng(3).uniform(-1, 1, (40, 2))) * (1, -1)
    field = implicit.revolution(profile)(np.column_stack([points, np.zeros(len(points))]))
    np.testing.assert_allclose(np.abs(field), to_segments(points, *implicit.profile_edges(profile)), atol=3e-4)


def test_ellipsoid_on_its_axes_and_with_equal_axes():
    field = implicit.ellipsoid((0.9, 0.5, 0.65))
    np.testing.assert_allclose(field(np.zeros((1, 3))), -0.5, atol=1e-9)
    np.testing.assert_allclose(field(np.diag([2.0, 2.0, 2.0])), [1.1, 1.5, 1.35], atol=1e-9)
    points = np.random.default_rng(4).normal(size=(200, 3))
    np.testing.assert_allclose(implicit.ellipsoid((0.7,) * 3)(points), implicit.sphere(0.7)(points), atol=1e-9)


def test_union_is_exact_outside():
    pair = [parts.ball(0.5).at(-0.2, 0, 0), parts.ball(0.4).at(0.3, 0, 0)]
    points = np.random.default_rng(5).normal(size=(200, 3))
    expected = np.minimum(*(part.distance(points) for part in pair))
    np.testing.assert_array_equal(implicit.union(part.distance for part in pair)(points), expected)


@pytest.mark.parametrize("shape", EVERY, ids=NAMES)
def test_parts_are_closed_outward_and_on_their_zero_level(shape):
    _, radius = centre_and_radius(procedural.clean_mesh(shape))
    for part in shape.parts:
        mesh = part.mesh()
        middles = mesh.vertices[mesh.faces].mean(axis=1)
        assert open_edges(mesh) == 0 and volume(mesh) > 0
        assert np.abs(part.distance(mesh.vertices)).max() < 1e-6 * radius
        assert np.abs(part.distance(middles[::7])).max() < 0.0034 * radius


@pytest.mark.parametrize("shape", EVERY, ids=NAMES)
def test_shapes_have_a_moderate_number_of_faces(shape):
    faces = len(procedural.clean_mesh(shape).faces)
    assert 150 < faces < 30_000
    assert len(procedural.clean_mesh(shape).vertices) < faces


def test_instances_fit_the_frame_of_their_generators():
    from flowsdf.data.procedural import shapes

    generators = [*shapes._TRAINING, *shapes._HELD_OUT]
    built = [generator(np.random.default_rng(seed)) for generator in generators for seed in range(2)]
    radii = [centre_and_radius(shapes.joined([part.mesh() for part in made]))[1] for made in built]
    assert min(radii) > 0.6 and max(radii) < 1.4


def test_fixed_numbers():
    named = {0: "coffee_table", 9: "wagon_wheel", 50: "snowman", 100: "turkey", 119: "wolf"}
    assert {index: procedural.training(index).category for index in named} == named


def test_categories_are_many_balanced_and_apart_from_the_held_out_ones():
    categories = [procedural.training(index).category for index in range(128)]
    assert len(set(categories[:20])) == 20
    assert len(procedural.CATEGORIES) >= 40 and len(procedural.HELD_OUT_CATEGORIES) >= 8
    assert min(categories.count(name) for name in procedural.CATEGORIES) >= 2
    others = set(procedural.HELD_OUT_CATEGORIES) | set(procedural.SPECIALS)
    assert not others & set(procedural.CATEGORIES)


def test_every_number_has_its_own_uid():
    uids = [procedural.training(index).uid for index in range(procedural.COUNT)]  # the shapes themselves fill memory
    uids += [procedural.held_out(index).uid for index in range(50)]
    uids += [shape.uid for shape in EVERY[len(procedural.CATEGORIES) :]]
    assert len(set(uids)) == len(uids)
    with pytest.raises(IndexError):
        procedural.training(procedural.COUNT)


@pytest.mark.parametrize("shape", EVERY[::6], ids=NAMES[::6])
def test_a_uid_makes_the_same_shape_again(shape):
    again = procedural.by_uid(shape.uid)
    assert again.category == shape.category
    for one, other in zip(procedural.flawed_nodes(shape), procedural.flawed_nodes(again), strict=True):
        np.testing.assert_array_equal(one.vertices, other.vertices)
        np.testing.assert_array_equal(one.faces, other.faces)


def test_instances_of_a_category_differ():
    count = len(procedural.CATEGORIES)
    for index in range(count):
        one, other = procedural.training(index), procedural.held_out(index)
        a, b = (procedural.clean_mesh(shape).vertices for shape in (one, other))
        sizes = [np.ptp(v, axis=0) / np.linalg.norm(np.ptp(v, axis=0)) for v in (a, b)]
        assert len(a) != len(b) or not np.allclose(*sizes, atol=1e-3), one.category


def test_the_wagon_wheel_has_thirteen_thick_spokes():
    for index in (9, 57, 105):
        shape = procedural.training(index)
        centre, radius = centre_and_radius(procedural.clean_mesh(shape))
        angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
        ring = 0.6 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
        inside = procedural.occupancy(shape, centre + radius * ring)
        assert (inside != np.roll(inside, 1)).sum() == 2 * 13
        assert inside.mean() * 2 * np.pi * 0.6 / 13 >= 0.035


def test_the_tunnel_is_open_from_end_to_end():
    shape = procedural.special("tunnel")
    centre, radius = centre_and_radius(procedural.clean_mesh(shape))
    along = centre + radius * np.linspace(-1, 1, 50)[:, None] * (0, 0, 1)
    assert not procedural.occupancy(shape, along).any()


@pytest.mark.parametrize("shape", EVERY[::5], ids=NAMES[::5])
def test_flaws_leave_the_surface_where_it_is(shape):
    nodes = procedural.flawed_nodes(shape)
    _, radius = centre_and_radius(procedural.clean_mesh(shape))
    assert len(nodes) == min(len(shape.parts), 6)
    for mesh in nodes:
        assert mesh.faces.max() < len(mesh.vertices)
        nearest = np.min([np.abs(part.distance(mesh.vertices[::5])) for part in shape.parts], axis=0)
        assert nearest.max() < 0.003 * radius


def test_the_flaws_are_all_there():
    nodes = [node for shape in EVERY[:30] for node in procedural.flawed_nodes(shape)]
    corners = [np.sort(node.faces, axis=1) for node in nodes]
    repeated = [len(np.unique(faces, axis=0)) < len(faces) for faces in corners]
    soups = [len(node.vertices) == 3 * len(node.faces) for node in nodes]
    turned = [volume(node) < 0 for node in nodes]
    assert all(3 < sum(flaw) < len(nodes) / 2 for flaw in (repeated, soups, turned))


def test_pinholes_are_narrow():
    from flowsdf.data.procedural.flaws import pierced

    ball = parts.ball(1.0).mesh()
    open_ = pierced(ball, 0.008, 0.2, np.random.default_rng(6))
    holes = open_.vertices[len(ball.vertices) :].reshape(-1, 3, 3)
    assert len(holes) > 50 and open_edges(open_) == 6 * len(holes)
    assert np.linalg.norm(holes - np.roll(holes, 1, axis=1), axis=2).max() <= 0.008 + 1e-12
