"""The sources of the book: one notebook page a chapter, the front page, and the order of all."""

import html
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowsdf.evaluation.claims import sign
from flowsdf.report.book import write_notebook
from flowsdf.report.findings import findings
from flowsdf.report.freshness import read_json
from flowsdf.report.ledger import changed_before, load_claims, text
from flowsdf.report.pages import picture_html, provenance, read_cells, text_of, title
from flowsdf.report.places import Places, part
from flowsdf.report.readme import FOUND, front, key_figures, paragraph, shown
from flowsdf.report.wording import significant

PAGE_KINDS = ("figure", "view")
SENTENCE = 50  # characters of a cell that is read, not looked up


def table_html(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table of escaped text, on one line so that Markdown leaves it alone."""
    heads = "".join(f"<th>{html.escape(str(value))}</th>" for value in head)
    body = "".join("<tr>" + "".join(map(cell_html, row)) + "</tr>" for row in rows)
    text = f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    return text.replace("\n", " ")


def cell_html(value: Any) -> str:
    """One cell of a table; a sentence gets room."""
    kind = ' class="sentence"' if len(str(value)) > SENTENCE else ""
    return f"<td{kind}>{html.escape(str(value))}</td>"


def text_cell(source: str) -> dict[str, Any]:
    """A Markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def title_block(run: dict[str, Any]) -> str:
    """The strip under a page's title: where its numbers come from."""
    items = "".join(f"<div><dt>{html.escape(a)}</dt><dd>{html.escape(str(b))}</dd></div>" for a, b in provenance(run))
    return f'<dl class="provenance">{items}</dl>'


def failure_box(failure: dict[str, Any], earlier: bool) -> str:
    """What stands on the page of a chapter whose last run failed."""
    rest = " What follows is the result of the run before." if earlier else ""
    reason = html.escape(failure["reason"]).replace("\n", " ")
    return (
        f'<div class="failed"><strong>The last run of this chapter failed.</strong> <code>{reason}</code>{rest}</div>'
    )


def stale_box(results: Path, run: dict[str, Any]) -> str:
    """What stands on a page when a chapter before it has changed or failed since; empty when none has."""
    changed = html.escape(", ".join(changed_before(results, run)))
    return f'<div class="failed">Stale: {changed} changed or failed after this ran.</div>' if changed else ""


def page_output(output: dict[str, Any], chapter: str, folder: Path) -> dict[str, Any]:
    """A slim notebook's output, its files found from the book's pages; a view's picture loads the view on a click."""
    record = output["metadata"].get("flowsdf", {})
    if record.get("kind") not in PAGE_KINDS:
        return output
    base, caption = f"{chapter}/{record['file']}", record["caption"]
    picture = picture_html(base, caption)
    if record["kind"] == "view" and (folder / record["file"]).with_suffix(".html").exists():
        page = html.escape(str(Path(base).with_suffix(".html")))
        image, tail = picture.removeprefix("<figure>").split("<figcaption>")
        link = f'<a class="view" href="{page}" title="{html.escape(caption)}">{image}<span>turn it</span></a>'
        picture = f"<figure>{link}<figcaption>{tail}"
    return {**output, "data": {"text/html": picture}}


def page_cell(cell: dict[str, Any], chapter: str, folder: Path) -> dict[str, Any]:
    """A cell of the page: code folded away, and left out where it only speaks."""
    if cell["cell_type"] != "code":
        return cell
    speaks = text_of(cell["source"]).lstrip().startswith("results.say(")
    outputs = [page_output(output, chapter, folder) for output in cell["outputs"]]
    return {**cell, "outputs": outputs, "metadata": {"tags": ["remove-input" if speaks else "hide-input"]}}


def numbers_cell(where: Places, chapter: str, folder: Path) -> dict[str, Any]:
    """All metrics of a chapter: this run, the published one, the thesis."""
    ours, kept = read_json(folder / "metrics.json"), read_json(where.published / chapter / "metrics.json")
    claims = [claim for claim in load_claims(where.root) if claim.chapter == chapter]
    thesis = {
        name: sign(relation) + text([value])
        for claim in claims
        for name, relation, value in zip(claim.metric, claim.relation, claim.reported, strict=False)
    }
    rows = [(name, *map(significant, (ours[name], kept.get(name))), thesis.get(name, "")) for name in ours]
    return text_cell("## Every number\n\n" + table_html(("metric", "this run", "published", "thesis"), rows))


def claims_cell(results: Path, chapter: str) -> list[dict[str, Any]]:
    """The ledger's verdicts on a chapter's claims."""
    rows = [row for row in read_json(results / "ledger.json").get("claims", []) if row["chapter"] == chapter]
    head = ("id", "claim", "thesis", "measured", "verdict", "scale", "because")
    body = [
        [row["id"], row["statement"], row["reported"], row["measured"], row["verdict"], row["scale"], row["reason"]]
        for row in rows
    ]
    return [text_cell("## The claims\n\n" + table_html(head, body))] if rows else []


def write_page(where: Places, results: Path, chapter: str, source: Path, told: str | None) -> None:
    """One chapter's page, with what is told of its findings after its opening, and its files beside it."""
    folder = results / chapter
    run, failure = read_json(folder / "run.json"), read_json(folder / "failure.json")
    notes = [failure_box(failure, bool(run))] if failure else []
    if not run:
        heading = title(folder, where.notebook(chapter))
        write_notebook(source / f"{chapter}.ipynb", [text_cell(f"# {heading}"), text_cell("\n\n".join(notes))])
        return
    first, *rest = [page_cell(cell, chapter, folder) for cell in read_cells(folder)]
    heading, _, opening = text_of(first["source"]).partition("\n")
    notes = [title_block(run), *notes, stale_box(results, run)]
    opening = "\n\n".join([opening.strip(), *paragraph(told, FOUND)])
    cells = [text_cell(heading), text_cell("\n\n".join(filter(None, notes))), text_cell(opening), *rest]
    if chapter[:2] != "99":
        cells += [*claims_cell(results, chapter), numbers_cell(where, chapter, folder)]
    write_notebook(source / f"{chapter}.ipynb", cells)
    for kind in ("figures", "tables", "views"):
        if (folder / kind).exists():
            shutil.copytree(folder / kind, source / "_files" / chapter / kind)


def toctree(names: list[str]) -> str:
    """The hidden tables of contents that order the book by the thesis's parts."""
    parts = list(dict.fromkeys(part(name) for name in names))
    lists = {title: "\n".join(name for name in names if part(name) == title) for title in parts}
    return "\n\n".join(f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{text}\n```" for title, text in lists.items())


def write_sources(where: Places, results: Path, source: Path) -> None:
    """All sources of the book, ready for Sphinx."""
    (source / "_files").mkdir()
    told = findings(where.root, results, ledger="99_ledger.ipynb")
    for chapter in shown(where, results):
        write_page(where, results, chapter, source, told.get(chapter))
    index = front(where, results, flow="_static/dataflow.svg", suffix=".ipynb")
    for name, entry in key_figures(results, shown(where, results)):
        index = index.replace(f"]({name}/{entry['file']})", f"](_files/{name}/{entry['file']})")
    (source / "index.md").write_text(f"{index}\n\n{toctree(shown(where, results))}\n", encoding="utf-8")
