"""The errors of surfaces and solids, against closed forms."""

import numpy as np
import pytest
import torch

from flowsdf.geometry import implicit
from flowsdf.geometry.render import rays_of, seen_from
from flowsdf.studies import flow_sdf, solid_errors, solids

torch.set_num_threads(1)
RAYS = rays_of(64, solids.DEPTHS)
FRONT = np.array([0.0, 0.0, 1.0])
DIRECTIONS = torch.tensor([[0.0, 0.0, 1.0]])


def fronts_of(*shapes: solids.Solid) -> list[solids.Front]:
    directions = torch.from_numpy(np.stack([shape.direction for shape in shapes])).float()
    return solids.true_fronts(shapes, RAYS, directions)


def balls(*radii: float) -> list[solids.Solid]:
    return [solids.Solid("sphere", implicit.sphere(radius), FRONT) for radius in radii]


def box(size: float) -> solids.Solid:
    return solids.Solid("box", implicit.box((size, size, size)), FRONT)


def test_the_errors_of_a_surface_with_itself_are_none_and_of_nothing_are_the_most() -> None:
    truth = fronts_of(*balls(0.5))
    same = solid_errors.surface_errors(truth, truth).iloc[0]
    assert same["normal error"] < 0.1 and same["depth error"] == 0
    nothing = [truth[0]._replace(met=torch.zeros_like(truth[0].met))]
    assert solid_errors.surface_errors(nothing, truth).iloc[0].tolist() == [90, 2]


def test_a_box_behind_another_has_its_normals_and_a_depth_of_half_the_difference() -> None:
    small, big = fronts_of(box(0.6), box(0.7))
    middle = RAYS.points[:, -1, :2].norm(dim=1) < 0.2  # rays that meet the sides towards the camera
    errors = solid_errors.surface_errors([small._replace(met=small.met & middle)], [big]).iloc[0]
    assert errors["normal error"] < 0.1 and errors["depth error"] == pytest.approx(0.05, abs=0.001)


def test_the_front_of_a_hull_is_where_rays_enter_the_sphere() -> None:
    """In closed form: a ball of radius r is behind the sphere by the difference of half chords, along each ray."""
    apart = torch.linalg.cross(RAYS.points[:, -1] - RAYS.points[:, 0], RAYS.points[:, 0]).norm(dim=1)
    square = (apart / (RAYS.points[:, -1] - RAYS.points[:, 0]).norm(dim=1)) ** 2  # of a ray's distance to the centre
    for radius, front in zip((0.9, 0.5, 0.1), fronts_of(*balls(0.9, 0.5, 0.1)), strict=True):
        behind = ((1 - square).sqrt() - (radius**2 - square).clamp(min=0).sqrt())[front.met].mean().item()
        assert solid_errors.hull_depth_error([front], RAYS) == pytest.approx(behind, abs=1e-3)


def test_look_alikes_are_told_apart_by_their_relief() -> None:
    """The truth is, twins swapped are not, nor is one shape for both, as the silhouettes alone allow."""
    pairs = solids.lookalikes()
    truth = fronts_of(*pairs)
    swapped = solid_errors.twins(truth)
    np.testing.assert_allclose(solid_errors.relief_towards(truth, truth), 1, atol=1e-5)
    np.testing.assert_allclose(solid_errors.relief_towards(swapped, truth), -1, atol=1e-5)
    same = fronts_of(*[pairs[i] for i in (0, 0, 2, 2)])
    assert solid_errors.told_apart(truth, truth) == 1
    assert solid_errors.told_apart(swapped, truth) == solid_errors.told_apart(same, truth) == 0
    further = [front._replace(depth=front.depth + 0.3) for front in truth]
    np.testing.assert_allclose(solid_errors.relief_towards(further, truth), 1, atol=1e-5)
    nothing = [front._replace(met=torch.zeros_like(front.met)) for front in truth]
    assert (solid_errors.relief_towards(nothing, truth) == -1).all()


def test_the_front_of_a_decoder_is_where_its_field_is_zero_and_its_normals_are_the_slope() -> None:
    seen = solids.render_solids(solids.lookalikes())
    model = flow_sdf.restore(flow_sdf.untrained(seen.images, sphere=True, width=256, seed=0))
    decoder, codes = model.decoder, flow_sdf.codes_of(model, seen.images[:1], seed=0)
    (front,) = solid_errors.fronts(decoder, codes, RAYS, DIRECTIONS)
    (points,), step = seen_from(RAYS, DIRECTIONS.numpy()), 1e-3
    along = torch.nn.functional.normalize(points[:, -1] - points[:, 0], dim=1)
    at = (points[:, 0] + front.depth[:, None] * along)[front.met]
    with torch.no_grad():
        value = decoder(codes[0], at)
        sides = [decoder(codes[0], at + o) - decoder(codes[0], at - o) for o in step * torch.eye(3)]
    assert len(at) > 100 and value.abs().max() < 0.02
    slope = torch.nn.functional.normalize(torch.stack(sides, dim=1), dim=1)
    assert (slope * front.normals[front.met]).sum(1).quantile(0.1) > 0.99
    assert not front.normals[~front.met].any()


def test_a_front_as_an_image_is_that_which_the_encoder_sees() -> None:
    pairs = solids.lookalikes()
    seen = solids.render_solids(pairs)
    images = solids.shaded(solids.true_fronts(pairs, RAYS, seen.directions), RAYS, seen.directions)
    torch.testing.assert_close(images, seen.images[:, 0])


def test_the_floor_is_the_truth_sampled_again() -> None:
    shapes = balls(0.5, 0.6)
    rows = {"itself": [shape.field for shape in shapes], "swapped": [shape.field for shape in shapes[::-1]]}
    drawn = {"surface_points": 500, "volume_points": 5000}
    scores = solid_errors.solid_scores(rows, shapes, resolution=24, **drawn).set_index("row")
    assert scores.loc["floor"].iou.min() > 0.97 and scores.loc["floor"].chamfer_l1.min() > 0
    assert scores.loc["floor"].chamfer_l1.max() < scores.loc["swapped"].chamfer_l1.min()
