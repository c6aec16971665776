"""What an image model is told of its views: colours, and beside them the true depth and normals of every pixel."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from flowsdf.conventions import CAMERA_DISTANCE
from flowsdf.data.artefacts import read_images, read_mesh_artefact
from flowsdf.data.executor import map_tasks
from flowsdf.data.features import Encoder, encode, load_encoder
from flowsdf.data.manifest import Entry
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.studies.generalisation import advantage, by_views, views_row
from flowsdf.studies.image_to_latent import Predictor

COARSE = 16  # pixels a side of a depth map that is given as it is


def geometry_features(
    prepared: Path, entries: Sequence[Entry], *, folder: Path | None, chosen: Sequence[int], of: int
) -> tuple[dict[str, Tensor], dict]:
    """What the true mesh says of ``chosen`` ones of ``of`` views, as a fit: tensors of (shapes, views, numbers).

    ``depth`` and ``normals`` are the encoder's features of the maps as pictures, which it was not trained on;
    ``coarse depth`` is a map of 16 x 16 itself, in units of the frame before the centre. Nothing is kept in ``folder``.
    """
    found = map_tasks(_features, [(prepared, entry, tuple(chosen), of) for entry in entries], label="depth and normals")
    return {name: torch.as_tensor(np.stack([one[name] for one in found])) for name in found[0]}, {}


def _features(task: tuple[Path, Entry, tuple[int, ...], int]) -> dict[str, Float[np.ndarray, "k d"]]:
    from flowsdf.data.depth_views import as_images, depth_maps, normal_maps  # whose renderer other processes do without

    folder, entry, chosen, of = task
    depths = depth_maps(read_mesh_artefact(folder, entry), fibonacci_sphere(of)[list(chosen)])
    pictures = {"depth": as_images(depths), "normals": as_images(normal_maps(depths))}
    encoded = {name: encode(images, _encoder()) for name, images in pictures.items()}
    return encoded | {"coarse depth": coarse_depth(depths)}


@cache
def _encoder() -> Encoder:
    return load_encoder()


def coarse_depth(depths: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n d"]:
    """Depth maps averaged to 16 x 16: how far before the object's centre each pixel's surface is; -1 on the ground.

    ValueError for sizes that 16 does not divide.
    """
    count, size = depths.shape[:2]
    if size % COARSE:
        raise ValueError(f"{size} pixels a side cannot be averaged to {COARSE}")
    before = np.where(depths > 0, CAMERA_DISTANCE - depths, -1.0)
    blocks = before.reshape(count, COARSE, size // COARSE, COARSE, size // COARSE)
    return blocks.mean((2, 4)).reshape(count, -1).astype(np.float32)


def conditions(
    colours: Float[Tensor, "s v d"], geometry: dict[str, Float[Tensor, "s v _"]]
) -> dict[str, Float[Tensor, "s v _"]]:
    """What each model is given, by name; colours twice control for width, as they say nothing new."""
    added = {"colours again": colours} | {f"with {name}": told for name, told in geometry.items()}
    return {"colours": colours} | {name: torch.cat((colours, told), dim=-1) for name, told in added.items()}


def pictures(folder: Path, entries: Sequence[Entry], *, view: int, of: int) -> list[UInt8[np.ndarray, "h w 3"]]:
    """One view of each object: its colours, then its depth and its normals as pictures."""
    from flowsdf.data.depth_views import as_images, depth_maps, normal_maps

    shown = []
    for entry in entries:
        depths = depth_maps(read_mesh_artefact(folder, entry), fibonacci_sphere(of)[[view]])
        shown += [read_images(folder, entry)[view], as_images(depths)[0], as_images(normal_maps(depths))[0]]
    return shown


def gains(
    scores: pd.DataFrame, told: Sequence[str], others: Sequence[str], labels: Sequence[str], *, seed: int
) -> pd.DataFrame:
    """The IoU that each model, and each of the ``others``, gains on the one told of colours alone with as many views.

    Rows of ``scores`` are named "told, label"; intervals are over shapes, paired.
    """
    lines = []
    for label in labels:
        base = f"colours, {label}"
        rows = {name: f"{name}, {label}" for name in told if name != "colours"} | {name: name for name in others}
        for name, row in rows.items():
            gain = advantage(scores, row, base, seed=seed, by=("iou",)).iloc[0]
            lines.append((name, label, gain.n, gain.model, gain[base], gain.gain, gain.low, gain.high, gain.ahead))
    columns = ["told", "views", "n", "IoU", "colours alone", "gain", "low", "high", "ahead"]
    return pd.DataFrame(lines, columns=columns)


def recalled(
    predictors: dict[str, Predictor],
    given: dict[str, Float[Tensor, "s v _"]],
    cameras: Float[Tensor, "v 3"],
    codes: Float[Tensor, "s d"],
    *,
    views: int,
    seed: int,
) -> dict[str, Float[np.ndarray, " s"]]:
    """The cosine of each training shape's code to the one predicted from its views, by what the model is told."""
    found = {}
    for name, predictor in predictors.items():
        answer = by_views(predictor, given[name][: len(codes)], cameras, [views], seed=seed)[views_row(views)]
        found[name] = torch.cosine_similarity(answer, codes, dim=-1).cpu().numpy()
    return found
