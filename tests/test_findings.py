"""The findings have a run's numbers in them, and are told only where a run has them all."""

import json
import re
from pathlib import Path

import pytest

from flowsdf.report.evidence import code_of
from flowsdf.report.findings import ALL, findings, in_short, lead, numbers
from flowsdf.report.freshness import under_seal
from flowsdf.report.places import ROOT, chapters
from flowsdf.report.prose import typed_numbers
from flowsdf.report.results_table import findings_list, results_table, summary, tally

SOURCE = (ROOT / "params" / "findings.md").read_text(encoding="utf-8")
SECTIONS = dict(zip(*[iter(re.split(r"^## (\w+)\n", SOURCE, flags=re.MULTILINE)[1:])] * 2, strict=True))
LAPTOP = ROOT / "reports" / "published" / "laptop"


def test_a_finding_has_the_numbers_and_the_verdicts_of_its_run(tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    text = "## 00_a\nIt is\n{x:.1f}.\n\n{gone:.2f} too.\n\n## 01_b\n{gone} is.\n"
    (tmp_path / "params" / "findings.md").write_text(text)
    for chapter in ("00_a", "01_b"):
        (tmp_path / "run" / chapter).mkdir(parents=True)
        (tmp_path / "run" / chapter / "metrics.json").write_text('{"x": 0.25}')
    assert findings(tmp_path, tmp_path / "run", ledger="there") == {"00_a": "It is 0.2."}
    of = [("A", "partial", "00_a"), ("B", "inconclusive", "00_a"), ("C", "partial", "00_a"), ("D", "partial", "01_b")]
    claims = [{"id": name, "verdict": verdict, "chapter": chapter} for name, verdict, chapter in of]
    (tmp_path / "run" / "ledger.json").write_text(json.dumps({"claims": claims}))
    assert findings(tmp_path, tmp_path / "run", ledger="there")["00_a"].endswith(
        " *In the [ledger](there): A, C partial; B inconclusive.*"
    )
    assert findings(tmp_path / "run", tmp_path / "run", ledger="there") == {}
    (tmp_path / "run" / "00_a" / "failure.json").write_text("{}")
    assert findings(tmp_path, tmp_path / "run", ledger="there") == {}


def test_a_parameter_of_the_run_is_a_number_too(tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "findings.md").write_text("## 00_a\n{x} after {steps_set:,} steps.\n")
    (tmp_path / "run" / "00_a").mkdir(parents=True)
    (tmp_path / "run" / "00_a" / "metrics.json").write_text('{"x": 1}')
    (tmp_path / "run" / "00_a" / "run.json").write_text('{"parameters": {"steps": 2000, "x": 7}}')
    assert findings(tmp_path, tmp_path / "run", ledger="") == {"00_a": "1 after 2,000 steps."}


def test_the_tally_counts_verdicts_and_what_has_not_run(tmp_path: Path) -> None:
    run = tmp_path / "reports" / "published" / "laptop"
    run.mkdir(parents=True)
    assert tally(tmp_path) == ""
    reasons = {
        "partial": ["x", "y"],
        "not testable here": ["needs chapter 14_a, which has not run", "needs a GPU", "z"],
    }
    claims = [{"verdict": v, "reason": reason, "type": "numeric"} for v, of in reasons.items() for reason in of]
    (run / "ledger.json").write_text(json.dumps({"claims": claims}))
    told = tally(tmp_path)
    assert told.startswith("Of 5 claims: 3 *not testable here*, 2 *partial*.") and told.endswith(" is shown.\n\n")
    assert "here* 1 belong to chapters that have not run; the other 2 need" in told
    (run / "ledger.json").write_text(json.dumps({"claims": claims[:2] + [claims[0] | {"verdict": "reproduced-exact"}]}))
    assert tally(tmp_path) == "Of 3 claims: 2 *partial*, 1 *reproduced-exact*.\n\n"  # not of arithmetic


def test_words_follow_the_numbers(tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "findings.md").write_text(
        "## 00_a\n**{x:1/2?Yes|No}, {x:0.25?{x:1?a|b} {x}|no}.** {x:.2f}\n"
    )
    (tmp_path / "run" / "00_a").mkdir(parents=True)
    (tmp_path / "run" / "00_a" / "metrics.json").write_text('{"x": 0.5}')
    (told,) = findings(tmp_path, tmp_path / "run", ledger="there").values()
    assert told == "**No, b 0.5.** 0.50" and lead(told) == "No, b 0.5."
    assert lead("Of 3. **All** of them.") == "Of 3."


def test_every_chapter_has_a_finding_without_typed_numbers() -> None:
    assert list(SECTIONS) == [ALL, *(name for name in chapters() if name != "99_ledger")]
    assert all(text.strip().startswith("**") for text in SECTIONS.values()) and not typed_numbers(SOURCE, "")


def test_a_summary_has_the_numbers_of_several_chapters(tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "findings.md").write_text(
        "## all\n{00_a[x]:.1f}, {01_b[x]:.0%}.\n\n{01_b[y]}\n\n## 00_a\n{z}\n\n## 01_b\nB."
    )
    for chapter, metrics in {"00_a": '{"x": 2.25}', "01_b": '{"x": 0.5}'}.items():
        (tmp_path / "run" / chapter).mkdir(parents=True)
        (tmp_path / "run" / chapter / "metrics.json").write_text(metrics)
    assert in_short(tmp_path, tmp_path / "run") == ["2.2, 50%."]
    assert findings(tmp_path, tmp_path / "run", ledger="there") == {"01_b": "B."}


def test_the_published_runs_have_every_number_of_the_summary() -> None:
    assert len(in_short(ROOT, LAPTOP)) == len(SECTIONS[ALL].strip().split("\n\n"))


@pytest.mark.parametrize("chapter", [name for name in SECTIONS if name != ALL])
def test_the_published_run_has_every_number(chapter: str) -> None:
    if not (LAPTOP / chapter).is_dir():
        pytest.skip("not published")
    assert not set(re.findall(r"\{(\w+)", SECTIONS[chapter])) - set(numbers(LAPTOP, chapter))


def test_several_seeds_are_told_of_and_are_means_in_the_results_table(tmp_path: Path) -> None:
    (tmp_path / "params").mkdir()
    text = "## 00_a\n{x:.1f}.\n\nOf {seeds} {x_mean:.1f}, {x_least:.1f} to {x_most:.1f}.\n"
    (tmp_path / "params" / "findings.md").write_text(text)
    (tmp_path / "params" / "results_table.md").write_text("{some:x} [{some:x_most}]")
    published = tmp_path / "reports" / "published" / "some"
    (published / "00_a").mkdir(parents=True)
    (published / "evidence").mkdir()
    run = {"depends": {"code": "n", "measures": "s", "after": {}}, "parameters": {"steps": 1, "seed": 0}}
    (published / "00_a" / "run.json").write_text(json.dumps(run))
    (published / "00_a" / "metrics.json").write_text('{"x": 0.5}')
    over = {"seeds": [0, 1, 2], "code": code_of(published / "00_a"), "metrics": {"x": [0.5, 0.1, 0.3]}}
    (published / "evidence" / "00_a.json").write_text(json.dumps(under_seal(over)))
    assert findings(tmp_path, published, ledger="there") == {"00_a": "0.5. Of 3 0.3, 0.1 to 0.5."}
    assert results_table(tmp_path) == "0.3 [0.5]"
    (published / "evidence" / "00_a.json").write_text(json.dumps(under_seal(over | {"code": "another"})))
    assert findings(tmp_path, published, ledger="there") == {"00_a": "0.5."}
    assert results_table(tmp_path) == "0.5 [-]"


def test_the_readme_is_made_of_the_published_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for made in (summary(ROOT), findings_list(ROOT), results_table(ROOT)):
        assert made in readme, "make publish writes the README's summary, findings and table anew"
