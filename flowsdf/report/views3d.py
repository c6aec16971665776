"""Meshes that turn in the browser: k3d snapshots of one file each, with a picture beside it."""

import html as text
import io
import re
from collections.abc import Mapping

import k3d
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from flowsdf.conventions import Mesh
from flowsdf.geometry.simplify import decimate
from flowsdf.report.figures import PALETTE, Picture, shade
from flowsdf.report.results import Chapter, figure_html, keep, show, write

SPACING = 2.3  # between shapes that stand side by side, in units of the frame
BELOW = 1.25  # the middle of a shape, the top of its label
PLACED = "setTimeout(() => K3DInstance.resizeHelper(), 500);"  # before, k3d keeps labels out of sight
Over = Mesh | Mapping[float, Mesh]  # a mesh, or meshes by time


def moved(mesh: Mesh, offset: float) -> Mesh:
    """A mesh shifted along x, in plain float32 and uint32."""
    vertices = np.asarray(mesh.vertices, np.float32) + np.array([offset, 0, 0], np.float32)
    return Mesh(vertices, np.asarray(mesh.faces, np.uint32))


def scene(meshes: Mapping[str, Over], most: int) -> k3d.Plot:
    """A k3d plot of labelled meshes side by side; a mapping of times to meshes plays as a series."""
    plot = k3d.plot(grid_visible=False, camera_auto_fit=False, background_color=0xFFFFFF, menu_visibility=False)
    plot.axes_helper = 0
    middle, away = (len(meshes) - 1) * SPACING / 2, 1.6 + 1.5 * len(meshes)
    plot.camera = [middle + 0.15 * away, 0.25 * away, 0.95 * away, middle, 0.0, 0.0, 0.0, 1.0, 0.0]
    for index, (label, over) in enumerate(meshes.items()):
        steps = {str(time): mesh for time, mesh in over.items()} if isinstance(over, Mapping) else {"0": over}
        shifted = {time: moved(decimate(mesh, most), index * SPACING) for time, mesh in steps.items()}
        only = next(iter(shifted.values())) if len(shifted) == 1 else None
        vertices = only.vertices if only else {time: mesh.vertices for time, mesh in shifted.items()}
        faces = only.faces if only else {time: mesh.faces for time, mesh in shifted.items()}
        color = int(PALETTE[index % len(PALETTE)].lstrip("#"), 16)
        plot += k3d.mesh(vertices, faces, color=color, name=label, side="double", flat_shading=False)
        where = {"position": [index * SPACING, -BELOW, 0.0], "reference_point": "ct", "label_box": False}
        plot += k3d.text(text.escape(label), color=color, is_html=True, **where)
    return plot


def poster_of(meshes: Mapping[str, Over], most: int, pixels: int = 300) -> Picture:
    """A still picture of the meshes side by side, each at its last time."""
    pictures = []
    for index, over in enumerate(meshes.values()):
        mesh = over[max(over)] if isinstance(over, Mapping) else over
        color = np.array([int(PALETTE[index % len(PALETTE)][i : i + 2], 16) for i in (1, 3, 5)]) / 255
        pictures.append(shade(decimate(mesh, most), pixels=pixels, color=color))
    return np.concatenate(pictures, axis=1)


def save_view(
    chapter: Chapter,
    meshes: Mapping[str, Over],
    name: str,
    *,
    caption: str,
    poster: Picture | None = None,
    most: int = 20_000,
    key: bool = False,
) -> None:
    """Keep meshes as views/NAME.html, which turns, and views/NAME.png; show the picture in the notebook."""
    shown = {label: over for label, over in meshes.items() if isinstance(over, Mapping) or len(over.faces)}
    picture = png(poster_of(meshes, most) if poster is None else poster)
    save_page(chapter, snapshot(scene(shown, most), caption), picture, name, "Turn it", caption=caption, key=key)


def save_page(
    chapter: Chapter, page: str, picture: bytes, name: str, invitation: str, *, caption: str, key: bool = False
) -> None:
    """Keep a page of its own as views/NAME.html, with a PNG picture for the notebook beside it."""
    record = keep(chapter, "view", "views", f"{name}.png", caption, key)
    write(chapter.report / "views" / f"{name}.html", page.encode())
    write(chapter.report / record["file"], picture)
    link = f"<p>{invitation}: <code>{name}.html</code></p>"
    show({"text/html": figure_html(picture, caption) + link, "text/plain": caption}, record)


def png(picture: UInt8[np.ndarray, "h w *c"]) -> bytes:
    """A picture as the content of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def snapshot(plot: k3d.Plot, title: str) -> str:
    """A plot as one HTML page that asks nothing of any network."""
    plot.snapshot_type = "full"
    page = plot.get_snapshot(additional_js_code=PLACED)
    return re.sub("<title>.*?</title>", lambda _: f"<title>{text.escape(title)}</title>", page, count=1)
