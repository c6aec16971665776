"""What counts as another source: code of a module and of all it imports that can change a result, and nothing else."""

from pathlib import Path

import pytest

from flowsdf import fingerprint

FILES = {
    "models/net.py": "from flowsdf.models import below\n\ndef f():\n    import flowsdf.data.deep\n    return below.X\n",
    "models/below.py": "X = 1\n",
    "data/deep.py": "from flowsdf.data.package import Z\nY = 2\n",
    "data/package/__init__.py": "from flowsdf.data.package.part import Z\n",
    "data/package/part.py": "Z = 3\n",
    "data/apart.py": "W = 4\n",
    "evaluation/scores.py": "S = 5\n",
}


@pytest.fixture
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The fingerprint of models.net in a package of these files, some of them changed."""
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path / "flowsdf")

    def of(*modules: str, **changes: str) -> str:
        changed = {key.replace("__", "/") + ".py": value for key, value in changes.items()}
        for name, text in (FILES | changed).items():
            path = tmp_path / "flowsdf" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        fingerprint.source_fingerprint.cache_clear()
        fingerprint._read.cache_clear()
        return fingerprint.source_fingerprint(*(modules or ("flowsdf.models.net",)))

    yield of
    fingerprint.source_fingerprint.cache_clear()
    fingerprint._read.cache_clear()


def test_it_is_a_hash_and_stays(hashed):
    assert hashed() == hashed() and len(hashed()) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"models__below": "X = 2\n"},
        {"data__deep": "from flowsdf.data.package import Z\nY = 3\n"},  # imported inside a function
        {"data__package__part": "Z = 4\n"},  # through a package
        {"models__net": FILES["models/net.py"].replace("below.X", "-below.X")},
    ],
)
def test_code_counts_however_deep(hashed, change):
    assert hashed() != hashed(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"models__below": '"""Prose."""\n\n# a comment\nX = (1)\n'},
        {"models__net": FILES["models/net.py"].replace("def f():", 'def f():\n    """Says more."""')},
        {"data__apart": "W = 5\n"},
        {"evaluation__scores": "S = 6\n"},
    ],
)
def test_prose_and_what_is_not_imported_do_not(hashed, change):
    assert hashed() == hashed(**change)


def test_what_only_reads_results_is_left_out(hashed):
    with_scores = FILES["models/net.py"] + "from flowsdf.evaluation.scores import S\n"
    assert hashed(models__net=with_scores) == hashed(models__net=with_scores, evaluation__scores="S = 6\n")


def test_a_string_that_is_no_docstring_counts(hashed):
    assert hashed(models__below="X = 'a'\n") != hashed(models__below="X = 'b'\n")


def test_order_does_not_matter_and_names_do(hashed):
    both = ("flowsdf.models.below", "flowsdf.data.apart")
    assert hashed(*both) == hashed(*both[::-1]) != hashed(both[0])


def test_a_file_edited_while_this_runs_is_refused(hashed, tmp_path, monkeypatch):
    first, path = hashed(), tmp_path / "flowsdf" / "models" / "net.py"
    monkeypatch.setattr(fingerprint, "_AT_START", {path: 0})
    with pytest.raises(RuntimeError, match=r"net\.py was edited while this was running: start it again"):
        hashed()
    monkeypatch.setattr(fingerprint, "_AT_START", {})
    assert hashed() == first


def test_of_a_module_that_is_taken_alone_only_its_own_code_counts(hashed):
    def alone(**changes: str) -> str:
        hashed(**changes)
        return fingerprint.source_fingerprint("flowsdf.models.below", alone=("flowsdf.models.net",))

    first = alone()
    assert first != hashed("flowsdf.models.below")
    assert alone(data__deep="Y = 4\n") == first
    assert alone(models__net=FILES["models/net.py"].replace("below.X", "-below.X")) != first


def test_the_real_modules_have_different_fingerprints():
    names = ("flowsdf.data.sdf", "flowsdf.data.views", "flowsdf.geometry.watertight", "flowsdf.data.reference_sdf")
    assert len({fingerprint.source_fingerprint(name) for name in names}) == len(names)
