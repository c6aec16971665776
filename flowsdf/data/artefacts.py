"""Where the artefacts of a shape are, and how they are read back: meshes, samples, images, features."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from flowsdf.conventions import Mesh
from flowsdf.data.faults import Failed
from flowsdf.data.files import AGAIN, read_arrays
from flowsdf.data.manifest import Entry, read_manifest

_SUFFIX = {"watertight": ".npz", "sdf": ".npz", "views": ".png", "features": ".npz"}


def artefact(folder: Path, stage: str, entry: Entry) -> Path:
    """The file of one stage of one shape: sdf/obj_0009.npz."""
    return folder / stage / (entry.name + _SUFFIX[stage])


def usable_shapes(folder: Path, split: str | None = None) -> list[Entry]:
    """The shapes of a prepared folder that came through every stage, of one split or of all."""
    entries = [e for e in read_manifest(folder / "manifest.json") if all(s.status == "done" for s in e.stages.values())]
    return [e for e in entries if "features" in e.stages and split in (None, e.split)]


def read_mesh_artefact(folder: Path, entry: Entry) -> Mesh:
    """The watertight mesh of a shape, in the frame."""
    arrays = read_arrays(artefact(folder, "watertight", entry), vertices=np.float32, faces=np.int32)
    return Mesh(arrays["vertices"].astype(np.float64), arrays["faces"].astype(np.int64))


def read_samples(folder: Path, entries: Sequence[Entry]) -> tuple[Float[np.ndarray, "s n 3"], Float[np.ndarray, "s n"]]:
    """Points and signed distances of several shapes: near-surface points first, then the uniform ones."""
    arrays = [read_arrays(artefact(folder, "sdf", e), points=np.float32, sdf=np.float32) for e in entries]
    return np.stack([a["points"] for a in arrays]), np.stack([a["sdf"] for a in arrays])


def read_images(folder: Path, entry: Entry, *, size: int = 224) -> UInt8[np.ndarray, "n h w 3"]:
    """The views of a shape, from its sheet."""
    path = artefact(folder, "views", entry)
    try:
        with Image.open(path) as image:
            sheet = np.asarray(image)
    except (OSError, ValueError) as error:
        raise Failed(f"{path}: {error}: remove it, and {AGAIN}") from None
    rows, columns = sheet.shape[0] // size, sheet.shape[1] // size
    return sheet.reshape(rows, size, columns, size, 3).swapaxes(1, 2).reshape(-1, size, size, 3)


def read_features(folder: Path, entries: Sequence[Entry]) -> Float[np.ndarray, "s views d"]:
    """The class token of every view of several shapes."""
    return np.stack([read_arrays(artefact(folder, "features", e), features=np.float32)["features"] for e in entries])
