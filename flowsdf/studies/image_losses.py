"""What images say about the codes of shapes: their silhouettes, their shading, and that their fields are distances."""

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from flowsdf.geometry.render import Rays, TorchField, lambertian, seen_from, sparse_silhouette_loss, visible
from flowsdf.models.deepsdf import DeepSDF, evaluator
from flowsdf.train.loop import autocast_dtype

GRAZING = 0.1  # the least cosine between a ray and a normal for which the surface moves
SHADED_POINTS = 400  # of each shape a step


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
    points = seen_from(rays, directions.numpy()).to(codes.device)
    masks, field = inside.to(codes.device), partial(decoder, codes)
    found = searches(decoder, codes)
    return sparse_silhouette_loss(field, found, points, masks, temperature, pixels=len(rays.hit))


def searches(decoder: DeepSDF, codes: Float[Tensor, "s d"]) -> list[tuple[TorchField, TorchField]]:
    """The field of each code as the sparse renderer looks for its surface: at a glance, and exactly."""
    return list(zip(glances(decoder, codes), looks(decoder, codes), strict=True))


def looks(decoder: DeepSDF, codes: Float[Tensor, "s d"]) -> list[TorchField]:
    """The field of each code without a gradient."""
    return [evaluator(decoder, code) for code in codes.detach()]


def glances(decoder: DeepSDF, codes: Float[Tensor, "s d"]) -> list[TorchField]:
    """``looks`` in the precision in which this machine is fastest."""
    dtype = autocast_dtype(codes.device)
    return [evaluator(decoder, code, autocast_dtype=dtype) for code in codes.detach()]


def eikonal_loss(field: TorchField, points: Float[Tensor, "s p 3"]) -> Float[Tensor, ""]:
    """The mean squared gap between the length of the field's gradient and one."""
    return (slope_of(field, points).norm(dim=-1) - 1).square().mean()


def slope_of(field: TorchField, points: Float[Tensor, "*s 3"]) -> Float[Tensor, "*s 3"]:
    """The gradient of the field at points, differentiable in what the field and the points depend on."""
    points = points if points.requires_grad else points.detach().requires_grad_()
    (slope,) = torch.autograd.grad(field(points).sum(), points, create_graph=True)
    return slope


def shading_loss(
    decoder: DeepSDF,
    codes: Float[Tensor, "s d"],
    rays: Rays,
    directions: Float[Tensor, "s 3"],
    inside: Bool[Tensor, "s r"],
    seen: Float[Tensor, "s r"],
    random: torch.Generator,
) -> Float[Tensor, ""]:
    """The mean squared error of the Lambertian brightness on rays that meet the shape and should.

    The surface is found without a gradient; the point moves along its ray as the field changes (Yariv 2020, eq. 3), and
    its normal is the field's slope there.
    """
    at, along, light, brightness, owner = [], [], [], [], []
    points = seen_from(rays, directions.numpy()).to(codes.device)
    for number, glance in enumerate(glances(decoder, codes)):
        met, first = visible(glance, points[number])
        both = (met.cpu() & inside[number]).nonzero().squeeze(1)
        both = both[torch.randperm(len(both), generator=random)[:SHADED_POINTS]]
        chosen = both.to(first.device)
        at.append(first[chosen])
        along.append(functional.normalize(points[number, chosen, -1] - points[number, chosen, 0], dim=-1))
        light.append(directions[number].expand(len(both), 3))
        brightness.append(seen[number, both])
        owner += [number] * len(both)
    if not owner:
        return codes.sum() * 0
    surface = moving(lambda p: decoder(codes[owner], p[:, None])[:, 0], torch.cat(at), torch.cat(along))
    slope = slope_of(lambda p: decoder(codes[owner], p[:, None])[:, 0], surface)
    ours = lambertian(functional.normalize(slope, dim=-1), torch.cat(light).to(codes.device))
    return (ours - torch.cat(brightness).to(codes.device)).square().mean()


def moving(field: TorchField, points: Float[Tensor, "n 3"], along: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Points of the field's surface with the derivative by which they move along their rays when the field changes."""
    value, slope = field(points), slope_of(field, points).detach()
    facing = (slope * along).sum(-1).clamp(max=-GRAZING)  # rays come from outside
    return points - ((value - value.detach()) / facing)[:, None] * along
