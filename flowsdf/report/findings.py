"""What each chapter found, in a sentence or two: ``params/findings.md`` with a run's own numbers in it."""

import re
from pathlib import Path

from flowsdf.report.freshness import read_json


def findings(root: Path, results: Path) -> dict[str, str]:
    """The paragraph of each chapter whose metrics hold all that it names, with the ledger's verdicts behind it."""
    path = root / "params" / "findings.md"
    sections = re.split(r"^## (\w+)\n", path.read_text(encoding="utf-8") if path.is_file() else "", flags=re.MULTILINE)
    told = {}
    for chapter, text in zip(sections[1::2], sections[2::2], strict=True):
        try:
            told[chapter] = text.strip().replace("\n", " ").format_map(read_json(results / chapter / "metrics.json"))
        except KeyError:
            continue  # not run, or on shapes that do not have it
    return {chapter: f"{text}{_verdicts(results, chapter)}" for chapter, text in told.items()}


def _verdicts(results: Path, chapter: str) -> str:
    rows = [row for row in read_json(results / "ledger.json").get("claims", []) if row["chapter"] == chapter]
    by = {row["verdict"]: [other["id"] for other in rows if other["verdict"] == row["verdict"]] for row in rows}
    said = "; ".join(f"{', '.join(ids)} {verdict}" for verdict, ids in by.items())
    return f" *In the ledger: {said}.*" if said else ""
