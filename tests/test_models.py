"""The networks: counted, and held against their plainest form."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from flowsdf.models.deepsdf import LATENT_PENALTY, DeepSDF, clamped_l1, evaluator, field, objective, unsettled
from flowsdf.models.encoding import pose_embedding, positional_encoding, sinusoidal_embedding
from flowsdf.models.latent_dit import LatentDiT
from flowsdf.models.regressor import Regressor
from flowsdf.train.loop import autocast_dtype

torch.set_num_threads(1)


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def concatenated(decoder: DeepSDF, latents: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """The decoder as the thesis writes it: one concat(latent, PE(p)) a point, concatenated again in the middle."""
    each = latents[:, None].expand(-1, points.shape[1], -1)
    inputs = torch.cat((each, positional_encoding(points)), dim=-1)
    h = functional.relu(decoder.hidden[0](inputs))
    for i, layer in enumerate(decoder.hidden[1:], start=1):
        h = functional.relu(layer(torch.cat((h, inputs), dim=-1) if i == len(decoder.hidden) // 2 else h))
    return decoder.out(h).squeeze(-1)


def small_problem(points: int = 300) -> tuple[DeepSDF, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A decoder, latents, points, and distances with which many points are settled and some are predicted wrongly."""
    torch.manual_seed(0)
    decoder = DeepSDF(width=32, depth=4)
    with torch.no_grad():
        decoder.out.weight *= 4
    latents = torch.randn(3, 64, requires_grad=True)
    x = torch.rand(3, points, 3) * 2 - 1
    return decoder, latents, x, decoder(latents, x).detach() + 0.1 * torch.randn(3, points)


def test_positional_encoding_is_the_formula() -> None:
    x = torch.tensor([[0.3, -0.7, 1.0]])
    expected = [*x[0], *(f(2**k * math.pi * v) for f in (math.sin, math.cos) for k in range(6) for v in x[0].tolist())]
    assert positional_encoding(x).shape == (1, 39)
    torch.testing.assert_close(positional_encoding(x)[0], torch.tensor(expected), atol=1e-5, rtol=0)


def test_sinusoidal_embedding_is_the_formula() -> None:
    got = sinusoidal_embedding(torch.tensor([7.0]), 6)[0]
    rates = [1e4 ** (-i / 3) for i in range(3)]
    torch.testing.assert_close(got, torch.tensor([f(7 * r) for f in (math.cos, math.sin) for r in rates]))


def test_pose_embedding_sees_direction_only_and_has_no_seam() -> None:
    camera = torch.tensor([[0.5, 1.0, -2.0]])
    torch.testing.assert_close(pose_embedding(camera), pose_embedding(2.5 * camera))
    assert pose_embedding(camera).shape == (1, 64)
    behind = torch.tensor([[1e-5, 0.2, -1.0], [-1e-5, 0.2, -1.0]])  # azimuth jumps from pi to -pi
    torch.testing.assert_close(*pose_embedding(behind), atol=1e-3, rtol=0)
    assert (pose_embedding(camera) - pose_embedding(-camera)).abs().max() > 0.5


@pytest.mark.parametrize(("width", "depth", "parameters"), [(512, 8, 1_945_089), (256, 4, 250_625)])
def test_decoder_has_the_thesis_size(width: int, depth: int, parameters: int) -> None:
    assert count(DeepSDF(width, depth)) == parameters


@pytest.mark.parametrize(("width", "depth"), [(32, 8), (48, 4)])
def test_split_layers_equal_concatenation(width: int, depth: int) -> None:
    decoder = DeepSDF(width, depth).double()
    latents, points = torch.randn(3, 64).double(), torch.rand(3, 1500, 3).double()  # more than are computed at a time
    torch.testing.assert_close(
        decoder(latents, points).double(), concatenated(decoder, latents, points), atol=1e-6, rtol=0
    )


def test_clamped_l1() -> None:
    pred, sdf = torch.tensor([0.05, 0.5, 0.5, -0.5]), torch.tensor([0.02, 0.2, -0.2, 0.0])
    torch.testing.assert_close(clamped_l1(pred, sdf), torch.tensor([0.03, 0.0, 0.2, 0.1]))


@pytest.mark.parametrize("autocast", [False, True])
def test_objective_is_the_plain_mean_with_its_gradient(autocast: bool) -> None:
    decoder, latents, points, sdf = small_problem()
    weights = [*decoder.parameters(), latents]

    def value_and_gradients(skipping: bool) -> list[torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            plain = clamped_l1(decoder(latents, points), sdf).mean() + LATENT_PENALTY * latents.square().sum(1).mean()
            loss = objective(decoder, latents, points, sdf) if skipping else plain
        return [loss, *torch.autograd.grad(loss, weights)]

    assert unsettled(decoder, latents, points, sdf).shape[1] < 0.8 * points.shape[1]
    for ours, plain in zip(value_and_gradients(True), value_and_gradients(False), strict=True):
        torch.testing.assert_close(ours, plain, atol=2e-4 if autocast else 1e-6, rtol=1e-4)
        assert plain.abs().max() > 0


def test_unsettled_holds_every_point_with_a_loss() -> None:
    decoder, latents, points, sdf = small_problem()
    matter = (clamped_l1(decoder(latents, points), sdf) > 0) | (sdf.abs() < 0.1)
    chosen = torch.zeros_like(matter).scatter(1, unsettled(decoder, latents, points, sdf), True)
    assert not (matter & ~chosen).any()
    assert (unsettled(decoder, latents, points, sdf).diff(dim=1) != 0).all()


@pytest.mark.parametrize("points", [1, 2])
def test_objective_of_few_points_or_none_near(points: int) -> None:
    decoder = DeepSDF(16, 4)
    loss = objective(decoder, torch.zeros(2, 64), torch.rand(2, points, 3), torch.full((2, points), 5.0))
    assert torch.isfinite(loss)


@pytest.mark.parametrize(("width", "depth"), [(32, 4), (48, 8)])
def test_field_is_the_decoder(width: int, depth: int) -> None:
    _, latents, points, _ = small_problem(5000)
    decoder, latent = DeepSDF(width, depth), latents[1].detach()
    decoder.out.weight.data *= 20
    truth = decoder(latents, points)[1].detach().numpy()
    got = field(decoder, latent)(points[1].double().numpy())
    assert isinstance(got, np.ndarray) and got.dtype == np.float32
    np.testing.assert_allclose(got, truth, atol=1e-5)
    np.testing.assert_allclose(field(decoder, latent)(points[1, 700:3000].numpy()), got[700:3000], atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_allclose(field(decoder, latent)(points[1].numpy()), got, atol=1e-6)
    half = field(decoder, latent, autocast_dtype=autocast_dtype(latent.device))(points[1].numpy())
    np.testing.assert_allclose(half, truth, atol=0.05 * np.ptp(truth))


@pytest.mark.parametrize("count", [0, 1, 513])
def test_units_that_are_zero_at_some_points_count_at_others(count: int) -> None:
    decoder, latent, points = DeepSDF(32, 4), torch.randn(64), torch.rand(count, 3)
    with torch.no_grad():
        for layer in decoder.hidden:
            layer.bias -= 0.2  # most units are zero in most places, and some everywhere
        truth = decoder(latent, points)
        at = evaluator(decoder, latent)
        decoder.out.bias += 1  # of no consequence: the weights were taken before
    torch.testing.assert_close(at(points), truth, atol=1e-6, rtol=1e-5)


def views(batch: int, count: int, features: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    mask = torch.arange(count) < torch.randint(1, count + 1, (batch, 1))
    return torch.randn(batch, count, features), torch.randn(batch, count, 64), mask


def awake(module: torch.nn.Module) -> torch.nn.Module:
    """The network with its zero-initialised layers randomised, so that every path shows."""
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return module.eval()


def test_latent_dit_has_the_thesis_size() -> None:
    assert count(LatentDiT()) == 10_076_224
    assert count(LatentDiT(feature_dim=192)) == 10_076_224 - (768 - 192) * 384


def test_latent_dit_starts_at_the_mean_and_attends_to_real_views_only() -> None:
    torch.manual_seed(1)
    model, (features, poses, mask) = LatentDiT(10, 8, 24, 2, 3), views(5, 4, 10)
    x, t = torch.randn(5, 8), torch.randint(500, (5,))
    assert model(x, t, features, poses, mask).abs().max() == 0
    awake(model)
    other = torch.where(mask[..., None], features, torch.randn_like(features))
    expected = model(x, t, features, poses, mask)
    torch.testing.assert_close(model(x, t, other, poses, mask), expected)
    shuffled = torch.randperm(4)
    torch.testing.assert_close(model(x, t, features[:, shuffled], poses[:, shuffled], mask[:, shuffled]), expected)
    for change in ((x + 1, t, features, poses), (x, t + 1, features, poses), (x, t, features + 1, poses)):
        assert (model(*change, mask) - expected).abs().max() > 1e-4
    assert (model(x, t, features, poses + 1, mask) - expected).abs().max() > 1e-4


def test_regressor_is_the_same_network_without_noise() -> None:
    torch.manual_seed(2)
    model, (features, poses, mask) = awake(Regressor(10, 8, 24, 2, 3)), views(5, 4, 10)
    assert count(Regressor()) == count(LatentDiT())
    expected = model.network(torch.zeros(5, 8), torch.zeros(5).long(), features, poses, mask)
    torch.testing.assert_close(model(features, poses, mask), expected)
