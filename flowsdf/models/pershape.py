"""One small decoder for every shape, all of them as one batched program, and each as a vector of its weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from flowsdf.models.deepsdf import BANDS
from flowsdf.models.encoding import positional_encoding

ALL = slice(None)
OMEGA = 30.0  # of every sine (Sitzmann 2020, section 3.2)


class PerShape(nn.Module):
    """``shapes`` decoders of ``depth`` layers of ``width``, each for one shape and with weights of its own.

    A point's encoding, 39 numbers, goes through ReLU layers to a distance: 54,785 parameters a shape. With ``sine``
    the point itself goes through layers sin(30 (W x + b)) instead (SIREN, Sitzmann 2020): 50,177. The start is
    `nn.Linear`'s or SIREN's own, drawn for each shape anew.
    """

    def __init__(self, shapes: int, width: int = 128, depth: int = 4, *, sine: bool = False) -> None:
        super().__init__()
        self.width, self.depth, self.sine = width, depth, sine
        sizes = [3 if sine else 3 + 6 * BANDS, *[width] * depth, 1]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for number, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            bound = fan_in**-0.5
            spread = (1 / fan_in if number == 0 else 6**0.5 * bound / OMEGA) if sine else bound
            self.weights.append(torch.empty(shapes, fan_out, fan_in).uniform_(-spread, spread))
            self.biases.append(torch.empty(shapes, fan_out).uniform_(-bound, bound))

    def forward(self, points: Float[Tensor, "s p 3"], shapes: slice = ALL) -> Float[Tensor, "s p"]:
        """The signed distances of every shape, or of some, at its own points."""
        h = points if self.sine else positional_encoding(points, BANDS)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if number:
                h = torch.sin(OMEGA * h) if self.sine else functional.relu(h)
            h = torch.baddbmm(bias[shapes, None], h, weight[shapes].mT)  # (s, p, fan_out)
        return h.squeeze(-1).float()

    def vectors(self) -> Float[Tensor, "s n"]:
        """The weights of each shape as one vector: layer by layer, a layer's weight row by row, then its bias."""
        layers = zip(self.weights, self.biases, strict=True)
        return torch.cat([part.flatten(1) for layer in layers for part in layer], dim=1)

    @torch.no_grad()
    def load_vectors(self, vectors: Float[Tensor, "s n"]) -> None:
        """The weights of each shape from its vector; one vector (1, n) is given to all."""
        begin = 0
        for layer in zip(self.weights, self.biases, strict=True):
            for part in layer:
                size = part[0].numel()
                part.copy_(vectors[:, begin : begin + size].unflatten(1, part.shape[1:]).expand_as(part))
                begin += size
        if begin != vectors.shape[1]:
            raise ValueError(f"vectors of {vectors.shape[1]} numbers for decoders of {begin}")

    def like(self, vectors: Float[Tensor, "s n"]) -> "PerShape":
        """Decoders of the same architecture with these weights, which are not to be trained."""
        other = PerShape(len(vectors), self.width, self.depth, sine=self.sine).requires_grad_(False)
        other.load_vectors(vectors)
        return other
