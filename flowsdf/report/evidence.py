"""The same chapter with several seeds, gathered for the intervals of the ledger.

python -m flowsdf.report.evidence flow_sdf_stage2 --seeds 0 1 2 3 4, once the chapter has run with each of them.
"""

from pathlib import Path
from typing import Any

from flowsdf.data.faults import Failed
from flowsdf.report.doors import leave, run_parser
from flowsdf.report.freshness import digest_json, read_json, sealed, under_seal, whole
from flowsdf.report.places import Places, places
from flowsdf.report.results import write_json


def gather(where: Places, chapter: str, seeds: list[int]) -> Path:
    """Write evidence/CHAPTER.json beside the chapters of a run: every metric that all seeds have, in their order.

    Under ``by_shape`` are those that all have of as many shapes, seeds x shapes.
    Failed for a seed with which the chapter has not finished, or not by the same code and parameters, and for one run
    under several seeds.
    """
    folders = {seed: where._replace(seed=seed).reports / chapter for seed in seeds}
    for seed, folder in folders.items():
        if not sealed(folder) or (folder / "failure.json").exists():
            raise Failed(f"{chapter} has not finished with seed {seed}: make evidence CH={chapter} SEEDS={seed}")
    if len({folder.resolve() for folder in folders.values()}) < len(seeds):
        raise Failed(f"{chapter}: a seed is given twice, or none changes this chapter, and one run is no five")
    runs = {seed: read_json(folder / "run.json") for seed, folder in folders.items()}
    codes = {seed: code_of(folder) for seed, folder in folders.items()}
    other = [seed for seed, code in codes.items() if code != codes[seeds[0]]]
    if other:
        raise Failed(f"{chapter} with seed {other[0]} is of other code or parameters: make evidence CH={chapter} again")
    metrics = [read_json(folder / "metrics.json") for folder in folders.values()]
    common = [name for name in metrics[0] if all(name in found for found in metrics)]
    shapes = [read_json(folder / "by_shape.json") for folder in folders.values()]
    alike = [name for name in shapes[0] if len({len(found.get(name, ())) for found in shapes}) == 1]
    path = where.reports / "evidence" / f"{chapter}.json"
    content = {
        "chapter": chapter,
        "seeds": seeds,
        "code": codes[seeds[0]],
        "started": min(run["started"] for run in runs.values()),
        "seconds": [run["seconds"] for run in runs.values()],
        "metrics": {name: [found[name] for found in metrics] for name in common},
        "by_shape": {name: [found[name] for found in shapes] for name in alike},
    }
    write_json(path, under_seal(content))
    return path


def evidence_for(reports: Path, chapter: str) -> dict[str, Any]:
    """What was gathered for a chapter by the code and parameters of its own run; empty when nothing was.

    Failed where it is not as it was gathered.
    """
    path = reports / "evidence" / f"{chapter}.json"
    if not path.exists():
        return {}
    if not whole(path):
        raise Failed(f"{path.name} in {path.parent} was edited or is damaged: make evidence CH={chapter} again")
    found = read_json(path)
    return found if found["code"] == code_of(reports / chapter) else {}


def code_of(folder: Path) -> str:
    """The hash of all that made a chapter's numbers but the seed, of the chapters it follows as well.

    Prose is no part of it, nor is the library's ``report``, which draws and writes down what others measure.
    """
    run = read_json(folder / "run.json")
    if not run:
        return ""
    depends, parameters = run["depends"], {k: v for k, v in run["parameters"].items() if k != "seed"}
    made_by = [depends.get(name) for name in ("code", "measures", "data", "switches", "encoder")]
    return digest_json([made_by, parameters, {name: code_of(folder.parent / name) for name in depends["after"]}])


def main(words: list[str] | None = None) -> int:
    """The command line."""
    parser = run_parser("Gather a chapter's metrics over seeds.")
    parser.add_argument("chapter")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    ask = parser.parse_args(words)
    where = places(ask.profile, ask.data)
    print(f"{ask.chapter}: {len(ask.seeds)} seeds in {gather(where, ask.chapter, ask.seeds).relative_to(where.root)}")
    return 0


if __name__ == "__main__":
    leave(main)
