"""The autoencoder of phase 10: a decoder's weights, less their mean, to a short code and back."""

from jaxtyping import Float
from torch import Tensor, nn


class WeightAutoencoder(nn.Module):
    """weights -> width -> width -> width -> code, and back the same way, with ReLU between.

    A ``variational`` one also encodes the logarithm of each code number's variance (Kingma 2014).
    """

    def __init__(
        self, weights: int = 54_785, code_dim: int = 128, width: int = 1024, *, variational: bool = False
    ) -> None:
        super().__init__()
        self.code_dim = code_dim
        inward = [weights, width, width, width, code_dim]
        self.encoder = _through([*inward[:-1], 2 * code_dim if variational else code_dim])
        self.decoder = _through(inward[::-1])

    def forward(self, residuals: Float[Tensor, "b w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b w"]]:
        """The code of each residual, a mean where it is variational, and what comes back."""
        codes = self.encoder(residuals)[:, : self.code_dim]
        return codes, self.decoder(codes).float()

    def drawn(
        self, residuals: Float[Tensor, "b w"], noise: Float[Tensor, "b d"]
    ) -> tuple[Float[Tensor, "b w"], Float[Tensor, ""]]:
        """What comes back from a code drawn by this noise, and the mean divergence from N(0, 1) of a code number."""
        mean, log_variance = self.encoder(residuals).float().chunk(2, dim=1)
        divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)
        return self.decoder(mean + (log_variance / 2).exp() * noise).float(), divergence.mean()


def _through(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
