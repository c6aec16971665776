"""Rectified flow (Liu 2023): straight paths from noise at time 0 to data at time 1, and Euler steps along them."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

STEPS = 8
Velocity = Callable[[Tensor, Tensor], Tensor]  # z_t (b, ...), t (b,) -> dz/dt (b, ...)


def between(
    noise: Float[Tensor, " b *d"], data: Float[Tensor, " b *d"], t: Float[Tensor, " b"]
) -> Float[Tensor, " b *d"]:
    """The point of each straight path at its time: (1 - t) noise + t data."""
    return torch.lerp(noise, data, t.view(-1, *[1] * (data.ndim - 1)))


def velocity_loss(
    velocity: Velocity, noise: Float[Tensor, " b *d"], data: Float[Tensor, " b *d"], t: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Mean square of (data - noise) - velocity(z_t, t)."""
    return (data - noise - velocity(between(noise, data, t), t)).square().mean()


def integrate(velocity: Velocity, noise: Float[Tensor, " b *d"], *, steps: int = STEPS) -> Float[Tensor, " b *d"]:
    """Data from noise in ``steps`` equal Euler steps from time 0 to time 1; differentiable."""
    return trajectory(velocity, noise, steps=steps)[-1]


def trajectory(
    velocity: Velocity, noise: Float[Tensor, " b *d"], *, steps: int = STEPS
) -> list[Float[Tensor, " b *d"]]:
    """The noise and what ``integrate`` makes of it after each step: steps + 1 of them."""
    z = [noise]
    for step in range(steps):
        z.append(z[-1] + velocity(z[-1], torch.full((len(noise),), step / steps, device=noise.device)) / steps)
    return z
