"""Hypernetworks: their parts, what comes back from codes, draws of codes, and errors of a given size."""

import numpy as np
import pytest
import torch

from flowsdf.models.hypernetwork import Hypernetwork
from flowsdf.models.pershape import PerShape, layers_of
from flowsdf.studies import hypernetworks as study

torch.set_num_threads(1)
SIZE = {"width": 8, "depth": 2, "sine": False}


@pytest.fixture(scope="module")
def vectors() -> torch.Tensor:
    """Weights of six decoders: one start, and differences of three dimensions."""
    torch.manual_seed(0)
    start = PerShape(1, 8, 2).vectors().detach()
    return start + 0.1 * torch.randn(6, 3) @ torch.randn(3, start.shape[1])


def test_the_layers_sizes_are_those_of_the_vector() -> None:
    assert sum(study.layer_sizes(width=128, depth=4, sine=False)) == 54_785
    layers = layers_of(torch.zeros(1, sum(study.layer_sizes(**SIZE))), 8, 2, sine=False)
    assert study.layer_sizes(**SIZE) == [weight.numel() + bias.numel() for weight, bias in layers]


def test_a_head_makes_its_layer_alone() -> None:
    network = Hypernetwork(3, [5, 7], 4)
    weights = network(torch.randn(2, 3))
    assert weights.shape == (2, 12)
    weights[:, :5].sum().backward()
    assert network.heads[0][-1].bias.grad.all()
    assert not any(p.grad.any() for p in network.heads[1].parameters())
    one = 3 * 4 + 4 + 4 * 4 + 4
    assert sum(p.numel() for p in network.parameters()) == 2 * one + (4 + 1) * 12
    assert sum(p.numel() for p in Hypernetwork(3, [12], 4).parameters()) == one + (4 + 1) * 12


@pytest.mark.parametrize("heads", [study.layer_sizes(**SIZE), [sum(study.layer_sizes(**SIZE))]])
def test_six_decoders_come_back_from_their_codes(vectors: torch.Tensor, heads: list[int]) -> None:
    numbers = {"code_dim": 3, "width": 32, "steps": 500, "batch": 6, "rate": 1e-2, "seed": 0}
    tensors, facts = study.fit_hypernetwork(vectors, folder=None, heads=heads, **numbers)
    assert facts["curve"][-1][2] < 0.02 < facts["curve"][0][2]
    assert (tensors["vectors"] - vectors).square().mean() < 0.03 * tensors["unit"] ** 2
    torch.testing.assert_close(study.decoded(tensors, tensors["codes"]), tensors["vectors"])


def test_codes_are_drawn_with_the_mean_and_covariance_of_the_fitted() -> None:
    codes = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 2.0, 0.0]) + 4
    drawn = study.gaussian(codes, 100_000, seed=0)
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), atol=0.05, rtol=0.03)
    assert torch.equal(drawn, study.gaussian(codes, 100_000, seed=0))
    assert torch.equal(study.gaussian(codes[:1], 2, seed=0), codes[:1].expand(2, -1))


def test_an_error_has_its_direction_and_its_size(vectors: torch.Tensor) -> None:
    error = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(2))
    changed = study.at_error(vectors.double(), error.double(), 1e-3) - vectors
    torch.testing.assert_close(changed.square().mean(1), torch.full((6,), 1e-3, dtype=torch.float64))
    cosines = torch.nn.functional.cosine_similarity(changed, error.double())
    torch.testing.assert_close(cosines, torch.ones(6, dtype=torch.float64))


def test_an_open_surface_keeps_no_hole_and_a_hole_too_many_is_none() -> None:
    told = study.kept([1.0, np.nan, 2.0, 1.0, 0.0, 1.0], 4)
    assert told["holed"] == 0.5 and told["whole"] == 0.5
    assert told["low"] == pytest.approx(0.15, abs=0.001) and told["high"] == pytest.approx(0.85, abs=0.001)
