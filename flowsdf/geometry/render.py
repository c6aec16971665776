"""Images of a signed distance field along rays, differentiable in what the field depends on.

The unit sphere, which holds every shape, is inscribed in the image. A ray that meets it is sampled at even depths on
its chord through it; a ray that misses it shows the background. The pixel is what the smallest distance on the ray
says: the soft silhouette sigmoid(-min / temperature), the mask loss of IDR (Yariv 2020).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from flowsdf.conventions import CAMERA_DISTANCE
from flowsdf.geometry.camera import look_at

STRIDE = 4  # samples between those that the search looks at first
STEEPNESS = 1.2  # how much steeper a field may be between the search's first samples than anywhere over them
SETTLED = 9.0  # temperatures from zero at which a ray on its right side stops to matter: a loss of 1e-4
NEGLIGIBLE = 1e-4  # derivative of a ray's loss by its logit, of at most 1
TorchField = Callable[[Float[Tensor, "*s p 3"]], Float[Tensor, "*s p"]]


class Rays(NamedTuple):
    """The rays of one image that meet the unit sphere, in the frame of a camera that looks along -z at the origin."""

    hit: Bool[Tensor, " pixels"]  # row by row, from the upper left
    points: Float[Tensor, "r d 3"]  # samples from near to far
    spacing: Float[Tensor, " r"]  # between the samples of a ray


def rays_of(size: int, depths: int) -> Rays:
    """The rays through the pixels of a ``size`` x ``size`` image, with ``depths`` samples each."""
    half = np.tan(np.arcsin(1 / CAMERA_DISTANCE))  # of the image at distance 1: the sphere touches its edges
    across = (np.arange(size) + 0.5) / size * 2 * half - half
    x, y = np.meshgrid(across, -across)
    directions = np.stack([x, y, np.full_like(x, -1)], axis=-1).reshape(-1, 3)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    origin = np.array([0, 0, CAMERA_DISTANCE])
    middle = -(directions @ origin)  # the depth nearest to the centre
    chord = 1 - (CAMERA_DISTANCE**2 - middle**2)  # the square of its half length
    hit = chord > 0
    spacing = 2 * np.sqrt(chord[hit]) / depths
    at = middle[hit, None] + (np.arange(depths) + 0.5 - depths / 2) * spacing[:, None]  # (r, d)
    points = origin + at[..., None] * directions[hit, None]
    return Rays(torch.from_numpy(hit), *(torch.from_numpy(part).float() for part in (points, spacing)))


def seen_from(rays: Rays, directions: Float[np.ndarray, "s 3"]) -> Float[Tensor, "s r d 3"]:
    """The samples of the rays, in the frame, of cameras in these directions from the origin."""
    turns = np.stack([look_at(CAMERA_DISTANCE * direction)[:3, :3] for direction in directions])
    return torch.einsum("sij,rdj->srdi", torch.from_numpy(turns).float().to(rays.points.device), rays.points)


def least_of_all(field: TorchField, points: Float[Tensor, "*s r d 3"]) -> Float[Tensor, "*s r"]:
    """The smallest distance on each ray, every sample differentiated: the slow oracle."""
    return field(points.flatten(-3, -2)).unflatten(-1, points.shape[-3:-1]).amin(-1)


def silhouette_loss(
    least: Float[Tensor, "*s r"], inside: Bool[Tensor, "*s r"], temperature: float, *, pixels: int
) -> Float[Tensor, ""]:
    """Binary cross-entropy of the soft silhouette, the mean over ``pixels`` of an image; rays not given are right."""
    logits = -least / temperature
    loss = functional.binary_cross_entropy_with_logits(logits, inside.to(logits.dtype), reduction="sum")
    return loss / (pixels * least.shape[:-1].numel())


def sparse_silhouette_loss(
    field: TorchField,
    searches: Sequence[TorchField],
    points: Float[Tensor, "s r d 3"],
    spacing: Float[Tensor, " r"],
    inside: Bool[Tensor, "s r"],
    temperature: float,
    *,
    pixels: int,
) -> Float[Tensor, ""]:
    """``silhouette_loss`` of the smallest distances, with gradients where there are any.

    ``searches`` evaluate each shape's field without a gradient, perhaps in less precision. ``field`` is evaluated at
    one sample of each ray that pushes: the others are further than SETTLED temperatures on their right side.
    """
    found = [
        search(look, at, spacing, settled=partial(_settled, mask, SETTLED * temperature))
        for look, at, mask in zip(searches, points, inside, strict=True)
    ]
    index, least = (torch.stack(part) for part in zip(*found, strict=True))  # (s, r)
    push = (torch.sigmoid(-least / temperature) - inside.to(least.dtype)).abs()
    count = max(1, int((push > NEGLIGIBLE).sum(1).max()))
    rays = push.argsort(1, descending=True)[:, :count]  # (s, a)
    shapes = torch.arange(len(points), device=points.device)[:, None]
    exact = field(points[shapes, rays, index.gather(1, rays)])
    return silhouette_loss(least.scatter(1, rays, exact), inside, temperature, pixels=pixels)


def _settled(
    inside: Bool[Tensor, " r"], enough: float, low: Float[Tensor, " r"], value: Float[Tensor, " r"]
) -> Bool[Tensor, " r"]:
    """Rays whose smallest distance is known to be on its right side, by more than ``enough``."""
    return torch.where(inside, value < -enough, low > enough)


@torch.no_grad()
def search(
    field: TorchField,
    points: Float[Tensor, "r d 3"],
    spacing: Float[Tensor, " r"],
    *,
    settled: Callable[[Float[Tensor, " r"], Float[Tensor, " r"]], Bool[Tensor, " r"]] | None = None,
) -> tuple[Int[Tensor, " r"], Float[Tensor, " r"]]:
    """Which sample of each ray has the smallest distance, and that distance.

    Every fourth sample is evaluated first; of the others only those beside a sample that leaves room for a smaller
    distance, if the field is at most STEEPNESS times as steep there as it is anywhere between the first ones.
    ``settled(low, value)`` names the rays for which a bound from below and a sample's value are enough. ValueError
    unless the samples are a multiple of four, eight or more.
    """
    rays, depths = points.shape[:2]
    if depths % STRIDE or depths < 2 * STRIDE:
        raise ValueError(f"{depths} samples a ray: the search needs a multiple of {STRIDE}, {2 * STRIDE} or more")
    coarse = torch.arange(STRIDE // 2, depths, STRIDE, device=points.device)
    values = torch.full((rays, depths), torch.inf, device=points.device)
    first = values[:, coarse] = field(points[:, coarse].flatten(0, 1)).unflatten(0, (rays, len(coarse)))
    best = first.amin(1)
    seen = (first.diff(dim=1).abs() / (STRIDE * spacing[:, None])).max()  # how steep it is between those samples
    room = (STEEPNESS * seen * (STRIDE // 2)) * spacing  # how much smaller a sample between may be
    open_rays = torch.ones_like(best, dtype=torch.bool) if settled is None else ~settled(best - room, best)
    promising = (first - room[:, None] <= best[:, None]) & open_rays[:, None]
    wanted = torch.zeros_like(values, dtype=torch.bool)
    for offset in range(-(STRIDE // 2), STRIDE // 2):
        if offset:
            wanted[:, coarse + offset] |= promising
    values[wanted] = field(points[wanted])
    least, index = values.min(1)
    return index, least


@torch.no_grad()
def first_hit(field: TorchField, points: Float[Tensor, "r d 3"]) -> tuple[Bool[Tensor, " r"], Float[Tensor, "r 3"]]:
    """Which rays meet the surface, and where first: between the last sample outside and the first one inside."""
    values = field(points)
    inside = values < 0
    met, index = inside.any(1), inside.byte().argmax(1)  # the first of the largest
    rows, before = torch.arange(len(points), device=points.device), (index - 1).clamp_min(0)
    a, b = values[rows, before], values[rows, index]
    share = torch.where(index > 0, a / (a - b).clamp_min(1e-12), torch.ones_like(a))[:, None]
    return met, torch.lerp(points[rows, before], points[rows, index], share)


def lambertian(
    normals: Float[Tensor, "n 3"], light: Float[Tensor, "3"], *, ambient: float = 0.2
) -> Float[Tensor, " n"]:
    """The brightness of a matt surface, 0 to 1, under a distant light from the direction ``light``."""
    return ambient + (1 - ambient) * (normals @ functional.normalize(light, dim=0)).clamp_min(0)
