"""From one to eight images of an object to its mesh, with the shipped model.

python -m flowsdf.predict image... --out mesh.glb [--poses directions.csv] [--resolution 128] [--seed 0]

Images show one object on black (or transparent) ground, upright. Without --poses the first one is taken to be seen
from the front right - 45 degrees from the front (+z) towards the right (+x), 25 degrees above the horizon - and the
others at equal steps around the object from there. A poses file has a header x,y,z and, for each image in order, the
direction from the object to the camera (y up).
"""

import argparse
import csv
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from flowsdf.data.faults import Failed
from flowsdf.data.images import read_photographs

SUFFIXES = (".glb", ".obj", ".ply", ".stl")
RESOLUTIONS = range(16, 513)
AZIMUTH, ELEVATION = np.radians(45), np.radians(25)  # of the first image, where nothing says otherwise


def assumed_directions(count: int) -> Float[np.ndarray, "{count} 3"]:
    """Unit directions to the cameras: the front right first, then equal steps of azimuth."""
    azimuth = AZIMUTH + 2 * np.pi * np.arange(count) / count
    flat = np.cos(ELEVATION)
    return np.stack([flat * np.sin(azimuth), np.full(count, np.sin(ELEVATION)), flat * np.cos(azimuth)], axis=1)


def read_directions(path: Path, count: int) -> Float[np.ndarray, "{count} 3"]:
    """The unit directions of a CSV file with columns x, y, z and one row an image."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        found = np.array([[float(row[axis]) for axis in "xyz"] for row in rows], np.float64).reshape(-1, 3)
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no table of numbers under the header x,y,z"
        raise Failed(f"{path}: {reason}: give a CSV file with one row an image") from None
    if len(found) != count:
        raise Failed(f"{path}: {len(found)} rows for {count} images: give one row an image")
    length = np.linalg.norm(found, axis=1, keepdims=True)
    if not (np.isfinite(length) & (length > 0)).all():
        raise Failed(f"{path}: a direction is zero or not finite: give the direction from the object to the camera")
    return found / length


def check_output(path: Path, resolution: int, seed: int) -> None:
    """Refuses, before any work, what could not be written or computed at its end."""
    if path.suffix.lower() not in SUFFIXES:
        raise Failed(f"{path}: {path.suffix or 'no suffix'}: name the mesh with one of {' '.join(SUFFIXES)}")
    if resolution not in RESOLUTIONS:
        raise Failed(f"--resolution {resolution}: give {RESOLUTIONS.start} to {RESOLUTIONS.stop - 1} nodes a side")
    if not 0 <= seed < 2**63:
        raise Failed(f"--seed {seed}: give a whole number from 0 to 2^63 - 1")
    try:
        if path.is_dir():
            raise Failed(f"{path}: is a folder: name a file")
        path.parent.mkdir(parents=True, exist_ok=True)
        probe = path.with_name(f".{path.name}.part")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Failed(f"{path}: cannot be written ({error.strerror}): choose another folder") from None


def predict(
    images: Sequence[Path], out: Path, *, poses: Path | None, resolution: int, seed: int, checkpoint: Path | None
) -> str:
    """Write the mesh that the images show; what was done, in one line."""
    check_output(out, resolution, seed)
    pixels = read_photographs(images)
    directions = read_directions(poses, len(images)) if poses else assumed_directions(len(images))
    from flowsdf.data.mesh_io import write_mesh
    from flowsdf.studies.export import FOLDER, encoder_of, load_model, mesh_from_images
    from flowsdf.train.loop import autocast_dtype, best_device

    model = load_model(checkpoint or FOLDER)
    encoder = encoder_of(model.facts)
    began = time.perf_counter()
    dtype = autocast_dtype(best_device())
    mesh = mesh_from_images(model, encoder, pixels, directions, resolution=resolution, seed=seed, dtype=dtype)
    if not len(mesh.faces):
        raise Failed(f"{images[0]}: the predicted field has no surface: try another --seed, or other images")
    try:
        write_mesh(out, mesh)
    except OSError as error:
        raise Failed(f"{out}: cannot be written ({error.strerror}): choose another folder") from None
    return f"{out}: {len(mesh.faces):,} faces in {time.perf_counter() - began:.1f} s"


def main(words: list[str] | None = None) -> int:
    """The command line; 2 and one line on stderr when something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m flowsdf.predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="*", type=Path, help="PNG, JPEG or WebP, 1 to 8 of one object")
    parser.add_argument("--out", type=Path, required=True, help=f"the mesh to write: {' '.join(SUFFIXES)}")
    parser.add_argument("--poses", type=Path, help="CSV with columns x,y,z: the direction to each camera")
    parser.add_argument("--resolution", type=int, default=128, help="nodes a side of the extraction (128)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw from the diffusion (0)")
    parser.add_argument("--checkpoint", type=Path, help="folder of another model (flowsdf/checkpoint)")
    try:
        print(predict(**vars(parser.parse_args(words))))
    except Failed as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped by SIGINT", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
