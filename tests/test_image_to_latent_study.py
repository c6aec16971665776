"""Image to latent: which views a batch sees, what a fit gives back, and its errors by time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flowsdf.generative.diffusion import cosine_alpha_bar
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.models.encoding import pose_embedding
from flowsdf.models.latent_dit import LatentDiT
from flowsdf.models.regressor import Regressor
from flowsdf.studies import image_to_latent as study
from flowsdf.studies.image_to_latent import Views, choose_views, loss_by_time, predict, restore_predictor, standardise

SHAPES, VIEWS, FEATURES, LATENT = 4, 10, 12, 6
NUMBERS = {"width": 24, "layers": 2, "heads": 3, "steps": 160, "batch": 16, "rate": 3e-3, "ema": 0.95, "seed": 0}
CAMERAS = torch.as_tensor(2.5 * fibonacci_sphere(VIEWS), dtype=torch.float32)


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    """Latents of very different scales, and views that tell the shapes apart but for some noise."""
    random = torch.Generator().manual_seed(0)
    latents = 3 + torch.randn(SHAPES, LATENT, generator=random) * torch.logspace(-1, 1, LATENT)
    marks = torch.randn(SHAPES, 1, FEATURES, generator=random)
    return latents, marks + 0.1 * torch.randn(SHAPES, VIEWS, FEATURES, generator=random)


def every_view(features: torch.Tensor, count: int = 8) -> Views:
    chosen = torch.arange(count).repeat(len(features), 1)
    return choose_views(features, CAMERAS[: features.shape[1]], chosen, torch.full((len(features),), count))


@pytest.fixture(scope="module", params=[True, False], ids=["regressor", "diffusion"])
def fitted(request: pytest.FixtureRequest) -> tuple[bool, dict[str, torch.Tensor], dict]:
    latents, features = problem()
    steps = {"steps": 160 if request.param else 400}
    got = study.fit_predictor(latents, features, CAMERAS, folder=None, deterministic=request.param, **(NUMBERS | steps))
    return request.param, *got


def test_standardised_latents_have_unit_deviation_and_go_back():
    latents, _ = problem()
    codes, mean, deviation = standardise(latents)
    torch.testing.assert_close(codes.mean(0), torch.zeros(LATENT), atol=1e-5, rtol=0)
    torch.testing.assert_close(codes.std(0), torch.ones(LATENT))
    torch.testing.assert_close(codes * deviation + mean, latents)


def test_a_constant_dimension_is_not_blown_up():
    latents = torch.randn(5, 3)
    latents[:, 1] = 0.25
    codes, _, _ = standardise(latents)
    assert torch.isfinite(codes).all() and (codes[:, 1] == 0).all()


def test_chosen_views_with_their_poses_and_their_mask():
    features = torch.arange(2 * VIEWS * 3.0).reshape(2, VIEWS, 3)
    chosen, counts = torch.tensor([[4, 0, 9], [7, 7, 1]]), torch.tensor([1, 3])
    views = choose_views(features, CAMERAS, chosen, counts)
    for row in range(2):
        for place in range(3):
            assert torch.equal(views.features[row, place], features[row, chosen[row, place]])
            assert torch.equal(views.poses[row, place], pose_embedding(CAMERAS)[chosen[row, place]])
    assert views.mask.tolist() == [[True, False, False], [True, True, True]]


def test_a_fit_remembers_its_shapes(fitted):
    deterministic, tensors, facts = fitted
    latents, features = problem()
    predictor = restore_predictor(tensors, heads=3)
    assert predictor.deterministic is deterministic
    assert isinstance(predictor.network, Regressor if deterministic else LatentDiT)
    predicted = predict(predictor, every_view(features)).cpu()
    assert predicted.shape == latents.shape
    gaps = ((predicted[:, None] - latents) / predictor.deviation.cpu()).norm(dim=-1)
    assert gaps.argmin(1).tolist() == [0, 1, 2, 3]
    assert gaps.diagonal().max() < 0.5 * gaps[~torch.eye(4, dtype=torch.bool)].min()
    curve = np.array(facts["curve"])
    assert curve[0, 0] == 0 and facts["loss"] == curve[-1, 2] and (np.diff(curve[:, 0]) > 0).all()


def test_asked_for_the_noise_it_remembers_as_well():
    latents, features = problem()
    codes, mean, deviation = standardise(latents)
    torch.manual_seed(0)
    network, numbers = LatentDiT(FEATURES, LATENT, 24, 2, 3), {k: NUMBERS[k] for k in ("batch", "rate", "ema", "seed")}
    state, facts = study.train_predictor(
        network, codes, features, CAMERAS, folder=None, steps=600, of_noise=True, **numbers
    )
    predictor = restore_predictor(state | {"mean": mean, "deviation": deviation}, heads=3)
    assert predictor.of_noise and facts["loss"] < 0.9
    predicted = predict(predictor, every_view(features)).cpu()
    gaps = ((predicted[:, None] - latents) / deviation).norm(dim=-1)
    assert gaps.argmin(1).tolist() == [0, 1, 2, 3]
    late = loss_by_time(predictor, latents, every_view(features), [0, 250])
    assert late[0] < late[1] < 1.5


def test_dropped_views_are_zero_and_dropped_poses_alone_leave_features():
    latents, features = problem()
    views, random = every_view(features), torch.Generator().manual_seed(0)
    many = Views(*(part.repeat(500, 1, 1)[: 500 * SHAPES] if part.ndim == 3 else part.repeat(500, 1) for part in views))
    seen = study.dropped(many, 0.1, 0.2, random)
    no_views, no_poses = (~part.flatten(1).any(1) for part in (seen.features, seen.poses))
    assert no_views.float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert no_poses.float().mean().item() == pytest.approx(1 - 0.9 * 0.8, abs=0.03) and (no_poses | ~no_views).all()
    assert all(torch.equal(a, b) for a, b in zip(study.dropped(views, 0.0, 0.0, random), views, strict=True))


def test_what_is_masked_changes_nothing(fitted):
    _, tensors, _ = fitted
    _, features = problem()
    predictor, views = restore_predictor(tensors, heads=3), every_view(features)
    mask = views.mask.clone()
    mask[:, 3:] = False
    other = torch.where(mask[..., None], views.features, 9.0)
    torch.testing.assert_close(
        predict(predictor, views._replace(mask=mask)), predict(predictor, Views(other, views.poses, mask))
    )


def test_one_seed_one_draw(fitted):
    deterministic, tensors, _ = fitted
    predictor, views = restore_predictor(tensors, heads=3), every_view(problem()[1], 2)
    first, same, other = (predict(predictor, views, seed=seed, steps=5) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert torch.equal(first, other) == deterministic


def test_restored_weights_are_those_of_the_fit(fitted):
    _, tensors, _ = fitted
    predictor = restore_predictor({name: tensor.clone() for name, tensor in tensors.items()}, heads=3)
    for name, weight in predictor.network.state_dict().items():
        assert torch.equal(weight.cpu(), tensors[f"network.{name}"].cpu())
    assert not predictor.network.training
    assert torch.equal(predictor.mean.cpu(), problem()[0].mean(0))


def test_the_same_fit_twice_and_resumed(tmp_path: Path):
    latents, features = problem()
    numbers = NUMBERS | {"steps": 6, "deterministic": False}
    first, facts = study.fit_predictor(latents, features, CAMERAS, folder=tmp_path / "a", **numbers)
    second, _ = study.fit_predictor(latents, features, CAMERAS, folder=None, **numbers)
    third, again = study.fit_predictor(latents, features, CAMERAS, folder=tmp_path / "a", **numbers)  # finished before
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]) and torch.equal(tensor, third[name])
    assert again["loss"] == facts["loss"]


def test_fewer_views_than_eight():
    latents, features = problem()
    numbers = NUMBERS | {"steps": 3, "deterministic": True}
    tensors, _ = study.fit_predictor(latents, features[:, :3], CAMERAS[:3], folder=None, **numbers)
    predictor = restore_predictor(tensors, heads=3)
    assert predict(predictor, every_view(features[:, :3], 3)).shape == (SHAPES, LATENT)


def test_loss_by_time_is_the_mean_square_of_what_is_missed():
    latents, features = problem()
    torch.manual_seed(0)
    codes, mean, deviation = standardise(latents)
    network = LatentDiT(FEATURES, LATENT, 24, 2, 3).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    predictor, views = study.Predictor(network, mean, deviation, False), every_view(features)
    noise = torch.randn(codes.shape, generator=torch.Generator().manual_seed(5))
    expected = []
    for t in (0, 250, 499):
        level = cosine_alpha_bar()[t]
        noisy = level.sqrt() * codes + (1 - level).sqrt() * noise
        guess = network(noisy, torch.full((SHAPES,), t), *views)
        expected.append(((guess - codes) ** 2).mean())
    got = loss_by_time(predictor, latents, views, [0, 250, 499], seed=5)
    torch.testing.assert_close(got, torch.stack(expected))


def test_an_untrained_network_has_the_loss_of_the_mean():
    latents, features = problem()
    codes, mean, deviation = standardise(latents)
    predictor = study.Predictor(LatentDiT(FEATURES, LATENT, 24, 2, 3).eval(), mean, deviation, False)
    losses = loss_by_time(predictor, latents, every_view(features), [10, 400])
    torch.testing.assert_close(losses, codes.square().mean().expand(2))


def test_a_predictor_that_follows_its_views_says_so(fitted):
    deterministic, tensors, _ = fitted
    predictor = restore_predictor(tensors, heads=NUMBERS["heads"])
    _, features = problem()
    told = study.condition_strength(predictor, every_view(features), seed=0)
    assert told["condition_contribution"] > 0.05
    assert told["between_over_within"] == float("inf") if deterministic else told["between_over_within"] > 10
    blind = study.condition_strength(predictor, every_view(features.mean((0, 1)).expand_as(features)), seed=0)
    assert blind["condition_contribution"] < 1e-4
    assert deterministic or blind["between_over_within"] < 10
