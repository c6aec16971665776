"""Runs that differ by their seed have folders of their own, and the ledger judges them together."""

import json
import shutil
from pathlib import Path

import pytest
import toy_report

from flowsdf.data.faults import Failed
from flowsdf.report.book import problems
from flowsdf.report.evidence import evidence_for, gather
from flowsdf.report.freshness import read_json, under_seal
from flowsdf.report.ledger import load_claims, row
from flowsdf.report.ledger import text as shown
from flowsdf.report.parameters import parameters
from flowsdf.report.places import Places, places
from flowsdf.report.results import write_json


@pytest.fixture
def where(tmp_path: Path) -> Places:
    """A finished report and the same with seeds 1 and 2, whose areas differ."""
    root = tmp_path / "report"
    shutil.copytree(toy_report.finished(), root)
    for seed in (1, 2):
        shutil.copytree(root / "reports" / "smoke", root / "reports" / f"smoke-seed{seed}")
    return Places(root, "smoke", "procedural")


def test_a_seed_has_folders_and_a_parameter_of_its_own(where: Places) -> None:
    source = where.notebook("00_first")
    source.write_text(source.read_text().replace("radius = 1.0\n", "radius = 1.0\nseed = 0\n"))
    third = places("smoke", "procedural", where.root, seed=3)
    assert (third.reports.name, third.artifacts.name) == ("smoke-seed3", "procedural-smoke-seed3")
    assert parameters(third, "00_first") == {**parameters(where, "00_first"), "seed": 3}


def test_what_was_gathered_is_judged(where: Places) -> None:
    path = gather(where, "00_first", [1, 2])
    kept = json.loads(path.read_text())
    assert kept["seeds"] == [1, 2] and kept["metrics"]["length"] == [4, 4]
    assert evidence_for(where.reports, "00_first") == kept
    (claim,) = load_claims(where.root)
    assert row(claim, where.reports)["verdict"] == "reproduced-exact"
    del kept["seal"]
    kept["metrics"]["area"] = [3.1416, 4.0]
    write_json(path, under_seal(kept))
    judged = row(claim, where.reports)
    assert judged["verdict"] == "not reproduced" and judged["measured"] == "3.571 (3.142 to 4)"


def test_what_is_kept_shape_by_shape_is_judged_over_seeds_and_shapes(where: Places) -> None:
    claims = where.root / "params" / "claims.yaml"
    claims.write_text(
        "- {id: T1, chapter: 00_first, source: test, type: ordering, statement: s, metric: [length, area],"
        " reported: [], test: ordering, scale: any, declared: 2026-01-01T00:00:00Z}"
    )
    (claim,) = load_claims(where.root)
    folders = [where.reports, *(where._replace(seed=seed).reports for seed in (1, 2))]
    for folder in folders:
        write_json(folder / "00_first" / "by_shape.json", {"length": [1.0, 2.0, 3.0], "area": [2.0, 3.0, 5.0]})
    assert "2 against 3.3333, as claimed in 1 of 1 run" in row(claim, where.reports)["reason"]
    kept = json.loads(gather(where, "00_first", [1, 2]).read_text())
    assert kept["by_shape"] == {"length": [[1.0, 2.0, 3.0]] * 2, "area": [[2.0, 3.0, 5.0]] * 2}
    assert "2 against 3.3333, as claimed in 2 of 2 runs" in row(claim, where.reports)["reason"]
    write_json(folders[2] / "00_first" / "by_shape.json", {"length": [1.0], "area": [2.0]})
    assert json.loads(gather(where, "00_first", [1, 2]).read_text())["by_shape"] == {}


def test_evidence_that_was_edited_or_damaged_is_refused(where: Places) -> None:
    path = gather(where, "00_first", [1, 2])
    kept = path.read_text()
    for changed in (kept.replace("3.14", "3.15", 1), kept[:60], kept.replace('"seal"', '"sea"')):
        assert changed != kept
        path.write_text(changed)
        with pytest.raises(Failed, match=r"00_first.json in .* was edited or is damaged: make evidence CH=00_first"):
            evidence_for(where.reports, "00_first")
        told = "evidence/00_first.json was edited or is damaged; make evidence CH=00_first"
        assert told in problems(where, where.reports)
    path.write_text(kept)
    assert evidence_for(where.reports, "00_first") == json.loads(kept)
    assert not any("evidence/" in problem for problem in problems(where, where.reports))


def test_evidence_of_other_code_does_not_count(where: Places) -> None:
    gather(where, "00_first", [1, 2])
    path = where.reports / "00_first" / "run.json"
    run = read_json(path)
    write_json(path, run | {"parameters": run["parameters"] | {"radius": 2.0}})
    assert evidence_for(where.reports, "00_first") == {}


def test_evidence_counts_while_only_prose_and_plots_change_and_not_when_what_it_follows_does(where: Places) -> None:
    kept = json.loads(gather(where, "99_second", [1, 2]).read_text())
    for chapter in ("00_first", "99_second"):
        path = where.reports / chapter / "run.json"
        run = read_json(path)
        write_json(path, run | {"depends": run["depends"] | {"notebook": "other prose", "sources": "other plots"}})
        assert evidence_for(where.reports, "99_second") == kept
    path = where.reports / "00_first" / "run.json"
    for name in ("code", "measures", "data", "switches", "encoder"):
        run = read_json(path)
        write_json(path, run | {"depends": run["depends"] | {name: "another"}})
        assert evidence_for(where.reports, "99_second") == {}
        write_json(path, run)
    write_json(path, run | {"parameters": run["parameters"] | {"radius": 2.0}})
    assert evidence_for(where.reports, "99_second") == {}


def test_one_run_is_not_evidence_of_several_seeds(where: Places) -> None:
    for seed in (3, 4):
        (where.root / "reports" / f"smoke-seed{seed}").symlink_to(where.reports)
    for seeds in ([3, 4], [1, 1]):
        with pytest.raises(Failed, match="one run is no five"):
            gather(where, "00_first", seeds)


def test_a_seed_that_has_not_finished_is_named(where: Places) -> None:
    with pytest.raises(Failed, match="not finished with seed 7: make evidence CH=00_first SEEDS=7"):
        gather(where, "00_first", [1, 7])
    path = where.root / "reports" / "smoke-seed2" / "00_first" / "run.json"
    run = read_json(path)
    write_json(path, run | {"parameters": run["parameters"] | {"radius": 2.0}})
    with pytest.raises(Failed, match="seed 2 is of other code or parameters"):
        gather(where, "00_first", [1, 2])


def test_numbers_of_one_run_or_of_like_runs_are_shown_alone() -> None:
    assert shown([1.5, None, [1.0, 2.0], [6849, 6849]]) == "1.5 / - / 1.5 (1 to 2) / 6,849"
