"""The deterministic control of the latent diffusion: the same network, given no noise and no time."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from flowsdf.models.latent_dit import LatentDiT


class Regressor(nn.Module):
    """View tokens -> latent, by a LatentDiT whose noisy latent and timestep are always zero."""

    def __init__(
        self, feature_dim: int = 768, latent_dim: int = 64, width: int = 384, layers: int = 4, heads: int = 6
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.network = LatentDiT(feature_dim, latent_dim, width, layers, heads)

    def forward(
        self, features: Float[Tensor, "b k feature"], poses: Float[Tensor, "b k 64"], mask: Bool[Tensor, "b k"]
    ) -> Float[Tensor, "b latent"]:
        """The latent of each row; `mask` is true for the views that exist, at least one a row."""
        nothing = features.new_zeros(len(features), self.latent_dim)
        return self.network(nothing, nothing[:, 0].long(), features, poses, mask)
