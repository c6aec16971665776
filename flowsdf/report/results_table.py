"""The README's summary, findings and results table, made from the published runs: no number in them is typed."""

import re
from collections import Counter, defaultdict
from pathlib import Path

from flowsdf.data.faults import Failed
from flowsdf.report.findings import findings, in_short, lead, numbers
from flowsdf.report.freshness import read_json
from flowsdf.report.pages import title
from flowsdf.report.wording import significant

BLOCK = re.compile(r"(<!-- (summary|findings|results): .*? -->\n).*?(<!-- end of \2 -->)", re.DOTALL)
FIELD = re.compile(r"\{([\w-]+):([\w/]+)(:verdict)?\}")


def results_table(root: Path) -> str:
    """``params/results_table.md`` , each {run:metric} and {run:claim:verdict} looked up, or a dash.

    Of a chapter that ran over seeds a metric is their mean; metric_least and metric_most are the ends.
    Failed where chapters of a run give a metric's name to different numbers; {run:chapter/metric} says which.
    """
    published = root / "reports" / "published"
    found: defaultdict[tuple[str, str], set[float]] = defaultdict(set)
    verdicts: dict[tuple[str, str], str] = {}
    for run in (path for path in published.glob("*") if path.is_dir()):
        for path in run.glob("*/metrics.json"):
            chapter = path.parent.name
            known = numbers(run, chapter)
            for name in (name for name, value in known.items() if isinstance(value, int | float)):
                value = known.get(f"{name}_mean", known[name])
                found[run.name, name].add(value)
                found[run.name, f"{chapter}/{name}"].add(value)
        claims = read_json(run / "ledger.json").get("claims", [])
        verdicts |= {(run.name, claim["id"]): claim["verdict"] + claim["post_hoc"] * " (post-hoc)" for claim in claims}

    def shown(field: re.Match[str]) -> str:
        key = field[1], field[2]
        if field[3]:
            return verdicts.get(key, "-")
        if len(found[key]) > 1:
            raise Failed(
                f"params/results_table.md: {field[0]} is in several chapters: say {field[1]}:CHAPTER/{field[2]}"
            )
        return significant(next(iter(found[key]), None))

    return FIELD.sub(shown, (root / "params" / "results_table.md").read_text(encoding="utf-8"))


def tally(root: Path) -> str:
    """How many claims of the laptop run got which verdict, in a sentence or two; nothing without a ledger."""
    claims = read_json(root / "reports" / "published" / "laptop" / "ledger.json").get("claims", [])
    verdicts = Counter(claim["verdict"] for claim in claims)
    untested = [claim for claim in claims if claim["verdict"] == "not testable here"]
    absent = sum(claim["reason"].startswith("needs chapter ") for claim in untested)
    counted = ", ".join(f"{count} *{verdict}*" for verdict, count in verdicts.most_common())
    told = f"Of {len(claims)} claims: {counted}."
    if all(claim["type"] == "analytic" for claim in claims if claim["verdict"] == "reproduced-exact"):
        told += " What is *reproduced-exact* is arithmetic, sizes and settings."
    if untested:
        told += f" Of those *not testable here* {absent} belong to chapters that have not run; the other "
        told += f"{len(untested) - absent} need the original's size, steps, data or machine: what came out is shown."
    return f"{told}\n\n" if claims else ""


def summary(root: Path) -> str:
    """What the laptop run found, all chapters together."""
    return "\n\n".join(in_short(root, root / "reports" / "published" / "laptop")) + "\n"


def findings_list(root: Path) -> str:
    """One line a chapter of the laptop run: what it found in a sentence, and its page."""
    run, lines = root / "reports" / "published" / "laptop", []
    pages = "reports/published/laptop"
    for name, text in findings(root, run, ledger=f"{pages}/99_ledger/README.md").items():
        heading = title(run / name, root / "notebooks" / f"{name}.py")
        lines.append(f"- {lead(text)} ([{heading}]({pages}/{name}/README.md))\n")
    return "".join(lines)


def write_results_table(root: Path) -> None:
    """Put the summary, the findings and the table between their marks in README.md."""
    path = root / "README.md"
    if path.is_file():
        made = {"summary": summary(root), "findings": findings_list(root), "results": tally(root) + results_table(root)}
        text = BLOCK.sub(lambda m: m[1] + made[m[2]] + m[3], path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
