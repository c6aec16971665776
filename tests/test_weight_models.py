"""Networks of weight space: counted, and held against their plainest form."""

import pytest
import torch
from torch import nn

from flowsdf.models.encoding import positional_encoding
from flowsdf.models.pershape import OMEGA, PerShape
from flowsdf.models.weight_dit import TOKENS, WeightDiT

torch.set_num_threads(1)


class Sine(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(OMEGA * x)


def plain(width: int, depth: int, *, sine: bool) -> nn.Sequential:
    """One decoder as it is usually written."""
    sizes = [3 if sine else 39, *[width] * depth]
    layers = [
        part
        for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        for part in (nn.Linear(a, b), Sine() if sine else nn.ReLU())
    ]
    return nn.Sequential(*layers, nn.Linear(width, 1))


@pytest.mark.parametrize(("sine", "parameters"), [(False, 54_785), (True, 50_177)])
def test_a_decoder_has_the_size_of_the_thesis(sine: bool, parameters: int) -> None:
    with torch.device("meta"):
        decoders = PerShape(3, sine=sine)
    assert sum(p.numel() for p in decoders.parameters()) == 3 * parameters
    assert decoders.vectors().shape == (3, parameters)


@pytest.mark.parametrize("sine", [False, True])
def test_batched_decoders_are_plain_ones_side_by_side_with_their_gradients(sine: bool) -> None:
    torch.manual_seed(0)
    decoders, points = PerShape(3, 16, 2, sine=sine), torch.rand(3, 50, 3) * 2 - 1
    values = decoders(points)
    values.square().sum().backward()
    gradients = torch.cat(
        [p.grad.flatten(1) for layer in zip(decoders.weights, decoders.biases, strict=True) for p in layer], 1
    )
    for vector, at, value, gradient in zip(decoders.vectors(), points, values, gradients, strict=True):
        one = plain(16, 2, sine=sine)
        nn.utils.vector_to_parameters(vector.detach(), one.parameters())
        alone = one(at if sine else positional_encoding(at)).squeeze(-1)
        torch.testing.assert_close(alone, value)
        alone.square().sum().backward()
        mine = torch.cat([p.grad.flatten() for p in one.parameters()])
        torch.testing.assert_close(mine, gradient, atol=1e-4, rtol=1e-4)


def test_vectors_come_back_and_one_is_given_to_all() -> None:
    decoders, other = PerShape(3, 8, 2), PerShape(3, 8, 2)
    other.load_vectors(decoders.vectors())
    assert torch.equal(other.vectors(), decoders.vectors())
    other.load_vectors(decoders.vectors()[1:2])
    assert torch.equal(other.vectors(), decoders.vectors()[[1, 1, 1]])
    with pytest.raises(ValueError, match="vectors of"):
        other.load_vectors(torch.zeros(3, 1 + decoders.vectors().shape[1]))


@torch.no_grad()
def test_sines_start_with_values_of_every_layer_alike() -> None:
    """SIREN's start: whatever the depth, a layer's values before the sine have a deviation of about one."""
    torch.manual_seed(0)
    decoders = PerShape(1, 128, 4, sine=True)
    h = torch.rand(1, 5000, 3) * 2 - 1
    for number, (weight, bias) in enumerate(zip(decoders.weights, decoders.biases, strict=True)):
        h = torch.baddbmm(bias[:, None], h, weight.mT)
        if 0 < number < 4:
            assert 0.5 < float((OMEGA * (h - bias[:, None])).std()) < 1.5
        h = torch.sin(OMEGA * h)


def test_the_transformer_has_the_size_of_the_thesis() -> None:
    with torch.device("meta"):
        network = WeightDiT()
    assert (TOKENS, network.token_dim) == (8, 6_849)
    assert sum(p.numel() for p in network.parameters()) == 131_635_905


def test_the_transformer_starts_at_the_mean_and_learns_from_views_time_and_weights() -> None:
    torch.manual_seed(0)
    network = WeightDiT(10, 45, width=24, layers=2, heads=3)
    given = [torch.randn(2, 45), torch.tensor([3, 40]), torch.randn(2, 4, 10), torch.randn(2, 4, 64)]
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    assert not network(*given, mask).any() and network(*given, mask).shape == (2, 45)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    before = network(*given, mask)
    for number, change in enumerate((0.5, 7, 0.5, 0.5)):
        changed = [part + change if number == i else part for i, part in enumerate(given)]
        assert not torch.allclose(network(*changed, mask), before, atol=1e-3)
    unseen = given[2].clone()
    unseen[0, 2:] += 1  # views that do not exist
    torch.testing.assert_close(network(given[0], given[1], unseen, given[3], mask), before)
