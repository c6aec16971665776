"""Rectified flow against the exact velocity between Gaussians, and the sizes of Flow-SDF's networks."""

import pytest
import torch

from flowsdf.generative.flow import between, starts, trajectory, velocity_loss
from flowsdf.models.flow_sdf import ImageEncoder, VelocityNet, silhouette_decoder

torch.set_num_threads(1)
MEAN, STD = 1.5, 0.4


def gaussian_velocity(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """E[data - noise | z_t] for noise ~ N(0, 1) and data ~ N(MEAN, STD^2), exactly."""
    t = t.view(-1, 1)
    slope = (t * STD**2 - (1 - t)) / ((1 - t) ** 2 + t**2 * STD**2)
    return MEAN + slope * (z - t * MEAN)


def test_a_path_starts_at_noise_and_ends_at_data() -> None:
    noise, data = torch.randn(3, 2, 5), torch.randn(3, 2, 5)
    torch.testing.assert_close(between(noise, data, torch.zeros(3)), noise)
    torch.testing.assert_close(between(noise, data, torch.ones(3)), data)
    torch.testing.assert_close(between(noise, data, torch.full((3,), 0.25)), 0.75 * noise + 0.25 * data)


def test_the_truth_has_no_loss_and_points_to_the_data() -> None:
    noise, data, t = torch.randn(6, 4), torch.randn(6, 4), torch.rand(6)
    assert velocity_loss(lambda z, t: data - noise, noise, data, t) == 0
    assert velocity_loss(lambda z, t: noise - data, noise, data, t) == pytest.approx(
        4 * float((data - noise).square().mean())
    )
    torch.testing.assert_close(trajectory(lambda z, t: data - noise, noise, starts(3))[-1], data)


def test_the_exact_velocity_has_the_least_loss() -> None:
    random = torch.Generator().manual_seed(0)
    noise, data, t = (torch.randn(50_000, 1, generator=random) for _ in range(3))
    data, t = MEAN + STD * data, torch.rand(50_000, generator=random)
    least = velocity_loss(gaussian_velocity, noise, data, t)
    for other in (lambda z, t: 1.05 * gaussian_velocity(z, t), lambda z, t: gaussian_velocity(z, t) + 0.1):
        assert velocity_loss(other, noise, data, t) > least + 0.005


def test_euler_is_of_order_one() -> None:
    """The exact map between the two Gaussians is MEAN + STD z."""
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    reached = [trajectory(gaussian_velocity, z, starts(n))[-1] for n in (16, 32, 64, 128)]
    errors = [float((data - MEAN - STD * z).abs().max()) for data in reached]
    ratios = [a / b for a, b in zip(errors, errors[1:], strict=False)]
    assert errors[-1] < 0.02 and all(1.7 < ratio < 2.3 for ratio in ratios)


def test_networks_have_the_sizes_of_the_study() -> None:
    sizes = [
        sum(p.numel() for p in module.parameters()) for module in (silhouette_decoder(), ImageEncoder(), VelocityNet())
    ]
    assert sizes == [330_753, 2_919_136, 3_918_080]
    assert ImageEncoder(128)(torch.rand(2, 3, 64, 64)).shape == (2, 128)


def test_the_velocity_depends_on_place_time_and_condition() -> None:
    network, given = VelocityNet(), [torch.randn(2, 128), torch.rand(2), torch.randn(2, 256)]

    def of(z: torch.Tensor, t: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return network(z, network.modulation(t), condition)

    velocity = of(*given)
    assert velocity.shape == (2, 128)
    for place in range(3):
        changed = [part + 0.5 * (i == place) for i, part in enumerate(given)]
        assert (of(*changed) - velocity).abs().max() > 1e-4


def test_a_time_for_all_is_the_same_time_for_each() -> None:
    network, z, condition = VelocityNet(), torch.randn(3, 128), torch.randn(3, 256)
    (one,), each = network.modulation(torch.tensor([0.3])), network.modulation(torch.full((3,), 0.3))
    torch.testing.assert_close(network(z, one, condition), network(z, each, condition))
