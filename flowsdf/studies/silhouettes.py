"""How well codes learned from images are shapes: their silhouettes, from the angle learned from and others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from flowsdf.conventions import Field
from flowsdf.evaluation.few_values import shapes_interval
from flowsdf.evaluation.scores import iou
from flowsdf.geometry import implicit
from flowsdf.geometry.render import Rays, TorchField, least_of_all, search, seen_from, silhouette_loss, trace
from flowsdf.models.deepsdf import DeepSDF
from flowsdf.studies.image_losses import slope_of
from flowsdf.studies.solids import Renders, Solid, as_image, least_distances, on_tensors, turned
from flowsdf.studies.threads import side_by_side

ANGLES = (0, 36, 72, 108, 144)  # degrees around y from the training view: half a turn maps every solid onto itself
OUTLINE, MISSED = 0.1, 0.002  # distance from the surface of rays that matter; error from which on one is missed
RIGHT = 0.9  # mean IoU from which on the silhouettes of a kind count as right


class Views(NamedTuple):
    """Which rays meet some shapes from all of ANGLES: the shapes themselves, and what every row takes them for."""

    truth: Bool[Tensor, "s a r"]
    rows: dict[str, Bool[Tensor, "s a r"]]


def masks_of(fields: Sequence[TorchField], rays: Rays, directions: Float[Tensor, "s *a 3"]) -> Bool[Tensor, "s *a r"]:
    """Which rays meet each field's shape from each of its directions by 48 samples, the way the networks are trained.

    All directions of a field share one look at its grid.
    """

    def seen(task: tuple[TorchField, Float[Tensor, "*a 3"]]) -> Bool[Tensor, " n"]:
        field, around = task
        return search(field, _samples(rays, around), settled=_sign_known)[1] < 0

    found = side_by_side(seen, list(zip(fields, directions, strict=True)))
    return torch.stack(found).reshape(*directions.shape[:-1], -1)


def true_masks(shapes: Sequence[Solid], rays: Rays, directions: Float[Tensor, "s *a 3"]) -> Bool[Tensor, "s *a r"]:
    """Which rays meet each solid from each of its directions, exactly."""
    found = [trace(on_tensors(s.field), _samples(rays, at))[0] for s, at in zip(shapes, directions, strict=True)]
    return torch.stack(found).reshape(*directions.shape[:-1], -1)


def _samples(rays: Rays, directions: Float[Tensor, "*a 3"]) -> Float[Tensor, "n d 3"]:
    """The samples of the rays from all of a shape's directions, one after the other."""
    return seen_from(rays, directions.reshape(-1, 3).numpy()).flatten(0, 1)


def _sign_known(low: Float[Tensor, " r"], high: Float[Tensor, " r"]) -> Bool[Tensor, " r"]:
    return low * high > 0


def mask_ious(a: Bool[Tensor, "s r"], b: Bool[Tensor, "s r"]) -> Float[np.ndarray, " s"]:
    """Intersection over union of each pair of silhouettes; 1 where both are empty."""
    return np.array([iou(one, other) for one, other in zip(a.numpy(), b.numpy(), strict=True)])


def views_of(
    rows: Mapping[str, Sequence[TorchField]], shapes: Sequence[Solid], rays: Rays, directions: Float[Tensor, "s 3"]
) -> Views:
    """The silhouettes of solids and of every row's fields for them, as the camera goes round from each direction."""
    around = torch.stack([turned(directions, angle) for angle in ANGLES], dim=1)
    return Views(true_masks(shapes, rays, around), {name: masks_of(of, rays, around) for name, of in rows.items()})


def view_scores(views: Views, shapes: Sequence[Solid]) -> pd.DataFrame:
    """One line per row, angle and shape: the IoU of its silhouette with the true one."""
    tables, kinds = [], [shape.kind for shape in shapes]
    for name, masks in views.rows.items():
        for number, angle in enumerate(ANGLES):
            line = {"row": name, "angle": angle, "shape": range(len(kinds)), "kind": kinds}
            tables.append(pd.DataFrame(line | {"iou": mask_ious(masks[:, number], views.truth[:, number])}))
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
    """The mean IoU of every row, angle and kind with its interval over shapes."""
    lines = []
    for (row, angle), group in scores.groupby(["row", "angle"], sort=False):
        line: dict[str, object] = {"row": row, "angle": angle, "n": len(group)}
        for kind, values in group.groupby("kind", sort=False).iou:
            mean, low, high = shapes_interval(values.to_numpy(), seed=0)
            line[str(kind)] = f"{mean:.3f}" if len(values) < 2 else f"{mean:.3f} [{low:.3f}, {high:.3f}]"
        lines.append(line)
    return pd.DataFrame(lines)


def seen_right(scores: pd.DataFrame, row: str) -> float:
    """1 if from every angle but the trained one the mean IoU of each kind is at least RIGHT, else 0."""
    novel = scores[(scores.row == row) & (scores.angle != 0)]
    return float((novel.groupby(["angle", "kind"]).iou.mean() >= RIGHT).all())


def training_views(
    runs: Mapping[str, Sequence[TorchField]],
    shapes: Sequence[Solid],
    renders: Renders,
    rays: Rays,
    temperature: float,
) -> pd.DataFrame:
    """How each run meets the training views: silhouette loss, that of the exact distances, excess, and mask IoUs."""
    lines, exact = [], least_distances([on_tensors(shape.field) for shape in shapes], rays, renders.directions)
    floor = silhouette_loss(exact, renders.inside, temperature, pixels=len(rays.hit)).item()
    for name, fields in runs.items():
        least = least_distances(fields, rays, renders.directions)
        loss = silhouette_loss(least, renders.inside, temperature, pixels=len(rays.hit)).item()
        ious = mask_ious(least < 0, renders.inside)
        line = {"run": name, "silhouette loss": loss, "of the exact distances": floor, "excess": loss - floor}
        lines.append(line | {"mask IoU": float(ious.mean()), "least mask IoU": float(ious.min())})
    return pd.DataFrame(lines)


def mean_slope(decoder: DeepSDF, codes: Float[Tensor, "s d"], *, points: int = 500) -> float:
    """The mean length of the fields' gradient at random points of the cube: 1 for distances."""
    at = 2 * torch.rand(len(codes), points, 3, generator=torch.Generator().manual_seed(0)) - 1
    return slope_of(lambda p: decoder(codes, p), at.to(codes.device)).norm(dim=-1).mean().item()


def first_of_each(shapes: Sequence[Solid]) -> dict[str, int]:
    """Every kind with the number of the first solid of it."""
    found: dict[str, int] = {}
    for number, shape in enumerate(shapes):
        found.setdefault(shape.kind, number)
    return found


def angle_pictures(views: Views, row: str, shapes: Sequence[Solid], rays: Rays) -> tuple[list[np.ndarray], list[str]]:
    """The first solid of each kind from every angle, as a row takes it, with titles.

    White where prediction and truth are, red where only the prediction is, blue where only the truth.
    """
    pictures, titles = [], []
    for kind, one in first_of_each(shapes).items():
        for angle, mask, truth in zip(ANGLES, views.rows[row][one], views.truth[one], strict=True):
            channels = [as_image(part, rays) for part in (mask, mask & truth, truth)]
            pictures.append((255 * torch.stack(channels, dim=-1)).byte().numpy())
            titles.append(f"{kind}, {f'{angle} degrees' if angle else 'training view'}")
    return pictures, titles


def gray(image: Float[Tensor, "h w"]) -> np.ndarray:
    """An image of numbers from 0 to 1 as a picture."""
    return (255 * image.clamp(0, 1))[..., None].expand(-1, -1, 3).byte().numpy()
