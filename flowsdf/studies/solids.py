"""Flow-SDF's data (source 000): synthetic solids with exact distances, their images and silhouettes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from flowsdf.conventions import Field, Points
from flowsdf.geometry import implicit
from flowsdf.geometry.render import Rays, TorchField, lambertian, rays_of, search, seen_from, trace
from flowsdf.models.flow_sdf import IMAGE_SIZE
from flowsdf.studies.threads import side_by_side

DEPTHS = 48
KINDS = ("sphere", "box", "ellipsoid")
ALIKE = 0.01  # mean difference of distances, below which one solid is nearly another


class Solid(NamedTuple):
    """A synthetic shape: its kind, its exact distances, and where the camera of its one image is."""

    kind: str
    field: Field
    direction: Float[np.ndarray, "3"]


class Renders(NamedTuple):
    """One image of each shape with its camera, and which of the rays that meet the unit sphere meet the shape."""

    images: Float[Tensor, "s 3 64 64"]
    directions: Float[Tensor, "s 3"]
    inside: Bool[Tensor, "s r"]


class Front(NamedTuple):
    """A surface as one camera sees it: which rays meet it, how far into the unit sphere, and with which normals."""

    met: Bool[Tensor, " r"]
    depth: Float[Tensor, " r"]  # along the ray
    normals: Float[Tensor, "r 3"]  # outward unit normals; zeros where nothing is met


def solids(count: int, *, seed: int) -> list[Solid]:
    """Spheres, boxes and ellipsoids in turn, of random sizes, all within the unit sphere, from random directions."""
    random, found = np.random.default_rng(seed), []
    for number, direction in enumerate(random_directions(count, seed=seed)):
        kind = KINDS[number % len(KINDS)]
        if kind == "sphere":
            field = implicit.sphere(random.uniform(0.35, 0.85))
        elif kind == "box":
            field = implicit.box(random.uniform(0.5, 1.1, 3))
        else:
            field = implicit.ellipsoid(random.uniform(0.3, 0.9, 3))
        found.append(Solid(kind, field, direction))
    return found


def unlike(count: int, known: Sequence[Solid], *, seed: int) -> list[Solid]:
    """``count`` solids whose distances differ from each known one's of their kind by 0.01 or more on average."""
    points = np.random.default_rng(seed).uniform(-1, 1, (2000, 3))
    of = [(solid.kind, solid.field(points)) for solid in known]
    found = [
        solid
        for solid in solids(10 * count, seed=seed)
        if all(np.abs(solid.field(points) - sdf).mean() >= ALIKE for kind, sdf in of if kind == solid.kind)
    ]
    kinds = [[solid for solid in found if solid.kind == kind] for kind in KINDS]
    return [kinds[number % len(KINDS)][number // len(KINDS)] for number in range(count)]


def lookalikes() -> list[Solid]:
    """Two pairs whose silhouettes agree, each from one direction: ball and box, ball and deep ellipsoid.

    The box stands on a corner towards the camera, where its outline is a hexagon; the ellipsoid reaches towards it.
    """
    corner, front = np.full(3, 3**-0.5), np.array([0.0, 0.0, 1.0])
    return [
        Solid("sphere", implicit.sphere(0.65), corner),
        Solid("box", implicit.box((0.86, 0.86, 0.86)), corner),
        Solid("sphere", implicit.sphere(0.5), front),
        Solid("ellipsoid", implicit.ellipsoid((0.47, 0.47, 0.9)), front),
    ]


def training_solids(count: int, *, seed: int) -> list[Solid]:
    """``count`` shapes to train on: random ones and, last, the look-alikes."""
    pairs = lookalikes()
    return solids(count - len(pairs), seed=seed) + pairs


def random_directions(count: int, *, seed: int) -> Float[np.ndarray, "n 3"]:
    """Cameras around the shapes, no more than 60 degrees above or below them."""
    random = np.random.default_rng((seed, 1))
    turn, height = random.uniform(0, 2 * np.pi, count), random.uniform(-np.sqrt(0.75), np.sqrt(0.75), count)
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.sin(turn), height, across * np.cos(turn)], axis=1)


def render_solids(shapes: Sequence[Solid], *, size: int = IMAGE_SIZE) -> Renders:
    """Each shape from its own direction: an image lit from the camera, and its silhouette."""
    rays, directions = rays_of(size, DEPTHS), torch.from_numpy(np.stack([shape.direction for shape in shapes])).float()
    seen = true_fronts(shapes, rays, directions)
    images = shaded(seen, rays, directions)[:, None].repeat(1, 3, 1, 1)
    return Renders(images, directions, torch.stack([front.met for front in seen]))


def true_fronts(shapes: Sequence[Solid], rays: Rays, directions: Float[Tensor, "s 3"]) -> list[Front]:
    """Each solid from its direction, exactly."""
    found = []
    for shape, points in zip(shapes, seen_from(rays, directions.numpy()), strict=True):
        met, at = trace(on_tensors(shape.field), points)
        found.append(front_of(met, at, points, exact_normals(shape.field, at[met])))
    return found


def front_of(
    met: Bool[Tensor, " r"], at: Float[Tensor, "r 3"], points: Float[Tensor, "r d 3"], normals: Float[Tensor, "m 3"]
) -> Front:
    """The front of what some rays meet, from the normals there."""
    everywhere = torch.zeros_like(at)
    everywhere[met] = normals
    return Front(met, (at - points[:, 0]).norm(dim=-1), everywhere)


def shaded(seen: Sequence[Front], rays: Rays, directions: Float[Tensor, "s 3"]) -> Float[Tensor, "s h w"]:
    """Surfaces as images, each lit from the camera."""
    return torch.stack(
        [
            as_image(torch.where(of.met, lambertian(of.normals, direction), 0.0), rays)
            for of, direction in zip(seen, directions, strict=True)
        ]
    )


def on_tensors(field: Field) -> TorchField:
    """A field of numpy points as one of tensors, for any leading shape."""
    return lambda p: torch.from_numpy(field(p.reshape(-1, 3).double().numpy())).float().reshape(p.shape[:-1])


def exact_normals(field: Callable[[Points], np.ndarray], points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Outward unit normals by central differences of an exact field."""
    sides = [(field((points.double() + o).numpy()) - field((points.double() - o).numpy())) for o in 1e-4 * torch.eye(3)]
    return functional.normalize(torch.from_numpy(np.stack(sides, axis=1)).float(), dim=1)


def least_distances(fields: Sequence[TorchField], rays: Rays, directions: Float[Tensor, "s 3"]) -> Float[Tensor, "s r"]:
    """The smallest distance on each ray, of each field from its own direction."""
    tasks = list(zip(fields, seen_from(rays, directions.numpy()), strict=True))
    return torch.stack(side_by_side(lambda task: search(*task)[1], tasks))


def turned(directions: Float[Tensor, "s 3"], degrees: float) -> Float[Tensor, "s 3"]:
    """The directions after the camera went round the y axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return directions @ torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=directions.dtype).T


def as_image(values: Float[Tensor, " r"] | Bool[Tensor, " r"], rays: Rays) -> Float[Tensor, "h w"]:
    """The values of the rays that meet the unit sphere as a square image, zero elsewhere."""
    image = torch.zeros(len(rays.hit))
    image[rays.hit] = values.float()
    return image.unflatten(0, (round(len(image) ** 0.5), -1))
