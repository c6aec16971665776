"""Fewer faces, nearly the same surface: for drawing only, never for scoring."""

import fast_simplification
import numpy as np

from flowsdf.conventions import Mesh


def decimate(mesh: Mesh, faces: int) -> Mesh:
    """At most about ``faces`` faces by quadric edge collapse (Garland and Heckbert 1997)."""
    if len(mesh.faces) <= faces:
        return mesh
    vertices, kept = fast_simplification.simplify(
        mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), target_count=faces
    )
    return Mesh(vertices.astype(np.float64), kept.astype(np.int64))
