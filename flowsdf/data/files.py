"""Files that are whole or absent."""

import hashlib
import io
import math
import os
import zipfile
from pathlib import Path

import numpy as np

from flowsdf.data.faults import Failed

AGAIN = "make chapter CH=00_data FORCE=1 with the same PROFILE and DATA"  # where what it wrote is damaged


def write_whole(path: Path, data: bytes) -> None:
    """Writes the file under a temporary name beside it and moves it into place; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_arrays(path: Path, **arrays: np.ndarray | np.generic) -> None:
    """Writes named arrays as one .npz file, whole."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_whole(path, buffer.getvalue())


def read_arrays(path: Path, **dtypes: type) -> dict[str, np.ndarray]:
    """The named arrays of an .npz file, each of the dtype given; their headers are read before their bytes.

    Raises Failed when the file, an array or its type is not what was written: no pickle is ever read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _read_array(archive, name, np.dtype(dtype)) for name, dtype in dtypes.items()}
    except Exception as error:  # whatever a broken file makes zipfile and numpy raise
        raise Failed(f"{path}: {error}: remove it, and {AGAIN}") from None


def _read_array(archive: zipfile.ZipFile, name: str, dtype: np.dtype) -> np.ndarray:
    size = archive.getinfo(f"{name}.npy").file_size
    with archive.open(f"{name}.npy") as member:
        major, _ = np.lib.format.read_magic(member)
        header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, fortran, found = header(member)
        if found != dtype or fortran:
            raise ValueError(f"{name} is {found}, not {dtype}")
        if math.prod(shape) * dtype.itemsize > size:
            raise ValueError(f"{name} claims {math.prod(shape)} elements in {size} bytes")
        return np.frombuffer(member.read(), dtype).reshape(shape)
