"""What a flow of codes is held to: nearness to its targets, gradients in all parts, time, samples that differ."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowsdf.evaluation.weight_cloud import ious_of_pairs
from flowsdf.geometry.render import Rays
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.models.flow_sdf import CODE_DIM, CnnShapes, FlowShapes
from flowsdf.studies.flow_sdf import Tensors, codes_of, decoder_of, fit_flow, restore
from flowsdf.studies.image_losses import image_loss, looks
from flowsdf.studies.silhouettes import mask_ious, masks_of
from flowsdf.studies.solids import Renders, as_image
from flowsdf.train.fits import Job
from flowsdf.train.loop import generator_at

COVERED = ", half covered"
PARTS = ("conditioner", "velocity", "decoder")
SAMPLE_SEED = 2**34
APART = 0.1  # of how far the shapes of other images are apart, from which on samples of one image count as different
AGREEMENT = 0.9  # mean IoU with their image, from which on samples count as shapes
DRAWN = 16  # samples whose silhouettes are drawn


def nearness(codes: Float[Tensor, "s d"], targets: Float[Tensor, "s d"]) -> dict[str, float]:
    """Mean cosine to the targets, also less the targets' mean, norm, and the cosine of the mean code."""
    mean = targets.mean(0)
    cosine = torch.nn.functional.cosine_similarity
    return {
        "cosine": cosine(codes, targets).mean().item(),
        "centred cosine": cosine(codes - mean, targets - mean).mean().item(),
        "norm": codes.norm(dim=1).mean().item(),
        "cosine of the mean code": cosine(mean[None], targets).mean().item(),
    }


def gradient_norms(
    tensors: Tensors,
    images: Float[Tensor, "s 3 64 64"],
    rays: Rays,
    directions: Float[Tensor, "s 3"],
    inside: Bool[Tensor, "s r"],
    *,
    temperature: float,
) -> dict[str, float]:
    """The norm of the silhouette loss's gradient in each part of a flow, and the seconds forward and backward."""
    model = restore(tensors)
    began = time.perf_counter()
    codes = model.codes(images, torch.randn(len(images), CODE_DIM, generator=generator_at(SAMPLE_SEED, 0)))
    loss = image_loss(model.decoder, codes, rays, directions, inside, temperature=temperature)
    between = time.perf_counter()
    loss.backward()
    ended = time.perf_counter()
    norms = {}
    for part in PARTS:
        slopes = [p.grad.flatten() for p in model.get_submodule(part).parameters() if p.grad is not None]
        norms[part] = torch.cat(slopes).norm().item() if slopes else 0.0
    return norms | {"forward": between - began, "backward": ended - between}


def inference_seconds(model: CnnShapes | FlowShapes, image: Float[Tensor, "1 3 64 64"], *, rounds: int = 30) -> float:
    """The median time from one image to its code."""
    noise, seconds = torch.randn(1, CODE_DIM, generator=generator_at(SAMPLE_SEED, 1)), []
    with torch.inference_mode():
        for _ in range(rounds):
            began = time.perf_counter()
            model.codes(image, noise)
            seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def sampled(
    models: Mapping[str, CnnShapes | FlowShapes], image: Float[Tensor, "3 64 64"], count: int, *, seed: int
) -> dict[str, Float[Tensor, "n 128"]]:
    """``count`` codes of each model for one image, each from its own noise, and as many with half of it covered."""
    seen = {"": image, COVERED: image * (torch.arange(image.shape[-1]) < image.shape[-1] // 2)}
    return {
        name + how: codes_of(model, picture.expand(count, -1, -1, -1), seed=seed + SAMPLE_SEED)
        for how, picture in seen.items()
        for name, model in models.items()
    }


def spread(codes: Float[Tensor, "n d"]) -> float:
    """The root mean squared distance of codes from their mean."""
    return (codes - codes.mean(0)).square().sum(1).mean().sqrt().item()


def apart(decoder: DeepSDF, codes: Float[Tensor, "n d"], *, points: int = 4000) -> float:
    """How far the shapes of codes are apart: one less the IoU of two, a mean over pairs, at points of the cube."""
    at = 2 * torch.rand(points, 3, generator=generator_at(SAMPLE_SEED, 4)) - 1
    inside = torch.stack([look(at) < 0 for look in looks(decoder, codes)]).numpy()
    return float(1 - ious_of_pairs(inside, inside)[~np.eye(len(codes), dtype=bool)].mean())


def ambiguous_job(
    stage1: Tensors, image: Float[Tensor, "3 64 64"], targets: Float[Tensor, "2 128"], numbers: dict, *, inputs: dict
) -> Job:
    """A flow that is shown one image with two codes, by the velocity's loss alone: it has to find both.

    ``numbers`` are those of the flow it is a control of; steps and seed are taken over.
    """
    images = image.expand(2, -1, -1, -1).contiguous()
    parameters = numbers | {"batch": 2, "rate": 1e-3, "scaled": True, "sampling": 0.0}
    return Job(fit_flow, (stage1, images, targets), parameters, inputs | {"images": "one of two codes"})


def share_of_first(codes: Float[Tensor, "n d"], targets: Float[Tensor, "2 d"]) -> float:
    """The share of codes that are nearer to the first target than to the second."""
    return (torch.cdist(codes, targets).argmin(1) == 0).float().mean().item()


def sample_table(
    drawn: Mapping[str, Float[Tensor, "n 128"]],
    models: Mapping[str, CnnShapes | FlowShapes],
    rays: Rays,
    direction: Float[Tensor, "3"],
    inside: Bool[Tensor, " r"],
    known: Mapping[str, Float[Tensor, "s 128"]],
) -> pd.DataFrame:
    """Codes drawn for one image, by run: their spread and how far their shapes are ``apart``, both over those of the
    ``known`` codes of different images in that run; and the mean IoU of the first DRAWN silhouettes with the image.
    """
    rows = []
    for name, codes in drawn.items():
        run, drawn_of = name.removesuffix(COVERED), codes[:DRAWN]
        masks = masks_of(looks(models[run].decoder, drawn_of), rays, direction.expand(len(drawn_of), 3))
        agreement = float(mask_ious(masks, inside.expand(len(drawn_of), -1)).mean())
        decoder, others = models[run].decoder, known[run]
        between = max(apart(decoder, others), 1e-9)  # of shapes that are all alike, or none
        ours = {"spread": spread(codes) / spread(others), "apart": apart(decoder, codes) / between}
        rows.append({"run": name, **ours, "agreement": agreement})
    return pd.DataFrame(rows)


def differ(table: pd.DataFrame) -> dict[str, float]:
    """Per run 1 if the shapes of its samples differ by APART and agree with their image by AGREEMENT, else 0."""
    found = (table.apart > APART) & (table.agreement >= AGREEMENT)
    return dict(zip(table.run, found.astype(float), strict=True))


def refinement(
    model: FlowShapes, seen: Renders, targets: Float[Tensor, "s 128"], rays: Rays, *, steps: Sequence[int], seed: int
) -> pd.DataFrame:
    """Per number of Euler steps: the mean cosine to the targets, and the mean IoU of the training views."""
    noise, rows = torch.randn(len(targets), CODE_DIM, generator=generator_at(seed + SAMPLE_SEED, 2)), []
    for count in steps:
        with torch.no_grad():
            codes = torch.stack(model.path(seen.images, noise, steps=count))[-1]
        masks = masks_of(looks(model.decoder, codes), rays, seen.directions)
        cosine = torch.nn.functional.cosine_similarity(codes, targets).mean().item()
        rows.append({"steps": count, "cosine": cosine, "mask IoU": float(mask_ious(masks, seen.inside).mean())})
    return pd.DataFrame(rows)


def walks(
    models: Mapping[str, FlowShapes],
    shapes: Mapping[str, int],
    seen: Renders,
    targets: Float[Tensor, "s 128"],
    rays: Rays,
) -> tuple[dict[str, dict[str, dict[str, np.ndarray]]], dict[str, np.ndarray]]:
    """For some shapes, named with their numbers: the way of every model from one noise, and the true silhouette."""
    noise = torch.randn(1, CODE_DIM, generator=generator_at(SAMPLE_SEED, 3))
    ways = {
        name: {run: walk(m, seen.images[i], targets[i], noise, rays, seen.directions[i]) for run, m in models.items()}
        for name, i in shapes.items()
    }
    return ways, {name: as_image(seen.inside[i], rays).numpy() for name, i in shapes.items()}


def walk(
    model: FlowShapes,
    image: Float[Tensor, "3 64 64"],
    target: Float[Tensor, " 128"],
    noise: Float[Tensor, "1 128"],
    rays: Rays,
    direction: Float[Tensor, "3"],
) -> dict[str, np.ndarray]:
    """A flow's way from noise to a code, step by step.

    ``towards`` is how far it has gone along the straight line to the target, and last the length of that line;
    ``aside`` how far it is off the line; ``cosine`` that to the target; ``masks`` the silhouettes (k, h, w).
    """
    with torch.no_grad():
        codes = torch.cat(model.path(image[None], noise))
    line = target - codes[0]
    towards = (codes - codes[0]) @ line / line.norm()
    aside = (codes - codes[0] - towards[:, None] * line / line.norm()).norm(dim=1)
    masks = masks_of(looks(model.decoder, codes), rays, direction.expand(len(codes), 3))
    return {
        "towards": torch.cat((towards, line.norm()[None])).numpy(),
        "aside": aside.numpy(),
        "cosine": torch.nn.functional.cosine_similarity(codes, target[None]).numpy(),
        "masks": torch.stack([as_image(mask, rays) for mask in masks]).numpy(),
    }


def same_decoder(a: Tensors, b: Tensors) -> float:
    """1 if the decoders of two fits are equal to the last bit, else 0."""
    first, second = decoder_of(a), decoder_of(b)
    return float(first.keys() == second.keys() and all(torch.equal(t, second[name]) for name, t in first.items()))


def stack_table() -> pd.DataFrame:
    """Module by module: this study beside the systems whose stack it claims to share."""
    rows = [
        ("image conditioner", "CNN of four convolutions", "DINOv2"),
        ("flow", "six residual layers with adaptive norms, 8 Euler steps", "diffusion transformer"),
        ("shape decoder", "coordinates and code to distance", "transformer VAE on point queries, or sparse voxels"),
        ("supervision", "silhouettes, then shading", "3-D shapes"),
    ]
    return pd.DataFrame(rows, columns=["part", "here", "Hunyuan3D, TRELLIS"])


def parameters_of(build: Callable[[], CnnShapes | FlowShapes]) -> dict[str, int]:
    """The number of parameters of each part of a model."""
    return {name: sum(p.numel() for p in part.parameters()) for name, part in build().named_children()}
