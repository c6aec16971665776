"""Decoders of many shapes as one anchor with low-rank changes, which a short code of each shape scales."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flowsdf.models.pershape import layers_of


class Modulated(nn.Module):
    """Code (d) -> the weight vector of a decoder: per layer W + U diag(M c) V and b + B c, all but c shared.

    The anchor's W and b train too. U, V, M and B start as noise; a code of zero gives the anchor. A vector is one of
    ``PerShape``'s.
    """

    def __init__(
        self, anchor: Float[Tensor, "1 w"], *, width: int, depth: int, sine: bool, code_dim: int, rank: int
    ) -> None:
        super().__init__()
        parts: dict[str, list[Tensor]] = {"weight": [], "bias": [], "left": [], "right": [], "scale": [], "shift": []}
        for weight, bias in layers_of(anchor, width, depth, sine=sine):
            fan_out, fan_in = weight.shape[1:]
            parts["weight"].append(weight[0].clone())
            parts["bias"].append(bias[0].clone())
            parts["left"].append(torch.randn(fan_out, rank) * rank**-0.5)
            parts["right"].append(torch.randn(rank, fan_in) * fan_in**-0.5)
            parts["scale"].append(torch.randn(rank, code_dim) * code_dim**-0.5)
            parts["shift"].append(torch.randn(fan_out, code_dim) * 0.1 * code_dim**-0.5)
        self.parts = nn.ModuleDict({name: nn.ParameterList(of) for name, of in parts.items()})

    def forward(self, codes: Float[Tensor, "s d"]) -> Float[Tensor, "s w"]:
        """The weight vector of each code."""
        pieces = []
        for weight, bias, left, right, scale, shift in zip(*self.parts.values(), strict=True):
            changed = weight + torch.einsum("or,sr,ri->soi", left, codes @ scale.T, right)
            pieces += [changed.flatten(1), bias + codes @ shift.T]
        return torch.cat(pieces, dim=1)
