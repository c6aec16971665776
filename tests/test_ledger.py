"""The ledger holds every claim in a section; a metric edited by hand is caught."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import toy_report

from flowsdf.report.freshness import read_json, sealed
from flowsdf.report.ledger import asked, by_section, fired, load_claims, phases, row
from flowsdf.report.places import ROOT, Places, chapters
from flowsdf.report.results import write_json
from flowsdf.report.wording import significant


def test_every_claim_has_a_section() -> None:
    rows = pd.DataFrame({"id": [claim.id for claim in load_claims(ROOT)]})
    parts = by_section(rows)
    assert "Others" not in parts and sum(map(len, parts.values())) == len(rows)
    assert list(by_section(pd.DataFrame({"id": ["W1", "X1", "D2"]})))[-1] == "Others"


def test_what_is_reported_says_what_it_asks_for() -> None:
    found = {claim.id: asked(claim) for claim in load_claims(ROOT)}
    assert found["F7"] == "> 0 / > 0 / > 0" and found["P2"] == ">= 0.34 / <= 0.17" and found["F4"] == "0.08 / 0.95"


def test_detectors_are_told_in_words() -> None:
    assert fired([1.0, 0.0, None, [1.0, 0.0, 1.0]]) == "yes / no / - / 2 of 3"
    assert fired([0.5, [0.5] * 5, [1.0, 1.0, 0.5, 0.5, 0.0]]) == "undecided / 0 of 5 / 2 of 5"


def test_a_caveat_stands_beside_the_verdict_and_does_not_change_it() -> None:
    (claim,) = load_claims(toy_report.finished())
    reports = toy_report.finished() / "reports" / "smoke"
    plain, warned = (row(claim._replace(caveat=words), reports) for words in ("", "discs are flat"))
    assert warned == plain | {"reason": f"{plain['reason']}; discs are flat"}
    trivial = row(claim._replace(null_model="a square: 1"), reports)
    assert trivial == plain | {"reason": f"{plain['reason']}; null model: a square: 1"}
    (name, value), *_ = read_json(reports / claim.chapter / "metrics.json").items()
    trivial = row(claim._replace(null_model=f"a square: {{{name}}}, a dot: {{dot}}"), reports)
    assert trivial["reason"].endswith(f"null model: a square: {significant(value)}, a dot: -")
    assert "discs" not in row(claim._replace(caveat="discs are flat"), reports / "nowhere")["reason"]


def test_a_run_older_than_its_test_says_so() -> None:
    (claim,) = load_claims(toy_report.finished())
    reports = toy_report.finished() / "reports" / "smoke"
    late = claim._replace(declared=datetime.now(UTC) + timedelta(days=1))
    before, after = row(claim, reports), row(late, reports)
    assert after["post_hoc"] and after["reason"] == f"{before['reason']}; post-hoc: the run is older than its test"
    assert not row(late, reports / "nowhere")["post_hoc"] and "post-hoc" not in before["reason"]


def test_the_twelve_phases_stand_beside_what_was_found(tmp_path: Path) -> None:
    where = Places(tmp_path, "laptop", "procedural")
    where.reports.parent.mkdir()
    where.reports.symlink_to(ROOT / "reports" / "published" / "laptop")
    (tmp_path / "params").symlink_to(ROOT / "params")
    table = phases(where, pd.DataFrame(read_json(where.reports / "ledger.json")["claims"]))
    assert list(table["phase"]) == ["0 to 1.5", *map(str, range(2, 13))]
    assert (table.here.str.len() > 20).all() and set(table.chapter) <= set(chapters(ROOT))
    assert table.claims[table.phase == "10"].str.contains("partial").all()


def test_an_edited_metric_is_caught(tmp_path: Path) -> None:
    root = tmp_path / "report"
    shutil.copytree(toy_report.finished(), root)
    where = Places(root, "smoke", "procedural")
    (claim,) = load_claims(root)
    assert row(claim, where.reports)["verdict"] == "reproduced-exact"
    path = where.reports / "00_first" / "metrics.json"
    write_json(path, read_json(path) | {"area": 3.0})
    assert row(claim, where.reports)["verdict"] == "stale"


def test_a_view_that_is_not_published_makes_no_number_stale_and_an_edited_one_does(tmp_path: Path) -> None:
    root = tmp_path / "report"
    shutil.copytree(toy_report.finished(), root)
    (claim,), reports = load_claims(root), root / "reports" / "smoke"
    view = reports / "00_first" / "views" / "triangles.html"
    view.write_text("edited")
    assert row(claim, reports)["verdict"] == "stale"
    view.unlink()
    assert row(claim, reports)["verdict"] == "reproduced-exact"
    assert not sealed(reports / "00_first") and sealed(reports / "00_first", turning=False)
