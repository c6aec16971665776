"""Fits stored under the hash of what made them, so that an edit to prose or a plot never trains anything again."""

import hashlib
import json
import resource
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from flowsdf.data.faults import Failed
from flowsdf.fingerprint import source_fingerprint
from flowsdf.train import checkpoint

Study = Callable[..., tuple[dict[str, Tensor], dict]]


class Fit(NamedTuple):
    """What a study returned: its tensors, and its facts with the seconds, peak bytes and origin of the run."""

    tensors: dict[str, Tensor]
    facts: dict


def fit(study: Study, *data: object, store: Path, name: str, parameters: dict, inputs: dict[str, str]) -> Fit:
    """study(*data, folder=..., **parameters) -> (tensors, facts), or what it returned last time for the same content.

    `inputs` names the hash of each piece of data (`digest`). The result lies in store/<name>-<hash>/; `folder` is for
    the study's checkpoints, which go when the result is complete. Failed while another process works on the same fit.
    """
    key = fingerprint(parameters, inputs, [study.__module__])
    place = store / f"{name}-{key[:12]}"
    with checkpoint.locked(place):
        found = _stored(place / "result.safetensors")
        if found is not None:
            return found
        began = time.perf_counter()
        tensors, facts = study(*data, folder=place / "checkpoints", **parameters)
        run = {"seconds": time.perf_counter() - began, "peak_bytes": peak_bytes(), "threads": torch.get_num_threads()}
        origin = {"fingerprint": key, "parameters": parameters, "inputs": inputs}
        checkpoint.write(place / "result.safetensors", tensors, {**run, **facts, **origin})
        shutil.rmtree(place / "checkpoints", ignore_errors=True)
        return _stored(place / "result.safetensors")


def _stored(path: Path) -> Fit | None:
    """The result at `path` if it is complete and intact; a broken one is said to be, and made again."""
    if not path.with_suffix(".json").exists():
        return None
    try:
        return Fit(*checkpoint.read(path))
    except Failed as broken:
        warnings.warn(f"{broken}; fitting again", stacklevel=3)
        return None


def fingerprint(parameters: dict, inputs: dict[str, str], modules: list[str]) -> str:
    """sha256 of a fit's parameters, the hashes of its inputs, and the source of flowsdf modules; Failed on others."""
    foreign = [name for name in modules if not name.startswith("flowsdf.")]
    if foreign:
        raise Failed(f"a fit's study must be a function of flowsdf, whose source can be hashed: {foreign[0]} is not")
    origin = {"parameters": parameters, "inputs": inputs, "source": source_fingerprint(*sorted(modules))}
    return hashlib.sha256(json.dumps(origin, sort_keys=True, allow_nan=False).encode()).hexdigest()


def digest(*arrays: np.ndarray | Tensor) -> str:
    """sha256 of arrays: their types, shapes and bytes."""
    total = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(array.data)
    return total.hexdigest()


def peak_bytes() -> int:
    """The most memory this process has held, and the most on its GPU where it has one."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return host + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)
