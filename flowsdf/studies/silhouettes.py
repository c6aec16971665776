"""How well codes learned from images are shapes: their silhouettes from other angles, and the solids themselves."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from flowsdf.conventions import CAMERA_DISTANCE, Field, Points, Surface
from flowsdf.evaluation.intervals import bootstrap_interval
from flowsdf.evaluation.scores import iou, score, truth_samples
from flowsdf.geometry import implicit
from flowsdf.geometry.camera import look_at
from flowsdf.geometry.extract import extract
from flowsdf.geometry.render import (
    Rays,
    TorchField,
    lambertian,
    least_of_all,
    search,
    seen_from,
    silhouette_loss,
    trace,
    visible,
)
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.studies.image_losses import looks, slope_of
from flowsdf.studies.solids import Renders, Solid, as_image, exact_normals, least_distances, on_tensors, turned
from flowsdf.train.progress import progress

ANGLES = (0, 45, 90, 180, 270)  # degrees around y from the training view
PIXEL = 0.03  # the width of a pixel at the origin, which keeps a hull's values from being steep
OUTLINE, MISSED = 0.1, 0.002  # distance from the surface of rays that matter; error from which on one is missed
RIGHT = 0.9  # mean IoU from which on the silhouettes of a kind count as right


def masks_of(fields: Sequence[TorchField], rays: Rays, directions: Float[Tensor, "s 3"]) -> Bool[Tensor, "s r"]:
    """Which rays meet each field's shape by 48 samples, the way the networks are trained."""
    points = seen_from(rays, directions.numpy())
    found = [search(f, at, settled=lambda low, high: low * high > 0) for f, at in zip(fields, points, strict=True)]
    return torch.stack([least < 0 for _, least in found])


def true_masks(shapes: Sequence[Solid], rays: Rays, directions: Float[Tensor, "s 3"]) -> Bool[Tensor, "s r"]:
    """Which rays meet each solid, exactly."""
    points = seen_from(rays, directions.numpy())
    return torch.stack([trace(on_tensors(s.field), at)[0] for s, at in zip(shapes, points, strict=True)])


def mask_ious(a: Bool[Tensor, "s r"], b: Bool[Tensor, "s r"]) -> Float[np.ndarray, " s"]:
    """Intersection over union of each pair of silhouettes; 1 where both are empty."""
    return np.array([iou(one, other) for one, other in zip(a.numpy(), b.numpy(), strict=True)])


def view_scores(
    rows: Mapping[str, Sequence[TorchField]], shapes: Sequence[Solid], rays: Rays, directions: Float[Tensor, "s 3"]
) -> pd.DataFrame:
    """One line per row, angle and shape: the IoU of its silhouette with the true one."""
    tables = []
    for angle in ANGLES:
        around = turned(directions, angle)
        truth = true_masks(shapes, rays, around)
        for name, fields in rows.items():
            ious = mask_ious(masks_of(fields, rays, around), truth)
            kinds = [shape.kind for shape in shapes]
            tables.append(
                pd.DataFrame({"row": name, "angle": angle, "shape": range(len(ious)), "kind": kinds, "iou": ious})
            )
    return pd.concat(tables, ignore_index=True)


def thin_solids() -> list[Field]:
    """A plate and a wire, thinner than the distance between two samples of a ray."""
    return [implicit.box((1.2, 0.03, 0.9)), implicit.placed(implicit.cylinder(0.015, 1.6), offset=(0.2, 0.0, -0.1))]


def misses(answers: Mapping[str, Sequence[TorchField]], rays: Rays, directions: Float[Tensor, "s 3"]) -> pd.DataFrame:
    """Per row: how many rays a silhouette depends on, the share whose least distance is missed, and the most missed."""
    lines = []
    for name, fields in answers.items():
        points = seen_from(rays, directions.numpy())[: len(fields)]
        gaps = []
        for field, at in zip(fields, points, strict=True):
            with torch.no_grad():
                truth = least_of_all(field, at)
            gaps.append((search(field, at)[1] - truth)[truth.abs() < OUTLINE])
        gap = torch.cat(gaps)
        missed = (gap > MISSED).float().mean().item()
        lines.append({"row": name, "rays": len(gap), "missed": missed, "worst": gap.max().item()})
    return pd.DataFrame(lines)


def by_angle(scores: pd.DataFrame) -> pd.DataFrame:
    """The mean IoU of every row, angle and kind with its bootstrap interval over shapes."""
    lines = []
    for (row, angle), group in scores.groupby(["row", "angle"], sort=False):
        line: dict[str, object] = {"row": row, "angle": angle, "n": len(group)}
        for kind, values in group.groupby("kind", sort=False).iou:
            few = len(values) < 2
            mean, low, high = (values.mean(), np.nan, np.nan) if few else bootstrap_interval(values.to_numpy(), seed=0)
            line[str(kind)] = f"{mean:.3f}" if few else f"{mean:.3f} [{low:.3f}, {high:.3f}]"
        lines.append(line)
    return pd.DataFrame(lines)


def seen_right(scores: pd.DataFrame, row: str) -> float:
    """1 if from every angle but the trained one the mean IoU of each kind is at least RIGHT, else 0."""
    novel = scores[(scores.row == row) & (scores.angle != 0)]
    return float((novel.groupby(["angle", "kind"]).iou.mean() >= RIGHT).all())


def training_views(
    fields: Sequence[TorchField], shapes: Sequence[Solid], renders: Renders, rays: Rays, temperature: float
) -> dict[str, float]:
    """How the training views are met: the silhouette loss, that of the exact distances, the excess, and mask IoUs."""
    exact = [on_tensors(shape.field) for shape in shapes]
    least, true = (least_distances(of, rays, renders.directions) for of in (fields, exact))
    loss, floor = (silhouette_loss(d, renders.inside, temperature, pixels=len(rays.hit)).item() for d in (least, true))
    ious = mask_ious(least < 0, renders.inside)
    losses = {"silhouette loss": loss, "of the exact distances": floor, "excess": loss - floor}
    return losses | {"mask IoU": float(ious.mean()), "least mask IoU": float(ious.min())}


def mean_slope(decoder: DeepSDF, codes: Float[Tensor, "s d"], *, points: int = 500) -> float:
    """The mean length of the fields' gradient at random points of the cube: 1 for distances."""
    at = 2 * torch.rand(len(codes), points, 3, generator=torch.Generator().manual_seed(0)) - 1
    return slope_of(lambda p: decoder(codes, p), at.to(codes.device)).norm(dim=-1).mean().item()


def surface_errors(
    decoder: DeepSDF, codes: Float[Tensor, "s d"], shapes: Sequence[Solid], rays: Rays, directions: Float[Tensor, "s 3"]
) -> pd.DataFrame:
    """Per shape, over the rays on which truth and prediction are both seen: the mean angle between their normals in
    degrees and the mean gap in depth; 90 degrees and the sphere's diameter where nothing is."""
    lines = []
    for code, shape, look, points in zip(
        codes, shapes, looks(decoder, codes), seen_from(rays, directions.numpy()), strict=True
    ):
        (met, ours), (meets, true) = visible(look, points), trace(on_tensors(shape.field), points)
        both = met & meets
        cosine = (normals_of(decoder, code, ours[both]) * exact_normals(shape.field, true[both])).sum(-1)
        angle = torch.rad2deg(torch.acos(cosine.clamp(-1, 1))).mean().item() if len(cosine) else 90.0
        depth = (ours - true)[both].norm(dim=-1).mean().item() if len(cosine) else 2.0
        lines.append({"kind": shape.kind, "normal error": angle, "depth error": depth})
    return pd.DataFrame(lines)


def hull_depth_error(shapes: Sequence[Solid], rays: Rays, directions: Float[Tensor, "s 3"]) -> float:
    """The mean gap in depth between each solid and its visual hull, which begins where rays meet the unit sphere."""
    gaps = []
    for shape, points in zip(shapes, seen_from(rays, directions.numpy()), strict=True):
        met, true = trace(on_tensors(shape.field), points)
        gaps.append((true - points[:, 0])[met].norm(dim=-1).mean())
    return torch.stack(gaps).mean().item()


def normals_of(decoder: DeepSDF, code: Float[Tensor, " d"], points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """The unit slope of a code's field at points."""
    return functional.normalize(slope_of(lambda p: decoder(code, p), points).detach(), dim=-1)


def angle_pictures(
    fields: Sequence[TorchField], shapes: Sequence[Solid], rays: Rays, directions: Float[Tensor, "s 3"]
) -> tuple[list[np.ndarray], list[str]]:
    """The first solid of each kind from every angle, with titles.

    White where prediction and truth are, red where only the prediction is, blue where only the truth.
    """
    pictures, titles = [], []
    for kind in dict.fromkeys(shape.kind for shape in shapes):
        one = next(i for i, shape in enumerate(shapes) if shape.kind == kind)
        for angle in ANGLES:
            around = turned(directions[one : one + 1], angle)
            (mask,), (truth,) = masks_of(fields[one : one + 1], rays, around), true_masks([shapes[one]], rays, around)
            channels = [as_image(part, rays) for part in (mask, mask & truth, truth)]
            pictures.append((255 * torch.stack(channels, dim=-1)).byte().numpy())
            titles.append(f"{kind}, {f'{angle} degrees' if angle else 'training view'}")
    return pictures, titles


def shaded(
    decoder: DeepSDF, codes: Float[Tensor, "s d"], rays: Rays, directions: Float[Tensor, "s 3"]
) -> Float[Tensor, "s h w"]:
    """The shape of each code from its direction, lit from there."""
    images = []
    points = seen_from(rays, directions.numpy())
    for code, look, at, direction in zip(codes, looks(decoder, codes), points, directions, strict=True):
        met, surface = visible(look, at)
        shade = torch.zeros(len(met))
        shade[met] = lambertian(normals_of(decoder, code, surface[met]), direction)
        images.append(as_image(shade, rays))
    return torch.stack(images)


def told_apart(images: Float[Tensor, "s h w"], truth: Float[Tensor, "s h w"]) -> float:
    """1 if each image, look-alikes side by side, is nearer to its own true image than to its twin's, else 0."""
    twin = truth.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    own, other = ((images - of).square().mean((1, 2)) for of in (truth, twin))
    return float((own < other).all())


def gray(image: Float[Tensor, "h w"]) -> np.ndarray:
    """An image of numbers from 0 to 1 as a picture."""
    return (255 * image.clamp(0, 1))[..., None].expand(-1, -1, 3).byte().numpy()


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
    counts, lines = {"surface_points": surface_points, "volume_points": volume_points}, []
    for number, shape in enumerate(progress(shapes, "solids", len(shapes))):
        surface = extract(shape.field, resolution)
        truth = truth_samples(surface.mesh, lambda p, f=shape.field: f(p) < 0, seed=number, **counts)
        answers: dict[str, Surface] = {name: extract(of[number], resolution) for name, of in rows.items()}
        for name, answer in (answers | {"floor": surface}).items():
            lines.append({"row": name, "shape": number, "kind": shape.kind} | score(answer, truth, seed=number))
    return pd.DataFrame(lines)
