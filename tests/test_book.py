"""The book: built from results, nothing fetched, failures shown, edits caught."""

import json
import re
import shutil
from pathlib import Path

import pytest
import toy_report

from flowsdf.report.book import build, problems
from flowsdf.report.places import Places


@pytest.fixture
def where(tmp_path: Path) -> Places:
    shutil.copytree(toy_report.finished(), tmp_path / "report")
    return Places(tmp_path / "report", "smoke", "procedural")


def asked(page: str) -> list[str]:
    """What a page asks for when it is opened: scripts, styles, pictures, frames."""
    tags = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", page)
    return [address for tag in tags for address in re.findall(r'(?:src|href)="([^"]*)"', tag)]


def test_the_book_is_whole_and_offline(where: Places) -> None:
    assert build(where) == []
    pages = {path.name: path.read_text() for path in where.html.glob("*.html")}
    assert {"index.html", "00_first.html", "99_second.html"} <= set(pages)
    for page in pages.values():
        assert not [address for address in asked(page) if re.match(r"(https?:)?//", address)]
    first = pages["00_first.html"]
    for address in asked(first):
        local = address.partition("?")[0].partition("#")[0]
        assert not local or (where.html / local).exists(), local
    assert "<script>alert(1)</script>" not in first and "&lt;script&gt;alert(1)" in first
    assert "<u>" not in first and "&lt;u&gt;more" in first
    assert 'class="provenance"' in first and 'class="view" href="00_first/views/triangles.html"' in first
    assert "reproduced-exact" in first and "A disc has an area &lt;b&gt;." in first
    assert (where.html / "00_first" / "views" / "triangles.html").exists()
    assert "reproduced-exact" in pages["index.html"] and "_images/line.png" in asked(pages["index.html"])
    readme = (where.reports / "README.md").read_text()
    assert "(00_first/figures/line.png)" in readme and "(00_first/README.md)" in readme
    story = (where.reports / "00_first" / "README.md").read_text()
    assert "![A line &amp; &lt;u&gt;more&lt;/u&gt;.](figures/line.png)" in story


def test_a_page_opens_with_what_was_found(where: Places) -> None:
    (where.root / "params" / "findings.md").write_text("## 00_first\n**It is {area:.1f}.**\n")
    build(where)
    page = re.sub(r"<[^>]+>", "", (where.html / "00_first.html").read_text())
    story = (where.reports / "00_first" / "README.md").read_text().replace("*", "")
    for text, ledger in (page, "ledger"), (story, "[ledger](../99_ledger/README.md)"):
        assert -1 < text.find("The area of a disc") < text.find(f"Found: It is 3.1. In the {ledger}: ")
    assert "Found: " not in (where.html / "99_second.html").read_text()


def test_nothing_changed_nothing_is_built(where: Places) -> None:
    build(where)
    mark = (where.html / "index.html").stat().st_mtime_ns
    build(where)
    assert (where.html / "index.html").stat().st_mtime_ns == mark


def test_a_failed_chapter_is_shown_and_the_rest_built(where: Places) -> None:
    failure = {"chapter": "00_first", "reason": "ValueError: <b>square</b>", "ended": "2026-01-01T00:00:00Z"}
    (where.reports / "00_first" / "failure.json").write_text(json.dumps(failure))
    done = toy_report.run(where.root, "book")
    assert done.returncode == 1
    assert "FAILED: 00_first: ValueError" in done.stderr
    page = (where.html / "00_first.html").read_text()
    assert "The last run of this chapter failed" in page and "ValueError: &lt;b&gt;square" in page
    assert "the run before" in page and "3.142" in page  # the previous page is kept
    assert "Stale: 00_first" in (where.html / "99_second.html").read_text()
    assert ">failed<" in re.sub(r"</?p>", "", (where.html / "index.html").read_text())


def test_a_chapter_that_never_ran_well_has_a_page(where: Places) -> None:
    shutil.rmtree(where.reports / "00_first")
    (where.reports / "00_first").mkdir()
    failure = {"chapter": "00_first", "reason": "the kernel died", "ended": "2026-01-01T00:00:00Z"}
    (where.reports / "00_first" / "failure.json").write_text(json.dumps(failure))
    assert build(where) == ["00_first: the kernel died"]
    assert "The first chapter" in (where.html / "00_first.html").read_text()


def test_a_missing_exhibit_and_an_edit_are_problems(where: Places) -> None:
    assert problems(where, where.reports) == []
    (where.reports / "00_first" / "tables" / "areas.csv").unlink()
    assert "Table 1 (004) needs tables/areas.csv" in problems(where, where.reports)[0]
    ledger = where.reports / "ledger.json"
    ledger.write_text(ledger.read_text().replace('"reproduced-exact"', '"not reproduced"'))
    assert "ledger.json was edited by hand" in problems(where, where.reports)[0]


def test_an_edited_metric_is_a_problem(where: Places) -> None:
    metrics = where.reports / "00_first" / "metrics.json"
    metrics.write_text(metrics.read_text().replace("3.14", "3.15"))
    assert "a result was edited after the run" in problems(where, where.reports)[0]


def test_without_any_result_it_says_what_to_do(tmp_path: Path) -> None:
    done = toy_report.run(toy_report.make(tmp_path), "book")
    assert done.returncode == 1
    assert done.stderr.startswith("FAILED: no results for smoke")
