"""Views of a mesh by pyrender on EGL: one renderer a process for each size and kind, made once and reused."""

import os
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
if not hasattr(np, "infty"):
    np.infty = np.inf  # type: ignore[attr-defined]  # noqa: NPY201 - pyrender 0.1.45 asks for what numpy 2 dropped
import pyrender  # noqa: E402  - the platform and the name above must be set first
from jaxtyping import Bool, Float, UInt8  # noqa: E402
from pyrender.shader_program import ShaderProgramCache  # noqa: E402

from flowsdf.conventions import CAMERA_DISTANCE, Mesh  # noqa: E402
from flowsdf.geometry.camera import fibonacci_sphere, look_at  # noqa: E402
from flowsdf.geometry.mesh import is_watertight, vertex_normals  # noqa: E402
from flowsdf.geometry.simplify import decimate  # noqa: E402

VIEW_SIZE = 224  # pixels a side
VIEWS = 64  # per shape
SILHOUETTE_VIEWS = 24  # of the view IoU
FIELD_OF_VIEW = 2 * np.arcsin(1 / CAMERA_DISTANCE) * 1.02  # the unit sphere with a margin of two per cent
GRAY_BLUE = (0.45, 0.52, 0.62, 1.0)
HEADLIGHT, RIM_LIGHT, AMBIENT = 4.0, 2.5, 0.12
DRAWN_FACES = 24_000  # more are smaller than a pixel and only cost time
SHADERS = Path(__file__).parent  # mesh.vert and mesh.frag: light at the vertices
FINE_FACES = 4_000  # from so many on that will do, as on any closed solid
STORAGE = pyrender.renderer.glRenderbufferStorageMultisample  # of pyrender's framebuffers, made by the first frame
BLACK = (0.0, 0.0, 0.0, 0.0)  # floats: whole numbers would render black objects too


def render_views(
    mesh: Mesh, directions: Float[np.ndarray, "n 3"] | None = None, *, size: int = VIEW_SIZE
) -> UInt8[np.ndarray, "n h w 3"]:
    """RGB images from ``directions`` (64 on a Fibonacci sphere) at distance 2.5, black where there is no surface."""
    drawn, shaders = as_drawn(mesh)
    return np.stack(
        [image for image, _ in _frames(drawn, directions, size, pyrender.RenderFlags.NONE, shaders=shaders)]
    )


def as_drawn(mesh: Mesh) -> tuple[Mesh, Path | None]:
    """The mesh with no more faces than a view shows, and the folder of its shaders: None for pyrender's own."""
    drawn = decimate(mesh, DRAWN_FACES)
    return drawn, SHADERS if len(drawn.faces) >= FINE_FACES else None


def silhouettes(
    mesh: Mesh, directions: Float[np.ndarray, "n 3"] | None = None, *, size: int = VIEW_SIZE
) -> Bool[np.ndarray, "n h w"]:
    """Which pixels see the mesh, from ``directions`` (24 on a Fibonacci sphere)."""
    if not len(mesh.faces):
        return np.zeros((len(directions) if directions is not None else SILHOUETTE_VIEWS, size, size), bool)
    directions = fibonacci_sphere(SILHOUETTE_VIEWS) if directions is None else directions
    if not is_watertight(mesh):  # one sees into it, and pyrender draws no back faces for depth
        mesh = Mesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:, ::-1]]))
    frames = _frames(mesh, directions, size, pyrender.RenderFlags.DEPTH_ONLY, samples=0)  # a third of the time of four
    return np.stack([depth > 0 for depth in frames])


def _frames(
    mesh: Mesh,
    directions: np.ndarray | None,
    size: int,
    flags: int,
    *,
    samples: int = 4,
    shaders: Path | None = None,
):
    """One rendered frame after another of the same scene, the lights travelling with the camera.

    pyrender takes four ``samples`` of each pixel, whatever it draws; with 0 the middle of the pixel decides. Without
    a folder of ``shaders`` it uses its own.
    """
    scene, rig = _scene(mesh)
    storage = partial(_storage, samples)
    for direction in fibonacci_sphere(VIEWS) if directions is None else directions:
        scene.set_pose(rig, look_at(CAMERA_DISTANCE * direction))
        with patch.object(pyrender.renderer, "glRenderbufferStorageMultisample", storage):
            frame = _renderer(size, samples, shaders).render(scene, flags=flags)
        yield frame


def _scene(mesh: Mesh) -> tuple[pyrender.Scene, pyrender.Node]:
    scene = pyrender.Scene(bg_color=BLACK, ambient_light=[AMBIENT] * 3)
    scene.add(pyrender.Mesh([_primitive(mesh)]))
    camera = pyrender.PerspectiveCamera(yfov=FIELD_OF_VIEW, znear=0.5, zfar=6.0)
    rim = look_at(np.array([0.8, 1.0, -0.9]))  # behind the object, above and to the right of the camera's axis
    rig = pyrender.Node(matrix=np.eye(4))
    scene.add_node(rig)
    scene.add_node(pyrender.Node(camera=camera, light=pyrender.DirectionalLight(intensity=HEADLIGHT)), parent_node=rig)
    scene.add_node(pyrender.Node(light=pyrender.DirectionalLight(intensity=RIM_LIGHT), matrix=rim), parent_node=rig)
    scene.main_camera_node = next(iter(scene.camera_nodes))
    return scene, rig


def _primitive(mesh: Mesh) -> pyrender.Primitive:
    material = pyrender.MetallicRoughnessMaterial(baseColorFactor=GRAY_BLUE, metallicFactor=0.2, roughnessFactor=0.6)
    return pyrender.Primitive(
        positions=mesh.vertices.astype(np.float32),
        normals=vertex_normals(mesh).astype(np.float32),
        indices=mesh.faces.astype(np.uint32),
        material=material,
    )


def _storage(samples: int, target: int, _asked: int, *size: int) -> None:
    STORAGE(target, samples, *size)


@cache
def _renderer(size: int, _samples: int, shaders: Path | None) -> pyrender.OffscreenRenderer:
    made = pyrender.OffscreenRenderer(size, size)
    made._renderer._program_cache = ShaderProgramCache(shaders and str(shaders))
    return made
