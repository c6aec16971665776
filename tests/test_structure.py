"""The shape of the code: imports run one way, a heavy dependency is in one file, sizes stay within budgets."""

import ast
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from flowsdf.report.freshness import imported, sources
from flowsdf.report.parameters import cells, declared, parameters
from flowsdf.report.places import Places
from flowsdf.report.prose import check_prose

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "flowsdf").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
FLOORS = (
    "conventions fingerprint",
    "geometry",
    "data",
    "generative models",
    "train",
    "evaluation",
    "studies",
    "report",
)
HEAVY = (
    *("trimesh", "igl", "pyrender", "k3d", "papermill", "transformers", "dask", "accelerate", "skimage", "mesh_to_sdf"),
    *("fast_simplification", "jupytext", "objaverse", "gradio"),
)
FILE_LINES, FUNCTION_LINES, MEAN_LINES, NINETY_LINES = 240, 56, 12.0, 22.0
NOTEBOOK_LINES, SHARED_LINES = 150, 8
FITS, SCORING = ("fits.Job", "fits.fit"), ("scoring", "unseen", "generalisation", "gains", "weight_answers")


def floor(part: str) -> int:
    """The floor a part of the library is on; single files at its top may use everything."""
    return next((level for level, names in enumerate(FLOORS) if part in names.split()), len(FLOORS))


def imports(path: Path) -> set[str]:
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return imported(path.read_text(encoding="utf-8"), package)


def test_imports_run_one_way() -> None:
    upward = []
    for path in FILES:
        part = path.relative_to(ROOT / "flowsdf").parts[0].removesuffix(".py")
        used = {name.split(".")[1] for name in imports(path) if name.startswith("flowsdf.")}
        upward += [f"{path.relative_to(ROOT)} imports flowsdf.{name}" for name in used if floor(name) > floor(part)]
    assert len(FILES) > 40
    assert not upward


@pytest.mark.parametrize("package", HEAVY)
def test_a_heavy_dependency_is_in_one_file(package: str) -> None:
    users = [path for path in FILES if package in {name.split(".")[0] for name in imports(path)}]
    assert len(users) <= 1, [str(path.relative_to(ROOT)) for path in users]


def lengths(path: Path) -> dict[str, int]:
    """The lines of every function of a file, by name."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    found = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return {f"{path.relative_to(ROOT)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1 for node in found}


def test_budgets() -> None:
    functions = {name: lines for path in FILES for name, lines in lengths(path).items()}
    files = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    values = np.array(list(functions.values()))
    longest, largest = max(functions, key=functions.__getitem__), max(files, key=files.__getitem__)
    print(
        f"\n{len(files)} files, {sum(files.values())} lines, largest {largest} {files[largest]} (budget {FILE_LINES})"
    )
    print(f"{len(values)} functions, mean {values.mean():.1f} (budget {MEAN_LINES}), 90th percentile", end=" ")
    print(f"{np.percentile(values, 90):.0f} (budget {NINETY_LINES}), longest {longest} {functions[longest]}")
    assert not {name: lines for name, lines in files.items() if lines > FILE_LINES}
    assert not {name: lines for name, lines in functions.items() if lines > FUNCTION_LINES}
    assert values.mean() <= MEAN_LINES
    assert np.percentile(values, 90) <= NINETY_LINES


def code_lines(path: Path) -> list[str]:
    """The code of a notebook without parameters, imports, comments and blank lines."""
    texts = [
        text
        for head, text in cells(path.read_text(encoding="utf-8"))
        if not re.search(r"\[markdown\]|parameters", head)
    ]
    lines = [line.rstrip() for text in texts for line in text.splitlines()]
    return [line for line in lines if line.strip() and not line.strip().startswith(("#", "import ", "from "))]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_one_page(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert len(code_lines(path)) <= NOTEBOOK_LINES
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert ".backward(" not in source
    assert all(lines <= 4 for lines in lengths(path).values())
    assert declared(path)
    check_prose(path, ROOT / "params" / "claims.yaml")
    assert re.search(r"^# %% \[markdown\]\n# # \S", source, re.MULTILINE)


@pytest.mark.parametrize("profile", ["smoke", "laptop", "thesis"])
def test_a_control_of_eight_shapes_has_as_many_steps_as_what_it_controls(profile: str) -> None:
    run = Places(ROOT, profile, "procedural")
    every = {path.stem: parameters(run, path.stem) for path in NOTEBOOKS}
    controlled = {name: of for name, of in every.items() if "eight_steps" in of}
    assert controlled and all(of["eight_steps"] >= of["steps"] for of in controlled.values())


def test_notebooks_share_no_passage() -> None:
    def passages(path: Path) -> set[tuple[str, ...]]:
        lines = code_lines(path)
        return {tuple(lines[i : i + SHARED_LINES]) for i in range(len(lines) - SHARED_LINES + 1)}

    shared = [(a.stem, b.stem) for a, b in combinations(NOTEBOOKS, 2) if passages(a) & passages(b)]
    assert not shared


def fitted_by(path: Path) -> set[str]:
    """The modules whose functions a notebook hands to ``fits``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    froms = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    known = {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) in FITS]
    return {known[ast.unparse(call.args[0]).split(".")[0]] for call in calls}


def test_what_only_scores_is_no_part_of_what_a_fit_is_stored_under() -> None:
    modules = {module for path in NOTEBOOKS for module in fitted_by(path)}
    assert len(modules) > 8
    for module in modules:
        assert not {f"flowsdf/studies/{name}.py" for name in SCORING} & set(sources(ROOT, f"import {module}")), module
