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
from flowsdf.evaluation.scores import score, truth_samples
from flowsdf.geometry.camera import look_at
from flowsdf.geometry.extract import extract
from flowsdf.geometry.render import Rays, TorchField, lambertian, seen_from, silhouette_loss, trace, visible
from flowsdf.models.deepsdf import DeepSDF, field
from flowsdf.studies.image_losses import looks, slope_of
from flowsdf.studies.solids import Renders, Solid, as_image, exact_normals, least_distances, on_tensors, turned
from flowsdf.train.progress import progress

ANGLES = (0, 45, 90, 180, 270)  # degrees around y from the training view
PIXEL = 0.03  # the width of a pixel at the origin, which keeps a hull's values from being steep
RIGHT = 0.9  # mean IoU from which on the silhouettes of a kind count as right


def masks_of(fields: Sequence[TorchField], rays: Rays, directions: Float[Tensor, "s 3"]) -> Bool[Tensor, "s r"]:
    """Which rays meet each field's shape by 48 samples, the way the networks are trained."""
    return least_distances(fields, rays, directions) < 0


def true_masks(shapes: Sequence[Solid], rays: Rays, directions: Float[Tensor, "s 3"]) -> Bool[Tensor, "s r"]:
    """Which rays meet each solid, exactly."""
    points = seen_from(rays, directions.numpy())
    return torch.stack([trace(on_tensors(s.field), at)[0] for s, at in zip(shapes, points, strict=True)])


def mask_ious(a: Bool[Tensor, "s r"], b: Bool[Tensor, "s r"]) -> Float[np.ndarray, " s"]:
    """Intersection over union of each pair of silhouettes; 1 where both are empty."""
    union = (a | b).sum(1)
    return torch.where(union > 0, (a & b).sum(1) / union.clamp_min(1), torch.ones(len(a))).double().numpy()


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


def silhouette_losses(
    fields: Sequence[TorchField], shapes: Sequence[Solid], renders: Renders, rays: Rays, temperature: float
) -> tuple[float, float]:
    """The mean silhouette loss on the training views, of the fields and of the exact distances."""
    both = (fields, [on_tensors(shape.field) for shape in shapes])
    least = [least_distances(of, rays, renders.directions) for of in both]
    loss, exact = (silhouette_loss(part, renders.inside, temperature, pixels=len(rays.hit)).item() for part in least)
    return loss, exact


def mean_slope(decoder: DeepSDF, codes: Float[Tensor, "s d"], *, points: int = 500) -> float:
    """The mean length of the fields' gradient at random points of the cube: 1 for distances."""
    at = 2 * torch.rand(len(codes), points, 3, generator=torch.Generator().manual_seed(0)) - 1
    return slope_of(lambda p: decoder(codes, p), at.to(codes.device)).norm(dim=-1).mean().item()


def normal_errors(
    decoder: DeepSDF, codes: Float[Tensor, "s d"], shapes: Sequence[Solid], rays: Rays, directions: Float[Tensor, "s 3"]
) -> Float[np.ndarray, " s"]:
    """The mean angle in degrees between true and predicted normals where both shapes are seen; 90 if nowhere."""
    errors = []
    for code, shape, look, points in zip(
        codes, shapes, looks(decoder, codes), seen_from(rays, directions.numpy()), strict=True
    ):
        (met, ours), (meets, true) = visible(look, points), trace(on_tensors(shape.field), points)
        both = met & meets
        slope = slope_of(lambda p, z=code: decoder(z, p), ours[both]).detach()
        cosine = (functional.normalize(slope, dim=-1) * exact_normals(shape.field, true[both])).sum(-1)
        errors.append(torch.rad2deg(torch.acos(cosine.clamp(-1, 1))).mean().item() if len(cosine) else 90.0)
    return np.array(errors)


def picture(mask: Bool[Tensor, " r"], truth: Bool[Tensor, " r"], rays: Rays) -> np.ndarray:
    """A silhouette beside the truth: white where both are, red where only the prediction, blue where only the truth."""
    red, green, blue = (as_image(part, rays) for part in (mask, mask & truth, truth))
    return (255 * torch.stack((red, green, blue), dim=-1)).byte().numpy()


def shaded(
    look: TorchField, decoder: DeepSDF, code: Float[Tensor, " d"], direction: Float[Tensor, "3"], rays: Rays
) -> np.ndarray:
    """The shape of a code, lit from the camera."""
    met, at = visible(look, seen_from(rays, direction[None].numpy())[0])
    shade = torch.zeros(len(met))
    normals = functional.normalize(slope_of(lambda p: decoder(code, p), at[met]).detach(), dim=-1)
    shade[met] = lambertian(normals, direction)
    return gray(as_image(shade, rays))


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


def fields_of(decoder: DeepSDF, codes: Float[Tensor, "s d"]) -> list[Field]:
    """The field of each code, as extraction wants it."""
    return [field(decoder, code) for code in codes.detach()]
