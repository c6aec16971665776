"""Checkpoints: tensors in safetensors beside a JSON of facts that vouches for them, written whole or not at all."""

import fcntl
import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from flowsdf.data.faults import Failed

Tensors = dict[str, Tensor]
KEPT = 2  # checkpoints of a run: the newest and the one before it


def write(path: Path, tensors: Tensors, facts: dict) -> None:
    """Store tensors as `path` (.safetensors), then facts as the .json beside it that completes them."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _moved_into(path) as temporary:
            save_file(contiguous, temporary)
            facts = {**facts, "sha256": _sha256(temporary)}
        with _moved_into(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n")
    except (OSError, SafetensorError) as error:
        raise Failed(f"cannot write {path}: {error}") from error


def read(path: Path) -> tuple[Tensors, dict]:
    """The tensors and facts that `write` stored; Failed when they are not what was written. Never runs a pickle."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text())
        if facts["sha256"] != _sha256(path):
            raise Failed(f"{path} is truncated or altered: {_again(path)}")
        return load_file(path), facts
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        reason = f"no checkpoint of this project, safetensors beside its JSON ({error!r})"
        raise Failed(f"{path} is {reason}: {_again(path)}") from error


def _again(path: Path) -> str:
    """What to do about a broken file: a chapter's own, in artifacts/RUN/CHAPTER, is made by that chapter alone."""
    of_chapter = path.parts[-4:-3] == ("artifacts",)
    return f"make chapter CH={path.parent.name} FORCE=1" if of_chapter else "delete it and run again"


def save(folder: Path, tensors: Tensors, facts: dict) -> None:
    """Add the checkpoint of `facts["step"]` to a run's folder and drop all but the last two."""
    path = folder / f"{facts['step']:09d}.safetensors"
    write(path, tensors, facts)
    kept = {p.stem for p in _completed(folder)[:KEPT]}
    for stale in [*folder.glob("*.json"), *folder.glob("*.safetensors"), *folder.glob("*.part")]:
        if stale.stem not in kept or stale.suffix == ".part":
            stale.unlink()


def load(folder: Path, fingerprint: str) -> tuple[Tensors, dict] | None:
    """A run's newest intact checkpoint or None, warning of broken ones; Failed if it is another configuration's."""
    for path in _completed(folder):
        try:
            tensors, facts = read(path)
        except Failed as broken:
            warnings.warn(f"{broken}; going back to the checkpoint before it", stacklevel=2)
            continue
        if facts.get("fingerprint") != fingerprint:
            raise Failed(f"{path} belongs to another configuration: choose another folder or delete {folder}")
        return tensors, facts
    return None


def pack(module: nn.Module, optimizer: Optimizer, ema: nn.Module | None) -> Tensors:
    """The state of a run by flat names: module.*, ema.*, optimizer.<parameter>.<moment>."""
    parts = {"module": module.state_dict(), "ema": ema.state_dict() if ema else {}}
    parts |= {f"optimizer.{i}": state for i, state in optimizer.state_dict()["state"].items()}
    return {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}


def unpack(tensors: Tensors, module: nn.Module, optimizer: Optimizer, ema: nn.Module | None) -> None:
    """Put back what `pack` took."""
    module.load_state_dict(below(tensors, "module"))
    if ema:
        ema.load_state_dict(below(tensors, "ema"))
    moments = below(tensors, "optimizer")
    state = {int(i): below(moments, i) for i in {name.split(".")[0] for name in moments}}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def below(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors named `prefix.*`, without the prefix."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for one run; Failed while another holds it, or when it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise Failed(f"cannot write in {folder}: {error}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failed(f"another run is working in {folder}: wait for it, or choose another folder") from error
        yield


@contextmanager
def _moved_into(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path`, on disk, if the block succeeds, and vanishes if not."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _completed(folder: Path) -> list[Path]:
    return sorted((p.with_suffix(".safetensors") for p in folder.glob("*.json")), reverse=True)


def _sha256(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
