"""Diffusion with x0-prediction: the cosine schedule, its loss, and DDIM. Times run 0 .. T - 1 from data to noise."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

STEPS = 500  # T
OFFSET = 0.008  # s
LEAST_SIGNAL = 1e-3  # of abar, below which noise does not tell what it hides
Denoiser = Callable[[Tensor, Tensor], Tensor]  # x_t (b, ...), t (b,) -> x0 (b, ...)


def cosine_alpha_bar(steps: int = STEPS, *, dtype: torch.dtype = torch.float32) -> Float[Tensor, " {steps}"]:
    """abar_t = f((t + 1) / T) / f(0) with f(u) = cos^2((u + s) / (1 + s) pi / 2), in `dtype` (Nichol 2021, eq. 17)."""
    u = torch.arange(steps + 1, dtype=dtype) / steps
    f = torch.cos((u + OFFSET) / (1 + OFFSET) * (math.pi / 2)) ** 2
    return (f / f[0])[1:]


def shifted(alpha_bar: Float[Tensor, "*n"], factor: float) -> Float[Tensor, "*n"]:
    """The schedule whose ratio of signal to noise is `factor` times as large in size, at every time (Hoogeboom 2023).

    Many numbers that say the same need more noise before they say nothing: for d of them in place of 64, a factor of
    sqrt(64 / d).
    """
    signal = factor**2 * alpha_bar
    return signal / (signal + 1 - alpha_bar)


def noised(
    x0: Float[Tensor, " b *d"], alpha_bar: Float[Tensor, " b"], noise: Float[Tensor, " b *d"]
) -> Float[Tensor, " b *d"]:
    """A draw of q(x_t | x0) = N(sqrt(abar) x0, (1 - abar) I) for unit `noise`."""
    alpha_bar = alpha_bar.view(-1, *[1] * (x0.ndim - 1))
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def denoised(
    noisy: Float[Tensor, " b *d"], alpha_bar: Float[Tensor, " b"], noise: Float[Tensor, " b *d"]
) -> Float[Tensor, " b *d"]:
    """The x0 of which x_t is a draw with this noise; where next to no signal is left, as if there were LEAST_SIGNAL."""
    alpha_bar = alpha_bar.clamp_min(LEAST_SIGNAL).view(-1, *[1] * (noisy.ndim - 1))
    return (noisy - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()


def x0_loss(
    model: Denoiser,
    x0: Float[Tensor, " b *d"],
    t: Int[Tensor, " b"],
    noise: Float[Tensor, " b *d"],
    alpha_bar: Float[Tensor, " steps"],
) -> Float[Tensor, ""]:
    """Mean square of x0 - model(x_t, t)."""
    return (x0 - model(noised(x0, alpha_bar[t], noise), t)).square().mean()


def implied_noise_mse(x0_mse: Float[Tensor, "*n"], alpha_bar: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The error in epsilon that an error in x0 amounts to, as x_t fixes one by the other: x0_mse abar / (1 - abar)."""
    return x0_mse * alpha_bar / (1 - alpha_bar)


@torch.no_grad()
def sample(
    model: Denoiser, noise: Float[Tensor, " b *d"], *, alpha_bar: Float[Tensor, " big"], steps: int = 50
) -> Float[Tensor, " b *d"]:
    """Deterministic DDIM from t = T - 1 to data, in `steps` evenly spaced calls of the model (Song 2021, eq. 12)."""
    total = len(alpha_bar)
    times = (torch.arange(steps, 0, -1) * total / steps).round().long() - 1  # T - 1 first
    levels = torch.cat((alpha_bar[times].cpu(), alpha_bar.new_ones(1).cpu())).tolist()  # 1 last: data
    x = noise
    for t, now, then in zip(times.tolist(), levels, levels[1:], strict=False):
        x0 = model(x, torch.full((len(x),), t, device=x.device))
        epsilon = (x - math.sqrt(now) * x0) / math.sqrt(1 - now)
        x = math.sqrt(then) * x0 + math.sqrt(1 - then) * epsilon
    return x
