"""``manifest.json``: which shape is which object, where it came from, and what became of it in each stage."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import distance_transform_edt, maximum_filter
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from flowsdf.conventions import Mesh, object_name
from flowsdf.data.faults import Failed
from flowsdf.data.files import AGAIN, sha256_of, write_whole
from flowsdf.data.sources import RawShape, redistributable
from flowsdf.geometry.distance import distance_to

STAGES = ("watertight", "sdf", "views", "features")
# The search for near-duplicates:
VOXEL = 0.08  # width
PROBES = 32, 256  # samples of a surface that are looked at before all of them
SURE = 5  # standard errors
SLACK = 1.2  # factor on the threshold, for what samples cannot tell


class Stage(NamedTuple):
    """What one stage made of one shape: ``done``, or ``rejected`` with a code and a reason; key of its inputs."""

    status: str
    code: str = ""
    reason: str = ""
    seconds: float = 0.0
    key: str = ""


class Entry(NamedTuple):
    """One shape of the data set; ``file`` is its name in the source, ``stages`` by stage name."""

    index: int  # type: ignore[assignment]  # not tuple.index
    uid: str
    category: str
    licence: str
    redistributable: bool
    source: str
    file: str
    sha256: str
    split: str
    stages: dict[str, Stage]

    @property
    def name(self) -> str:
        """The name of the shape's files: obj_0009."""
        return object_name(self.index)


def number_shapes(shapes: Iterable[RawShape]) -> list[Entry]:
    """The shapes as entries without stages: training shapes first, each split in the source's order."""
    ordered = sorted(shapes, key=lambda shape: shape.split != "train")  # stable
    return [_entry(index, shape) for index, shape in enumerate(ordered)]


def with_stage(entry: Entry, name: str, stage: Stage) -> Entry:
    """The entry with one stage's result put in."""
    return entry._replace(stages={**entry.stages, name: stage})


def write_manifest(path: Path, entries: Sequence[Entry]) -> None:
    """Writes the entries and both directions between obj_idx and uid, whole."""
    by_uid = {entry.uid: entry.index for entry in entries}
    if len(by_uid) != len(entries):
        raise Failed(f"{path}: two shapes have one uid: the source must tell them apart")
    rows = [entry._asdict() | {"stages": _stage_rows(entry)} for entry in entries]
    tree = {"uid": {entry.name: entry.uid for entry in entries}, "obj_idx": by_uid, "shapes": rows}
    write_whole(path, (json.dumps(tree, indent=1, ensure_ascii=True) + "\n").encode())


def read_manifest(path: Path) -> list[Entry]:
    """The entries by obj_idx; raises Failed when the file is not a manifest."""
    try:
        rows = json.loads(path.read_bytes())["shapes"]
        entries = [Entry(**row | {"stages": {k: Stage(**v) for k, v in row["stages"].items()}}) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise Failed(f"{path}: not a manifest that this version wrote ({reason}): {AGAIN}") from None
    if [entry.index for entry in entries] != list(range(len(entries))):
        raise Failed(f"{path}: its shapes are not numbered 0, 1, 2, ...: {AGAIN}")
    return entries


def near_duplicates(
    points: Float[np.ndarray, "n p 3"], surface: Callable[[int], Mesh], *, threshold: float = 0.01
) -> list[tuple[int, int]]:
    """The pairs of shapes whose mean symmetric surface distance is below ``threshold``, in units of the frame.

    ``points`` are random samples of each surface, held against ``surface(i)``, the shape's mesh. Left out before are
    pairs whose voxels, or first samples, are further apart than that by a fifth or more, as far as samples can tell.
    """
    pairs = np.argwhere(np.triu(_voxels_apart(points) < SLACK * threshold, 1))
    for count in PROBES:
        mean, deviation = _apart(points[:, :count], surface, pairs)
        pairs = pairs[mean - SURE * deviation / np.sqrt(2 * count) < SLACK * threshold]
    return [(int(i), int(j)) for i, j in pairs[_apart(points, surface, pairs)[0] < threshold]]


def same_side(entries: Sequence[Entry], pairs: Iterable[tuple[int, int]]) -> list[Entry]:
    """The entries with every group of equal files or near-duplicate pairs (by obj_idx) in one split.

    A group with a training shape becomes training; another takes the split of its first shape. Shapes of a held-out
    category of which one so became training are no longer of a category never seen: they are ``held_out_shape``.
    Numbers stay.
    """
    first: dict[str, int] = {}
    equal = [(first.setdefault(entry.sha256 or entry.uid, entry.index), entry.index) for entry in entries]
    links = np.array([*equal, *pairs]).reshape(-1, 2)
    graph = coo_array((np.ones(len(links)), links.T), shape=(len(entries), len(entries)))
    group = connected_components(graph, directed=False)[1]
    split: dict[int, str] = {}
    for label, entry in sorted(zip(group, entries, strict=True), key=lambda pair: pair[1].split != "train"):
        split.setdefault(label, entry.split)
    moved = [entry._replace(split=split[label]) for label, entry in zip(group, entries, strict=True)]
    seen = {entry.category for entry in moved if entry.split == "train"}
    known = [entry.split == "held_out_category" and entry.category in seen for entry in moved]
    return [e._replace(split="held_out_shape") if k else e for e, k in zip(moved, known, strict=True)]


def _voxels_apart(points: Float[np.ndarray, "n p 3"]) -> Float[np.ndarray, "n n"]:
    """What the mean symmetric distance of two shapes' samples is at least, by the voxels that they lie in."""
    side = int(np.ceil(2 / VOXEL)) + 2
    voxel = np.floor((points + 1) / VOXEL).astype(np.int64).clip(0, side - 3) + 1
    number = np.ravel_multi_index(tuple(np.moveaxis(voxel, -1, 0)), (side,) * 3)  # (n, p)
    shape = np.broadcast_to(np.arange(len(points))[:, None], number.shape)
    taken = np.zeros((len(points), side**3), bool)
    taken[shape, number] = True
    to = np.empty(taken.shape, np.float32)  # from a point of a voxel to the nearest sample of the shape, at least
    for row, own in zip(to, taken, strict=True):
        beside = maximum_filter(own.reshape((side,) * 3), 3)
        row[:] = VOXEL * distance_transform_edt(~beside).ravel()
    share = np.full(number.size, 1 / number.shape[1], np.float32)
    means = csr_array((share, (shape.ravel(), number.ravel())), shape=to.shape) @ to.T
    return (means + means.T) / 2


def _apart(
    points: Float[np.ndarray, "n p 3"], surface: Callable[[int], Mesh], pairs: Int[np.ndarray, "m 2"]
) -> Float[np.ndarray, "2 m"]:
    """Mean and deviation of the distances from the points of each shape of a pair to the other's surface.

    The tree of a surface is built once for all its pairs.
    """
    found = np.empty((2, len(pairs), 2))  # means, and means of squares, each way
    for number in np.unique(pairs):
        to = distance_to(surface(int(number)))
        row, side = np.nonzero(pairs == number)
        asked = points[pairs[row, 1 - side]]  # (pairs of this shape, p, 3)
        distances = to(asked.reshape(-1, 3)).reshape(asked.shape[:2])
        found[:, row, side] = distances.mean(1), (distances**2).mean(1)
    mean, square = found.mean(2)
    return np.stack([mean, np.sqrt(np.maximum(square - mean**2, 0))])


def _entry(index: int, shape: RawShape) -> Entry:
    digest = sha256_of(shape.path) if shape.path.is_file() and os.access(shape.path, os.R_OK) else ""
    uid, category, licence, source, path, split, _ = shape
    allowed = redistributable(licence)
    return Entry(index, uid, category, licence, allowed, source, path.name, digest, split or "train", stages={})


def _stage_rows(entry: Entry) -> dict[str, dict]:
    return {name: stage._asdict() for name, stage in entry.stages.items()}
