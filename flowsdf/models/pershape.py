"""One small decoder for every shape, all of them as one batched program, and each as a vector of its weights."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from flowsdf.models.deepsdf import BANDS
from flowsdf.models.encoding import positional_encoding

ALL = slice(None)
OMEGA = 30.0  # of every sine (Sitzmann 2020, section 3.2)
TOGETHER = 8  # decoders that a CPU works on at once: what lies between two layers stays in its cache


def sizes(width: int, depth: int, sine: bool) -> list[int]:
    """The numbers that each layer takes, and the one that the last gives."""
    return [3 if sine else 3 + 6 * BANDS, *[width] * depth, 1]


def layers_of(
    vectors: Float[Tensor, "s n"], width: int, depth: int, *, sine: bool
) -> list[tuple[Float[Tensor, "s _o _i"], Float[Tensor, "s _o"]]]:
    """The weight and bias of every layer of decoders given as vectors, as views; ValueError on another length."""
    places, begin, found = sizes(width, depth, sine), 0, []
    for fan_in, fan_out in zip(places[:-1], places[1:], strict=True):
        middle = begin + fan_out * fan_in
        found.append((vectors[:, begin:middle].unflatten(1, (fan_out, fan_in)), vectors[:, middle : middle + fan_out]))
        begin = middle + fan_out
    if begin != vectors.shape[1]:
        raise ValueError(f"vectors of {vectors.shape[1]} numbers for decoders of {begin}")
    return found


def distances(
    layers: Iterable[tuple[Float[Tensor, "s _o _i"], Float[Tensor, "s _o"]]],
    points: Float[Tensor, "s p 3"],
    *,
    sine: bool,
) -> Float[Tensor, "s p"]:
    """The signed distances of decoders at their own points; differentiable in weights and points."""
    if points.device.type != "cpu" or len(points) <= TOGETHER:
        return _distances(layers, points, sine)
    groups = zip(*(zip(*(part.split(TOGETHER) for part in layer), strict=True) for layer in layers), strict=True)
    return torch.cat([_distances(*of, sine) for of in zip(groups, points.split(TOGETHER), strict=True)])


def _distances(layers: Iterable[tuple[Tensor, Tensor]], points: Tensor, sine: bool) -> Float[Tensor, "s p"]:
    h = points if sine else positional_encoding(points, BANDS)
    for number, (weight, bias) in enumerate(layers):
        if number:
            h = torch.sin(OMEGA * h) if sine else functional.relu(h)
        h = torch.baddbmm(bias[:, None], h, weight.mT)  # (s, p, fan_out)
    return h.squeeze(-1).float()


class PerShape(nn.Module):
    """``shapes`` decoders of ``depth`` layers of ``width``, each for one shape and with weights of its own.

    A point's encoding, 39 numbers, goes through ReLU layers to a distance: 54,785 parameters a shape. With ``sine``
    the point itself goes through layers sin(30 (W x + b)) instead (SIREN, Sitzmann 2020): 50,177. The start is
    `nn.Linear`'s or SIREN's own, drawn for each shape anew.
    """

    def __init__(self, shapes: int, width: int = 128, depth: int = 4, *, sine: bool = False) -> None:
        super().__init__()
        self.width, self.depth, self.sine = width, depth, sine
        places = sizes(width, depth, sine)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for number, (fan_in, fan_out) in enumerate(zip(places[:-1], places[1:], strict=True)):
            bound = fan_in**-0.5
            spread = (1 / fan_in if number == 0 else 6**0.5 * bound / OMEGA) if sine else bound
            self.weights.append(torch.empty(shapes, fan_out, fan_in).uniform_(-spread, spread))
            self.biases.append(torch.empty(shapes, fan_out).uniform_(-bound, bound))

    def forward(self, points: Float[Tensor, "s p 3"], shapes: slice = ALL) -> Float[Tensor, "s p"]:
        """The signed distances of every shape, or of some, at its own points."""
        layers = ((weight[shapes], bias[shapes]) for weight, bias in zip(self.weights, self.biases, strict=True))
        return distances(layers, points, sine=self.sine)

    def vectors(self) -> Float[Tensor, "s n"]:
        """The weights of each shape as one vector: layer by layer, a layer's weight row by row, then its bias."""
        layers = zip(self.weights, self.biases, strict=True)
        return torch.cat([part.flatten(1) for layer in layers for part in layer], dim=1)

    @torch.no_grad()
    def load_vectors(self, vectors: Float[Tensor, "s n"]) -> None:
        """The weights of each shape from its vector; one vector (1, n) is given to all."""
        layers = layers_of(vectors, self.width, self.depth, sine=self.sine)
        for (weight, bias), own_weight, own_bias in zip(layers, self.weights, self.biases, strict=True):
            own_weight.copy_(weight.expand_as(own_weight))
            own_bias.copy_(bias.expand_as(own_bias))

    def like(self, vectors: Float[Tensor, "s n"]) -> "PerShape":
        """Decoders of the same architecture with these weights, which are not to be trained."""
        other = PerShape(len(vectors), self.width, self.depth, sine=self.sine).requires_grad_(False)
        other.load_vectors(vectors)
        return other
