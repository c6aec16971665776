"""The latent of a shape that the decoder never saw, found with the shape's own points in hand."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.data.executor import each
from flowsdf.data.faults import Failed
from flowsdf.models.deepsdf import CLAMP, LATENT_PENALTY, DeepSDF, by_latent
from flowsdf.studies.deepsdf import restore
from flowsdf.train.loop import generator_at

POINTS = 512  # of a shape at each step
DAMPING = 0.1, 0.01  # of the first and of the last step, in means of the curvature's diagonal
EDGE = CLAMP / 10  # where the weight of an error turns from constant to that of its absolute value
RISE, CAUTION = 1.5, 3.0  # of the error, after which a step is taken back; of the damping from then on


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

    Minimises the objective of training, errors below about EDGE counted as squares, from the mean of the training
    latents and for each shape alone: by damped Gauss-Newton steps (Levenberg 1944, Marquardt 1963) on new points each,
    errors as reweighted squares (Holland & Welsch 1977). On a CPU shapes are searched side by side; nothing is kept in
    ``folder``. The fact ``loss`` is the mean clamped L1 on each shape's last points. Failed where it is not finite.
    """
    decoder, known = restore(tensors)
    start, device = known.detach().mean(0), known.device
    chosen = torch.randint(points.shape[1], (steps, POINTS), generator=generator_at(seed, 0))
    sets = [(at[chosen].to(device), truth[chosen].to(device)) for at, truth in zip(points, sdf, strict=True)]
    tasks = [(decoder, start, at, truth) for at, truth in sets]
    found = each(_search, tasks, label="latents") if device.type == "cpu" else [*map(_search, tasks)]
    latents, loss = torch.stack([latent for latent, _ in found]), float(np.mean([error for _, error in found]))
    if not (np.isfinite(loss) and latents.isfinite().all()):
        raise Failed("the search for a latent diverged: are all distances of the shapes finite?")
    return {"latents": latents}, {"loss": loss}


def _search(
    task: tuple[DeepSDF, Float[Tensor, " d"], Float[Tensor, "k p 3"], Float[Tensor, "k p"]],
) -> tuple[Float[Tensor, " d"], float]:
    """The latent after a step on each of k - 1 sets of points, and its mean clamped L1 on the last of the k."""
    decoder, latent, points, sdf = task
    kept, least, caution = latent, np.inf, 1.0
    for damping, at, truth in zip(np.geomspace(*DAMPING, len(points)), points, sdf, strict=True):
        after, error = improved(decoder, latent, at, truth, damping=caution * float(damping))
        if error.mean() > RISE * least:  # new points or not: the step that led here went too far
            latent, caution = kept, CAUTION * caution
        else:
            kept, least, latent = latent, float(error.mean()), after
    return kept, least


def improved(
    decoder: DeepSDF,
    latent: Float[Tensor, " d"],
    points: Float[Tensor, "p 3"],
    sdf: Float[Tensor, " p"],
    *,
    damping: float,
) -> tuple[Float[Tensor, " d"], Float[Tensor, " p"]]:
    """The latent after one step, and the clamped L1 of each point before it.

    The square of an error within the clamp weighs 1 / (its size + EDGE): beyond EDGE it counts about as its size.
    """
    values, slopes = by_latent(decoder, latent, points)
    error = values.clamp(-CLAMP, CLAMP) - sdf.clamp(-CLAMP, CLAMP)
    weight = (values.abs() < CLAMP) / (error.abs() + EDGE) / len(points)
    one = torch.eye(len(latent), device=latent.device)
    curvature = slopes.T @ (weight[:, None] * slopes) + 2 * LATENT_PENALTY * one
    slope = slopes.T @ (weight * error) + 2 * LATENT_PENALTY * latent
    step = torch.linalg.solve_ex(curvature + damping * curvature.diagonal().mean() * one, slope).result
    return latent - step, error.abs()
