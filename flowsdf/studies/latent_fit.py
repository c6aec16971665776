"""The latent of a shape that the decoder never saw, found with the shape's own points in hand."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.data.executor import each
from flowsdf.models.deepsdf import CLAMP, LATENT_PENALTY, DeepSDF, by_latent
from flowsdf.studies.deepsdf import restore
from flowsdf.train.loop import generator_at

POINTS = 512  # of a shape at each step
DAMPING = 0.1, 0.01  # of the first and of the last step, in means of the curvature's diagonal
EDGE = CLAMP / 10  # where the weight of an error turns from constant to that of its absolute value


def fit_latents(
    tensors: dict[str, Tensor],
    points: Float[Tensor, "s n 3"],
    sdf: Float[Tensor, "s n"],
    *,
    folder: Path | None,
    steps: int,
    seed: int,
) -> tuple[dict[str, Tensor], dict]:
    """A latent for each unseen shape, with the decoder of ``tensors`` frozen: tensor ``latents`` (s, 64).

    Minimises the objective of training from the mean of the training latents, each shape for itself, by damped
    Gauss-Newton steps (Levenberg 1944, Marquardt 1963) on new points each; absolute errors as reweighted squares
    (Holland & Welsch 1977). On a CPU shapes are searched side by side. Nothing is kept in ``folder``.
    """
    decoder, known = restore(tensors)
    chosen = torch.randint(points.shape[1], (steps, POINTS), generator=generator_at(seed, 0))
    start, device = known.mean(0), known.device
    sets = (part[:, chosen].to(device) for part in (points, sdf))  # (s, k, p, 3) and (s, k, p)
    tasks = [(decoder, start, at, truth) for at, truth in zip(*sets, strict=True)]
    found = each(_search, tasks, label="latents") if device.type == "cpu" else [*map(_search, tasks)]
    return {"latents": torch.stack([latent for latent, _ in found])}, {"loss": float(np.mean([e for _, e in found]))}


def _search(
    task: tuple[DeepSDF, Float[Tensor, " d"], Float[Tensor, "k p 3"], Float[Tensor, "k p"]],
) -> tuple[Float[Tensor, " d"], float]:
    """The latent after a step on each of k sets of points, and the mean clamped L1 before the last of them."""
    decoder, latent, points, sdf = task
    error = torch.zeros(1)
    for damping, at, truth in zip(np.geomspace(*DAMPING, len(points)), points, sdf, strict=True):
        latent, error = improved(decoder, latent, at, truth, damping=float(damping))
    return latent, float(error.mean())


def improved(
    decoder: DeepSDF,
    latent: Float[Tensor, " d"],
    points: Float[Tensor, "p 3"],
    sdf: Float[Tensor, " p"],
    *,
    damping: float,
) -> tuple[Float[Tensor, " d"], Float[Tensor, " p"]]:
    """The latent after one step, and the clamped L1 of each point before it.

    An error of a point within the clamp weighs 1 / (its size + EDGE), so that its square counts about as its size.
    """
    values, slopes = by_latent(decoder, latent, points)
    error = values.clamp(-CLAMP, CLAMP) - sdf.clamp(-CLAMP, CLAMP)
    weight = (values.abs() < CLAMP) / (error.abs() + EDGE) / len(points)
    one = torch.eye(len(latent), device=latent.device)
    curvature = slopes.T @ (weight[:, None] * slopes) + 2 * LATENT_PENALTY * one
    slope = slopes.T @ (weight * error) + 2 * LATENT_PENALTY * latent
    step = torch.linalg.solve(curvature + damping * curvature.diagonal().mean() * one, slope)
    return latent - step, error.abs()
