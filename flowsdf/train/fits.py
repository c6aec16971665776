"""Fits stored under the hash of what made them, so that an edit to prose or a plot never trains anything again."""

import hashlib
import json
import os
import resource
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from flowsdf.data.executor import map_tasks
from flowsdf.data.faults import Failed
from flowsdf.fingerprint import source_fingerprint
from flowsdf.train import checkpoint
from flowsdf.train.loop import leads, meet, several

Study = Callable[..., tuple[dict[str, Tensor], dict]]


class Fit(NamedTuple):
    """What a study returned: its tensors, and its facts with the seconds, peak bytes and origin of the run."""

    tensors: dict[str, Tensor]
    facts: dict


def fit(study: Study, *data: object, store: Path, name: str, parameters: dict, inputs: dict[str, str]) -> Fit:
    """study(*data, folder=..., **parameters) -> (tensors, facts), or what it returned last time for the same content.

    `inputs` names the hash of each piece of data. The result lies in store/<name>-<hash>/; `folder` is for
    the study's checkpoints, which go when the result is complete. Failed while another run works on the same fit.
    Processes that train together (`accelerate launch`) each call it; the first of them holds the place and writes.
    """
    key = fingerprint(parameters, inputs, [study.__module__])
    place = _place(store, name, key)
    with checkpoint.locked(place) if leads() else nullcontext():
        found = _stored(place / "result.safetensors")
        meet()  # before any of them writes
        if found is not None:
            return found
        began = time.perf_counter()
        tensors, facts = study(*data, folder=place / "checkpoints", **parameters)
        run = {"seconds": time.perf_counter() - began, "peak_bytes": peak_bytes(), "threads": torch.get_num_threads()}
        origin = {"fingerprint": key, "parameters": parameters, "inputs": inputs}
        if leads():
            checkpoint.write(place / "result.safetensors", tensors, {**run, **facts, **origin})
            for left in ("checkpoints", "data"):
                shutil.rmtree(place / left, ignore_errors=True)
        meet()
        return _stored(place / "result.safetensors")


class Job(NamedTuple):
    """One of several fits: study, data (tensors or dictionaries of them), parameters and inputs, as ``fit`` does."""

    study: Study
    data: tuple
    parameters: dict
    inputs: dict[str, str]


def fit_all(jobs: Mapping[str, Job], *, store: Path, workers: int | None = None) -> dict[str, Fit]:
    """``fit`` of every job under its name: on a CPU side by side in processes of this machine, in this order.

    Two small networks on a thread each train faster than one after the other on two threads. Each has one thread; the
    first, which should be the longest, has the cores that the others leave. As many train at once as there are cores,
    or ``workers``: three equal ones share two cores better than two and then one. Processes that train together, or a
    GPU, take one fit after another.
    """
    if not torch.cuda.is_available() and not os.environ.get("SCHEDULER") and not several():
        rest = max(1, (os.cpu_count() or 1) - len(jobs) + 1)
        threads = {name: 1 if i else rest for i, name in enumerate(jobs)}  # of a resumed run as of an unbroken one
        keys = {name: fingerprint(job.parameters, job.inputs, [job.study.__module__]) for name, job in jobs.items()}
        places = {name: _place(store, name, key) for name, key in keys.items()}
        missing = [name for name, place in places.items() if not (place / "result.json").exists()]
        tasks = [(_filed(jobs[n], places[n] / "data"), store, n, threads[n]) for n in missing]
        map_tasks(_fit_in_worker, tasks, label="fits", workers=workers)
    return {
        n: fit(j.study, *j.data, store=store, name=n, parameters=j.parameters, inputs=j.inputs) for n, j in jobs.items()
    }


def _filed(job: Job, folder: Path) -> Job:
    """The job with its data as files, which processes can share; shared memory is often too little.

    They lie beside the fit, and go with its checkpoints. Whoever else fits the same has the same, and may be reading
    them while they are written again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / f"{number}.pt" for number in range(len(job.data)))
    for path, part in zip(paths, job.data, strict=True):
        try:
            torch.save(part, new := path.with_suffix(f".{os.getpid()}"))
            os.replace(new, path)
        except (OSError, RuntimeError) as error:  # the latter where the disk is full
            raise Failed(f"cannot write {path}: {error}; is the disk full?") from None
    return job._replace(data=paths)


def _fit_in_worker(task: tuple[Job, Path, str, int]) -> None:
    job, store, name, threads = task
    usual = torch.get_num_threads()
    torch.set_num_threads(threads)
    data = [torch.load(path, map_location="cpu", mmap=True) for path in job.data]  # nothing is written back
    try:
        fit(job.study, *data, store=store, name=name, parameters=job.parameters, inputs=job.inputs)
    except Failed as failed:
        raise Failed(f"{name}: {failed}") from None
    except SystemExit as stopped:  # its checkpoint is written; a pool waits for ever for a worker that goes on
        os._exit(int(stopped.code or 0))
    finally:
        torch.set_num_threads(usual)  # of the next task here


def _place(store: Path, name: str, key: str) -> Path:
    return store / f"{name.replace(' ', '_')}-{key[:12]}"


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


def peak_bytes() -> int:
    """The most memory this process has held, and the most on its GPU where it has one."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return host + (torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0)
