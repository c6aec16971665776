"""The weight-space diffusion transformer of phases 6 to 9: views and noisy weights -> the clean weights.

Parameters at width d = 768 with 8 tokens of 6,849 weights, 768-d features and 64-d poses:

    tokens in   6,849 -> d                  5,260,800   shared by the tokens
    positions   8 d                             6,144
    views       (768 + 64) -> d               639,744
    time        d -> d -> d                 1,181,184
    8 layers of                            14,762,496
        self-attention    4 d^2 + 4 d       2,362,368
        cross-attention   4 d^2 + 4 d       2,362,368
        feed-forward      d -> 4 d -> d     4,722,432
        AdaLN             d -> 9 d          5,315,328   shift, scale and gate of each of the three
    AdaLN       d -> 2 d                    1,181,184   before the output
    out         d -> 6,849                  5,266,881
    total                                 131,635,905

Normalisations have no parameters of their own. The thesis gives sizes and a total; this arrangement has that total.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from flowsdf.models.encoding import POSE_DIM, sinusoidal_embedding
from flowsdf.models.latent_dit import Attention, modulated, zeroed

TOKENS = 8


class Block(nn.Module):
    """Self-attention, cross-attention and feed-forward, each shifted, scaled and gated by the time (AdaLN-Zero)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attention = Attention(width, heads)
        self.cross_attention = Attention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.modulation = zeroed(nn.Linear(width, 9 * width))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        time: Float[Tensor, "b d"],
        views: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"],
    ) -> Float[Tensor, "b n d"]:
        modulation = self.modulation(functional.silu(time))[:, None].unflatten(-1, (3, 3, -1))  # (b, 1, part, what, d)
        of_self, of_views, of_feed = (part.unbind(2) for part in modulation.unbind(2))
        h = modulated(x, *of_self[:2])
        x = x + of_self[2] * self.self_attention(h, h)
        x = x + of_views[2] * self.cross_attention(modulated(x, *of_views[:2]), views, mask)
        return x + of_feed[2] * self.feed_forward(modulated(x, *of_feed[:2]))


class WeightDiT(nn.Module):
    """A vector of weights as a few tokens that look at each other and at the view tokens; predicts x0 (Peebles 2023).

    The vector is padded with zeros to whole tokens. Every gate and the output start at zero, the mean of standardised
    weights.
    """

    def __init__(
        self, feature_dim: int = 768, weights: int = 54_785, width: int = 768, layers: int = 8, heads: int = 12
    ) -> None:
        super().__init__()
        self.weights, self.token_dim = weights, -(-weights // TOKENS)
        self.tokens_in = nn.Linear(self.token_dim, width)
        self.positions = nn.Parameter(0.02 * torch.randn(TOKENS, width))
        self.views_in = nn.Linear(feature_dim + POSE_DIM, width)
        self.time_in = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.modulation = zeroed(nn.Linear(width, 2 * width))
        self.out = zeroed(nn.Linear(width, self.token_dim))

    def forward(
        self,
        noisy: Float[Tensor, "b n"],
        t: Int[Tensor, " b"],
        features: Float[Tensor, "b k feature"],
        poses: Float[Tensor, "b k 64"],
        mask: Bool[Tensor, "b k"],
    ) -> Float[Tensor, "b n"]:
        """The clean weights; `mask` is true for the views that exist, at least one a row."""
        padded = functional.pad(noisy, (0, TOKENS * self.token_dim - self.weights))
        x = self.tokens_in(padded.unflatten(1, (TOKENS, -1))) + self.positions  # (b, tokens, d)
        time = self.time_in(sinusoidal_embedding(t.float(), x.shape[-1]))  # (b, d)
        views = self.views_in(torch.cat((features, poses), dim=-1))  # (b, k, d)
        for block in self.blocks:
            x = block(x, time, views, mask)
        shift, scale = self.modulation(functional.silu(time))[:, None].chunk(2, dim=-1)
        return self.out(modulated(x, shift, scale)).flatten(1)[:, : self.weights].float()
