"""Published results are small, name no machine, make a book of their own, and later runs are held against them."""

import json
import shutil
from pathlib import Path

import pytest
import toy_report

from flowsdf.data.faults import Failed
from flowsdf.report import publish as publishing
from flowsdf.report.book import build
from flowsdf.report.places import Places
from flowsdf.report.publish import agree, compare, publish


@pytest.fixture
def where(tmp_path: Path) -> Places:
    shutil.copytree(toy_report.finished(), tmp_path / "report")
    return Places(tmp_path / "report", "smoke", "procedural")


def test_publish_then_a_book_from_the_published(where: Places) -> None:
    build(where)
    kept = publish(where)
    names = {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}
    assert {"README.md", "ledger.json", "00_first/run.json", "00_first/figures/line.png"} <= names
    assert not [name for name in names if name.endswith(".html")]
    shutil.rmtree(where.reports)
    assert build(where) == []
    page = (where.html / "00_first.html").read_text()
    assert 'class="view"' not in page and "00_first/views/triangles.png" in page
    assert "published results" in (where.html / "index.html").read_text()


def test_a_machine_path_is_refused(where: Places) -> None:
    table = where.reports / "00_first" / "tables" / "more.csv"
    table.write_text("file\n/home/someone/mesh.glb\n")
    with pytest.raises(Failed, match=r"more.csv names a path of this machine: /home/someone"):
        publish(where)
    assert not where.published.exists()


@pytest.mark.parametrize(
    "text", [r'{"x": "cannot read\n/home/al/x.glb"}', '{"x": "file:///home/al/x"}', "at /home/al/x"]
)
def test_a_machine_path_is_seen_in_json_and_in_addresses(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert publishing.machine_paths(path) == ["/home/al"]
    path.write_text("https://example.org/home/al and docs/home/al")
    assert publishing.machine_paths(path) == []


def test_what_a_run_has_not_is_not_lost(where: Places) -> None:
    publish(where)
    (where.published / "sweep").mkdir()
    (where.published / "sweep" / "cells.csv").write_text("old")
    publish(where)
    assert (where.published / "sweep" / "cells.csv").read_text() == "old"
    (where.reports / "sweep").mkdir()
    (where.reports / "sweep" / "cells.csv").write_text("new")
    publish(where)
    assert (where.published / "sweep" / "cells.csv").read_text() == "new"
    (where.published / "evidence").mkdir()
    (where.published / "evidence" / "00_first.json").write_text("{}")
    with pytest.raises(Failed, match="make evidence CH=00_first, or remove reports/published/smoke/evidence/00_first"):
        publish(where)
    (where.published / "evidence" / "00_first.json").unlink()
    shutil.rmtree(where.reports / "00_first")
    with pytest.raises(Failed, match="00_first is published and not in this run, so it would be lost"):
        publish(where)
    assert (where.published / "00_first" / "run.json").exists()


def test_too_much_is_refused(where: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MOST", 1000)
    with pytest.raises(Failed, match="MB to publish"):
        publish(where)


def test_a_failed_chapter_is_not_published(where: Places) -> None:
    (where.reports / "00_first" / "failure.json").write_text('{"reason": "x"}')
    with pytest.raises(Failed, match="00_first failed"):
        publish(where)


def test_what_was_edited_or_outdated_or_may_not_be_passed_on_is_not_published(where: Places) -> None:
    metrics, table = (where.reports / "00_first" / name for name in ("metrics.json", "claims.json"))
    whole, kept = metrics.read_text(), table.read_text()
    table.unlink()
    with pytest.raises(Failed, match="00_first has lost a result; make chapter CH=00_first"):
        publish(where)
    table.write_text(kept)
    metrics.write_text(whole.replace("3.14", "3.15"))
    with pytest.raises(Failed, match="00_first: a result was edited after the run"):
        publish(where)
    metrics.write_text(whole)
    ledger = where.reports / "ledger.json"
    kept = ledger.read_text()
    ledger.unlink()
    (where.reports / "99_ledger").mkdir()
    (where.reports / "99_ledger" / "run.json").write_text("{}")
    with pytest.raises(Failed, match="ledger.json was edited by hand or is missing"):
        publish(where)
    ledger.write_text(kept)
    shutil.rmtree(where.reports / "99_ledger")
    second = where.reports / "99_second" / "run.json"
    sealed = second.read_text()
    second.write_text(json.dumps(json.loads(sealed) | {"depends": {"after": {"00_first": "another"}}}))
    with pytest.raises(Failed, match="99_second is older than its 00_first: make report first"):
        publish(where)
    second.write_text(sealed)
    (where.reports / "00_data").mkdir()
    with pytest.raises(Failed, match="00_data does not say what may be passed on"):
        publish(where)
    (where.reports / "00_data" / "metrics.json").write_text('{"shapes_private": 2}')
    with pytest.raises(Failed, match="the licence of 2 shapes does not allow it; 00_data/tables/licences.csv"):
        publish(where)
    assert not where.published.exists()


def test_compare_counts_what_agrees(where: Places) -> None:
    publish(where)
    assert all(row.agrees for row in compare(where))
    metrics = where.published / "00_first" / "metrics.json"
    metrics.write_text(json.dumps({"area": 4.0, "length": 4, "gone": 1.0}))
    assert [row.metric for row in compare(where) if not row.agrees] == ["area", "gone"]
    (where.root / "params" / "tolerances.yaml").write_text("area: 0.5\n")
    assert [row.metric for row in compare(where) if not row.agrees] == ["gone"]
    said = toy_report.run(where.root, "publish", "--compare").stdout
    (where.root / "params" / "tolerances.yaml").write_text("area: wide\n")
    with pytest.raises(Failed, match=r"params/tolerances.yaml: area: expected a number, got a text"):
        compare(where)
    (where.root / "params" / "tolerances.yaml").write_text("area: 0.5\n")
    assert said.splitlines() == [
        f"{len(compare(where)) - 1} of {len(compare(where))} numbers agree with the published ones",
        "  00_first gone: None here, 1.0 published",
    ]


@pytest.mark.parametrize(
    ("ours", "kept", "same"),
    [(3, 3, True), (3, 4, False), (1.0, 1.09, True), (1.0, 1.2, False), (0.0, 0.0, True), (None, 1.0, False)],
)
def test_agreement(ours: float | None, kept: float | None, same: bool) -> None:
    assert agree(ours, kept, 0.10) is same


def test_the_results_table_takes_every_number_from_the_published_runs(tmp_path: Path) -> None:
    from flowsdf.report.results_table import write_results_table

    run = tmp_path / "reports" / "published" / "laptop"
    (run / "00_first").mkdir(parents=True)
    (run / "00_first" / "metrics.json").write_text('{"area": 3.14159, "count": 7}')
    claims = [
        {"id": name, "verdict": "partial", "chapter": "00_first", "post_hoc": name == "T2"} for name in ("T1", "T2")
    ]
    (run / "ledger.json").write_text(json.dumps({"claims": claims}))
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "results_table.md").write_text(
        "{laptop:area} {laptop:count} {laptop:T1:verdict} {laptop:T2:verdict} {x:area}\n"
    )
    (tmp_path / "params" / "findings.md").write_text("## 00_first\n**The area is {area:.2f}.** More.\n")
    (run / "00_first" / "notebook.ipynb").write_text('{"cells": [{"cell_type": "markdown", "source": "# A square"}]}')
    marks = "<!-- {0}: here -->\nold\n<!-- end of {0} -->\n"
    (tmp_path / "README.md").write_text(marks.format("findings") + marks.format("results"))
    write_results_table(tmp_path)
    readme, page = (tmp_path / "README.md").read_text(), "reports/published/laptop/00_first/README.md"
    assert f"\n- The area is 3.14. ([A square]({page}))\n<!--" in readme
    assert "\n3.142 7 partial partial (post-hoc) -\n" in readme


def test_a_metric_of_two_chapters_must_say_which(tmp_path: Path) -> None:
    from flowsdf.report.results_table import results_table

    for chapter, numbers in {"00_first": '{"n": 3, "same": 1}', "01_then": '{"n": 4, "same": 1}'}.items():
        folder = tmp_path / "reports" / "published" / "laptop" / chapter
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(numbers)
    (tmp_path / "params").mkdir()
    table = tmp_path / "params" / "results_table.md"
    table.write_text("{laptop:01_then/n} {laptop:same}")
    assert results_table(tmp_path) == "4 1"
    table.write_text("{laptop:n}")
    with pytest.raises(Failed, match="results_table.md: {laptop:n} is in several chapters: say laptop:CHAPTER/n"):
        results_table(tmp_path)
