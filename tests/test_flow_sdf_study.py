"""Flow-SDF's data and stage 1: against closed forms, and a fit too small to mean anything."""

import numpy as np
import pytest
import torch

from flowsdf.geometry import implicit
from flowsdf.geometry.render import first_hit, lambertian, rays_of, seen_from
from flowsdf.models.deepsdf import evaluator
from flowsdf.studies import flow_sdf

torch.set_num_threads(1)
DIRECTIONS = flow_sdf.random_directions(3, seed=5)


def test_solids_are_in_the_unit_sphere_and_take_turns() -> None:
    solids = flow_sdf.solids(12, seed=0)
    assert [solid.kind for solid in solids[:4]] == ["sphere", "box", "ellipsoid", "sphere"]
    around = np.random.default_rng(0).normal(size=(500, 3))
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    for solid in solids:
        assert solid.field(around).min() > 0 > solid.field(np.zeros((1, 3)))[0]


def test_cameras_are_unit_and_not_above_sixty_degrees() -> None:
    directions = flow_sdf.random_directions(200, seed=0)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert 0.8 < np.abs(directions[:, 1]).max() < np.sin(np.radians(60.1))
    turned = flow_sdf.turned(np.array([[0.0, 0.6, 0.8]]), 90)
    np.testing.assert_allclose(turned, [[0.8, 0.6, 0.0]], atol=1e-12)


def test_a_ball_is_hit_on_its_near_side() -> None:
    rays = rays_of(32, 96)
    (points,) = seen_from(rays, DIRECTIONS[:1])
    met, at = first_hit(flow_sdf.on_tensors(implicit.sphere(0.5)), points)
    direction = torch.from_numpy(DIRECTIONS[0]).float()
    torch.testing.assert_close(at[met].norm(dim=-1), torch.full((int(met.sum()),), 0.5), atol=2e-3, rtol=0)
    assert (at[met] @ direction > 0).all()
    start, step = points[:, 0], torch.nn.functional.normalize(points[:, 1] - points[:, 0], dim=-1)
    closest = (start - (start * step).sum(-1, keepdim=True) * step).norm(dim=-1)
    assert met[closest < 0.49].all() and not met[closest > 0.5].any()


def test_lambertian_is_the_cosine_above_the_ambient_light() -> None:
    normals = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.6, 0.8], [0.0, 0.0, -1.0]])
    shades = lambertian(normals, torch.tensor([0.0, 0.0, 7.0]), ambient=0.25)
    torch.testing.assert_close(shades, torch.tensor([1.0, 0.25 + 0.75 * 0.8, 0.25]))


def test_images_are_lit_from_the_camera_and_black_beside_the_shape() -> None:
    fields = [implicit.sphere(0.5), implicit.box((0.9, 0.7, 0.5)), implicit.ellipsoid((0.8, 0.4, 0.5))]
    seen = flow_sdf.render_fields(fields, DIRECTIONS)
    assert seen.images.shape == (3, 3, 64, 64) and seen.inside.shape == (3, int(rays_of(64, 8).hit.sum()))
    ball = seen.images[0, 0]
    assert ball[31:33, 31:33].min() > 0.99 and ball[0].max() == 0 and ball.max() <= 1
    mask = flow_sdf.as_image(seen.inside[0], rays_of(64, 8)) > 0
    np.testing.assert_array_equal(mask, ball.numpy() > 0)
    assert ball.numpy()[mask].min() >= 0.2


def test_the_eikonal_loss_is_of_the_slope() -> None:
    points = torch.randn(2, 50, 3)
    for slope, expected in ((1.0, 0.0), (3.0, 4.0)):
        loss = flow_sdf.eikonal_loss(lambda p, k=slope: k * p.norm(dim=-1), points.clone())
        assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_a_small_fit_starts_as_a_sphere_and_gets_better() -> None:
    seen = flow_sdf.render_fields([implicit.ellipsoid((0.8, 0.3, 0.4))], DIRECTIONS[:1])
    settings = {"batch": 1, "rate": 1e-3, "temperature": 0.05, "eikonal": 0.1, "start": 300, "seed": 0, "folder": None}
    rays, scores = rays_of(64, 48), []
    for epochs in (0, 60):
        tensors, facts = flow_sdf.fit_cnn(*seen, epochs=epochs, **settings)
        assert facts["steps"] == 300 + epochs
        model = flow_sdf.restore_cnn(tensors)
        field = evaluator(model.decoder, model.encoder(seen.images)[0])
        inside = flow_sdf.least_distances([field], rays, DIRECTIONS[:1]) < 0
        scores.append(float((inside & seen.inside).sum() / (inside | seen.inside).sum()))
    assert 0.2 < scores[0] < 0.75 < scores[1]
