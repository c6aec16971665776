"""What each chapter found, in a sentence or two: ``params/findings.md`` with a run's own numbers in it."""

import re
from pathlib import Path

from flowsdf.report.freshness import read_json


def findings(root: Path, results: Path) -> dict[str, str]:
    """The paragraphs of each chapter whose metrics hold all that they name, with the ledger's verdicts behind them.

    A chapter without any is left out: it has not run, its last run failed, or its shapes do not have these numbers.
    """
    path = root / "params" / "findings.md"
    sections = re.split(r"^## (\w+)\n", path.read_text(encoding="utf-8") if path.is_file() else "", flags=re.MULTILINE)
    told = {}
    for chapter, text in zip(sections[1::2], sections[2::2], strict=True):
        metrics = {} if (results / chapter / "failure.json").exists() else read_json(results / chapter / "metrics.json")
        filled = [_filled(" ".join(paragraph.split()), metrics) for paragraph in text.strip().split("\n\n")]
        if any(filled):
            told[chapter] = " ".join([*filter(None, filled), *_verdicts(results, chapter)])
    return told


def _filled(paragraph: str, metrics: dict[str, float]) -> str:
    try:
        return paragraph.format_map(metrics)
    except KeyError:
        return ""


def _verdicts(results: Path, chapter: str) -> list[str]:
    rows = [row for row in read_json(results / "ledger.json").get("claims", []) if row["chapter"] == chapter]
    by = {row["verdict"]: [other["id"] for other in rows if other["verdict"] == row["verdict"]] for row in rows}
    said = "; ".join(f"{', '.join(ids)} {verdict}" for verdict, ids in by.items())
    return [f"*In the ledger: {said}.*"] if said else []
