"""Speed beside the obvious alternative: distances and the closing, and what every comparison shares.

Ours and the baseline are timed in turn, in one process, on the same input; what must have one thread, or a renderer
of its own, runs in a spawned process.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from flowsdf.conventions import Mesh
from flowsdf.data import procedural
from flowsdf.data.executor import run_tasks
from flowsdf.data.executor_processes import end_workers
from flowsdf.data.faults import Failed, Rejected
from flowsdf.data.sdf import exact_sdf, sample_points
from flowsdf.geometry import watertight as closing
from flowsdf.geometry.distance import unsigned_distance
from flowsdf.geometry.extract import sparse_grid
from flowsdf.geometry.mesh import concatenate, face_areas, normalise
from flowsdf.studies.scans import SCANS, scanning

NEAR = 0.0025  # of the surface, where scans give wrong signs
SHAPE = 0  # the procedural training shape that is measured: a coffee table
PER_SECOND = "images/s"  # the unit of which more is better; of seconds, less is


class Row(NamedTuple):
    """One comparison: ours and the baseline in one unit, and the largest gap between what they computed."""

    ours: float
    baseline: float
    unit: str
    difference: float
    note: str

    @property
    def ratio(self) -> float:
        """How many times better ours is."""
        return self.ours / self.baseline if self.unit == PER_SECOND else self.baseline / self.ours


def in_turn(ours: Callable, baseline: Callable, *, rounds: int = 1) -> tuple[float, float, Any, Any]:
    """The median seconds of two computations, timed one after the other, and what each returned last."""
    seconds = np.zeros((rounds, 2))
    results: list = [None, None]
    for times in seconds:
        for side, compute in enumerate((ours, baseline)):
            began = time.perf_counter()
            results[side] = compute()
            times[side] = time.perf_counter() - began
    return *np.median(seconds, axis=0).tolist(), *results


def sdf(*, points: int, faces: int, scans: int = SCANS) -> Row:
    """Signed distances of a closed mesh on one core: an exact tree against mesh-to-sdf's scans."""
    return in_worker(_sdf, (points, faces, scans))  # mesh-to-sdf cannot be imported where pyrender already is


def _sdf(task: tuple[int, int, int]) -> Row:
    from flowsdf.data.reference_sdf import reference_sdf

    points, faces, scans = task
    mesh = closed_mesh(faces)
    at = sample_points(mesh, points, np.random.default_rng(0))
    with scanning(scans):
        seconds, theirs_seconds, sdf, theirs = in_turn(lambda: exact_sdf(at, mesh), lambda: reference_sdf(at, mesh))
    gap = np.abs(np.abs(sdf) - np.abs(theirs))
    wrong = (np.sign(sdf) != np.sign(theirs))[np.abs(sdf) > NEAR].mean()
    note = f"{points:,} points, {len(mesh.faces):,} faces; baseline mesh-to-sdf; difference: the median gap of "
    note += f"magnitudes (largest {gap.max():.2g}); beyond {NEAR} of the surface {wrong:.2%} of the signs differ"
    return Row(seconds, theirs_seconds, "s", float(np.median(gap)), note)


def watertight(*, faces: int, resolution: int) -> Row:
    """The closing of one shape on one core: coarse to fine against every node of the grid."""
    return in_worker(_watertight, (faces, resolution))


def _watertight(task: tuple[int, int]) -> Row:
    faces, resolution = task
    mesh, _, _ = normalise(with_faces(concatenate(procedural.flawed_nodes(procedural.training(SHAPE))), faces))

    def every_node() -> closing.Watertight:
        dense = lambda field, side, *, coarsest, **rest: sparse_grid(field, side, coarsest=side, **rest)  # noqa: E731
        with mock.patch.object(closing, "sparse_grid", dense):
            return closing.watertight(mesh, resolution=resolution)

    seconds, dense_seconds, ours, dense = in_turn(lambda: closing.watertight(mesh, resolution=resolution), every_node)
    note = f"one shape of {len(mesh.faces):,} faces at {resolution}^3 on one core; baseline: all nodes; "
    return Row(seconds, dense_seconds, "s", *mesh_gap([(ours.mesh, dense.mesh)], note))


def closed_mesh(faces: int) -> Mesh:
    """A procedural shape's closing at the resolution that gives about so many faces."""
    mesh, _, _ = normalise(procedural.clean_mesh(procedural.training(SHAPE)))
    resolution = 48
    for _ in range(2):  # the faces grow with the square of the resolution
        closed = closing.watertight(mesh, resolution=resolution).mesh
        resolution = max(24, round(resolution * (faces / len(closed.faces)) ** 0.5))
    return closing.watertight(mesh, resolution=resolution).mesh


def with_faces(mesh: Mesh, count: int) -> Mesh:
    """The same surface in ``count`` faces: the largest ones are halved, again and again."""
    triangles = mesh.vertices[mesh.faces]  # (f, 3, 3)
    while len(triangles) < count:
        loose = Mesh(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3))
        order = np.argsort(-face_areas(loose), kind="stable")
        halved = order[: max(1, min(len(order) // 2, count - len(triangles)))]
        a, b, c = triangles[halved].transpose(1, 0, 2)
        middle = (a + b) / 2  # the corners take turns, so that no edge stays long
        parts = [np.delete(triangles, halved, 0), np.stack([c, a, middle], 1), np.stack([b, c, middle], 1)]
        triangles = np.concatenate(parts)
    return Mesh(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3))


def mesh_gap(pairs: Sequence[tuple[Mesh, Mesh]], note: str) -> tuple[float, str]:
    """The largest gap between the vertices of equal meshes, and the note with how many have equal faces.

    Where faces differ, the gap is the largest distance of a vertex of either from the other's surface.
    """
    gaps, same = [0.0], 0
    for a, b in pairs:
        if not len(a.faces) or not len(b.faces):
            raise Failed("a surface that was to be compared is empty")
        if np.array_equal(a.faces, b.faces):
            same += 1
            gaps.append(np.abs(a.vertices - b.vertices).max())
        else:
            gaps += [unsigned_distance(a.vertices, b).max(), unsigned_distance(b.vertices, a).max()]
    return float(max(gaps)), f"{note}faces equal in {same} of {len(pairs)}"


def in_worker(function: Callable, task: object) -> Row:
    """A comparison in a fresh process of one thread."""
    end_workers()
    (outcome,) = run_tasks(function, [task], workers=1, label=function.__name__.strip("_"))
    if isinstance(outcome, Rejected):
        raise Failed(f"{function.__name__.strip('_')}: {outcome}")
    return outcome
