"""Where a run's files are: one record of folders for a profile and a data source."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from flowsdf.data.faults import Failed

ROOT = Path(os.environ.get("FLOWSDF_ROOT", Path(__file__).resolve().parents[2]))  # tests point it elsewhere
NAMED_SOURCES = ("procedural", "objaverse")


class Places(NamedTuple):
    """The folders of one run of the report."""

    root: Path  # the repository
    profile: str
    data: str  # as given: a named source, or a folder of meshes
    seed: int | None = None  # of one of several runs that differ by nothing else

    @property
    def data_name(self) -> str:
        """The source's short name: a folder's own name, reduced to letters, digits, dots, dashes; no other source's."""
        if self.data in NAMED_SOURCES:
            return self.data
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", self.data_folder.name).strip(".-") or "folder"
        return f"{name}-folder" if name in NAMED_SOURCES else name

    @property
    def data_folder(self) -> Path:
        """The folder of meshes, read from the repository when relative."""
        return (self.root / Path(self.data).expanduser()).resolve()

    @property
    def source(self) -> str:
        """The source as the data chapter opens it: its name, or the folder's path."""
        return self.data if self.data in NAMED_SOURCES else str(self.data_folder)

    @property
    def run_name(self) -> str:
        """The name of the run's report folder: laptop, laptop-meshes, laptop-seed3."""
        return (self.profile if self.data == "procedural" else f"{self.profile}-{self.data_name}") + self.suffix

    @property
    def suffix(self) -> str:
        """What the folders of one of several seeds have at their end."""
        return "" if self.seed is None else f"-seed{self.seed}"

    @property
    def reports(self) -> Path:
        """The folder of the run's results, one folder a chapter."""
        return self.root / "reports" / self.run_name

    @property
    def artifacts(self) -> Path:
        """The folder of the run's large files, one folder a chapter."""
        return self.root / "artifacts" / f"{self.data_name}-{self.profile}{self.suffix}"

    @property
    def published(self) -> Path:
        """The folder of the kept results of such a run."""
        return self.root / "reports" / "published" / self.run_name

    @property
    def html(self) -> Path:
        """The folder of the run's book."""
        return self.reports / "html"

    def notebook(self, chapter: str) -> Path:
        """The source of a chapter."""
        return self.root / "notebooks" / f"{chapter}.py"


def places(profile: str, data: str, root: Path = ROOT, *, seed: int | None = None) -> Places:
    """The folders of a run, checked: the profile has parameters, the data source exists."""
    found = Places(root, profile, data, seed)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", profile) or not (root / "params" / profile).is_dir():
        profiles = sorted(path.name for path in (root / "params").iterdir() if path.is_dir())
        raise Failed(f"PROFILE={profile}: no folder params/{profile}; choose one of {', '.join(profiles)}")
    try:
        known = data in NAMED_SOURCES or found.data_folder.is_dir()
    except (OSError, RuntimeError) as error:  # a folder that may not be entered, a user that does not exist
        raise Failed(f"DATA={data}: {error}; give procedural, objaverse or a folder of meshes") from None
    if not (known and data):  # the folder of no name would be the repository
        raise Failed(f"DATA={data}: no such folder; give procedural, objaverse or a folder of meshes")
    return found


def chapters(root: Path = ROOT) -> list[str]:
    """The chapters in the order of the thesis: numbered ones by number, Flow-SDF's stages after 12."""
    names = [path.stem for path in (root / "notebooks").glob("*.py")]
    return sorted(names, key=lambda name: (float(name[:2]) if name[:2].isdigit() else 12.5, name))


def part(chapter: str) -> str:
    """The part of the book a chapter belongs to."""
    number = float(chapter[:2]) if chapter[:2].isdigit() else 12.5
    parts = [
        (0, "The data"),
        (5, "Per-shape weights"),
        (9, "Image-conditioned weight space"),
        (10, "The weight autoencoder"),
        (12, "The pivot: a shared decoder and its latents"),
        (12.5, "Flow-SDF: from images alone"),
        (98, "Beyond the thesis"),
        (99, "The ledger"),
    ]
    return next(title for last, title in parts if number <= last)
