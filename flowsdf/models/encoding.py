"""Sinusoidal encodings of points, times and camera directions."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

POSE_DIM = 64  # of a view's pose embedding


def positional_encoding(points: Float[Tensor, "*n 3"], bands: int = 6) -> Float[Tensor, "*n encoded"]:
    """x, then sin(2^k pi x) and cos(2^k pi x) for k < bands: 3 + 6 bands numbers a point (Mildenhall 2020, eq. 4)."""
    octaves = torch.exp2(torch.arange(bands, device=points.device, dtype=points.dtype))
    angles = (math.pi * octaves[:, None] * points[..., None, :]).flatten(-2)  # (..., 3 bands)
    return torch.cat((points, angles.sin(), angles.cos()), dim=-1)


def sinusoidal_embedding(values: Float[Tensor, "*n"], dim: int) -> Float[Tensor, "*n {dim}"]:
    """Cosines then sines at dim / 2 geometric frequencies from 1 to 1e-4 (Vaswani 2017, section 3.5)."""
    frequencies = torch.exp(-math.log(1e4) * torch.arange(dim // 2, device=values.device) / (dim // 2))
    angles = values[..., None] * frequencies  # (..., dim / 2)
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


def pose_embedding(cameras: Float[Tensor, "*n 3"], dim: int = POSE_DIM) -> Float[Tensor, "*n {dim}"]:
    """The first dim / 4 harmonics of a camera's azimuth and elevation: periodic, and blind to its distance.

    `cameras` are positions in the frame (y up) that look at the origin.
    """
    x, y, z = cameras.unbind(-1)
    angles = torch.stack((torch.atan2(x, z), torch.atan2(y, torch.hypot(x, z))), dim=-1)  # (..., 2)
    harmonics = torch.arange(1, dim // 4 + 1, device=cameras.device, dtype=cameras.dtype)
    phases = (angles[..., None] * harmonics).flatten(-2)  # (..., dim / 2)
    return torch.cat((phases.sin(), phases.cos()), dim=-1)
