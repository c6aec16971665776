"""Flow-SDF (source 000): codes from images and a shared decoder, trained through silhouettes and nothing else."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from flowsdf.conventions import Field
from flowsdf.geometry import implicit
from flowsdf.geometry.render import (
    Rays,
    TorchField,
    first_hit,
    lambertian,
    rays_of,
    search,
    seen_from,
    sparse_silhouette_loss,
)
from flowsdf.models.deepsdf import DeepSDF, evaluator
from flowsdf.models.flow_sdf import CODE_DIM, IMAGE_SIZE, ImageEncoder, silhouette_decoder
from flowsdf.studies.deepsdf import batch_at
from flowsdf.train.loop import autocast_dtype, best_device, cosine, generator_at, train
from flowsdf.train.progress import follow

DEPTHS = 48
TRUE_DEPTHS = 384  # of the true silhouettes: what lies between two samples is a sixth of a pixel wide
KINDS = ("sphere", "box", "ellipsoid")
EIKONAL_POINTS = 256  # of each shape a step
START_RADIUS = 0.5


class Solid(NamedTuple):
    """A synthetic shape: its kind and its exact distances."""

    kind: str
    field: Field


class Renders(NamedTuple):
    """One image of each shape with its camera, and which of the rays that meet the unit sphere meet the shape."""

    images: Float[Tensor, "s 3 64 64"]
    directions: Float[Tensor, "s 3"]
    inside: Bool[Tensor, "s r"]


def solids(count: int, *, seed: int) -> list[Solid]:
    """Spheres, boxes and ellipsoids in turn, of random sizes, all within the unit sphere."""
    random, found = np.random.default_rng(seed), []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        if kind == "sphere":
            field = implicit.sphere(random.uniform(0.35, 0.85))
        elif kind == "box":
            field = implicit.box(random.uniform(0.5, 1.1, 3))
        else:
            field = implicit.ellipsoid(random.uniform(0.3, 0.9, 3))
        found.append(Solid(kind, field))
    return found


def random_directions(count: int, *, seed: int) -> Float[np.ndarray, "n 3"]:
    """Cameras around the shapes, no more than 60 degrees above or below them."""
    random = np.random.default_rng(seed)
    turn, height = random.uniform(0, 2 * np.pi, count), random.uniform(-np.sqrt(0.75), np.sqrt(0.75), count)
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.sin(turn), height, across * np.cos(turn)], axis=1)


def render_fields(fields: Sequence[Field], directions: Float[np.ndarray, "s 3"], *, size: int = IMAGE_SIZE) -> Renders:
    """Each field from its own direction: a shaded image, and its silhouette by TRUE_DEPTHS samples a ray."""
    rays, images, inside = rays_of(size, TRUE_DEPTHS), [], []
    for field, direction in zip(fields, directions, strict=True):
        (points,) = seen_from(rays, direction[None])
        met, at = first_hit(on_tensors(field), points)
        shade = torch.zeros(len(met))
        shade[met] = lambertian(exact_normals(field, at[met]), torch.from_numpy(direction).float())
        image = torch.zeros(size * size)
        image[rays.hit] = shade
        images.append(image.reshape(1, size, size).expand(3, -1, -1))
        inside.append(met)
    return Renders(torch.stack(images), torch.from_numpy(directions).float(), torch.stack(inside))


def on_tensors(field: Field) -> TorchField:
    """A field of numpy points as one of tensors, for any leading shape."""
    return lambda p: torch.from_numpy(field(p.reshape(-1, 3).double().numpy())).float().reshape(p.shape[:-1])


def exact_normals(field: Field, points: Float[Tensor, "n 3"], step: float = 1e-4) -> Float[Tensor, "n 3"]:
    """Outward unit normals by central differences."""
    sides = [(field((points.double() + o).numpy()) - field((points.double() - o).numpy())) for o in step * torch.eye(3)]
    return nn.functional.normalize(torch.from_numpy(np.stack(sides, axis=1)).float(), dim=1)


class CodedDecoder(nn.Module):
    """The image encoder and the decoder of its codes, trained together."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = ImageEncoder(CODE_DIM), silhouette_decoder()


def fit_cnn(
    images: Float[Tensor, "s 3 64 64"],
    directions: Float[Tensor, "s 3"],
    inside: Bool[Tensor, "s r"],
    *,
    folder: Path | None,
    epochs: int,
    batch: int,
    rate: float,
    temperature: float,
    eikonal: float,
    start: int,
    seed: int,
) -> tuple[dict[str, Tensor], dict]:
    """Stage 1: the encoder and the decoder from one silhouette of each shape; tensors ``encoder.*``, ``decoder.*``.

    The first ``start`` steps make a sphere of every code; ``eikonal`` weighs the squared gap of the gradient's length
    to one at random points.
    """
    torch.manual_seed(seed)
    device = best_device()
    model = CodedDecoder().to(device)
    rays = rays_of(images.shape[-1], DEPTHS)
    steps = start + epochs * (len(images) // min(batch, len(images)))

    def loss_at(step: int) -> Tensor:
        shapes, _ = batch_at(seed, step, len(images), 1, batch, 1)
        codes = model.encoder(images[shapes].to(device))
        points = torch.rand(len(shapes), EIKONAL_POINTS, 3, generator=generator_at(seed, step)).to(device) * 2 - 1
        if step < start:
            return (model.decoder(codes, points) - (points.norm(dim=-1) - START_RADIUS)).abs().mean()
        loss = image_loss(model.decoder, codes, rays, directions[shapes], inside[shapes], temperature=temperature)
        if eikonal:
            loss = loss + eikonal * eikonal_loss(partial(model.decoder, codes), points)
        return loss

    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    settings = {"steps": steps, "schedule": cosine(steps), "folder": folder, "every": 500}
    curve = follow(
        train(loss_at, model, optimizer, fingerprint=f"cnn {len(images)} {steps} {seed}", **settings), "CNN", steps
    )
    return dict(model.state_dict()), {"curve": curve, "steps": steps}


def image_loss(
    decoder: DeepSDF,
    codes: Float[Tensor, "s d"],
    rays: Rays,
    directions: Float[Tensor, "s 3"],
    inside: Bool[Tensor, "s r"],
    *,
    temperature: float,
) -> Float[Tensor, ""]:
    """The silhouette loss of each code's shape from its direction, through the sparse renderer."""
    dtype = autocast_dtype(codes.device)
    looks = [evaluator(decoder, code, autocast_dtype=dtype) for code in codes.detach()]
    points = seen_from(rays, directions.numpy()).to(codes.device)
    masks = inside.to(codes.device)
    spacing = rays.spacing.to(codes.device)
    return sparse_silhouette_loss(
        partial(decoder, codes), looks, points, spacing, masks, temperature, pixels=len(rays.hit)
    )


def eikonal_loss(field: TorchField, points: Float[Tensor, "s p 3"]) -> Float[Tensor, ""]:
    """The mean squared gap between the length of the field's gradient and one."""
    points = points.requires_grad_()
    (slope,) = torch.autograd.grad(field(points).sum(), points, create_graph=True)
    return (slope.norm(dim=-1) - 1).square().mean()


def restore_cnn(tensors: dict[str, Tensor]) -> CodedDecoder:
    """The encoder and decoder of a fit, on this machine's device."""
    model = CodedDecoder()
    model.load_state_dict(tensors)
    return model.to(best_device()).eval().requires_grad_(False)


def least_distances(
    fields: Sequence[TorchField], rays: Rays, directions: Float[np.ndarray, "s 3"]
) -> Float[Tensor, "s r"]:
    """The smallest distance on each ray, of each field from its own direction."""
    points = seen_from(rays, directions)
    return torch.stack([search(f, at, rays.spacing)[1] for f, at in zip(fields, points, strict=True)])


def turned(directions: Float[np.ndarray, "s 3"], degrees: float) -> Float[np.ndarray, "s 3"]:
    """The directions after the camera went round the y axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return directions @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def as_image(values: Float[Tensor, " r"] | Bool[Tensor, " r"], rays: Rays, background: float = 0.0) -> np.ndarray:
    """The values of the rays that meet the sphere as a square image."""
    image = torch.full((len(rays.hit),), background)
    image[rays.hit] = values.float()
    side = round(len(image) ** 0.5)
    return image.reshape(side, side).numpy()
