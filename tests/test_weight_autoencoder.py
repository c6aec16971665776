"""The weight autoencoder: its size, what comes back, its null models, and where errors do harm."""

import numpy as np
import pytest
import torch

from flowsdf.evaluation.detectors import OPEN
from flowsdf.models.pershape import PerShape, layers_of
from flowsdf.models.weight_autoencoder import WeightAutoencoder
from flowsdf.studies import weight_autoencoder as study

torch.set_num_threads(1)
SIZE = {"width": 8, "depth": 2, "sine": False}
POINTS = 2 * torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) - 1


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    """Weights of six decoders: one start, and differences of three dimensions."""
    torch.manual_seed(0)
    start = PerShape(1, 8, 2).vectors().detach()
    return start + 0.1 * torch.randn(6, 3) @ torch.randn(3, start.shape[1])


def test_the_autoencoder_has_the_layers_of_the_thesis() -> None:
    with torch.device("meta"):
        network = WeightAutoencoder()
    half = 54_785 * 1024 + 1024 + 2 * (1024 * 1024 + 1024) + 1024 * 128 + 128
    other = 128 * 1024 + 1024 + 2 * (1024 * 1024 + 1024) + 1024 * 54_785 + 54_785
    assert sum(p.numel() for p in network.parameters()) == half + other


def test_three_numbers_bring_three_dimensions_back(vectors: torch.Tensor) -> None:
    numbers = {"code_dim": 3, "width": 64, "steps": 400, "batch": 16, "rate": 3e-3, "seed": 0}
    tensors, facts = study.fit_autoencoder(vectors, folder=None, **numbers)
    assert facts["curve"][-1][2] < 0.02
    assert study.errors(vectors, tensors["vectors"])["mse"].mean() < 0.05 * float(tensors["unit"]) ** 2
    torch.testing.assert_close(study.decoded(tensors, tensors["codes"]), tensors["vectors"], atol=1e-2, rtol=1e-2)


def test_a_variational_code_has_the_divergence_of_its_numbers(vectors: torch.Tensor) -> None:
    network = WeightAutoencoder(vectors.shape[1], 2, 16, variational=True)
    for part in network.encoder[-1].parameters():
        part.data.zero_()
    noise = torch.randn(6, 2)
    back, divergence = network.drawn(vectors, noise)
    assert divergence.item() == 0 and torch.equal(back, network.decoder(noise))
    network.encoder[-1].bias.data.copy_(torch.tensor([1.0, -1.0, np.log(4), np.log(4)]))
    assert network.drawn(vectors, noise)[1].item() == pytest.approx(0.5 * (1 + 4 - np.log(4) - 1))
    torch.testing.assert_close(network.drawn(vectors, noise)[0], network.decoder(torch.tensor([1.0, -1.0]) + 2 * noise))
    assert torch.equal(network(vectors)[0], torch.tensor([1.0, -1.0]).expand(6, 2))


def test_a_strong_prior_leaves_codes_that_say_nothing(vectors: torch.Tensor) -> None:
    numbers = {"code_dim": 3, "width": 64, "steps": 300, "batch": 16, "rate": 3e-3, "seed": 0}
    weak, strong = (study.fit_autoencoder(vectors, folder=None, kl=kl, **numbers)[0] for kl in (1e-3, 100.0))
    mean = (vectors - vectors.mean(0)).square().mean()
    assert (weak["vectors"] - vectors).square().mean() < 0.2 * mean < (strong["vectors"] - vectors).square().mean()
    assert strong["codes"].abs().max() < 0.1 < weak["codes"].abs().max()
    torch.testing.assert_close(study.decoded(weak, weak["codes"]), weak["vectors"], atol=1e-2, rtol=1e-2)


def test_the_linear_code_is_exact_at_the_rank_and_the_mean_at_none(vectors: torch.Tensor) -> None:
    torch.testing.assert_close(study.by_rank(vectors, 3), vectors, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(study.by_rank(vectors, 0), vectors.mean(0).expand_as(vectors))
    one, two = (study.errors(vectors, study.by_rank(vectors, rank))["mse"].mean() for rank in (1, 2))
    assert one > two > 0


def test_the_parts_are_the_layers_and_cover_all(vectors: torch.Tensor) -> None:
    parts = study.parts(SIZE)
    assert list(parts) == ["weight 1", "bias 1", "weight 2", "bias 2", "weight 3", "bias 3"]
    assert [part.start for part in parts.values()][1:] == [part.stop for part in parts.values()][:-1]
    assert parts["bias 3"].stop == vectors.shape[1] and parts["bias 3"] == slice(vectors.shape[1] - 1, vectors.shape[1])
    for (weight, bias), number in zip(layers_of(vectors, 8, 2, sine=False), (1, 2, 3), strict=True):
        assert torch.equal(vectors[:, parts[f"weight {number}"]], weight.flatten(1))
        assert torch.equal(vectors[:, parts[f"bias {number}"]], bias)
    mixed = study.one_part(vectors, torch.zeros_like(vectors), parts["bias 2"])
    assert not mixed[:, parts["bias 2"]].any() and torch.equal(
        mixed[:, : parts["bias 2"].start], vectors[:, : 320 + 64]
    )


def test_errors_that_are_the_same_land_alike_and_random_ones_do_not(vectors: torch.Tensor) -> None:
    noise = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    assert study.shared_error(vectors, vectors + noise[:1]) == pytest.approx(1)
    assert study.shared_error(vectors, vectors + noise, share=0.1) == pytest.approx(0.1, abs=0.06)
    assert study.lands_differently(vectors, vectors + noise) == 1
    assert study.lands_differently(vectors, vectors + noise[:1]) == 0


def test_error_on_idle_units_changes_nothing(vectors: torch.Tensor) -> None:
    changed = vectors.clone()
    biases = [bias for _, bias in layers_of(changed, 8, 2, sine=False)][:-1]
    biases[0][:, 2] = biases[1][:, 5] = -100.0  # never active
    idle = study.idle_units(changed, POINTS, SIZE)
    assert all(idle[layer][:, unit].all() for layer, unit in ((0, 2), (1, 5))) and not idle[0][:, 3].all()
    harmless = study.on_idle_units(changed, torch.full((6,), 3.0), POINTS, SIZE)
    assert (harmless - changed).norm(dim=1).numpy() == pytest.approx(np.full(6, 3.0), abs=1e-3)
    decoders = PerShape(0, 8, 2)
    at = POINTS.expand(6, -1, -1)
    torch.testing.assert_close(decoders.like(harmless)(at), decoders.like(changed)(at))
    where = study.idle_weights(changed, POINTS, SIZE)
    assert where[:, study.parts(SIZE)["weight 2"]].view(6, 8, 8)[:, :, 2].all() and where.sum() < where.numel() / 2
    assert torch.equal(where, harmless != changed)
    assert not where[:, study.biases(SIZE)].any() and study.biases(SIZE).sum() == 8 + 8 + 1


def test_broken_needs_an_excellent_cosine_and_lost_shapes() -> None:
    whole, lost = np.ones(20), np.r_[np.zeros(3), np.ones(17)]
    assert study.broken(np.full(20, 0.9965), lost, 0.98) == 1  # the cosine and the null of the thesis
    assert study.broken(np.full(20, 0.9965), whole, 0.98) == 0
    assert study.broken(np.full(20, 0.995), lost, 0.98) == study.broken(np.full(20, 0.995), whole, 0.98) == OPEN
