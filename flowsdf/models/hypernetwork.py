"""Hypernetworks (Ha 2017): a short code to all the weights of a decoder, by one network a layer or one for all."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Hypernetwork(nn.Module):
    """Code (d) -> weight vector: code -> width -> width -> numbers with ReLU between, one such network for each size.

    ``sizes`` are the numbers that each network gives, in the vector's order: those of a decoder's layers for a
    hypernetwork per layer, one size for a monolithic one. Nothing is shared between networks.
    """

    def __init__(self, code_dim: int, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(code_dim, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, size)
            )
            for size in sizes
        )

    def forward(self, codes: Float[Tensor, "b d"]) -> Float[Tensor, "b w"]:
        """The weight vector of each code."""
        return torch.cat([head(codes) for head in self.heads], dim=1).float()
