"""``manifest.csv``, with which a folder of meshes may describe itself; checked whole before anything is computed."""

import csv
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath

from flowsdf.data.faults import Failed
from flowsdf.data.files import sha256_of

UNKNOWN = "unknown"
COLUMNS = {"file", "category", "licence", "license", "source", "sha256"}


def read_listing(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of ``folder/manifest.csv`` by file name, or none without one; raises Failed naming what is wrong."""
    path = folder / "manifest.csv"
    if not path.exists():
        return {}
    try:
        header, *lines = csv.reader(path.read_text("utf-8-sig").splitlines())
    except (ValueError, csv.Error) as error:
        raise Failed(f"{path}: not a CSV file in UTF-8 with a header ({error})") from None
    _check_columns(path, header)
    lines = [line for line in lines if line]
    _fail_if(path, "rows of another width than the header", [line[0] for line in lines if len(line) != len(header)])
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    _check_names(path, [row["file"] for row in rows])
    _fail_if(path, "files that are not there", [row["file"] for row in rows if not _exists(folder / row["file"])])
    _fail_if(path, "files that differ from their sha256", [row["file"] for row in rows if _altered(folder, row)])
    licence = "licence" if "licence" in header else "license"
    return {PurePosixPath(row["file"]).as_posix(): {**row, "licence": row.get(licence, "")} for row in rows}


def _check_columns(path: Path, header: list[str]) -> None:
    if {"licence", "license"} <= set(header):
        raise Failed(f"{path}: has both a licence and a license column: keep one")
    _fail_if(path, "columns that are not known", [name for name in header if name not in COLUMNS])
    _fail_if(path, "columns that come twice", [name for name, count in Counter(header).items() if count > 1])
    if "file" not in header:
        raise Failed(f"{path}: has no column 'file'")


def _check_names(path: Path, names: list[str]) -> None:
    _fail_if(path, "files outside the folder", [name for name in names if _escapes(path.parent, name)])
    counts = Counter(PurePosixPath(name).as_posix().casefold() for name in names)
    twice = [name for name in names if counts[PurePosixPath(name).as_posix().casefold()] > 1]
    _fail_if(path, "files listed twice, or that differ only in case", twice)


def _escapes(folder: Path, name: str) -> bool:
    if not name or "\0" in name or "\\" in name or PureWindowsPath(name).drive or ".." in PurePosixPath(name).parts:
        return True
    if PurePosixPath(name).is_absolute():
        return True
    return not (folder / name).resolve().is_relative_to(folder.resolve())


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name longer than a system allows
        return False


def _altered(folder: Path, row: dict[str, str]) -> bool:
    path, digest = folder / row["file"], row.get("sha256", "").strip().lower()
    return bool(digest) and path.is_file() and sha256_of(path) != digest


def _fail_if(path: Path, what: str, names: list[str]) -> None:
    """Failed with the first names in quotes, so that none can break the line."""
    if names:
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise Failed(f"{path}: lists {what}: {', '.join(repr(name[:80]) for name in names[:8])}{more}")
