"""The report's one look: seaborn's whitegrid, a colour-blind-safe palette, grids of pictures and of shaded meshes."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

from flowsdf.conventions import Mesh
from flowsdf.geometry.mesh import vertex_normals

PALETTE = sns.color_palette("colorblind").as_hex()
INK, BASE = "#333333", np.array([0.47, 0.60, 0.74])  # text; the gray-blue of a surface
WORDS = {  # of columns, on an axis
    "iou": "IoU",
    "chamfer_l1": "Chamfer-L1",
    "sigma": "noise, in units of the weights' size",
    "mse": "squared error of the weights",
    "holed": "share that keeps its hole",
}
TITLE = 0.22  # inches above a picture, for text of seven points
WIDE = 8  # inches, as wide as a page shows a figure
FEW = 12  # points of a line that are marked
Picture = UInt8[np.ndarray, "h w 3"]


def set_style() -> None:
    """Make every later figure look like the report's."""
    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", rc={"axes.edgecolor": "#bbbbbb"})
    plt.rcParams.update({"figure.dpi": 110, "axes.titlesize": 10, "axes.labelsize": 10, "legend.frameon": False})
    plt.rcParams.update({"text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK})


def image_grid(images: Sequence[Picture], titles: Sequence[str], *, columns: int = 8, size: float = 1.4) -> Figure:
    """Pictures in rows, each under its title; `size` is one picture's side in inches."""
    set_style()
    columns = max(1, min(columns, len(images)))
    longest = max([1, *map(len, titles)])  # letters are 0.62 as wide as high; a wide figure is shown smaller
    points = np.clip(size * 72 / (0.62 * longest), 6, 7 * max(1, columns * size / WIDE)).item()
    height = size + TITLE * points / 7
    figure = plt.figure(figsize=(columns * size, max(1, -(-len(images) // columns)) * height))
    axis = figure.add_axes((0, 0, 1, 1))  # one for all pictures, in inches: an axis each takes longer than its picture
    axis.axis("off")
    for number, (image, title) in enumerate(zip(images, titles, strict=False)):
        left, top = number % columns * size, (number // columns + 1) * height - size
        wide, high = (0.96 * size * np.array(image.shape[1::-1]) / max(image.shape[:2])).tolist()
        middle = left + size / 2
        axis.imshow(image, extent=(middle - wide / 2, middle + wide / 2, top + high, top))
        axis.text(middle, top - 0.03 * points / 7, title.replace("$", r"\$"), fontsize=points, ha="center")
    axis.set(xlim=(0, figure.get_figwidth()), ylim=(figure.get_figheight(), 0))
    return figure


def mesh_grid(
    meshes: Sequence[Mesh],
    titles: Sequence[str],
    *,
    columns: int = 8,
    size: float = 1.4,
    render: Callable[[Mesh], Picture] | None = None,
) -> Figure:
    """Shaded meshes in rows, each under its title; `render` replaces the built-in picture of a mesh."""
    return image_grid([(render or shade)(mesh) for mesh in meshes], titles, columns=columns, size=size)


def losses(runs: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Training losses over steps; of each run the lines of its curve: step, seconds, loss."""
    lines = [{"run": run, "step": step, "loss": loss} for run, curve in runs.items() for step, _, loss in curve]
    return curves(pd.DataFrame(lines), x="step", y="loss", label="run", style="run")  # dashes show lines that coincide


def curves(
    table: pd.DataFrame,
    *,
    x: str,
    y: str,
    label: str | None = None,
    style: str | None = None,
    log: bool = True,
    target: float | None = None,
) -> Figure:
    """Lines of y over x, one per value of `label`, few points marked; an optional dashed line marks a target."""
    set_style()
    figure, axis = plt.subplots(figsize=(6.4, 3.4))
    looks = {"palette": None if label is None else "colorblind", "marker": "o" if table[x].nunique() <= FEW else None}
    sns.lineplot(table, x=x, y=y, hue=label, style=style, ax=axis, errorbar=None, **looks)
    if label is not None:
        sns.move_legend(axis, "upper left", bbox_to_anchor=(1, 1), title=None)
    axis.set(xlabel=WORDS.get(x, x), ylabel=WORDS.get(y, y))
    if log:
        axis.set_yscale("log")
    if target is not None:
        axis.axhline(target, linestyle="--", linewidth=1, color="#777777")
    return figure


def face_samples(corners: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3), less than a pixel apart, that cover triangles (f, 3, 3) given in pixels, and their normals."""
    edges = np.linalg.norm(corners[:, :, :2] - np.roll(corners, 1, axis=1)[:, :, :2], axis=2).max(axis=1)
    steps = np.clip(np.ceil(edges * 1.3).astype(int) + 1, 1, 2000)
    both = np.concatenate((corners, normals), axis=2, dtype=np.float32).swapaxes(0, 1)  # (3, f, 6)
    samples = []
    for step in np.unique(steps):
        i, j = np.meshgrid(np.arange(step + 1), np.arange(step + 1), indexing="ij")
        inside = i + j <= step
        weights = np.stack([i[inside], j[inside], (step - i - j)[inside]], axis=1, dtype=np.float32) / np.float32(step)
        samples.append((weights @ both[:, steps == step].reshape(3, -1)).reshape(-1, 6))  # (k, 3) @ (3, f 6)
    points, shading = np.split(np.concatenate(samples), 2, axis=1)
    return points, shading


def camera_frame(azimuth: float, elevation: float) -> Float[np.ndarray, "3 3"]:
    """Rows right, up, towards the viewer, for a viewer at these angles in degrees (y up)."""
    a, e = np.radians([azimuth, elevation])
    toward = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    right = np.array([np.cos(a), 0.0, -np.sin(a)])
    return np.stack([right, np.cross(toward, right), toward])


def shade(
    mesh: Mesh, *, pixels: int = 224, azimuth: float = 35.0, elevation: float = 20.0, color: np.ndarray = BASE
) -> Picture:
    """An orthographic picture of a mesh on white, by a depth buffer at twice the resolution; an empty mesh is blank."""
    side = 2 * pixels
    frame = camera_frame(azimuth, elevation)
    picture = np.ones((side * side, 3))
    if len(mesh.faces):
        screen = np.asarray(mesh.vertices) @ frame.T * np.array([1, -1, 1]) * (side / 2.1) + side / 2
        points, normals = face_samples(screen[mesh.faces], (vertex_normals(mesh) @ frame.T)[mesh.faces])
        column, row = np.clip(points[:, :2].astype(int), 0, side - 1).T
        pixel, depth = row * side + column, np.full(side * side, -np.inf, points.dtype)
        np.maximum.at(depth, pixel, points[:, 2])
        front, nearest = np.flatnonzero(points[:, 2] == depth[pixel]), np.full(side * side, -1)
        nearest[pixel[front]] = front
        drawn = nearest >= 0
        normals = normals[nearest[drawn]]
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        light = np.abs(normals @ np.array([0.35, 0.5, 0.79]))[:, None]  # both sides lit: some inputs have flipped faces
        picture[drawn] = np.clip(color * (0.35 + 0.75 * light) + 0.15 * light**12, 0, 1)
    small = picture.reshape(pixels, 2, pixels, 2, 3).mean(axis=(1, 3))
    return (small * 255).astype(np.uint8)
