"""Keep a run's small results in the repository, and hold a run against the kept ones.

python -m flowsdf.report.publish --profile laptop            # keep
python -m flowsdf.report.publish --profile laptop --compare  # hold against
"""

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from flowsdf.data.faults import Failed
from flowsdf.report.book import build, problems
from flowsdf.report.doors import leave, run_parser
from flowsdf.report.freshness import read_json, sealed
from flowsdf.report.ledger import changed_before
from flowsdf.report.parameters import check, load_values
from flowsdf.report.places import Places, chapters, places
from flowsdf.report.readme import write_readme
from flowsdf.report.results_table import write_results_table

KEPT = (".json", ".ipynb", ".csv", ".png", ".md", ".svg")
MOST = 15_000_000  # bytes in all
TOLERANCE = 0.10  # of the published value, where params/tolerances.yaml names no other
AFORE = re.compile(r"\\[nrt]|file://")  # what may stand before a path in JSON
PATH = re.compile(r"(?<![\w.:/])/(home|root|Users|tmp|var|opt|mnt|work|usr|srv|data)/[\w.-]+")


class Difference(NamedTuple):
    """One metric of a run beside the published one."""

    chapter: str
    metric: str
    ours: float | None
    kept: float | None
    agrees: bool


def kept_files(reports: Path) -> list[Path]:
    """The small files of a run: not the book, not the views' pages, nothing hidden, no failed notebook."""
    files = [path for path in sorted(reports.rglob("*")) if path.is_file() and path.suffix in KEPT]
    parts = [(path, path.relative_to(reports).parts) for path in files]
    hidden = [path for path, names in parts if names[0] == "html" or any(name.startswith(".") for name in names)]
    return [path for path in files if path not in hidden and path.name != "failed.ipynb"]


def machine_paths(path: Path) -> list[str]:
    """The absolute paths that a text file names."""
    if path.suffix == ".png":
        return []
    content = AFORE.sub(" ", path.read_text(encoding="utf-8"))
    return [match.group(0) for match in PATH.finditer(content)]


def publish(where: Places) -> Path:
    """Copy a run's small results to reports/published/, replacing what was there; Failed when they are not fit.

    A published sweep stays until the run has its own.
    """
    failed = [path.parent.name for path in where.reports.glob("[!.]*/failure.json")]
    files = kept_files(where.reports) if where.reports.is_dir() else []
    if failed or not files:
        raise Failed(f"nothing to publish: {f'{failed[0]} failed' if failed else 'make report first'}")
    known = [name for name in chapters(where.root) if (where.published / name / "run.json").exists()]
    if missing := [name for name in known if not (where.reports / name / "run.json").exists()]:
        raise Failed(f"{missing[0]} is published and not in this run, so it would be lost: make report first")
    for path in sorted((where.published / "evidence").glob("*.json")):
        if not (where.reports / "evidence" / path.name).exists():
            told = f"make evidence CH={path.stem}, or remove {path.relative_to(where.root)}"
            raise Failed(f"several seeds of {path.stem} are published, and this run has one: {told}")
    _require_whole(where)
    size = sum(path.stat().st_size for path in files)
    if size > MOST:
        largest = max(files, key=lambda path: path.stat().st_size)
        raise Failed(f"{size / 1e6:.1f} MB to publish, {MOST / 1e6:.0f} allowed; the largest is {largest.name}")
    for path in files:
        if found := machine_paths(path):
            raise Failed(f"{path.relative_to(where.reports)} names a path of this machine: {found[0]}")
    part = where.published.with_name(f".{where.published.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for path in files:
        target = part / path.relative_to(where.reports)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    if (where.published / "sweep").is_dir() and not (part / "sweep").exists():
        shutil.copytree(where.published / "sweep", part / "sweep")
    shutil.rmtree(where.published, ignore_errors=True)
    os.replace(part, where.published)
    write_results_table(where.root)
    print(f"published {len(files)} files, {size / 1e6:.1f} MB: {where.published.relative_to(where.root)}")
    return where.published


def _require_whole(where: Places) -> None:
    """Failed where a result was edited or lost, or is older than a chapter before it, or may not be passed on."""
    for problem in problems(where, where.reports):
        raise Failed(f"nothing is published: {problem}")
    for chapter in chapters(where.root):
        run = read_json(where.reports / chapter / "run.json")
        if changed := changed_before(where.reports, run):
            raise Failed(f"nothing is published: {chapter} is older than its {changed[0]}: make report first")
        if run and not sealed(where.reports / chapter):
            raise Failed(f"nothing is published: {chapter} has lost a result; make chapter CH={chapter}")
    data = where.reports / "00_data"
    if (private := read_json(data / "metrics.json").get("shapes_private", 0 if not data.exists() else None)) is None:
        raise Failed("nothing is published: 00_data does not say what may be passed on; make chapter CH=00_data")
    if private:
        listed = "00_data/tables/licences.csv lists them: leave them out, or give their licence in manifest.csv"
        raise Failed(f"nothing is published: the licence of {private} shapes does not allow it; {listed}")


def agree(ours: float | None, kept: float | None, tolerance: float | None = None) -> bool:
    """Whether two values of a metric agree: within a share of the kept one, by default a tenth, or none if whole."""
    if ours is None or kept is None:
        return False
    if tolerance is None:
        tolerance = 0.0 if isinstance(ours, int) and isinstance(kept, int) else TOLERANCE
    return abs(ours - kept) <= max(tolerance * abs(kept), 1e-12)


def compare(where: Places) -> list[Difference]:
    """Every metric of the chapters that both runs have, ours beside the published one; seconds belong to a machine."""
    tolerances, rows = load_values(where.root / "params" / "tolerances.yaml"), []
    for name, share in tolerances.items():
        check("params/tolerances.yaml", name, share, TOLERANCE)
    for chapter in chapters(where.root):
        ours, kept = (read_json(folder / chapter / "metrics.json") for folder in (where.reports, where.published))
        for name in sorted(n for n in {*ours, *kept} if "seconds" not in n) if ours and kept else []:
            pair = ours.get(name), kept.get(name)
            rows.append(Difference(chapter, name, *pair, agree(*pair, tolerances.get(name))))
    return rows


def print_comparison(rows: list[Difference]) -> None:
    """Say how many numbers agree, then each one that does not."""
    apart = [row for row in rows if not row.agrees]
    print(f"{len(rows) - len(apart)} of {len(rows)} numbers agree with the published ones")
    for row in apart:
        print(f"  {row.chapter} {row.metric}: {row.ours} here, {row.kept} published")


def main(words: list[str] | None = None) -> int:
    """The command line."""
    parser = run_parser("Publish a run's results, or compare a run with them.")
    parser.add_argument("--compare", action="store_true")
    ask = parser.parse_args(words)
    where = places(ask.profile, ask.data)
    if not ask.compare:
        build(where)
        write_readme(where, where.reports)
        publish(where)
        return 0
    rows = compare(where)
    if not rows:
        raise Failed(f"nothing to compare: {where.run_name} has no run here, or no published results")
    print_comparison(rows)
    return 0


if __name__ == "__main__":
    leave(main)
