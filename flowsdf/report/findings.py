"""What each chapter found, and all together: ``params/findings.md`` with a run's own numbers in it.

``{x:.2f}`` is a metric, ``{x:1/2?words|others}`` the words for it: the first where it is above the bound. The words may
hold another such field.
"""

import re
import string
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

from flowsdf.report.evidence import evidence_for
from flowsdf.report.freshness import read_json

ALL = "all"  # the section whose fields are {chapter[metric]}


def findings(root: Path, results: Path, *, ledger: str) -> dict[str, str]:
    """The paragraphs of each chapter whose metrics hold all that they name, with the ledger's verdicts behind them.

    ``ledger`` is the address of the ledger's page, where the claims are told.
    A chapter without any is left out: it has not run, its last run failed, or its shapes do not have these numbers.
    """
    told, sections = {}, _sections(root)
    sections.pop(ALL, None)
    for chapter, paragraphs in sections.items():
        metrics = numbers(results, chapter)
        filled = [_filled(paragraph, metrics) for paragraph in paragraphs]
        if any(filled):
            told[chapter] = " ".join([*filter(None, filled), *_verdicts(results, chapter, ledger)])
    return told


def in_short(root: Path, results: Path) -> list[str]:
    """The paragraphs on all chapters together, of those whose numbers a run has."""
    sections = _sections(root)
    metrics = {chapter: numbers(results, chapter) for chapter in sections}
    return [*filter(None, (_filled(paragraph, metrics) for paragraph in sections.get(ALL, [])))]


def _sections(root: Path) -> dict[str, list[str]]:
    path = root / "params" / "findings.md"
    parts = re.split(r"^## (\w+)\n", path.read_text(encoding="utf-8") if path.is_file() else "", flags=re.MULTILINE)
    return {
        name: [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def numbers(results: Path, chapter: str) -> dict[str, Any]:
    """A chapter's metrics, its parameters under NAME_set, and where it ran over seeds how many ``seeds``, and
    NAME_mean, NAME_least and NAME_most."""
    folder, over = results / chapter, evidence_for(results, chapter)
    if (folder / "failure.json").exists():
        return {}
    given = read_json(folder / "run.json").get("parameters", {})
    found = {f"{name}_set": value for name, value in given.items()}
    found |= read_json(folder / "metrics.json") | ({"seeds": len(over["seeds"])} if over else {})
    for name, values in over.get("metrics", {}).items():
        found |= {f"{name}_mean": fmean(values), f"{name}_least": min(values), f"{name}_most": max(values)}
    return found


class _Words(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        bound, asked, words = format_spec.partition("?")
        if not asked:
            return super().format_field(value, format_spec)
        return words.split("|")[0 if value > Fraction(bound) else 1]


def _filled(paragraph: str, metrics: dict[str, Any]) -> str:
    try:
        return _Words().vformat(paragraph, (), metrics).strip()
    except KeyError:
        return ""


def lead(text: str) -> str:
    """The sentence in bold that a finding begins with; where a run lacks its numbers, the first one."""
    return text.split("**")[1] if text.startswith("**") else text.partition(". ")[0].removesuffix(".") + "."


def _verdicts(results: Path, chapter: str, ledger: str) -> list[str]:
    rows = [row for row in read_json(results / "ledger.json").get("claims", []) if row["chapter"] == chapter]
    by = {row["verdict"]: [other["id"] for other in rows if other["verdict"] == row["verdict"]] for row in rows}
    said = "; ".join(f"{', '.join(ids)} {verdict}" for verdict, ids in by.items())
    return [f"*In the [ledger]({ledger}): {said}.*"] if said else []
