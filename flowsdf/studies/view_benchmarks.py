"""Speed of the views: one renderer a process against one renderer a view, over two processes, over thousands."""

import time

import numpy as np
from jaxtyping import Float, UInt8

from flowsdf.conventions import Mesh
from flowsdf.data.executor import run_tasks
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.studies.benchmarks import PER_SECOND, Row, closed_mesh, in_turn, in_worker

WORKERS = 2


def views(*, faces: int, count: int) -> Row:
    """Views by one renderer a process against one renderer a view, in one process of one thread."""
    return in_worker(_views, (closed_mesh(faces), count))


def _views(task: tuple[Mesh, int]) -> Row:
    from flowsdf.data.views import render_views

    mesh, count = task
    directions = fibonacci_sphere(count)
    render_views(mesh, directions[:1])  # the first renderer of a process also starts the driver
    seconds, baseline, ours, theirs = in_turn(
        lambda: render_views(mesh, directions), lambda: renderer_per_view(mesh, directions)
    )
    note = f"{count} views of {len(mesh.faces):,} faces, one process; baseline: a renderer made for each view; "
    note += "difference: of 255 levels"
    return Row(count / seconds, count / baseline, PER_SECOND, _image_gap(ours, theirs), note)


def views_rate(*, faces: int, shapes: int, count: int) -> Row:
    """The same with two processes, ours through the executor that the pipeline uses."""
    directions = fibonacci_sphere(count)
    mesh = closed_mesh(faces)
    kinds = {
        "ours": [(mesh, directions, False)] * shapes,
        "baseline": [(mesh, directions[:: max(1, count // 8)], True)] * WORKERS,
    }
    rates, images = {}, {}
    for kind, tasks in kinds.items():
        began, ended, images[kind] = zip(*run_tasks(_rendered, tasks, workers=WORKERS, label=kind), strict=True)
        drawn = sum(len(seen) for _, seen, _ in tasks)
        rates[kind] = drawn / (max(ended) - min(began))
    note = f"{shapes} shapes of {count} views, {WORKERS} processes, their start not counted; baseline: a renderer made "
    note += "for each view; difference: of 255 levels, in one view"
    gap = _image_gap(images["ours"][0], images["baseline"][0])
    return Row(rates["ours"], rates["baseline"], PER_SECOND, gap, note)


def _rendered(task: tuple[Mesh, np.ndarray, bool]) -> tuple[float, float, UInt8[np.ndarray, "h w 3"]]:
    """In a worker: when rendering began and ended on the machine's clock, and the first view."""
    from flowsdf.data.views import render_views

    mesh, directions, per_view = task
    began = time.monotonic()
    images = (renderer_per_view if per_view else render_views)(mesh, directions)
    return began, time.monotonic(), images[0]


def views_steady(*, faces: int, total: int, window: int) -> Row:
    """The last views of many against the first: the renderer must not slow down."""
    return in_worker(_views_steady, (closed_mesh(faces), total, window))


def _views_steady(task: tuple[Mesh, int, int]) -> Row:
    from flowsdf.data.views import render_views

    mesh, total, window = task
    directions = fibonacci_sphere(max(1, window // 10))
    first = render_views(mesh, directions)  # not timed: it makes the renderer
    seconds = []
    for _ in range(total // len(directions)):
        began = time.perf_counter()
        images = render_views(mesh, directions)
        seconds.append(time.perf_counter() - began)
    span = window // len(directions)
    note = f"the last {window} of {total} views, one process; baseline: the first {window}; difference: of 255 levels"
    early, late = sum(seconds[:span]), sum(seconds[-span:])
    return Row(window / late, window / early, PER_SECOND, _image_gap(first, images), note)


def renderer_per_view(mesh: Mesh, directions: Float[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n h w 3"]:
    """The images of ``render_views`` from a renderer that is made for each of them and deleted."""
    from flowsdf.data import views as module

    images = []
    drawn, shaders = module.as_drawn(mesh)
    for image, _ in module._frames(drawn, directions, module.VIEW_SIZE, 0, shaders=shaders):
        images.append(image)
        module._renderer(module.VIEW_SIZE, 4, shaders).delete()
        module._renderer.cache_clear()
    return np.stack(images)


def _image_gap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.int16) - b).max())
