"""The reference backend: distances by mesh-to-sdf, the library the thesis used."""

import os

os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
import mesh_to_sdf  # noqa: E402  - the platform must be chosen first
import OpenGL.EGL  # noqa: E402  - after mesh_to_sdf, which insists

from flowsdf.conventions import Mesh, Points, Values  # noqa: E402

OpenGL.EGL.eglTerminate = lambda display: True  # the end of a scan must not end the display the views are drawn on


def reference_sdf(points: Points, mesh: Mesh) -> Values:
    """Distances to the nearest point of 100 virtual scans of the mesh, signed by the scans' normals, float32.

    Off by about the scans' point spacing (0.0005), and with some wrong signs close to the surface. Our own points
    are passed in: the library's sampler is unseeded and draws 94 % of its points near the surface.
    """
    cloud = mesh_to_sdf.get_surface_point_cloud(
        mesh_to_sdf.trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), bounding_radius=1.0
    )
    return cloud.get_sdf_in_batches(points)
