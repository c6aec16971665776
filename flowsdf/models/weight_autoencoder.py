"""The autoencoder of phase 10: a decoder's weights, less their mean, to a short code and back."""

from jaxtyping import Float
from torch import Tensor, nn


class WeightAutoencoder(nn.Module):
    """weights -> width -> width -> width -> code, and back the same way, with ReLU between."""

    def __init__(self, weights: int = 54_785, code_dim: int = 128, width: int = 1024) -> None:
        super().__init__()
        inward = [weights, width, width, width, code_dim]
        self.encoder, self.decoder = _through(inward), _through(inward[::-1])

    def forward(self, residuals: Float[Tensor, "b w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b w"]]:
        """The code of each residual, and what comes back."""
        codes = self.encoder(residuals)
        return codes, self.decoder(codes).float()


def _through(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
