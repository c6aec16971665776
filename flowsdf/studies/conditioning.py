"""What an image model is told of its views: colours, and beside them depth and normals of every pixel."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from flowsdf.conventions import CAMERA_DISTANCE
from flowsdf.data.artefacts import read_images, read_mesh_artefact
from flowsdf.data.executor import map_tasks
from flowsdf.data.features import Encoder, encode, load_encoder
from flowsdf.data.manifest import Entry
from flowsdf.geometry.camera import fibonacci_sphere

COARSE = 16  # pixels a side of a depth map that is given as it is


def geometry_features(
    prepared: Path, entries: Sequence[Entry], *, folder: Path | None, chosen: Sequence[int], of: int
) -> tuple[dict[str, Tensor], dict]:
    """What the true mesh says of ``chosen`` ones of ``of`` views, as a fit: tensors of (shapes, views, numbers).

    ``depth`` and ``normals`` are the encoder's features of the maps as pictures, which it was not trained on;
    ``coarse depth`` is a map of 16 x 16 itself, in units of the frame before the centre, and ``coarse colours`` the
    brightness of the view as such a map, which is no news. Nothing is kept in ``folder``.
    """
    found = map_tasks(_features, [(prepared, entry, tuple(chosen), of) for entry in entries], label="depth and normals")
    return {name: torch.as_tensor(np.stack([one[name] for one in found])) for name in found[0]}, {}


def _features(task: tuple[Path, Entry, tuple[int, ...], int]) -> dict[str, Float[np.ndarray, "k d"]]:
    from flowsdf.data.depth_views import as_images, depth_maps, normal_maps  # whose renderer other processes do without

    folder, entry, chosen, of = task
    depths = depth_maps(read_mesh_artefact(folder, entry), fibonacci_sphere(of)[list(chosen)])
    pictures = {"depth": as_images(depths), "normals": as_images(normal_maps(depths))}
    encoded = {name: encode(images, shared_encoder()) for name, images in pictures.items()}
    brightness = read_images(folder, entry)[list(chosen)].mean(-1) / 127.5 - 1
    before = np.where(depths > 0, CAMERA_DISTANCE - depths, -1.0)  # how far before the centre; -1 on the ground
    return encoded | {"coarse depth": coarse(before), "coarse colours": coarse(brightness)}


@cache
def shared_encoder() -> Encoder:
    """The encoder in force, loaded once in each process."""
    return load_encoder()


def coarse(maps: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n d"]:
    """Maps averaged to 16 x 16 and flattened, row by row; ValueError for sizes that 16 does not divide."""
    count, size = maps.shape[:2]
    if size % COARSE:
        raise ValueError(f"{size} pixels a side cannot be averaged to {COARSE}")
    blocks = maps.reshape(count, COARSE, size // COARSE, COARSE, size // COARSE)
    return blocks.mean((2, 4)).reshape(count, -1).astype(np.float32)


def as_grey(flat: Float[Tensor, " d"]) -> UInt8[np.ndarray, "h w 3"]:
    """A 16 x 16 map as a picture: -1 is black, 1 is white."""
    grey = 127.5 * (flat.view(COARSE, COARSE).clamp(-1, 1) + 1)
    return grey.round().byte()[..., None].expand(-1, -1, 3).cpu().numpy()


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
