"""What a chapter's notebook calls to keep its results: metrics, claims, figures, tables and prose made of metrics."""

import base64
import html
import io
import json
import math
import numbers
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from IPython.display import display

from flowsdf.data.encoders import encoder_hash, encoder_in_force
from flowsdf.data.executor_processes import end_processes
from flowsdf.data.faults import Failed
from flowsdf.report.freshness import digest
from flowsdf.report.machine import machine, peak_gigabytes, stamp
from flowsdf.report.pages import markdown_escape
from flowsdf.report.parameters import PLACES, check, declared
from flowsdf.report.places import ROOT, Places, places
from flowsdf.report.wording import significant

LONGEST, SHOWN_LINES = 24, 8  # lines of a table that a page shows whole, and of a longer one


class Chapter(NamedTuple):
    """One chapter while it runs: where it writes, what it was given, what it has recorded so far."""

    name: str
    places: Places
    artifacts: Path  # its own folder of large files
    report: Path  # its own folder of results
    parameters: dict[str, Any]
    metrics: dict[str, float]
    claims: list[str]
    exhibits: list[dict[str, Any]]
    began: float
    by_shape: dict[str, list[float]]  # the metrics that are means over shapes, shape by shape

    def artifacts_of(self, chapter: str) -> Path:
        """The folder of another chapter's large files."""
        return self.artifacts.parent / chapter


def open_chapter(name: str, namespace: dict[str, Any]) -> Chapter:
    """Start a chapter; `namespace` is the notebook's globals(), whose parameters are checked and kept."""
    where = places(namespace["profile"], namespace["data"])
    defaults = declared(where.notebook(name))
    values = {key: namespace[key] for key in defaults if key not in PLACES}
    for key, value in values.items():
        check(name, key, value, defaults[key])
    artifacts = ROOT / (namespace["artifacts"] or where.artifacts) / name
    report = ROOT / (namespace["report"] or where.reports / name)
    for folder in (artifacts, report / "figures", report / "tables", report / "views"):
        folder.mkdir(parents=True, exist_ok=True)
    return Chapter(name, where, artifacts, report, values, {}, [], [], time.time(), {})


def record_metrics(chapter: Chapter, values: Mapping[str, Any]) -> None:
    """Keep numbers under flat names, for metrics.json; a value that is not a finite number is an error.

    Of an array of one number a shape the mean is kept there, and the numbers in by_shape.json, where a test of the
    ledger finds them.
    """
    for name, value in values.items():
        if np.ndim(value) == 1:
            chapter.by_shape[name] = [float(number) for number in value]
            value = float(np.mean(value))
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise Failed(f"{chapter.name}: metric {name!r}: use letters, digits and underscores")
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise Failed(f"{chapter.name}: metric {name} is {value!r}, not a finite number")
        chapter.metrics[name] = int(value) if isinstance(value, numbers.Integral) else float(value)


def record_claims(chapter: Chapter, ids: Iterable[str]) -> None:
    """Keep the ids of the claims that this chapter's metrics judge."""
    chapter.claims.extend(id for id in ids if id not in chapter.claims)


def say(chapter: Chapter, text: str, **names: str) -> None:
    """Show prose whose numbers are the chapter's metrics (or parameters): say(chapter, "error {l1_mean:.4f}").

    ``names`` are words of the data's, as categories are, which must not be taken for Markdown or fields.
    """
    words = {name: markdown_escape(word) for name, word in names.items()}
    try:
        spoken = text.format_map({**chapter.parameters, **chapter.metrics, **words})
    except KeyError as error:
        raise Failed(f"{chapter.name}: the prose names {error}, which is no metric and no parameter") from None
    show({"text/markdown": spoken, "text/plain": spoken}, {"kind": "text"})


def show(content: dict[str, str], record: dict[str, Any]) -> None:
    """Display content in the notebook, marked so that the book and the README can tell what it is."""
    display(content, raw=True, metadata={"flowsdf": record})


def figure_html(picture: bytes, caption: str) -> str:
    """A PNG picture with its caption as one piece of HTML."""
    code = base64.b64encode(picture).decode()
    return f'<figure><img src="data:image/png;base64,{code}"><figcaption>{html.escape(caption)}</figcaption></figure>'


def keep(chapter: Chapter, kind: str, folder: str, name: str, caption: str, key: bool = False) -> dict[str, Any]:
    """Enter one figure, table or view into the chapter's list, and give its entry."""
    if not re.fullmatch(r"[a-z0-9_]+\.(png|csv)", name):
        raise Failed(f"{chapter.name}: {kind} {name!r}: use small letters, digits and underscores")
    record = {"kind": kind, "file": f"{folder}/{name}", "caption": caption, "key": key}
    chapter.exhibits[:] = [entry for entry in chapter.exhibits if entry["file"] != record["file"]] + [record]
    return record


def save_figure(chapter: Chapter, figure: Any, name: str, *, caption: str, key: bool = False) -> None:
    """Keep a matplotlib figure as figures/NAME.png and show it; key figures also stand on the front page."""
    record = keep(chapter, "figure", "figures", f"{name}.png", caption, key)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata={"Software": None})
    write(chapter.report / record["file"], buffer.getvalue())
    sys.modules["matplotlib.pyplot"].close(figure)
    show({"text/html": figure_html(buffer.getvalue(), caption), "text/plain": caption}, record)


def save_table(chapter: Chapter, table: Any, name: str, *, caption: str) -> None:
    """Keep a pandas table as tables/NAME.csv and show it, escaped; of a long one the first lines."""
    record = keep(chapter, "table", "tables", f"{name}.csv", caption)
    write(chapter.report / record["file"], table.to_csv(index=False).encode(errors="backslashreplace"))
    if len(table) > LONGEST:
        caption = f"{caption} {SHOWN_LINES} of {len(table)} lines; all of them are in {record['file']}."
        table = table.head(SHOWN_LINES)
    body = table.to_html(index=False, escape=True, float_format=significant, border=0)
    show(
        {
            "text/html": f"<div class='scroll'>{body}</div><p class='caption'>{html.escape(caption)}</p>",
            "text/plain": table.to_string(index=False),
        },
        record,
    )


def write(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and move it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, indented, atomically; NaN is refused."""
    write(path, (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())


def finish(
    chapter: Chapter, *, encoder: bool = False, inputs: dict[str, str] | None = None, also: Sequence[str] = ()
) -> None:
    """Write claims.json, metrics.json, by_shape.json and, last, run.json, with the ``encoder`` where it was used.

    `inputs` are hashes by name, ``also`` further files of the chapter, from its folder.
    """
    write_json(chapter.report / "claims.json", {"chapter": chapter.name, "claims": chapter.claims})
    write_json(chapter.report / "metrics.json", dict(sorted(chapter.metrics.items())))
    written = ["claims.json", "metrics.json"]
    if chapter.by_shape:
        write_json(chapter.report / "by_shape.json", dict(sorted(chapter.by_shape.items())))
        written.append("by_shape.json")
    written += [*also, *(entry["file"] for entry in chapter.exhibits)]
    written += [name.replace(".png", ".html") for name in written if name.startswith("views/")]
    end_processes()
    run = {
        "chapter": chapter.name,
        "profile": chapter.places.profile,
        "data": chapter.places.data_name,
        "encoder": encoder_in_force()[1] if encoder else "",
        "encoder_hash": encoder_hash() if encoder else "",
        "parameters": chapter.parameters,
        "inputs": inputs or {},
        "started": stamp(chapter.began),
        "ended": stamp(time.time()),
        "seconds": round(time.time() - chapter.began, 1),
        "peak_gigabytes": peak_gigabytes(),
        **machine(),
        "exhibits": chapter.exhibits,
        "files": {name: digest((chapter.report / name).read_bytes()) for name in written},
    }
    write_json(chapter.report / "run.json", run)
