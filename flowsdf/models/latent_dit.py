"""The latent diffusion transformer: views of an object and a noisy latent -> the clean latent.

Parameters at width d = 384 with 64-d latents, 768-d features and 64-d poses:

    latent in   64 -> d                        24,960
    views       (768 + 64) -> d               319,872
    time        256 -> d -> d                 246,528
    4 layers of                             2,365,056
        self-attention    4 d^2 + 4 d         591,360   over one token: mixes channels only
        cross-attention   4 d^2 + 4 d         591,360
        feed-forward      d -> 2 d -> d       590,976
        AdaLN             d -> 4 d            591,360   shift and scale of the last two
    out         d -> 64                        24,640
    total                                  10,076,224

Normalisations have no parameters of their own.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from flowsdf.models.encoding import POSE_DIM, sinusoidal_embedding

TIME_DIM = 256


class Attention(nn.Module):
    """Multi-head attention of tokens to `context`; `mask` is true where a context token exists."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "b n d"], context: Float[Tensor, "b k d"], mask: Bool[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b n d"]:
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (b, heads, n, d / heads)
        k, v = self.key_value(context).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each as q
        seen = None if mask is None else mask[:, None, None, :]  # (b, 1, 1, k)
        return self.out(functional.scaled_dot_product_attention(q, k, v, seen).transpose(1, 2).flatten(-2))


class Block(nn.Module):
    """Self-attention, then cross-attention and feed-forward whose normalised inputs AdaLN shifts and scales."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attention = Attention(width, heads)
        self.cross_attention = Attention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.modulation = zeroed(nn.Linear(width, 4 * width))

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        time: Float[Tensor, "b d"],
        views: Float[Tensor, "b k d"],
        mask: Bool[Tensor, "b k"],
    ) -> Float[Tensor, "b n d"]:
        shift_a, scale_a, shift_f, scale_f = self.modulation(functional.silu(time))[:, None].chunk(4, dim=-1)
        h = normalise(x)
        x = x + self.self_attention(h, h)
        x = x + self.cross_attention(modulated(x, shift_a, scale_a), views, mask)
        return x + self.feed_forward(modulated(x, shift_f, scale_f))


class LatentDiT(nn.Module):
    """One latent token that looks at the view tokens, each concat(feature, pose), and predicts x0 (Peebles 2023).

    AdaLN starts at the identity and the output at zero, the mean of standardised latents; the rest as `nn.Linear` does.
    """

    def __init__(
        self, feature_dim: int = 768, latent_dim: int = 64, width: int = 384, layers: int = 4, heads: int = 6
    ) -> None:
        super().__init__()
        self.latent_in = nn.Linear(latent_dim, width)
        self.views_in = nn.Linear(feature_dim + POSE_DIM, width)
        self.time_in = nn.Sequential(nn.Linear(TIME_DIM, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.out = zeroed(nn.Linear(width, latent_dim))

    def forward(
        self,
        latent: Float[Tensor, "b latent"],
        t: Int[Tensor, " b"],
        features: Float[Tensor, "b k feature"],
        poses: Float[Tensor, "b k 64"],
        mask: Bool[Tensor, "b k"],
    ) -> Float[Tensor, "b latent"]:
        """The clean latent; `mask` is true for the views that exist, at least one a row."""
        x = self.latent_in(latent).float()[:, None]  # (b, 1, d); a sum in bfloat16 would lose what the blocks add
        time = self.time_in(sinusoidal_embedding(t.float(), TIME_DIM))  # (b, d)
        views = self.views_in(torch.cat((features, poses), dim=-1))  # (b, k, d)
        for block in self.blocks:
            x = block(x, time, views, mask)
        return self.out(normalise(x)).squeeze(1).float()


def normalise(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """LayerNorm without parameters."""
    return functional.layer_norm(x, x.shape[-1:])


def modulated(
    x: Float[Tensor, "b n d"], shift: Float[Tensor, "b 1 d"], scale: Float[Tensor, "b 1 d"]
) -> Float[Tensor, "b n d"]:
    """Normalised, then scaled and shifted."""
    return normalise(x) * (1 + scale) + shift


def zeroed(layer: nn.Linear) -> nn.Linear:
    """A layer that starts as zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
