"""From an executed notebook to a page: the notebook made small and safe, its story as blocks, the same as Markdown."""

import csv
import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flowsdf.report.parameters import cells
from flowsdf.report.wording import significant


class Block(NamedTuple):
    """One piece of a page's story."""

    kind: str  # text, code, figure, table, view
    text: str  # Markdown, source, or a table's HTML
    file: str  # of an exhibit, below the chapter's folder
    caption: str


def text_of(value: str | list[str]) -> str:
    """A notebook's multi-line text, which is stored whole or by lines."""
    return value if isinstance(value, str) else "".join(value)


def tags(cell: dict[str, Any]) -> list[str]:
    """A cell's tags."""
    return cell.get("metadata", {}).get("tags", [])


def slim_output(output: dict[str, Any]) -> dict[str, Any] | None:
    """An output without pictures: exhibits point to their files, anything else is plain text, streams are dropped."""
    record = output.get("metadata", {}).get("flowsdf")
    data = output.get("data", {})
    if output["output_type"] not in ("display_data", "execute_result"):
        return None
    if not record:
        data = {"text/plain": data.get("text/plain", "")}
    elif record["kind"] in ("figure", "view"):
        data = {"text/html": picture_html(record["file"], record["caption"]), "text/plain": record["caption"]}
    metadata = {"flowsdf": record} if record else {}
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def picture_html(source: str, caption: str) -> str:
    """A picture by its address, with its caption."""
    return (
        f'<figure><img src="{html.escape(source)}" alt="{html.escape(caption)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def slim(path: Path) -> None:
    """Rewrite an executed notebook in place: no parameters cells, no machine paths, no embedded pictures."""
    book = json.loads(path.read_text(encoding="utf-8"))
    kept = []
    for index, cell in enumerate(book["cells"]):
        if {"parameters", "injected-parameters"} & set(tags(cell)):
            continue
        cell["metadata"] = {"tags": tags(cell)} if tags(cell) else {}
        cell["id"] = f"cell-{index}"
        if cell["cell_type"] == "code":
            cell["execution_count"] = None
            cell["outputs"] = [small for output in cell["outputs"] if (small := slim_output(output))]
        kept.append(cell)
    metadata = {key: book["metadata"][key] for key in ("kernelspec", "language_info") if key in book["metadata"]}
    slimmed = {**book, "cells": kept, "metadata": metadata}
    path.write_text(json.dumps(slimmed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_cells(folder: Path) -> list[dict[str, Any]]:
    """The cells of a chapter's slim notebook."""
    return json.loads((folder / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]


def blocks(folder: Path) -> Iterator[Block]:
    """The story of a chapter, in order."""
    for cell in read_cells(folder):
        source = text_of(cell["source"])
        yield Block("text" if cell["cell_type"] == "markdown" else "code", source, "", "")
        for output in cell.get("outputs", []):
            record, data = output["metadata"].get("flowsdf", {"kind": "plain"}), output["data"]
            spoken = text_of(data.get("text/markdown") or data.get("text/html") or data.get("text/plain", ""))
            yield Block(record["kind"], spoken, record.get("file", ""), record.get("caption", ""))


def title(folder: Path, notebook: Path) -> str:
    """A chapter's title: the first heading of its page, or of its source when it has not run."""
    if (folder / "notebook.ipynb").exists():
        texts = [block.text for block in blocks(folder) if block.kind == "text"]
    else:
        source = notebook.read_text(encoding="utf-8")
        texts = [text.replace("# ", "", 1) for head, text in cells(source) if "[markdown]" in head]
    lines = [line.lstrip("# ").strip() for text in texts for line in text.splitlines() if line.startswith("#")]
    return lines[0] if lines else notebook.stem


def markdown_escape(text: str) -> str:
    """Plain text that Markdown and HTML leave as it is, also inside a table."""
    for sign in "\\`*_[]|":
        text = text.replace(sign, "\\" + sign)
    return html.escape(text, quote=False).replace("\n", " ")


def markdown_table(path: Path, most: int = 24) -> str:
    """A CSV file as a Markdown table of at most `most` rows."""
    with path.open(newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file)) or [[]]
    lines = [head, ["---"] * len(head), *([shorten(value) for value in row] for row in rows[:most])]
    text = "\n".join(
        "| " + " | ".join(value if value == "---" else markdown_escape(value) for value in line) + " |"
        for line in lines
    )
    return text + (f"\n\n{len(rows) - most} more rows in `{path.name}`." if len(rows) > most else "")


def shorten(value: str) -> str:
    """A decimal number to four significant digits; anything else unchanged."""
    try:
        return significant(float(value)) if "." in value or "e" in value.lower() else value
    except ValueError:
        return value


def story(folder: Path) -> list[str]:
    """A chapter's page as Markdown for a hosting site, piece by piece; the first one is its title and opening."""
    parts = []
    for block in blocks(folder):
        if block.kind == "text":
            parts.append(block.text)
        if block.kind in ("figure", "view"):
            parts.append(f"![{markdown_escape(block.caption)}]({block.file})\n\n*{markdown_escape(block.caption)}*")
        if block.kind == "table":
            parts.append(f"{markdown_table(folder / block.file)}\n\n*{markdown_escape(block.caption)}*")
    return parts


def provenance(run: dict[str, Any]) -> list[tuple[str, str]]:
    """What a page's title block says about its run: (name, value), unescaped."""
    ours = ", trained here" if run["encoder"].startswith("flowsdf-") else ""
    threads = f"{run['threads']} thread{'s' * (run['threads'] != 1)}"
    commit = f"{run['commit']}{' with uncommitted changes' if run['dirty'] else ''}"
    return [
        ("Profile", run["profile"]),
        ("Data", run["data"]),
        ("Encoder", f"{run['encoder']} {run['encoder_hash'][:12]}{ours}".strip() or "not used"),
        ("Commit", commit),
        ("Ended", run["ended"]),
        ("Time", f"{run['seconds']:.0f} s on {run['device']}, {threads}; fits found stored are extra"),
        ("Memory", f"{run['peak_gigabytes']:.1f} GB at the peak"),
    ]
