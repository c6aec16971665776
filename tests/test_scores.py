"""The protocol's scores against plain loops and closed forms."""

import math
from time import process_time

import numpy as np
import pandas as pd
import pytest

from flowsdf.conventions import Mesh, Surface
from flowsdf.evaluation import scores as sc
from flowsdf.evaluation.topology import piece_volumes, spokes, telling, topology
from flowsdf.geometry.extract import extract


def ball(radius, centre=(0.0, 0.0, 0.0)):
    return lambda points: np.linalg.norm(points - np.array(centre), axis=1) - radius


def box(half, centre=(0.0, 0.0, 0.0)):
    return lambda points: np.abs(points - np.array(centre)).max(1) - half  # the right sign and zero; not a distance


def truth_of(field, *, resolution=48, **counts):
    mesh = extract(field, resolution).mesh
    return sc.truth_samples(mesh, lambda points: field(points) < 0, seed=0, **counts)


EMPTY = Surface(Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64)), np.ones((8, 8, 8), np.float32))


def nearest_by_loop(a, b):
    """For each point of a: the distance to the nearest of b, and which it is."""
    distances, indices = [], []
    for p in a:
        best = min((math.dist(p, q), j) for j, q in enumerate(b))
        distances.append(best[0])
        indices.append(best[1])
    return distances, indices


def trilinear_by_loop(grid, point):
    n, total = len(grid), 0.0
    node = [(c + 1) / 2 * (n - 1) for c in point]
    low = [min(int(c), n - 2) for c in node]
    for corner in np.ndindex(2, 2, 2):
        weight = math.prod(f - i if c else 1 - f + i for f, i, c in zip(node, low, corner, strict=True))
        total += weight * grid[tuple(i + c for i, c in zip(low, corner, strict=True))]
    return total


def test_scores_equal_triple_loops():
    truth = truth_of(ball(0.7), surface_points=150, volume_points=300)
    prediction = extract(box(0.5, (0.1, 0, 0)), 16)
    found = sc.score(prediction, truth, seed=5)

    drawn = sc.sample_surface(prediction.mesh, 150, np.random.default_rng(5))
    there, i = nearest_by_loop(drawn.points, truth.surface.points)
    back, j = nearest_by_loop(truth.surface.points, drawn.points)
    n = 150
    assert found["chamfer_l1"] == pytest.approx(10 * (sum(there) / n + sum(back) / n) / 2)
    assert found["chamfer_l2"] == pytest.approx(1000 * (sum(d * d for d in there) / n + sum(d * d for d in back) / n))
    for name, tau in sc.THRESHOLDS.items():
        p, r = sum(d < tau for d in there) / n, sum(d < tau for d in back) / n
        assert found[name] == pytest.approx(2 * p * r / (p + r) if p + r else 0)
    dots = [abs(drawn.normals[k] @ truth.surface.normals[i[k]]) for k in range(n)]
    dots += [abs(truth.surface.normals[k] @ drawn.normals[j[k]]) for k in range(n)]
    assert found["normal_consistency"] == pytest.approx(sum(dots) / (2 * n))
    for name, points, inside in [
        ("iou", truth.points, truth.inside),
        ("iou_near", truth.near_points, truth.near_inside),
    ]:
        both = either = 0
        for point, occupied in zip(points, inside, strict=True):
            predicted = trilinear_by_loop(prediction.grid, point) < 0
            both, either = both + (predicted and occupied), either + (predicted or occupied)
        assert found[name] == pytest.approx(both / either)


def test_concentric_spheres_score_in_closed_form():
    found = sc.score(extract(ball(0.6), 64), truth_of(ball(0.7), resolution=64), seed=1)
    assert found["chamfer_l1"] == pytest.approx(10 * 0.1, rel=0.01)
    assert found["chamfer_l2"] == pytest.approx(1000 * 2 * 0.01, rel=0.02)
    assert found["iou"] == pytest.approx((0.6 / 0.7) ** 3, abs=0.01)
    assert found["volume_ratio"] == pytest.approx((0.6 / 0.7) ** 3, rel=0.01)
    assert found["normal_consistency"] > 0.99
    assert (found["f_001"], found["f_002"], found["f_005"], found["failed"]) == (0, 0, 0, 0)


def test_shifted_cube_scores_in_closed_form():
    found = sc.score(extract(box(0.5, (0.2, 0, 0)), 65), truth_of(box(0.5), resolution=65), seed=1)
    assert found["iou"] == pytest.approx(0.8 / 1.2, abs=0.02)
    assert found["volume_ratio"] == pytest.approx(1, abs=0.01)


def test_a_shape_scores_itself_at_the_sampling_floor():
    field = ball(0.8)
    found = sc.score(extract(field, 64), truth_of(field, resolution=64), seed=1)
    assert found["chamfer_l1"] < 0.1 and found["f_002"] > 0.99 and found["iou"] > 0.98 and found["iou_near"] > 0.95


@pytest.mark.parametrize(
    "broken",
    [
        EMPTY,
        Surface(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), EMPTY.grid),
        Surface(Mesh(np.full((3, 3), np.nan), np.array([[0, 1, 2]])), EMPTY.grid),
    ],
)
def test_without_a_surface_the_worst_is_scored_and_counted(broken):
    found = sc.score(broken, truth_of(ball(0.7), surface_points=100, volume_points=100), seed=0)
    assert found["chamfer_l1"] == pytest.approx(10 * math.sqrt(3)) and found["chamfer_l2"] == pytest.approx(6000)
    assert found["failed"] == 1
    for name in ("iou", "iou_near", "f_001", "f_002", "f_005", "normal_consistency", "volume_ratio"):
        assert found[name] == 0


def test_a_cavity_is_a_piece_of_negative_volume():
    def hollow(points):
        shell = np.maximum(ball(0.5, (0.4, 0, 0))(points), -ball(0.3, (0.4, 0, 0))(points))
        return np.minimum(shell, ball(0.2, (-0.6, 0, 0))(points))

    mesh = extract(hollow, 96).mesh
    unused = Mesh(np.concatenate([np.ones((2, 3)), mesh.vertices]), mesh.faces + 2)
    spheres = 4 / 3 * np.pi * np.array([-(0.3**3), 0.2**3, 0.5**3])
    for of in (mesh, unused):
        assert sorted(piece_volumes(of)) == pytest.approx(spheres, rel=0.02)


def test_topology_is_held_against_the_truth():
    def two(points):
        return np.minimum(ball(0.3, (0.5, 0, 0))(points), ball(0.3, (-0.5, 0, 0))(points))

    def ring(points):
        return np.hypot(np.hypot(points[:, 0], points[:, 1]) - 0.6, points[:, 2]) - 0.2

    found = sc.score(extract(ring, 40), truth_of(two, surface_points=100, volume_points=100), seed=0)
    assert (found["components"], found["genus"], found["watertight"], found["euler"]) == (1, 1, 1, 0)
    truth = [found[f"{name}_truth"] for name in ("components", "genus", "watertight", "euler")]
    assert truth == [2, 0, 1, 4]


def test_near_points_are_near_and_in_the_cube():
    truth = truth_of(ball(1.0), surface_points=100, volume_points=2000)
    assert np.abs(np.linalg.norm(truth.near_points, axis=1) - 1).max() < 0.06
    assert np.abs(truth.near_points).max() <= 1


def test_view_iou_is_the_mean_over_views():
    a, b = np.zeros((2, 3, 3, 4), bool)
    a[0, 0], b[0, 0, :2] = True, True
    a[1, :2], b[1, 1:] = True, True
    assert sc.view_iou(a, b) == pytest.approx((2 / 4 + 4 / 12 + 1) / 3)


def test_summary_counts_every_shape():
    table = pd.DataFrame({"name": list("abc"), "iou": [0.5, 0.7, 0.0], "genus": [1, 0, np.nan], "failed": [0, 0, 1]})
    found = sc.summarise(table)
    assert found.loc["iou", ["n_in", "n_used", "n_failed"]].tolist() == [3, 3, 1]
    assert found.loc["genus", "n_used"] == 2
    assert found.loc["iou", "mean"] == pytest.approx(0.4)
    assert found.loc["iou", "low"] <= 0.4 <= found.loc["iou", "high"]
    assert sc.summarise(table.head(1)).loc["iou", ["low", "high"]].isna().all()


def test_spokes_are_counted_on_a_ring():
    def wheel(points, count=13):
        angle = np.arctan2(points[:, 1], points[:, 0])
        radius = np.hypot(points[:, 0], points[:, 1])
        across = radius * np.abs((angle * count / (2 * np.pi) + 0.5) % 1 - 0.5) * 2 * np.pi / count
        parts = [radius - 0.2, np.abs(radius - 0.85) - 0.1, across - 0.04]
        return np.maximum(np.minimum.reduce(parts), np.maximum(np.abs(points[:, 2]) - 0.1, radius - 0.95))

    assert spokes(wheel, radius=0.5) == 13
    assert spokes(ball(0.3), radius=0.5) == 0
    assert topology(extract(wheel, 96, steepness=4.0).mesh).genus == 13


def test_a_hundred_meshes_score_within_a_minute():
    truth, prediction = truth_of(ball(0.7), resolution=128), extract(ball(0.65), 128)
    start = process_time()
    for seed in range(3):
        sc.score(prediction, truth, seed=seed)
    assert (process_time() - start) / 3 < 1.2  # on one of two cores


def test_the_telling_shapes_are_thin_holed_and_convex():
    def ring(points):
        return np.hypot(np.hypot(points[:, 0], points[:, 1]) - 0.6, points[:, 2]) - 0.2

    def plate(points):
        return np.abs(points / [0.8, 0.8, 0.1]).max(1) - 1

    meshes = [extract(field, 40, steepness=10.0).mesh for field in (ball(0.7), ring, plate, box(0.5))]
    assert telling(meshes, 1) == {"thin": [2], "most holes": [1], "convex": [3]}
    assert sorted(number for numbers in telling(meshes, 2).values() for number in numbers) == [0, 1, 2, 3]
    assert telling(meshes[:1], 2) == {"thin": [0], "most holes": [], "convex": []}
