"""Which image encoder is in force, and the hash of its weights, found without loading anything."""

import hashlib
import os
from pathlib import Path

PUBLISHED = "facebook/dinov2-base"
SETTINGS, WEIGHTS = "config.json", "model.safetensors"  # the files of an encoder's folder
SHIPPED = Path(__file__).parent / "encoder"


def encoder_in_force() -> tuple[Path, str]:
    """Folder and name: what ``ENCODER`` names, else DINOv2-base if it is cached, else the shipped one."""
    if named := os.environ.get("ENCODER"):
        return Path(named), Path(named).name
    cached = _cached(PUBLISHED)
    return (cached, PUBLISHED) if cached else (SHIPPED, "flowsdf-small")


def encoder_hash() -> str:
    """The SHA-256 of the weights of the encoder in force; empty where the file is missing."""
    weights = encoder_in_force()[0] / WEIGHTS
    return hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else ""


def encoder_key() -> str:
    """A hash of the weights of the encoder in force and of its settings, which the same weights may be read with."""
    settings = encoder_in_force()[0] / SETTINGS
    return hashlib.sha256(encoder_hash().encode() + (settings.read_bytes() if settings.is_file() else b"")).hexdigest()


def _cached(name: str) -> Path | None:
    """The folder of the Hugging Face cache that holds a model's newest snapshot."""
    home = Path(os.path.expanduser(os.environ.get("HF_HOME") or "~/.cache/huggingface"))  # noqa: PTH111 - may have no home
    snapshots = (home / "hub" / f"models--{name.replace('/', '--')}").glob(f"snapshots/*/{WEIGHTS}")
    newest = max(snapshots, key=lambda path: path.stat().st_mtime, default=None)
    return newest.parent if newest else None
