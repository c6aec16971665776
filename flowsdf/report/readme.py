"""The front page in Markdown, for the book and for the hosting site; and each chapter's story for the latter."""

import shutil
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

from flowsdf.report.book import HERE
from flowsdf.report.findings import findings, in_short
from flowsdf.report.freshness import read_json
from flowsdf.report.ledger import changed_before
from flowsdf.report.pages import markdown_escape, provenance, story, title
from flowsdf.report.places import Places, chapters, part

WHAT = (
    "What architectural choices matter when an image-to-3-D system learns from about a thousand shapes? This report "
    "re-measures, claim by claim, the thesis *From Weight-Space Diffusion to Latent-Space DeepSDF* and its companion "
    "*Flow-SDF*: raw meshes become closed surfaces, distances, pictures and features; one shared decoder learns a "
    "short code per shape; a diffusion model turns one to eight pictures into such a code, and the code into a mesh. "
    "Every number below was computed by the notebooks of this repository, and a ledger says which claims held."
)

FOUND = "Found: "


def status(results: Path, chapter: str) -> str:
    """A chapter's state in words."""
    run = read_json(results / chapter / "run.json")
    if (results / chapter / "failure.json").exists():
        return "failed"
    return ("stale" if changed_before(results, run) else f"done in {run['seconds']:.0f} s") if run else "not run"


def headline(results: Path) -> str:
    """The ledger's counts by verdict and scale as a Markdown table; a note when there is no ledger."""
    rows = read_json(results / "ledger.json").get("claims", [])
    if not rows:
        return "The ledger has not been made in this run."
    scales = sorted({row["scale"] for row in rows})
    counts = Counter((row["verdict"], row["scale"]) for row in rows)
    verdicts = sorted(
        {row["verdict"] for row in rows},
        key=lambda verdict: (-sum(counts[verdict, scale] for scale in scales), verdict),
    )
    lines = [["verdict", *scales], ["---"] * (1 + len(scales))]
    lines += [[verdict, *(str(counts[verdict, scale] or "") for scale in scales)] for verdict in verdicts]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shown(where: Places, results: Path) -> list[str]:
    """The chapters with a page: those that ran or failed."""
    return [
        name
        for name in chapters(where.root)
        if any((results / name / mark).exists() for mark in ("run.json", "failure.json"))
    ]


def key_figures(results: Path, names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """The figures that chapters marked as key."""
    entries = [(name, entry) for name in names for entry in read_json(results / name / "run.json").get("exhibits", [])]
    return [(name, entry) for name, entry in entries if entry["key"] and (results / name / entry["file"]).exists()]


def front(where: Places, results: Path, *, flow: str, suffix: str) -> str:
    """The front page's Markdown; `flow` is the picture's address, `suffix` ends a chapter's link."""
    names, told = shown(where, results), findings(where.root, results, ledger=f"99_ledger{suffix}")
    titles = {n: f"[{markdown_escape(title(results / n, where.notebook(n)))}]({n}{suffix})" for n in names}
    groups: list[str] = []
    for group, members in groupby(names, part):
        found = {n: paragraph(told.get(n), f"{titles[n]} ") for n in members}
        pieces = [piece for n, text in found.items() for piece in (*text, *_pictures(results, n))]
        groups += [f"### {group}", *pieces] if pieces else []
    lines = [f"| {titles[n]} | {status(results, n)} |" for n in names]
    listing = "\n".join(["| chapter | state; fits found stored are extra |", "| --- | --- |", *lines])
    kept = " These are the published results." if results == where.published else ""
    short = in_short(where.root, results)
    return "\n\n".join(
        [
            f"# From images to 3-D shapes: a thesis measured again\n\n{WHAT}",
            f"Profile **{where.profile}**, data **{where.data_name}**.{kept}",
            *(["## In short", *short] if short else []),
            f"![From raw meshes to codes, to meshes, to verdicts]({flow})",
            "## What came out",
            *groups,
            f"## The claims, counted\n\n{headline(results)}",
            f"## The chapters\n\n{listing}",
        ]
    )


def paragraph(text: str | None, before: str = "") -> list[str]:
    """A paragraph with what stands before it; none without text."""
    return [before + text] if text else []


def _pictures(results: Path, chapter: str) -> list[str]:
    found = [(entry["file"], markdown_escape(entry["caption"])) for _, entry in key_figures(results, [chapter])]
    return [f"![{caption}]({chapter}/{file})\n\n*{caption}*" for file, caption in found]


def write_readme(where: Places, results: Path) -> None:
    """The run's README.md: the front page, then every chapter's story."""
    shutil.copy(HERE / "static" / "dataflow.svg", results / "dataflow.svg")
    parts = [front(where, results, flow="dataflow.svg", suffix="/README.md")]
    told = findings(where.root, results, ledger="../99_ledger/README.md")
    for chapter in shown(where, results):
        run = read_json(results / chapter / "run.json")
        if not run:
            continue
        strip = " · ".join(f"{name}: {markdown_escape(str(value))}" for name, value in provenance(run))
        first, *rest = story(results / chapter)
        heading, _, opening = first.partition("\n")
        page = "\n\n".join([heading, strip, opening.strip(), *paragraph(told.get(chapter), FOUND), *rest])
        (results / chapter / "README.md").write_text(f"{page}\n", encoding="utf-8")
    (results / "README.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
