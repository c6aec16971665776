"""How near shapes from images are to the solids themselves: their visible surfaces, and the whole of them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from flowsdf.conventions import CAMERA_DISTANCE, Field, Points, Surface
from flowsdf.evaluation.scores import score, truth_samples
from flowsdf.geometry.camera import look_at
from flowsdf.geometry.extract import extract
from flowsdf.geometry.render import Rays, seen_from, visible
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.studies.image_losses import looks, slope_of
from flowsdf.studies.scoring import RESAMPLED
from flowsdf.studies.solids import Front, Solid, as_image, front_of
from flowsdf.studies.threads import side_by_side

PIXEL = 0.03  # the width of a pixel at the origin, which keeps a hull's values from being steep
Twin = TypeVar("Twin")


def fronts(decoder: DeepSDF, codes: Float[Tensor, "s d"], rays: Rays, directions: Float[Tensor, "s 3"]) -> list[Front]:
    """The shape of each code from its direction, as the networks are trained to see it."""
    found = []
    for code, look, points in zip(codes, looks(decoder, codes), seen_from(rays, directions.numpy()), strict=True):
        met, at = visible(look, points)
        slope = slope_of(partial(decoder, code), at[met]).detach()
        found.append(front_of(met, at, points, functional.normalize(slope, dim=-1)))
    return found


def surface_errors(ours: Sequence[Front], truth: Sequence[Front]) -> pd.DataFrame:
    """Per shape, over the rays on which truth and prediction are both seen: the mean angle between their normals in
    degrees and the mean gap in depth; 90 degrees and the sphere's diameter where nothing is."""
    lines = []
    for own, true in zip(ours, truth, strict=True):
        both = own.met & true.met
        cosine = (own.normals[both] * true.normals[both]).sum(-1)
        angle = torch.rad2deg(torch.acos(cosine.clamp(-1, 1))).mean().item() if both.any() else 90.0
        depth = (own.depth - true.depth)[both].abs().mean().item() if both.any() else 2.0
        lines.append({"normal error": angle, "depth error": depth})
    return pd.DataFrame(lines)


def hull_depth_error(truth: Sequence[Front], rays: Rays) -> float:
    """The mean gap in depth between each solid and its visual hull, which begins where rays meet the unit sphere."""
    before = (rays.points[:, 1] - rays.points[:, 0]).norm(dim=-1) / 2  # the first sample
    return float(np.mean([(true.depth + before)[true.met].mean() for true in truth]))


def twins(alike: Sequence[Twin]) -> list[Twin]:
    """Look-alikes, twins side by side, with each in its twin's place."""
    return [alike[number ^ 1] for number in range(len(alike))]


def relief_towards(ours: Sequence[Front], truth: Sequence[Front]) -> Float[np.ndarray, " s"]:
    """Of look-alikes, twins side by side: 1 where the relief is the shape's own, -1 where it is its twin's.

    It is the gap to the twin's relief less that to its own, over the gap between the two, on the rays that meet all
    three; -1 where there are none. Relief is depth less its mean: neither outline nor shading says how far away a
    shape is (Eigen 2014 leaves the same freedom to the depth from one image).
    """
    found = []
    for own, true, twin in zip(ours, truth, twins(truth), strict=True):
        all_three = own.met & true.met & twin.met
        depths = torch.stack([front.depth[all_three] for front in (own, true, twin)])
        mine, right, wrong = depths - depths.mean(1, keepdim=True)
        to_own, to_twin, between = ((a - b).abs().sum() for a, b in ((mine, right), (mine, wrong), (right, wrong)))
        found.append(((to_twin - to_own) / between).item() if all_three.any() else -1.0)
    return np.array(found)


def told_apart(ours: Sequence[Front], truth: Sequence[Front]) -> float:
    """1 if the relief of each look-alike is nearer to its own than to its twin's, else 0."""
    return float((relief_towards(ours, truth) > 0).all())


def hull(mask: Bool[Tensor, " r"], direction: Float[Tensor, "3"], rays: Rays) -> Field:
    """The visual hull of one silhouette within the unit sphere, negative inside; its values are no distances."""
    image = as_image(mask, rays)[None, None]
    pose, half = look_at(CAMERA_DISTANCE * direction.numpy())[:3, :3], np.tan(np.arcsin(1 / CAMERA_DISTANCE))

    def value(points: Points) -> np.ndarray:
        x, y, z = (points @ pose).T  # in the camera's frame
        at = np.stack([x, -y], axis=1) / ((CAMERA_DISTANCE - z) * half)[:, None]
        covered = functional.grid_sample(image, torch.from_numpy(at).float()[None, None], align_corners=False)
        return np.maximum(PIXEL * (0.5 - covered[0, 0, 0].numpy()), np.linalg.norm(points, axis=1) - 1)

    return value


def solid_scores(
    rows: Mapping[str, Sequence[Field]],
    shapes: Sequence[Solid],
    *,
    resolution: int,
    surface_points: int,
    volume_points: int,
) -> pd.DataFrame:
    """One line per row and shape: the scores of the protocol against the exact solid."""
    counts = {"surface_points": surface_points, "volume_points": volume_points}

    def lines(number: int) -> list[dict]:
        shape = shapes[number]
        surface = extract(shape.field, resolution)
        truth = truth_samples(surface.mesh, lambda points: shape.field(points) < 0, seed=number, **counts)
        answers: dict[str, Surface] = {name: extract(of[number], resolution) for name, of in rows.items()}
        answers |= {"floor": surface}
        named = {"shape": number, "kind": shape.kind}
        seed = RESAMPLED + number
        return [{"row": name} | named | score(answer, truth, seed=seed) for name, answer in answers.items()]

    scored = side_by_side(lines, range(len(shapes)), label="solids")
    return pd.DataFrame(line for of in scored for line in of)
