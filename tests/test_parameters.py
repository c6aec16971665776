"""Bad parameter files are named with file and key, before anything runs."""

from pathlib import Path

import pytest
import toy_report

from flowsdf.data.faults import Failed
from flowsdf.report.estimate import check_parameters
from flowsdf.report.parameters import declared, load_yaml, parameters
from flowsdf.report.places import Places
from flowsdf.report.prose import check_prose, typed_numbers


@pytest.fixture
def where(tmp_path: Path) -> Places:
    return Places(toy_report.make(tmp_path), "smoke", "procedural")


def given(where: Places, text: str, name: str = "00_first.yaml") -> dict:
    (where.root / "params" / "smoke" / name).write_text(text)
    return parameters(where, "00_first")


def test_defaults_and_values(where: Places) -> None:
    assert given(where, "radius: 2\ncounts: [3, 4]\n") == {"mode": "good", "radius": 2, "counts": [3, 4]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("radius: 1e-4", ["00_first.yaml", "radius", "1.0e-4"]),
        ("radius: -1.0", ["radius", "at least zero"]),
        ("radius: .nan", ["radius", "finite"]),
        ("radius: .inf", ["radius", "finite"]),
        (f"radius: 1{'0' * 400}", ["radius", "finite"]),
        ("radius: true", ["radius", "true or false"]),
        ("counts: [1, 2.5]", ["counts", "list"]),
        ("counts: [1, -2]", ["counts", "at least zero"]),
        ("diameter: 2.0", ["diameter", "no such parameter"]),
        ("report: elsewhere", ["report", "no such parameter"]),
        ("mode: 3", ["mode", "a text"]),
        ("radius: 1.0\nradius: 2.0", ["00_first.yaml", "radius", "twice"]),
        ("counts: &a [1]\nmode: *a", ["00_first.yaml", "aliases"]),
        ("mode: !!python/object/apply:os.system ['touch owned']", ["00_first.yaml", "python"]),
        ("- 1\n- 2", ["00_first.yaml", "name: value"]),
        ("mode: [", ["00_first.yaml"]),
        ("on: 1", ["00_first.yaml", "'on' is no text"]),
        ("mode: 2024-13-01", ["00_first.yaml", "month"]),
        ("<<: {mode: good, radius: 1.0}", ["00_first.yaml"]),
    ],
)
def test_a_fault_is_named(where: Places, text: str, words: list[str]) -> None:
    with pytest.raises(Failed) as failure:
        given(where, text)
    assert all(word in str(failure.value) for word in words), failure.value
    assert "\n" not in str(failure.value)
    assert not (where.root / "owned").exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("99_second.yaml", "nonsense: 1", "99_second.yaml: nonsense: no such parameter"),
        ("00_firts.yaml", "radius: 2", "00_firts.yaml: read by nothing; a chapter reads 00_first.yaml"),
        ("00_first.yml", "radius: 2", "00_first.yml: read by nothing"),
        ("sweep.yaml", "- 1", "sweep.yaml: expected lines"),
    ],
)
def test_every_file_is_checked_before_a_report_begins(where: Places, name: str, text: str, words: str) -> None:
    check_parameters(where)
    (where.root / "params" / "smoke" / name).write_text(text)
    with pytest.raises(Failed, match=words):
        check_parameters(where)


def test_an_alias_bomb_ends_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    with pytest.raises(Failed, match="aliases"):
        load_yaml(tmp_path / "bomb.yaml")


def test_common_keys_belong_to_some_notebook(where: Places) -> None:
    with pytest.raises(Failed, match=r"common.yaml: nothing: no such parameter"):
        given(where, "nothing: 1\n", "common.yaml")


def test_the_parameters_cell_is_plain(tmp_path: Path) -> None:
    notebook = tmp_path / "x.py"
    notebook.write_text('# %% tags=["parameters"]\nrate = open("x")\n')
    with pytest.raises(Failed, match="not a plain literal"):
        declared(notebook)
    notebook.write_text("# %%\nrate = 1\n")
    with pytest.raises(Failed, match="0 cells tagged"):
        declared(notebook)


def test_prose_types_no_result(where: Places) -> None:
    claims = where.root / "params" / "claims.yaml"
    check_prose(where.notebook("00_first"), claims)
    assert typed_numbers("It is 0.123, formula $0.5 x$, code `0.5`, version 1.2.3, claim 3.1416.", "3.1416") == [
        "0.123"
    ]
    where.notebook("00_first").write_text("# %% [markdown]\n# We reached 0.00042 here.\n")
    with pytest.raises(Failed, match="0.00042 is typed into prose"):
        check_prose(where.notebook("00_first"), claims)
