"""Every test runs on one thread, and below the report with the shapes that flowsdf's annotations promise enforced."""

import os
import shutil
import tempfile
from importlib import import_module

import numpy as np
import pytest
from beartype import BeartypeConf, BeartypeHintOverrides, beartype
from jaxtyping import install_import_hook

for name in ("OMP_NUM_THREADS", "IGL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("LP_NUM_THREADS", "0")
os.environ.setdefault("PYOPENGL_PLATFORM", "egl")

# What is imported while a module below the hook is, gets byte code of its own, which no installation has written.
for library in (
    *("accelerate", "fast_simplification", "igl", "mesh_to_sdf", "pandas", "pyrender", "safetensors.torch", "torch"),
    *("scipy.ndimage", "scipy.optimize", "scipy.sparse.csgraph", "scipy.spatial", "skimage.measure", "trimesh"),
    "transformers.models.dinov2.modeling_dinov2",
):
    import_module(library)

NUMBERS = BeartypeHintOverrides({int: int | np.integer, float: float | int | np.integer | np.floating})
checked = beartype(conf=BeartypeConf(hint_overrides=NUMBERS))  # numpy's scalars are numbers too
FLOORS = ("conventions", "geometry", "data", "models", "generative", "train", "evaluation", "studies")
install_import_hook([f"flowsdf.{floor}" for floor in FLOORS], "conftest.checked")

import torch  # noqa: E402  - after the number of threads is set
from toy_report import SHARED  # noqa: E402

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; runs with --slow only")
    if not hasattr(config, "workerinput"):  # not one of several processes: they get the folder of the first
        os.environ[SHARED] = tempfile.mkdtemp(prefix="flowsdf-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ[SHARED])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: run with --slow"))
