"""Flow-SDF's solids and their images: against closed forms."""

import numpy as np
import torch

from flowsdf.geometry import implicit
from flowsdf.geometry.render import lambertian, rays_of
from flowsdf.studies import silhouettes, solids

torch.set_num_threads(1)


def test_solids_are_in_the_unit_sphere_and_take_turns() -> None:
    found = solids.training_solids(16, seed=0)
    assert [solid.kind for solid in found[:4]] == ["sphere", "box", "ellipsoid", "sphere"] and len(found) == 16
    around = np.random.default_rng(0).normal(size=(500, 3))
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    for solid in found:
        assert solid.field(around).min() > 0 > solid.field(np.zeros((1, 3)))[0]


def test_new_solids_are_not_nearly_known_ones() -> None:
    known = solids.solids(30, seed=0)
    new, points = solids.unlike(9, known, seed=0), np.random.default_rng(5).uniform(-1, 1, (500, 3))
    assert [solid.kind for solid in new] == list(solids.KINDS) * 3
    assert min(np.abs(a.field(points) - b.field(points)).mean() for a in new for b in known) > 0.008


def test_cameras_are_unit_and_not_above_sixty_degrees() -> None:
    directions = solids.random_directions(200, seed=0)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert 0.8 < np.abs(directions[:, 1]).max() < np.sin(np.radians(60.1))
    torch.testing.assert_close(solids.turned(torch.tensor([[0.0, 0.6, 0.8]]), 90), torch.tensor([[0.8, 0.6, 0.0]]))


def test_lambertian_is_the_cosine_above_the_ambient_light() -> None:
    normals = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.6, 0.8], [0.0, 0.0, -1.0]])
    expected = torch.tensor([1.0, 0.25 + 0.75 * 0.8, 0.25])
    light = torch.tensor([0.0, 0.0, 7.0])
    torch.testing.assert_close(lambertian(normals, light, ambient=0.25), expected)
    torch.testing.assert_close(lambertian(normals, light.expand(3, 3), ambient=0.25), expected)


def test_images_are_lit_from_the_camera_and_black_beside_the_shape() -> None:
    kinds = [("sphere", implicit.sphere(0.5)), ("box", implicit.box((0.9, 0.7, 0.5)))]
    directions = solids.random_directions(2, seed=5)
    seen = solids.render_solids([solids.Solid(*kind, at) for kind, at in zip(kinds, directions, strict=True)])
    rays = rays_of(64, 8)
    assert seen.images.shape == (2, 3, 64, 64) and seen.inside.shape == (2, int(rays.hit.sum()))
    ball = seen.images[0, 0]
    assert ball[31:33, 31:33].min() > 0.99 and ball[0].max() == 0 and ball.max() <= 1
    mask = solids.as_image(seen.inside[0], rays) > 0
    assert torch.equal(mask, ball > 0) and ball[mask].min() >= 0.19
    tilted = torch.tensor([(implicit_normal @ directions[1]) for implicit_normal in np.eye(3)]).abs()
    faces = 0.2 + 0.8 * tilted  # a box shows three faces at most, each of one brightness
    off = (seen.images[1, 0][solids.as_image(seen.inside[1], rays) > 0][:, None] - faces).abs().amin(1)
    assert (off < 0.01).float().mean() > 0.95


def test_the_pairs_look_alike_and_differ() -> None:
    pairs = solids.lookalikes()
    rays = rays_of(64, 48)
    seen = solids.render_solids(pairs)
    alike = silhouettes.mask_ious(seen.inside[::2], seen.inside[1::2])
    assert alike[0] > 0.85 and alike[1] > 0.95
    directions = solids.turned(seen.directions, 90)
    apart = silhouettes.true_masks(pairs, rays, directions)
    assert silhouettes.mask_ious(apart[2:3], apart[3:])[0] < 0.7
    assert (seen.images[0] - seen.images[1]).abs().mean() > 0.02
