"""Rectified flow (Liu 2023): straight paths from noise at time 0 to data at time 1, and Euler steps along them."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

STEPS = 8
Velocity = Callable[[Tensor, Tensor], Tensor]  # z_t (b, ...), t (b,) or one for all -> dz/dt (b, ...)


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


def starts(steps: int) -> Float[Tensor, " steps"]:
    """The times at which equal steps from time 0 to time 1 begin."""
    return torch.arange(steps) / steps


def trajectory(
    velocity: Velocity, noise: Float[Tensor, " b *d"], times: Iterable[Tensor]
) -> list[Float[Tensor, " b *d"]]:
    """The noise and where each of equal Euler steps leads, the last to data; differentiable.

    ``times`` are the ``starts`` of the steps, or what the velocity makes of them: it is given one for all of a batch.
    """
    z, times = [noise], list(times)
    for time in times:
        z.append(z[-1] + velocity(z[-1], time) / len(times))
    return z
