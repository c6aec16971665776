"""No result is typed into prose: a decimal number in a text cell must be a quoted claim or part of a formula."""

import re
from pathlib import Path

from flowsdf.data.faults import Failed
from flowsdf.report.parameters import cells

QUIET = re.compile(r"\$[^$]*\$|`[^`]*`|\]\([^)]*\)|https?://\S+")  # formulas, code, links
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?:e-?\d+)?(?![\w.]*\w)")


def typed_numbers(text: str, quotable: str) -> list[str]:
    """The decimal numbers of a Markdown text that stand nowhere in the quotable text."""
    return [number for number in NUMBER.findall(QUIET.sub(" ", text)) if number not in quotable]


def check_prose(notebook: Path, claims: Path) -> None:
    """Failed when a text cell holds a number that is no declared claim's."""
    quotable = claims.read_text(encoding="utf-8") if claims.exists() else ""
    for head, text in cells(notebook.read_text(encoding="utf-8")):
        if "[markdown]" in head and (found := typed_numbers(text, quotable)):
            raise Failed(f"{notebook.name}: {found[0]} is typed into prose; say it from a metric, with results.say")
