"""One chapter over shape counts and seeds, at fixed steps and at fixed epochs, side by side or on a cluster.

python -m flowsdf.report.sweep --counts 20 64 128 --seeds 0 1 2

Every cell is the chapter's notebook with its count and seed injected. Cells share the large files of the run, so that
data are prepared once and a stored fit is found again; a finished cell is not run again, and a killed sweep goes on.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import psutil
import torch

from flowsdf.data.artefacts import usable_shapes
from flowsdf.data.executor import run_tasks
from flowsdf.data.faults import Failed, Rejected
from flowsdf.report.doors import leave, run_parser
from flowsdf.report.execute import execute, locked
from flowsdf.report.freshness import digest_json, fresh, inputs, read_json
from flowsdf.report.parameters import parameters
from flowsdf.report.places import Places, places
from flowsdf.report.results import write, write_json
from flowsdf.report.stopping import stoppable

CHAPTER, DATA = "13_generalisation", "00_data"
KEPT = ["row", "shape", "category", "split", "iou", "chamfer_l1", "f_005", "failed"]  # of a cell's table of scores
HELD = ("held_out_shape", "held_out_category", "special")
# a cell's parameters that a reader needs
SIZES = ("decoder_steps", "points_per_step", "predictor_steps", "resolution", "surface_points")
CELL_BYTES = 3 * 2**30  # of memory that a cell takes at its peak
ENOUGH = "three counts, two seeds that have them all, and two unseen shapes"  # what a law can be fitted to
BUDGETS = {False: "fixed steps", True: "fixed epochs"}


class Cell(NamedTuple):
    """One run of a sweep: the folder of its results, its parameters, and all that its result depends on."""

    where: Places
    folder: Path
    values: dict[str, Any]
    depends: dict[str, Any]
    timeout: int

    @property
    def finished(self) -> bool:
        """Whether its result is there and of this very code, data and parameters."""
        return fresh(self.folder, digest_json(self.depends))


def cells(where: Places, counts: Sequence[int], seeds: Sequence[int], *, timeout: int) -> list[Cell]:
    """Every run of a sweep, the longest first; at the largest count, fixed steps and fixed epochs are one run."""
    asked = [
        (count, seed, epochs) for count in sorted(set(counts)) for seed in sorted(set(seeds)) for epochs in BUDGETS
    ]
    asked = [cell for cell in asked if not (cell[2] and cell[0] == max(counts))]
    own = _own_values(where)
    found = []
    for count, seed, epochs in sorted(asked, key=lambda cell: (cell[2], -cell[0])):
        values = own | {"shapes": count, "seed": seed, "fixed_epochs": epochs}
        values |= {"full_shapes": max(counts)} if epochs else {}
        depends = inputs(where, CHAPTER, values, [DATA])
        name = f"{count}-shapes-{BUDGETS[epochs].replace(' ', '-')}-seed{seed}"
        found.append(Cell(where, where.reports / "sweep" / ".cells" / name, values, depends, timeout))
    return found


def _own_values(where: Places) -> dict[str, Any]:
    """The chapter's parameters in this profile, with what params/PROFILE/sweep.yaml makes smaller."""
    return parameters(where, CHAPTER, "sweep.yaml")


def run_cell(cell: Cell) -> None:
    """In a worker: one notebook, its output in a log beside its folder; Rejected with the reason when it fails."""
    if cell.finished:  # a scheduler whose worker was lost after it asks for this again
        return
    _only_task_of_its_process()
    cell.folder.parent.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the kernel, on a cluster as in a pool: threads change the last digits
    os.environ.pop("SCHEDULER", None)  # a cell that waits for tasks of the cluster it runs on may wait for ever
    seal = {"key": digest_json(cell.depends), "depends": cell.depends}
    _check_unchanged(cell)
    with open(cell.folder.with_suffix(".log"), "w", encoding="utf-8") as log:
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                execute(cell.where, CHAPTER, cell.values, folder=cell.folder, timeout=cell.timeout, seal=seal)
        except Failed as failed:
            raise Rejected("failed", str(failed)) from None
    _check_unchanged(cell)


def _check_unchanged(cell: Cell) -> None:
    """Rejected when code or data are no longer those of the sweep's start: a cell's kernel reads what is there now."""
    now = inputs(cell.where, CHAPTER, cell.values, [DATA])
    if any(now[name] != cell.depends[name] for name in now.keys() - {"notebook", "sources"}):  # prose and drawing
        shutil.rmtree(cell.folder, ignore_errors=True)
        raise Rejected("edited", "code or data changed since the sweep began: make sweep again")


def _only_task_of_its_process() -> None:
    """Failed on a cluster's worker of several threads: a notebook changes the environment of its process."""
    if "distributed.worker" in sys.modules:
        from distributed import get_worker

        if get_worker().state.nthreads > 1:
            raise Failed("a worker runs several tasks in one process: start the workers with --nthreads 1")


def sweep(
    where: Places, counts: Sequence[int], seeds: Sequence[int], *, timeout: int, workers: int | None = None
) -> pd.DataFrame:
    """Run what is missing, and gather the table of all cells; a failed one is a line with its reason."""
    shapes = {split: len(usable_shapes(where.artifacts / DATA, split)) for split in ("train", *HELD)}
    if max(counts) > shapes["train"] or min(counts) < 2:
        raise Failed(f"COUNTS={' '.join(map(str, counts))}: this run has 2 to {shapes['train']} shapes for training")
    if not any(shapes[split] for split in HELD):
        raise Failed("no shape is held out, so nothing unseen can be scored: sweep more shapes")
    if len(set(counts)) < 3 or len(set(seeds)) < 2:
        print(f"13_shape_count draws sweeps of {ENOUGH}: this one is kept, and not drawn", flush=True)
    every, made_by = cells(where, counts, seeds, timeout=timeout), {"code": code_now(where), "data": data_now(where)}
    state = {cell.folder.name: "done" if cell.finished else "waiting" for cell in every}
    missing = [cell for cell in every if state[cell.folder.name] != "done"]

    def note(number: int, outcome: object) -> None:
        state[missing[number].folder.name] = str(outcome) if isinstance(outcome, Rejected) else "done"
        print(progress(every, state), flush=True)

    print(progress(every, state), flush=True)
    with locked(where, DATA):
        run_tasks(run_cell, missing, workers=workers or at_once(), label="sweep", on_result=note)
    return gather(where, every, state, made_by)


def at_once() -> int:
    """How many cells this machine bears: one on a GPU, else one a core for which there is memory."""
    if torch.cuda.is_available():
        return 1
    return max(1, min(os.cpu_count() or 1, psutil.virtual_memory().available // CELL_BYTES))


def progress(every: Sequence[Cell], state: dict[str, str]) -> str:
    """The table of a sweep as far as it is: counts and budgets down, seeds across."""
    lines = [(_line(cell), cell.values["seed"], state[cell.folder.name].partition(":")[0]) for cell in every]
    table = pd.DataFrame(lines, columns=["", "seed", "state"]).pivot(index="", columns="seed", values="state")
    return "\n" + table.loc[list(dict.fromkeys(line[0] for line in lines))].to_string() + "\n"


def _line(cell: Cell) -> str:
    return f"{cell.values['shapes']} shapes, {BUDGETS[cell.values['fixed_epochs']]}"


def gather(where: Places, every: Sequence[Cell], state: dict[str, str], made_by: dict[str, str]) -> pd.DataFrame:
    """Write sweep/cells.csv (a line per cell, its metrics or its reason) and sweep/scores.csv (a line per shape).

    sweep/code.json holds the hashes of the code and the data that they are made by.
    """
    lines, scores = [], []
    for cell in every:
        budget, done = BUDGETS[cell.values["fixed_epochs"]], cell.finished
        asked = {"shapes": cell.values["shapes"], "seed": cell.values["seed"], "budget": budget}
        sizes = {name: cell.values[name] for name in SIZES if name in cell.values}
        lines.append(asked | {"state": "done" if done else _without_result(state[cell.folder.name])} | sizes)
        if done:
            lines[-1] |= {"seconds": read_json(cell.folder / "run.json")["seconds"]}
            lines[-1] |= read_json(cell.folder / "metrics.json")
            scores.append(pd.read_csv(cell.folder / "tables" / "scores.csv")[KEPT].assign(**asked))
    table, folder = pd.DataFrame(lines), where.reports / "sweep"
    whole = pd.concat(scores).round(6) if scores else pd.DataFrame(columns=[*KEPT, "shapes", "seed", "budget"])
    write(folder / "cells.csv", table.to_csv(index=False).encode())
    write(folder / "scores.csv", whole.to_csv(index=False).encode())
    write_json(folder / "code.json", made_by)
    return table


def _without_result(state: str) -> str:
    return "lost: its worker's result is not in this folder" if state == "done" else state


def code_now(where: Places) -> str:
    """The hash of what measures in a cell, and of its parameters: prose and drawing do not count."""
    depends = inputs(where, CHAPTER, _own_values(where), [])
    return digest_json([depends[name] for name in ("code", "measures", "parameters")])


def data_now(where: Places) -> str:
    """The hash of a run's data: its shapes, their splits, and what each of their stages was made from."""
    shapes = read_json(where.artifacts / DATA / "manifest.json").get("shapes", [])
    return digest_json([[s["uid"], s["split"], {k: v["key"] for k, v in s["stages"].items()}] for s in shapes])


class Sweep(NamedTuple):
    """The tables of a sweep, and where they come from."""

    cells: pd.DataFrame
    scores: pd.DataFrame
    own: bool  # of this run, not of the published one
    current: bool  # of this very code, of its parameters, and of the run's data


def read(where: Places, enough: Callable[[pd.DataFrame], bool]) -> Sweep:
    """A run's own sweep, else that of the published laptop run; Failed where neither is ``enough`` at fixed steps."""
    laptop = where._replace(profile="laptop", data="procedural", seed=None)
    for run, folder in ((where, where.reports / "sweep"), (laptop, laptop.published / "sweep")):
        if (folder / "scores.csv").is_file():
            cells, scores = (pd.read_csv(folder / name) for name in ("cells.csv", "scores.csv"))
            if enough(scores[scores.budget == BUDGETS[False]]):
                own, made_by = folder.parent == where.reports, read_json(folder / "code.json")
                current = made_by.get("code") == code_now(run) and (not own or made_by.get("data") == data_now(run))
                return Sweep(cells, scores, own, current)
    raise Failed(
        f'no sweep of {ENOUGH}, neither of this run nor published: make sweep COUNTS="20 64 128" SEEDS="0 1 2"'
    )


def main(words: list[str] | None = None) -> int:
    """The command line; 1 when a cell failed."""
    parser = run_parser("Sweep the generalisation chapter over shape counts and seeds.")
    parser.add_argument("--counts", type=int, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--workers", type=int, help="cells at once on this machine; by default what it bears")
    parser.add_argument("--timeout", type=int, default=14_400, help="seconds for one cell of a notebook")
    ask = parser.parse_args(words)
    where = places(ask.profile, ask.data)
    table = stoppable(lambda: sweep(where, ask.counts, ask.seeds, timeout=ask.timeout, workers=ask.workers))
    for _, line in table[table.state != "done"].iterrows():
        print(f"{line.shapes} shapes, {line.budget}, seed {line.seed}: {line.state}")
    done = int((table.state == "done").sum())
    print(f"{done} of {len(table)} cells done: {(where.reports / 'sweep' / 'cells.csv').relative_to(where.root)}")
    return int(done < len(table))


if __name__ == "__main__":
    leave(main)
