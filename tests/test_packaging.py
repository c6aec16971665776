"""The environment: one lock without addresses, the conda file agreeing with it, every named package used."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from flowsdf.report.freshness import imported

ROOT = Path(__file__).resolve().parents[1]
IMPORTED_AS = {
    **{"papermill": "papermill", "jupytext": "jupytext", "torch": "torch", "transformers": "transformers"},
    **{"mesh-to-sdf": "mesh_to_sdf", "pyrender": "pyrender", "k3d": "k3d", "scikit-image": "skimage"},
    "seaborn": "seaborn",
}


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {plain(name): version for name, version in pins}


def test_the_lock_is_plain_pins() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 100
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    assert "torch==2.13.0" in lines


def test_the_lock_holds_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    assert not [line for line in wanted if plain(re.split(r"[<>=]", line)[0]) not in lock()]


def test_the_lock_holds_what_its_packages_need() -> None:
    """``make`` installs its lines as they stand, several at a time."""
    check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert not check.returncode, check.stdout + check.stderr


def test_the_conda_environment_agrees_with_the_lock() -> None:
    parts = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pins = dict(line.split("==") for line in next(part for part in parts if isinstance(part, dict))["pip"])
    assert "python=3.11" in parts
    assert len(pins) > 25
    assert {plain(name): version for name, version in pins.items()}.items() <= lock().items()


@pytest.mark.parametrize("package", IMPORTED_AS)
def test_a_named_package_is_there_and_used(package: str) -> None:
    assert package in lock()
    files = [*(ROOT / "flowsdf").rglob("*.py"), *(ROOT / "notebooks").glob("*.py")]
    used = {name.split(".")[0] for path in files for name in imported(path.read_text(encoding="utf-8"), "")}
    assert IMPORTED_AS[package] in used


def test_jupyterlab_is_there_and_listens_here_only() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "jupyterlab" in lock()
    assert "-m jupyterlab --ip=127.0.0.1" in makefile
    assert "token=" not in makefile


def test_every_chapter_has_its_line() -> None:
    makefile = (ROOT / "Makefile").read_text()
    missing = [
        p.stem for p in (ROOT / "notebooks").glob("*.py") if not re.search(rf"^{p.stem}:", makefile, re.MULTILINE)
    ]
    assert not missing


def test_continuous_integration_runs_the_same_command() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()
