"""The ledger: every declared claim, judged by what the chapters of a run recorded."""

import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flowsdf.data.faults import Failed
from flowsdf.evaluation.claims import Claim, parse_claims, sign
from flowsdf.evaluation.detectors import OPEN
from flowsdf.evaluation.verdicts import Run, judge
from flowsdf.report.evidence import evidence_for
from flowsdf.report.findings import findings, lead
from flowsdf.report.freshness import read_json, result_mark, sealed, under_seal
from flowsdf.report.parameters import load_yaml
from flowsdf.report.places import Places
from flowsdf.report.results import write_json
from flowsdf.report.wording import significant

SECTIONS = {  # of the ledger's page, by the first letter of a claim's id
    "DC": "Data, and the cost of the whole",
    "P": "A decoder for every shape",
    "H": "Hypernetworks and the first attempts",
    "W": "Weights from images",
    "A": "The weight autoencoder",
    "S": "One decoder for all shapes",
    "LG": "From images to codes, and objects never seen",
    "F": "Shapes from silhouettes",
    "R": "Other representations",
}


def load_claims(root: Path) -> tuple[Claim, ...]:
    """The declared claims; none when params/claims.yaml is missing."""
    path = root / "params" / "claims.yaml"
    try:
        return parse_claims(load_yaml(path)) if path.exists() else ()
    except ValueError as error:
        raise Failed(f"params/claims.yaml: {error}") from None


def changed_before(reports: Path, run: dict[str, Any]) -> list[str]:
    """The chapters a run followed that have changed or failed since."""
    after = run.get("depends", {}).get("after", {})
    changed = {name for name, key in after.items() if result_mark(reports / name) != key}
    return sorted(changed | {name for name in after if (reports / name / "failure.json").exists()})


def as_run(folder: Path) -> Run | None:
    """A chapter's run as the verdicts see it; None when it has neither run nor failed."""
    run, failure = read_json(folder / "run.json"), read_json(folder / "failure.json")
    if not (run or failure):
        return None
    if failure:
        started = datetime.fromisoformat(failure["ended"])
        return Run("", "", "", "", 1, started, error=failure["reason"])
    seeds = run["parameters"].get("seeds", 1)
    return Run(
        run["profile"],
        run["data"],
        run["encoder"],
        run["device"],
        seeds=len(seeds) if isinstance(seeds, list) else seeds,
        started=datetime.fromisoformat(run["started"]),
        stale=bool(changed_before(folder.parent, run)) or not sealed(folder, turning=False),
        claims=tuple(read_json(folder / "claims.json").get("claims", ())),
    )


def text(values: tuple | list) -> str:
    """Numbers side by side; of several seeds that differ the mean, the least and the most."""
    return " / ".join(
        f"{significant(float(np.mean(v)))} ({significant(min(v))} to {significant(max(v))})"
        if isinstance(v, list) and min(v) < max(v)
        else significant(v[0] if isinstance(v, list) else v)
        for v in values
    )


def asked(claim: Claim) -> str:
    """What the source reports, side by side, with the sign of what has to be more or less than that."""
    pairs = zip(claim.relation, claim.reported, strict=True) if claim.reported else ()
    return " / ".join(sign(relation) + significant(value) for relation, value in pairs)


def null_model(claim: Claim, metrics: dict[str, Any]) -> str:
    """What a trivial answer would score, with each {metric} of the same run in its place; a dash where it has none."""
    told = re.sub(r"\{(\w+)\}", lambda name: text([metrics[name[1]]]) if name[1] in metrics else "-", claim.null_model)
    return f"null model: {told}" if told else ""


def fired(values: list) -> str:
    """What detectors say, side by side; of several seeds, in how many they do."""
    words = {1.0: "yes", 0.0: "no", OPEN: "undecided"}
    counted = (f"{sum(x > OPEN for x in v)} of {len(v)}" if isinstance(v, list) else "" for v in values)
    return " / ".join(many or words.get(v, text([v])) for many, v in zip(counted, values, strict=True))


def row(claim: Claim, reports: Path) -> dict[str, Any]:
    """One claim with its verdict and what it rests on."""
    folder = reports / claim.chapter
    metrics, run = read_json(folder / "metrics.json"), as_run(folder)
    more = evidence_for(reports, claim.chapter)
    if run and more:
        metrics |= more["metrics"]
        run = run._replace(seeds=len(more["seeds"]), started=datetime.fromisoformat(more["started"]))
    verdict = judge(claim, metrics | _by_shape(claim, folder, more), run)
    shown = fired if claim.test == "detector" else text
    late = "post-hoc: the run is older than its test" if verdict.post_hoc else ""
    beside = (late, claim.caveat, null_model(claim, metrics)) if run else ()
    return {
        "id": claim.id,
        "chapter": claim.chapter,
        "statement": claim.statement,
        "source": claim.source,
        "type": claim.type,
        "reported": asked(claim),
        "measured": shown([metrics.get(name) for name in claim.metric]) if metrics else "",
        "verdict": verdict.name,
        "scale": verdict.scale,
        "reason": "; ".join(filter(None, (verdict.reason, *beside))),
        "post_hoc": verdict.post_hoc,
    }


def _by_shape(claim: Claim, folder: Path, more: dict[str, Any]) -> dict[str, list[list[float]]]:
    """The metrics of an ordering, seeds x shapes, where all of them are kept so: its interval is over both."""
    single = {name: [values] for name, values in read_json(folder / "by_shape.json").items()}
    found = more.get("by_shape", {}) if more else single
    whole = claim.test == "ordering" and all(name in found for name in claim.metric)
    return {name: found[name] for name in claim.metric} if whole else {}


def write_ledger(where: Places) -> pd.DataFrame:
    """Judge every claim, keep the rows in ledger.json under a seal, and give them as a table."""
    rows = [row(claim, where.reports) for claim in load_claims(where.root)]
    runs = {path.parent.name: read_json(path)["files"] for path in sorted(where.reports.glob("[!.]*/run.json"))}
    evidence = {chapter: files["metrics.json"] for chapter, files in runs.items() if "../ledger.json" not in files}
    content = {"profile": where.profile, "data": where.data_name, "evidence": evidence, "claims": rows}
    write_json(where.reports / "ledger.json", under_seal(content))
    return pd.DataFrame(rows)


def phases(where: Places, ledger: pd.DataFrame) -> pd.DataFrame:
    """The thesis's phases (params/phases.yaml), what it says of each, and what this run found and judged there."""
    told = findings(where.root, where.reports, ledger="")
    lines = []
    for asked in load_yaml(where.root / "params" / "phases.yaml"):
        chapter = asked.pop("chapter")
        judged = Counter(ledger.verdict[ledger.chapter == chapter])
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in judged.items())
        found = lead(told[chapter]) if chapter in told else "-"
        lines.append(asked | {"here": found, "claims": verdicts, "chapter": chapter})
    return pd.DataFrame(lines)


def counts(ledger: pd.DataFrame) -> dict[str, int]:
    """How many claims got each verdict, as metrics."""
    return {f"claims_{name.replace(' ', '_').replace('-', '_')}": n for name, n in Counter(ledger["verdict"]).items()}


def by_section(ledger: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The claims of each section under its title, in their order; those of no section last, under "Others"."""
    letter = ledger["id"].str[0]
    parts = {title: ledger[letter.isin(list(letters))] for letters, title in SECTIONS.items()}
    parts["Others"] = ledger[~letter.isin(list("".join(SECTIONS)))]
    return {title: part for title, part in parts.items() if len(part)}
