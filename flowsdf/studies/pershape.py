"""Phases 0 and 1: one decoder a shape, all of them trained together, and what noise does to their weights."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from flowsdf.conventions import Field, Points
from flowsdf.models.deepsdf import ROWS
from flowsdf.models.pershape import PerShape
from flowsdf.train.loop import autocast_dtype, best_device, cosine, generator_at, train
from flowsdf.train.progress import follow


def starts(count: int, *, seed: int, width: int, depth: int, sine: bool) -> Float[Tensor, "{count} n"]:
    """Untrained weight vectors, each drawn for itself."""
    torch.manual_seed(seed)
    return PerShape(count, width, depth, sine=sine).vectors().detach()


def fit_decoders(
    points: Float[Tensor, "s n 3"],
    sdf: Float[Tensor, "s n"],
    start: Float[Tensor, "_ w"],
    *,
    folder: Path | None,
    width: int,
    depth: int,
    sine: bool,
    steps: int,
    points_per_step: int,
    rate: float,
    seed: int,
) -> tuple[dict[str, Tensor], dict]:
    """Fit a decoder to every shape, from one ``start`` (1, w) for all or from one each (s, w); tensor ``vectors``.

    Each step takes as many points of every shape. The L1 is a mean over points and a sum over shapes, so that no
    shape's gradient depends on another's and each is fitted as it would be alone. The thesis takes 200 epochs at 1e-4
    with a cosine, from the decoder of obj_0000. It does not give the loss; its decoders reach -1.07, so none clamps.
    """
    device = best_device()
    decoders = PerShape(len(points), width, depth, sine=sine)
    decoders.load_vectors(start)
    decoders.to(device)
    points, sdf = points.to(device), sdf.to(device)

    def loss_at(step: int) -> Tensor:
        at, truth = some_points(points, sdf, points_per_step, generator_at(seed, step))
        return (decoders(at) - truth).abs().mean(1).sum()

    records = train(
        loss_at,
        decoders,
        torch.optim.Adam(decoders.parameters(), lr=rate, fused=True),
        steps=steps,
        schedule=cosine(steps),
        autocast=None if sine else autocast_dtype(device),  # the phase of a sine needs more than bfloat16's digits
        folder=folder,
        fingerprint=f"{len(points)} {width}x{depth} {sine} {steps} {seed}",
        every=200,
    )
    curve = [(step, seconds, loss / len(points)) for step, seconds, loss in follow(records, "decoders", steps)]
    return {"vectors": decoders.vectors().detach()}, {"curve": curve, "steps": steps}


def some_points(
    points: Float[Tensor, "s n 3"], sdf: Float[Tensor, "s n"], count: int, random: torch.Generator
) -> tuple[Float[Tensor, "s p 3"], Float[Tensor, "s p"]]:
    """``count`` random samples of every shape, with replacement, where the points are."""
    chosen = torch.randint(points.shape[1], (len(points), count), generator=random)
    return chosen_points(points, sdf, chosen.to(points.device))


def chosen_points(
    points: Float[Tensor, "s n 3"], sdf: Float[Tensor, "s n"], chosen: Int[Tensor, "s p"]
) -> tuple[Float[Tensor, "s p 3"], Float[Tensor, "s p"]]:
    """The samples of every shape that ``chosen`` numbers."""
    return points.gather(1, chosen[..., None].expand(-1, -1, 3)), sdf.gather(1, chosen)


def restore(vectors: Float[Tensor, "s w"], *, width: int, depth: int, sine: bool) -> PerShape:
    """Decoders with these weights, on the CPU."""
    return PerShape(0, width, depth, sine=sine).like(vectors)


@torch.no_grad()
def error_per_shape(
    decoders: PerShape, points: Float[Tensor, "s n 3"], sdf: Float[Tensor, "s n"], *, part: int = 4096
) -> Float[Tensor, " s"]:
    """The mean L1 of each shape over all its points, in float32."""
    pieces = zip(points.split(part, 1), sdf.split(part, 1), strict=True)
    return torch.stack([(decoders(at) - truth).abs().sum(1) for at, truth in pieces]).sum(0) / sdf.shape[1]


def fields(decoders: PerShape) -> list[Field]:
    """The signed distance field of each decoder: numpy points (n, 3) to distances (n,)."""

    def field_of(number: int) -> Field:
        only = slice(number, number + 1)

        @torch.no_grad()
        def value(points: Points) -> np.ndarray:
            parts = torch.as_tensor(points, dtype=torch.float32).split(ROWS["cpu"])
            return torch.cat([decoders(part[None], only)[0] for part in parts]).numpy()

        return value

    return [field_of(number) for number in range(len(decoders.biases[0]))]


@torch.no_grad()
def noisy(decoders: PerShape, sigma: float, *, seed: int) -> PerShape:
    """The decoders with Gaussian noise of ``sigma`` times the root mean square of a layer's weights, or its biases."""
    changed, random = decoders.like(decoders.vectors()), torch.Generator().manual_seed(seed)
    for part in (*changed.weights, *changed.biases):
        size = part.flatten(1).square().mean(1).sqrt()
        part += sigma * size.view(-1, *[1] * (part.ndim - 1)) * torch.randn(part.shape, generator=random)
    return changed


@torch.no_grad()
def barrier(
    decoders: PerShape,
    pairs: Sequence[tuple[int, int]],
    points: Float[Tensor, "n 3"],
    *,
    half_way: Float[Tensor, "k w"] | None = None,
) -> Float[np.ndarray, " k"]:
    """Of each pair, how far the decoder half way between two weights is from half way between their fields.

    The mean absolute gap over that of either field to the middle: 0 where weights interpolate as fields do, 1 where
    either end would do as well (the barrier of linear mode connectivity, Frankle 2020, for fields). ``half_way`` are
    other weights in place of the mean of two.
    """
    vectors = decoders.vectors()
    a, b = (vectors[[pair[end] for pair in pairs]] for end in (0, 1))
    at = points.expand(len(pairs), -1, -1)
    between = (a + b) / 2 if half_way is None else half_way
    first, last, middle = (decoders.like(weights)(at) for weights in (a, b, between))
    return ((middle - (first + last) / 2).abs().mean(1) / ((first - last) / 2).abs().mean(1)).numpy()
