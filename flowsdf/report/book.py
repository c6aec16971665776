"""Make the offline book and the README of a run, or of the published results when nothing has run here.

python -m flowsdf.report.book --profile laptop --data procedural
"""

import fcntl
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from flowsdf.data.faults import Failed
from flowsdf.report.doors import leave, run_parser
from flowsdf.report.execute import keep_apart
from flowsdf.report.freshness import digest, digest_json, read_json, whole
from flowsdf.report.places import Places, chapters, places

HERE = Path(__file__).with_suffix("")  # conf.py and static files


def content_key(where: Places, results: Path) -> str:
    """The hash of everything a book is made of."""
    marks = [*results.glob("*/run.json"), *results.glob("*/failure.json"), *where.published.glob("*/metrics.json")]
    marks += [
        results / "ledger.json",
        *results.glob("evidence/*.json"),
        *HERE.rglob("*.*"),
        *HERE.parent.glob("*.py"),
        *where.root.glob("params/*.*"),
    ]
    marks += list(where.root.glob("notebooks/*.py"))
    return digest_json({str(path): digest(path.read_bytes()) for path in sorted(marks) if path.is_file()})


def choose_results(where: Places) -> Path:
    """The folder the book is made from: the last run's, else the published one."""
    for folder in (where.reports, where.published):
        if [*folder.glob("*/run.json"), *folder.glob("*/failure.json")]:
            return folder
    raise Failed(f"no results for {where.run_name}, here or published: make report PROFILE={where.profile}")


def build(where: Places) -> list[str]:
    """Bring the book up to date; what is wrong with the results it shows, one line each."""
    keep_apart(where)
    results = choose_results(where)
    stamp, key = where.html / ".key", content_key(where, results)
    where.reports.mkdir(parents=True, exist_ok=True)
    with open(where.reports / ".book.lock", "w") as hold:
        fcntl.flock(hold, fcntl.LOCK_EX)  # waits while another process makes the same book
        if not (stamp.exists() and stamp.read_text() == key):
            _make(where, results)
            stamp.write_text(key)
    print(f"book: {where.html / 'index.html'}")
    return problems(where, results)


def _make(where: Places, results: Path) -> None:
    from flowsdf.report.front import write_sources  # only now: they read every page
    from flowsdf.report.readme import write_readme

    source = where.reports / ".book"
    shutil.rmtree(source, ignore_errors=True)
    (source / "_static").mkdir(parents=True)
    copy_static(source / "_static")
    write_sources(where, results, source)
    if results == where.reports:
        write_readme(where, results)
    render(source, where.html)


def copy_static(target: Path) -> None:
    """The book's settings, style, script and picture, and the one file of MathJax it needs."""
    import importlib.util

    shutil.copytree(HERE / "static", target, dirs_exist_ok=True)
    shutil.copytree(HERE / "templates", target.parent / "_templates")
    shutil.copy(HERE / "conf.py", target.parent)
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    if package is None or not package.submodule_search_locations:
        raise Failed("sphinx-mathjax-offline is not installed: pip install -r requirements.lock")
    shutil.copy(Path(package.submodule_search_locations[0]) / "static" / "mathjax" / "tex-svg.js", target)


def render(source: Path, html: Path) -> None:
    """Run Sphinx on the sources, into a folder that then takes the old book's place."""
    from sphinx.cmd.build import main as sphinx

    built = html.with_name(".built")  # Sphinx leaves a folder of notebooks beside the pages
    shutil.rmtree(built, ignore_errors=True)
    if sphinx(["-q", "-E", "-b", "html", "-d", str(source / ".doctrees"), str(source), str(built / "html")]):
        raise Failed("Sphinx could not build the book; its message is above")
    shutil.rmtree(html, ignore_errors=True)
    os.replace(built / "html", html)
    shutil.rmtree(built)


def exhibits(where: Places) -> list[dict[str, Any]]:
    """The seeds' tables and figures, each with the chapter and file that reproduces it."""
    from flowsdf.report.parameters import load_yaml

    path = where.root / "params" / "exhibits.yaml"
    return load_yaml(path) or [] if path.exists() else []


def problems(where: Places, results: Path) -> list[str]:
    """Failed chapters, results changed since their run, and exhibits that a finished chapter did not make."""
    made = (results / "ledger.json").exists() or (results / "99_ledger" / "run.json").exists()
    forged = made and not whole(results / "ledger.json")
    found = ["ledger.json was edited by hand or is missing; make chapter CH=99_ledger"] if forged else []
    for path in sorted((results / "evidence").glob("*.json")):
        if not whole(path):
            found.append(f"evidence/{path.name} was edited or is damaged; make evidence CH={path.stem}")
    asked = exhibits(where)
    for chapter in chapters(where.root):
        folder = results / chapter
        failure, run = read_json(folder / "failure.json"), read_json(folder / "run.json")
        if failure:
            found.append(f"{chapter}: {failure['reason']}")
        files = run.get("files", {})
        if any(
            (folder / name).exists() and digest((folder / name).read_bytes()) != seal for name, seal in files.items()
        ):
            found.append(f"{chapter}: a result was edited after the run; make chapter CH={chapter}")
        for exhibit in asked if run else []:
            if exhibit["chapter"] == chapter and not (folder / exhibit["file"]).exists():
                found.append(f"{chapter}: {exhibit['exhibit']} ({exhibit['source']}) needs {exhibit['file']}")
    return found


def main(words: list[str] | None = None) -> int:
    """The command line; 1 when a chapter failed or an exhibit is missing, the book being made all the same."""
    parser = run_parser("Make the offline book.")
    ask = parser.parse_args(words)
    found = build(places(ask.profile, ask.data))
    for line in found:
        print(f"FAILED: {line}", file=sys.stderr)
    return 1 if found else 0


def write_notebook(path: Path, cells: list[dict[str, Any]]) -> None:
    """A notebook of the given cells, for myst-nb."""
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    numbered = [{**cell, "id": f"cell-{index}"} for index, cell in enumerate(cells)]
    content = {"cells": numbered, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    leave(main)
