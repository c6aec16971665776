"""Flow-SDF (source 000): codes from images and a shared decoder, trained through images and nothing else.

Stage 1 is a CNN; stage 2 a rectified flow that first learns the CNN's codes, then all of it through silhouettes;
stage 3 adds shading. All three are fitted by ``fit_through_images``, from where the stage before ended.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from flowsdf.generative.flow import STEPS, starts, trajectory, velocity_loss
from flowsdf.geometry.render import rays_of
from flowsdf.models.flow_sdf import CODE_DIM, CnnShapes, FlowShapes, start_as_sphere
from flowsdf.studies.deepsdf import batch_at
from flowsdf.studies.image_losses import eikonal_loss, image_loss, shading_loss
from flowsdf.studies.solids import DEPTHS
from flowsdf.train.loop import best_device, cosine, generator_at, train
from flowsdf.train.progress import follow

START_RADIUS = 0.35
SHORT = 0.1  # of their usual length are codes at the start, which is about the study's
EIKONAL_POINTS = 256  # of each shape a step
NOISES = 16  # for each image in a step of the flow
CODE_SEED = 2**33  # of the noise, apart from the seeds of the points
Tensors = dict[str, Tensor]


def restore(tensors: Tensors) -> CnnShapes | FlowShapes:
    """The networks of a fit, on the CPU, which is where they are judged."""
    model = (FlowShapes if "scale" in tensors else CnnShapes)(decoder_width=width_of(tensors))
    model.load_state_dict(tensors)
    return model.eval()


def codes_of(model: CnnShapes | FlowShapes, images: Float[Tensor, "s 3 64 64"], *, seed: int) -> Float[Tensor, "s 128"]:
    """The codes of images; a flow's from the noise of ``seed``."""
    noise = torch.randn(len(images), CODE_DIM, generator=generator_at(seed + CODE_SEED, 0))
    with torch.no_grad():
        return model.codes(images, noise)


def untrained(images: Float[Tensor, "s 3 64 64"], *, sphere: bool, width: int, seed: int) -> Tensors:
    """Stage 1 before its first step: a CNN with short codes, and a decoder, about a ball for each if ``sphere``."""
    torch.manual_seed(seed)
    model = CnnShapes(width)
    with torch.no_grad():
        model.encoder.out.weight.mul_(SHORT)
        if sphere:
            start_as_sphere(model.decoder, model.encoder(images), START_RADIUS)
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def fit_to_distances(
    start: Tensors,
    images: Float[Tensor, "s 3 64 64"],
    points: Float[Tensor, "s n 3"],
    sdf: Float[Tensor, "s n"],
    *,
    folder: Path | None,
    steps: int,
    batch: int,
    points_per_step: int,
    rate: float,
    seed: int,
) -> tuple[Tensors, dict]:
    """The control: the networks of stage 1, trained on distances instead of silhouettes."""
    model = restore(start).to(best_device())

    def loss_at(step: int) -> Tensor:
        shapes, chosen = batch_at(seed, step, len(images), points.shape[1], batch, points_per_step)
        codes, *_ = _drawn(model, images, seed, step, batch)
        at, truth = (part[shapes[:, None], chosen].to(codes.device) for part in (points, sdf))
        return (model.decoder(codes, at) - truth).abs().mean()

    return _fitted(loss_at, model, "distances", folder=folder, steps=steps, rate=rate, seed=seed)


def fit_flow(
    stage1: Tensors,
    images: Float[Tensor, "s 3 64 64"],
    targets: Float[Tensor, "s 128"],
    *,
    folder: Path | None,
    steps: int,
    batch: int,
    rate: float,
    scaled: bool,
    sampling: float,
    seed: int,
) -> tuple[Tensors, dict]:
    """Stage 2, phase 1: a flow from noise to the target codes, beside the decoder of stage 1, which it keeps.

    ``scaled`` gives the noise the targets' standard deviation, instead of one; ``sampling`` weighs the squared error of
    the codes that all Euler steps lead to, beside that of the velocity.
    """
    torch.manual_seed(seed)
    device = best_device()
    model = FlowShapes(float(targets.std(0).square().mean().sqrt()) if scaled else 1.0, width_of(stage1))
    model.decoder.load_state_dict(decoder_of(stage1))
    model.to(device)
    model.decoder.requires_grad_(False)
    size = float(targets.square().mean())  # so that a loss of one says no more than zero

    def loss_at(step: int) -> Tensor:
        random = generator_at(seed, step)
        shapes, _ = batch_at(seed, step, len(images), 1, batch, 1)
        velocity, data = model.velocity_of(images[shapes].to(device)), targets[shapes].to(device)
        noise = model.scale * torch.randn(NOISES * len(data), CODE_DIM, generator=random).to(device)
        t = (torch.arange(NOISES) + torch.rand(NOISES, generator=random)) / NOISES  # one in each part of the way
        modulation = model.times(t).repeat_interleave(len(data), 0)  # of every image's noise at that time
        all_data, all_t = data.repeat(NOISES, 1), t.repeat_interleave(len(data)).to(device)
        loss = velocity_loss(lambda z, _: velocity(z, modulation), noise, all_data, all_t)
        if sampling:
            reached = trajectory(velocity, noise[: len(data)], model.times(starts(STEPS)))[-1]
            loss = loss + sampling * (reached - data).square().mean()
        return loss / size

    return _fitted(loss_at, model, "flow", folder=folder, steps=steps, rate=rate, seed=seed)


def decoder_of(tensors: Tensors) -> Tensors:
    """The tensors of the decoder in a fit."""
    return {name.removeprefix("decoder."): t for name, t in tensors.items() if name.startswith("decoder.")}


def width_of(tensors: Tensors) -> int:
    """The width of the decoder in a fit."""
    return tensors["decoder.out.weight"].shape[1]


def fit_through_images(
    start: Tensors,
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
    shading: float,
    seed: int,
) -> tuple[Tensors, dict]:
    """All networks of ``start``, from one image of each shape and nothing else.

    The loss is the silhouette's at ``temperature``, plus ``eikonal`` times the squared gap of the field's slope to one
    at random points, plus ``shading`` times the squared error of the brightness where shape and image are both seen.
    """
    model = restore(start).to(best_device())
    rays = rays_of(images.shape[-1], DEPTHS)
    seen = images[:, 0].flatten(1)[:, rays.hit]

    def loss_at(step: int) -> Tensor:
        codes, shapes, points = _drawn(model, images, seed, step, batch)
        given = (rays, directions[shapes], inside[shapes])
        loss = image_loss(model.decoder, codes, *given, temperature=temperature)
        if eikonal:
            loss = loss + eikonal * eikonal_loss(partial(model.decoder, codes), points)
        if shading:
            loss = loss + shading * shading_loss(model.decoder, codes, *given, seen[shapes], generator_at(seed, step))
        return loss

    steps = epochs * (len(images) // min(batch, len(images)))
    return _fitted(loss_at, model, "images", folder=folder, steps=steps, rate=rate, seed=seed)


def _drawn(
    model: CnnShapes | FlowShapes, images: Tensor, seed: int, step: int, batch: int
) -> tuple[Float[Tensor, "b 128"], Tensor, Float[Tensor, "b p 3"]]:
    """The codes of one step's shapes, which shapes those are, and random points for each."""
    shapes, _ = batch_at(seed, step, len(images), 1, batch, 1)
    random, device = generator_at(seed, step), next(model.parameters()).device
    points = torch.rand(len(shapes), EIKONAL_POINTS, 3, generator=random) * 2 - 1
    noise = torch.randn(len(shapes), CODE_DIM, generator=random)
    return model.codes(images[shapes].to(device), noise.to(device)), shapes, points.to(device)


def _fitted(
    loss_at: Callable[[int], Tensor],
    model: nn.Module,
    name: str,
    *,
    folder: Path | None,
    steps: int,
    rate: float,
    seed: int,
) -> tuple[Tensors, dict]:
    """What training makes of a model, by Adam at a rate that falls to zero, with its loss curve."""
    model.train()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate, fused=True)
    fingerprint = f"{name} {steps} {rate} {seed}"
    settings = {"steps": steps, "schedule": cosine(steps), "folder": folder, "every": 200, "fingerprint": fingerprint}
    curve = follow(train(loss_at, model, optimizer, **settings), name, steps)
    return {key: tensor.detach() for key, tensor in model.state_dict().items()}, {"curve": curve, "steps": steps}
