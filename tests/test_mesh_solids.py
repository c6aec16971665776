"""Meshes as solids with silhouettes: built-in ones and those of a folder."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flowsdf.conventions import Mesh
from flowsdf.data.faults import Failed
from flowsdf.data.mesh_io import write_mesh
from flowsdf.geometry import implicit
from flowsdf.geometry.extract import extract
from flowsdf.studies import mesh_solids, silhouettes, solids


def test_interpolated_distances_are_near_the_exact_ones() -> None:
    ball = implicit.sphere(0.6)
    near = mesh_solids.interpolated(mesh_solids.distances(extract(ball, 64).mesh, nodes=32))
    points = np.random.default_rng(0).uniform(-1, 1, (2000, 3))
    points = points[np.linalg.norm(points, axis=1) > 0.2]  # between the nodes a kink is off by more
    assert np.abs(near(points) - ball(points)).max() < 0.01


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    box = extract(implicit.box((1.0, 0.6, 0.4)), 32).mesh
    sheet = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))
    write_mesh(tmp_path / "a_box.obj", box)
    write_mesh(tmp_path / "b_sheet.obj", sheet)
    (tmp_path / "c_broken.obj").write_text("v 1 2\n")
    return tmp_path


def test_a_folder_gives_its_solids_and_leaves_out_sheets_and_broken_files(folder: Path) -> None:
    (found,), aside = mesh_solids.mesh_solids(str(folder), folder / "out", 3, nodes=32, seed=0)
    assert [(name, rejected.code) for name, rejected in aside] == [
        ("b_sheet.obj", "no_solid"),
        ("c_broken.obj", "malformed"),
    ]
    seen = solids.render_solids([found])
    rays = solids.rays_of(64, solids.DEPTHS)
    drawn = silhouettes.masks_of([solids.on_tensors(found.field)], rays, seen.directions)
    assert silhouettes.mask_ious(drawn, seen.inside)[0] > 0.95 and seen.inside.any()
    assert mesh_solids.content_hash(seen) == mesh_solids.content_hash(solids.render_solids([found]))
    other = seen._replace(images=torch.zeros_like(seen.images))
    assert mesh_solids.content_hash(seen) != mesh_solids.content_hash(other)


def test_a_folder_of_nothing_that_closes_is_named(folder: Path) -> None:
    (folder / "a_box.obj").unlink()
    with pytest.raises(Failed, match="none of 2 meshes"):
        mesh_solids.mesh_solids(str(folder), folder / "out", 3, nodes=32, seed=0)


def test_built_in_meshes_need_no_folder(tmp_path: Path) -> None:
    (one,), aside = mesh_solids.mesh_solids("procedural", tmp_path, 1, nodes=16, seed=0)
    assert aside == []
    assert one.kind == "coffee_table" and one.field(np.zeros((1, 3))).shape == (1,)
