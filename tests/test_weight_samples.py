"""Weights drawn without images: blind shapes, the ideal denoiser, the trivial samples, and the table of scores."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flowsdf.geometry import implicit
from flowsdf.geometry.extract import extract
from flowsdf.geometry.mesh import sample_surface
from flowsdf.studies import image_to_latent, pershape, weight_diffusion, weight_samples, weight_shapes

torch.set_num_threads(1)
SIZE = {"width": 32, "depth": 2, "sine": False}
RADII = (0.3, 0.5, 0.7)


@pytest.fixture(scope="module")
def balls() -> weight_shapes.Shapes:
    points = 2 * torch.rand(3, 3000, 3, generator=torch.Generator().manual_seed(0)) - 1
    sdf = points.norm(dim=-1) - torch.tensor(RADII)[:, None]
    numbers = {"folder": None, "steps": 300, "points_per_step": 256, "rate": 1e-2, "seed": 0}
    fitted, _ = pershape.fit_decoders(points, sdf, pershape.starts(1, seed=0, **SIZE), **numbers, **SIZE)
    return weight_shapes.Shapes([], fitted["vectors"], torch.rand(3, 4, 6), torch.rand(4, 3), SIZE, {"a": "b"})


def test_blind_shapes_have_one_view_that_says_nothing(balls: weight_shapes.Shapes) -> None:
    of = weight_shapes.blind(balls)
    assert of.features.shape == (3, 1, 6) and not of.features.any() and len(of.cameras) == 1
    assert of.keys != balls.keys and torch.equal(of.vectors, balls.vectors)


def test_the_ideal_denoiser_of_two_opposite_codes_is_a_hyperbolic_tangent() -> None:
    code, noisy = torch.tensor([0.5, -0.3, 0.2]), torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    alpha_bar, t = torch.tensor([0.9, 0.4, 0.01]), torch.tensor([0, 1, 2, 1, 0])
    answer = weight_samples.ideal(torch.stack((code, -code)), alpha_bar)(noisy, t)
    signal = alpha_bar[t]
    expected = torch.tanh(signal.sqrt() * (noisy @ code) / (1 - signal))[:, None] * code
    assert torch.allclose(answer, expected, atol=1e-6)


def test_what_the_ideal_denoiser_ends_is_a_copy_and_what_it_never_answers_is_a_sample(
    balls: weight_shapes.Shapes,
) -> None:
    shapes = weight_shapes.blind(balls)
    settings = {"width": 16, "layers": 1, "heads": 2, "steps": 2, "batch": 2, "rate": 1e-3, "ema": 0.5, "seed": 0}
    setup = weight_diffusion.PHASES["09"]._replace(views=1)._asdict()
    fitted, _ = weight_diffusion.fit_weights(
        shapes.vectors, shapes.features, shapes.cameras, folder=None, **settings, **setup
    )
    model = image_to_latent.restore_predictor(fitted, heads=2)
    copies = weight_samples.begun(model, shapes, 6, until=0, seed=0)
    assert torch.cdist(copies, shapes.vectors).amin(1).max() < 1e-3 * torch.cdist(shapes.vectors, shapes.vectors).max()
    untouched = weight_samples.begun(model, shapes, 6, until=500, seed=0)
    assert torch.allclose(untouched, weight_samples.drawn(model, shapes, 6, seed=0), atol=1e-6)


def test_the_scores_tell_copies_from_nothing(balls: weight_shapes.Shapes, monkeypatch: pytest.MonkeyPatch) -> None:
    meshes = [extract(implicit.sphere(radius), 32).mesh for radius in RADII]
    of_true = [sample_surface(mesh, 200, np.random.default_rng(1)).points for mesh in meshes]
    monkeypatch.setattr(weight_samples, "clouds", lambda folder, entries, points: of_true)
    rows = weight_samples.trivial(balls.vectors, 3, seed=0)
    rows["nothing"] = torch.zeros_like(balls.vectors)
    table = weight_samples.scores(rows, balls, Path(), resolution=24, points=200, seed=0).set_index("row")
    assert table.failed["training shapes"] == 0 and table.failed["nothing"] == 3
    assert table.new["training shapes"] < 0.4 and np.isnan(table.new["nothing"])
    assert (
        table["cov mean"]["training shapes"] == 1
        and table["mmd mean"]["training shapes"] < 0.1 * table["mmd mean"]["nothing"]
    )
    assert table["cov mean"]["nothing"] < 1 and table["1-nna mean"]["nothing"] >= table["1-nna mean"]["training shapes"]
    assert (table["mmd low"] <= table["mmd mean"]).all() and (table.n == 3).all()


def test_the_gallery_has_the_first_of_every_row(balls: weight_shapes.Shapes) -> None:
    rows = {"one": balls.vectors, "two": balls.vectors[:2]}
    meshes, titles, columns = weight_samples.gallery(rows, balls, count=6, resolution=24)
    assert columns == 2 and titles == ["one, 1", "one, 2", "two, 1", "two, 2"] and len(meshes) == 4
    assert np.array_equal(meshes[1].vertices, meshes[3].vertices)
    nothing = {"none": torch.zeros_like(balls.vectors[:1])}
    assert weight_samples.gallery(nothing, balls, count=1, resolution=24)[1] == ["none, 1\nno surface"]
