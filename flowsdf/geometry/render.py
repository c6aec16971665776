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

GRID = 24  # nodes along each edge of the cube on which the search looks first
CANDIDATES = 6  # samples of a ray that are then evaluated themselves
SETTLED = 5.0  # temperatures from zero at which a ray on its right side needs no closer look: a loss of 0.0067
REACHED, MOST_STEPS = 1e-4, 300  # of a ray that follows an exact field
NEGLIGIBLE = 1e-3  # derivative of a ray's loss by its logit, of at most 1
TorchField = Callable[[Float[Tensor, "*s p 3"]], Float[Tensor, "*s p"]]


class Rays(NamedTuple):
    """The rays of one image that meet the unit sphere, in the frame of a camera that looks along -z at the origin."""

    hit: Bool[Tensor, " pixels"]  # row by row, from the upper left
    points: Float[Tensor, "r d 3"]  # samples from near to far


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
    return Rays(torch.from_numpy(hit), torch.from_numpy(points).float())


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
    searches: Sequence[tuple[TorchField, TorchField]],
    points: Float[Tensor, "s r d 3"],
    inside: Bool[Tensor, "s r"],
    temperature: float,
    *,
    pixels: int,
) -> Float[Tensor, ""]:
    """``silhouette_loss`` of the smallest distances, with gradients where there are any.

    ``searches`` evaluate each shape's field without a gradient: at a glance, perhaps in less precision, and exactly.
    ``field`` is evaluated at one sample of each ray that pushes: the others push with less than NEGLIGIBLE.
    """
    found = [
        search(look, at, glance=glance, settled=partial(_settled, mask, SETTLED * temperature))
        for (glance, look), at, mask in zip(searches, points, inside, strict=True)
    ]
    index, least = (torch.stack(part) for part in zip(*found, strict=True))  # (s, r)
    push = (torch.sigmoid(-least / temperature) - inside.to(least.dtype)).abs()
    count = max(1, int((push > NEGLIGIBLE).sum(1).max()))
    rays = push.argsort(1, descending=True)[:, :count]  # (s, a)
    shapes = torch.arange(len(points), device=points.device)[:, None]
    exact = field(points[shapes, rays, index.gather(1, rays)])
    return silhouette_loss(least.scatter(1, rays, exact), inside, temperature, pixels=pixels)


def _settled(
    inside: Bool[Tensor, " r"], enough: float, low: Float[Tensor, " r"], high: Float[Tensor, " r"]
) -> Bool[Tensor, " r"]:
    """Rays whose smallest distance is known to be on its right side, by more than ``enough``."""
    return torch.where(inside, high < -enough, low > enough)


@torch.no_grad()
def search(
    field: TorchField,
    points: Float[Tensor, "r d 3"],
    *,
    glance: TorchField | None = None,
    settled: Callable[[Float[Tensor, " r"], Float[Tensor, " r"]], Bool[Tensor, " r"]] | None = None,
) -> tuple[Int[Tensor, " r"], Float[Tensor, " r"]]:
    """Which sample of each ray has the smallest distance, and that distance.

    The field, or what is cheaper at a ``glance``, is evaluated on a grid; of each ray the CANDIDATES samples that are
    least by interpolation are evaluated themselves. ``settled(low, high)`` names the rays for which bounds from the
    interpolation are enough.
    """
    values, error = _interpolated(glance or field, points)
    least, index = values.min(1)
    open_rays = torch.ones_like(least, dtype=torch.bool) if settled is None else ~settled(least - error, least + error)
    candidates = values[open_rays].topk(min(CANDIDATES, values.shape[1]), largest=False).indices  # (o, c)
    at = points[open_rays].gather(1, candidates[..., None].expand(-1, -1, 3))
    least[open_rays], which = field(at.flatten(0, 1)).unflatten(0, candidates.shape).min(1)
    index[open_rays] = candidates.gather(1, which[:, None]).squeeze(1)
    return index, least


def _interpolated(field: TorchField, points: Float[Tensor, "r d 3"]) -> tuple[Float[Tensor, "r d"], Float[Tensor, ""]]:
    """The field at samples in the unit sphere, linearly between the nodes of a grid, and how far off that may be.

    At a kink, as on a medial axis, it is off by what the field changes over half a cell.
    """
    ticks = torch.linspace(-1, 1, GRID, device=points.device)
    nodes = torch.stack(torch.meshgrid(ticks, ticks, ticks, indexing="ij"), dim=-1)  # (x, y, z, 3)
    around = nodes.norm(dim=-1) < 1 + 3**0.5 * 2 / (GRID - 1)  # the nodes of every cell that the sphere meets
    grid = torch.full(around.shape, torch.nan, device=points.device)
    grid[around] = field(nodes[around])
    error = torch.stack([grid.diff(dim=axis).abs().nan_to_num(0).max() for axis in range(3)]).max() / 2
    at = points.flip(-1)[None, None]  # its last axis comes first
    values = functional.grid_sample(grid.nan_to_num(0)[None, None], at, align_corners=True)
    return values[0, 0, 0], error


@torch.no_grad()
def visible(field: TorchField, points: Float[Tensor, "r d 3"]) -> tuple[Bool[Tensor, " r"], Float[Tensor, "r 3"]]:
    """Which rays meet the surface of a field, by its grid of ``search``, and where first."""
    return first_hit(_interpolated(field, points)[0], points)


def first_hit(
    values: Float[Tensor, "r d"], points: Float[Tensor, "r d 3"]
) -> tuple[Bool[Tensor, " r"], Float[Tensor, "r 3"]]:
    """Which rays meet the surface, and where first: between the last sample outside and the first one inside."""
    inside = values < 0
    met, index = inside.any(1), inside.byte().argmax(1)  # the first of the largest
    rows, before = torch.arange(len(points), device=points.device), (index - 1).clamp_min(0)
    a, b = values[rows, before], values[rows, index]
    share = torch.where(index > 0, a / (a - b).clamp_min(1e-12), torch.ones_like(a))[:, None]
    return met, torch.lerp(points[rows, before], points[rows, index], share)


def trace(field: TorchField, points: Float[Tensor, "r d 3"]) -> tuple[Bool[Tensor, " r"], Float[Tensor, "r 3"]]:
    """``visible`` of an exact distance field, by steps as long as the distance (Hart 1996), to REACHED."""
    at, ends = points[:, 0].clone(), points[:, -1]
    length = (ends - at).norm(dim=-1)
    along = (ends - at) / length[:, None]
    gone, near = torch.zeros_like(length), torch.zeros_like(length, dtype=torch.bool)
    under_way = torch.arange(len(at))
    for _ in range(MOST_STEPS):
        distance = field(at[under_way])
        near[under_way] = distance < REACHED
        gone[under_way] += distance
        under_way = under_way[(distance >= REACHED) & (gone[under_way] < length[under_way])]
        if not len(under_way):
            break
        at[under_way] = points[under_way, 0] + gone[under_way, None] * along[under_way]
    return near, at


def lambertian(
    normals: Float[Tensor, "n 3"], light: Float[Tensor, "*n 3"], *, ambient: float = 0.2
) -> Float[Tensor, " n"]:
    """The brightness of a matt surface, 0 to 1, under a distant light from the direction ``light``, one or one each."""
    return ambient + (1 - ambient) * (normals * functional.normalize(light, dim=-1)).sum(-1).clamp_min(0)
