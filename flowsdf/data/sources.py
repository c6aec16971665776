"""Where shapes come from: the built-in generators, a folder of meshes, or the LVIS part of Objaverse."""

import csv
import hashlib
import io
import os
import sys
import time
import urllib.error
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from flowsdf.data import procedural
from flowsdf.data.faults import Failed
from flowsdf.data.files import sha256_of, write_whole
from flowsdf.data.listing import UNKNOWN, read_listing
from flowsdf.data.mesh_io import SUFFIXES, write_scene
from flowsdf.fingerprint import source_fingerprint

REDISTRIBUTABLE = {"cc0", "cc0-1.0", "by", "cc-by", "cc-by-3.0", "cc-by-4.0", "mit", "public domain"}
_OBJAVERSE_LICENCES = {"by", "cc0"}
GONE, BUSY = {404, 410}, {408, 425, 429}  # HTTP codes; so is any from 500 on
WAITS = (5.0, 30.0, 120.0)  # seconds before a busy server is asked again


class RawShape(NamedTuple):
    """One mesh file as its source gives it; ``split`` is None until ``split_shapes`` decides."""

    uid: str
    category: str
    licence: str
    source: str
    path: Path
    split: str | None
    folder: Path | None = None  # of the source, where it is not the mesh's own

    @property
    def root(self) -> Path:
        """The folder that the mesh and the files it names must lie in."""
        return self.folder or self.path.parent


def redistributable(licence: str) -> bool:
    """Whether the licence is known and allows results to be passed on, also commercially."""
    return licence.strip().lower() in REDISTRIBUTABLE


def procedural_source(
    folder: Path, *, training: int, held_out: int, held_out_categories: int, specials: bool
) -> list[RawShape]:
    """So many built-in shapes of each split, their flawed GLB scenes in ``folder/raw``, written where missing."""
    shapes = [(procedural.training(index), "train") for index in range(training)]
    shapes += [(procedural.held_out(index), "held_out_shape") for index in range(held_out)]
    shapes += [(procedural.held_out_category(index), "held_out_category") for index in range(held_out_categories)]
    shapes += [(procedural.special(name), "special") for name in procedural.SPECIALS if specials]
    raw = folder / "raw" / _version()
    return [_written(shape, raw / f"{shape.uid}.glb", split) for shape, split in shapes]


def folder_source(folder: Path, *, most: int = 0) -> list[RawShape]:
    """Every mesh file below ``folder``, described by its ``manifest.csv`` if there is one; uids hash the content.

    Of more than ``most`` files (0: any number) so many are taken, evenly spaced by name, in the splits that the whole
    folder gives them. Raises Failed when there is no mesh, or when the listing is wrong.
    """
    if not folder.is_dir():
        raise Failed(f"{folder}: there is no such folder of meshes")
    rows = read_listing(folder)
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    paths = sorted({*(folder / name for name in rows), *found})
    if not paths:
        raise Failed(f"{folder}: holds no mesh ({' '.join(SUFFIXES)}): put at least two into it")
    copies: Counter[str] = Counter()
    shapes = split_shapes([_described(path, folder, rows, copies) for path in paths])
    few = 0 < most < len(shapes)
    return [shapes[-(-number * len(shapes) // most)] for number in range(most)] if few else shapes


def objaverse_source(folder: Path, count: int) -> list[RawShape]:
    """``count`` LVIS shapes of Objaverse under CC0 or CC-BY, in an order of their own, and ``attribution.csv``.

    What cannot be fetched stays in the list under a path that does not exist, so that it is counted as rejected.
    """
    try:
        import objaverse
    except ImportError:
        raise Failed("DATA=objaverse needs one more package: pip install objaverse") from None
    category = {uid: name for name, uids in sorted(objaverse.load_lvis_annotations().items()) for uid in uids}
    notes = objaverse.load_annotations(list(category))
    allowed = [uid for uid in sorted(category, key=_rank) if notes.get(uid, {}).get("license") in _OBJAVERSE_LICENCES]
    chosen = allowed[:count]
    paths = _fetched(objaverse.load_objects, chosen)
    _write_attribution(folder / "attribution.csv", {uid: notes[uid] for uid in chosen})
    return split_shapes(
        RawShape(uid, category[uid], notes[uid]["license"], "objaverse", Path(paths.get(uid, folder / uid)), None)
        for uid in chosen
    )


def split_shapes(shapes: Iterable[RawShape]) -> list[RawShape]:
    """The shapes with their splits, by hash: from 30 shapes of 5 categories on, about a tenth in whole categories.

    From 10 shapes on, a tenth of the others are held out, where their category keeps a training shape.
    """
    shapes = list(shapes)
    sizes = Counter(shape.category for shape in shapes if shape.category != UNKNOWN)
    out = _held_out_categories(sizes, len(shapes)) if len(shapes) >= 30 and len(sizes) >= 5 else set()
    left = Counter(shape.category for shape in shapes)
    inside = sorted((shape for shape in shapes if shape.category not in out), key=lambda shape: _rank(shape.uid))
    held: set[str] = set()
    wanted = round(len(inside) / 10) if len(shapes) >= 10 else 0
    for shape in inside:
        if len(held) < wanted and left[shape.category] > 1:
            held.add(shape.uid)
            left[shape.category] -= 1
    return [shape._replace(split=_split(shape, out, held)) for shape in shapes]


def _split(shape: RawShape, categories: set[str], held: set[str]) -> str:
    if shape.category in categories:
        return "held_out_category"
    return "held_out_shape" if shape.uid in held else "train"


def _described(path: Path, folder: Path, rows: dict[str, dict[str, str]], copies: Counter[str]) -> RawShape:
    """One file of a folder; equal files get a number behind their uid."""
    content = _content_hash(path, folder)
    uid = f"{content}-{copies[content]}" if copies[content] else content
    copies[content] += 1
    row = rows.get(path.relative_to(folder).as_posix(), {})
    category = row.get("category") or (path.parent.name if path.parent != folder else UNKNOWN)
    return RawShape(uid, category, row.get("licence") or UNKNOWN, row.get("source") or folder.name, path, None, folder)


def _held_out_categories(sizes: Counter, total: int) -> set[str]:
    """The smallest categories, ties by hash: at least one, then as many as make up a tenth of the shapes."""
    chosen: set[str] = set()
    covered = 0
    for category in sorted(sizes, key=lambda name: (sizes[name], _rank(name))):
        if chosen and covered + sizes[category] > total / 10:
            break
        chosen.add(category)
        covered += sizes[category]
    return chosen


def _rank(text: str) -> str:
    """A fixed order that has nothing to do with names."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _content_hash(path: Path, root: Path) -> str:
    """32 hexadecimal digits of the content, or of the name where reading will be refused."""
    read = path.is_file() and os.access(path, os.R_OK) and path.resolve().is_relative_to(root.resolve())
    return (sha256_of(path) if read else _rank(str(path.relative_to(root))))[:32]


def _written(shape: procedural.Procedural, path: Path, split: str) -> RawShape:
    if not path.exists():
        write_scene(path, procedural.flawed_nodes(shape))
    return RawShape(shape.uid, shape.category, "CC0-1.0", "procedural", path, split)


def _version() -> str:
    """Eight digits that change with the generators, so that no scene outlives the code that made it."""
    return source_fingerprint("flowsdf.data.procedural", "flowsdf.data.mesh_io")[:8]


def _fetched(load_objects, uids: list[str], waits: Sequence[float] = WAITS) -> dict[str, str]:
    """The local paths of what the server has: a batch with a missing one is halved until those stand alone.

    A server that is busy is asked again after each of ``waits``, in seconds.
    """
    try:
        return load_objects(uids) if uids else {}
    except OSError as error:
        code = error.code if isinstance(error, urllib.error.HTTPError) else 0
        if code in GONE:
            half = len(uids) // 2
            parts = (uids[:half], uids[half:]) if half else ()
            return {uid: path for part in parts for uid, path in _fetched(load_objects, part, waits).items()}
        if waits and (code in BUSY or code >= 500):
            print(f"Objaverse is busy (HTTP {code}): asked again in {waits[0]:.0f} s", file=sys.stderr, flush=True)
            time.sleep(waits[0])
            return _fetched(load_objects, uids, waits[1:])
        raise Failed(f"Objaverse cannot be reached ({error}): check the network; what has come stays") from None


def _write_attribution(path: Path, notes: dict[str, dict]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("uid", "title", "author", "licence", "address"))
    for uid, note in notes.items():
        author = note.get("user", {}).get("displayName")
        writer.writerow((uid, note.get("name"), author, note["license"], note.get("viewerUrl")))
    write_whole(path, text.getvalue().encode())
