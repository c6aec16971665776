"""Reading a glTF 2.0 scene as one mesh.

A reader of our own because the common ones drop what they do not know (sparse and normalised accessors, triangle
fans, compressed primitives) and return wrong geometry without a word. Shapes are read as modelled: materials,
cameras, skins and morph targets are left aside.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np

from flowsdf.conventions import Mesh
from flowsdf.data.faults import Rejected
from flowsdf.data.gltf_bytes import COMPRESSED, Document
from flowsdf.geometry.mesh import concatenate

FACES = 20_000_000  # a mesh's budget, after instancing
NODES = 100_000  # at most, in a scene


def read_gltf(path: Path, root: Path) -> Mesh:
    """The triangles of a .glb or .gltf file's default scene in its world frame; its files must be inside ``root``."""
    document = Document(path, root)
    parts, faces = [], 0
    for index, transforms in _uses(document).items():
        for primitive in document.item("meshes", index)["primitives"]:
            part = _primitive(document, primitive)
            faces += len(transforms) * len(part.faces)
            if faces > FACES:
                raise Rejected("too_many_faces", f"more than {FACES:,} faces after instancing")
            parts += [_placed(part, transform) for transform in transforms if len(part.faces)]
    if not parts:
        raise Rejected("no_faces", "the scene holds no triangles")
    return concatenate(parts)


def _uses(document: Document) -> dict[int, list[np.ndarray]]:
    """The meshes of the default scene by number, each with its 4 x 4 transforms to the world, one an instance."""
    if len(document.tree.get("nodes", ())) > NODES:
        raise Rejected("too_many_nodes", f"{len(document.tree['nodes']):,} nodes, at most {NODES:,} are read")
    scene = document.item("scenes", document.tree.get("scene", 0)) if document.tree.get("scenes") else {}
    waiting = [(index, np.eye(4)) for index in reversed(scene.get("nodes", ()))]
    seen, uses = set(), defaultdict(list)
    while waiting:
        index, parent = waiting.pop()
        if index in seen:
            raise Rejected("node_cycle", f"node {index} is reached twice: the nodes are no tree")
        seen.add(index)
        node = document.item("nodes", index)
        if "EXT_mesh_gpu_instancing" in node.get("extensions", ()):
            raise Rejected("unsupported", "EXT_mesh_gpu_instancing: export the instances as nodes")
        transform = parent @ _transform(node)
        waiting += [(child, transform) for child in reversed(node.get("children", ()))]
        if "mesh" in node:
            uses[node["mesh"]].append(transform)
    return uses


def _transform(node: dict) -> np.ndarray:
    """A node's 4 x 4 transform to its parent: its matrix, or translation @ rotation @ scale."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T  # the file goes column by column
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), np.float64)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += 2 / (x * x + y * y + z * z + w * w) * (w * cross + cross @ cross)
    matrix[:3, :3] *= np.array(node.get("scale", (1, 1, 1)), np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _primitive(document: Document, primitive: dict) -> Mesh:
    """One primitive's triangles in its own frame; none when it is made of points or lines."""
    if COMPRESSED & set(primitive.get("extensions", ())):
        raise Rejected("compressed", "a primitive is compressed: export it without compression")
    if "POSITION" not in primitive["attributes"]:
        raise Rejected("no_position", "a primitive has no POSITION")
    vertices = document.accessor(primitive["attributes"]["POSITION"]).astype(np.float64)
    if vertices.shape[1:] != (3,):
        raise Rejected("malformed", "a primitive's POSITION does not have three numbers a vertex")
    order = np.arange(len(vertices))
    if "indices" in primitive:
        order = document.accessor(primitive["indices"])
        if order.size != len(order) or order.dtype.kind != "u":
            raise Rejected("malformed", "a primitive's indices are not single whole numbers without a sign")
        order = order.astype(np.int64).ravel()
    if len(order) and order.max() >= len(vertices):
        raise Rejected("index", f"a face uses vertex {order.max():,} of {len(vertices):,}")
    faces = _triangles(order, primitive.get("mode", 4))
    if len(vertices) > 3 * len(faces):  # many primitives may share one large accessor
        used, faces = np.unique(faces, return_inverse=True)
        vertices, faces = vertices[used], faces.reshape(-1, 3)
    return Mesh(vertices, faces)


def _triangles(order: np.ndarray, mode: int) -> np.ndarray:
    """The (f, 3) faces of a run of corners: mode 4 separate triangles, 5 a strip, 6 a fan, 0 to 3 none."""
    if mode not in range(7):
        raise Rejected("malformed", f"there is no primitive mode {mode}")
    if mode < 4 or len(order) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == 4:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    if mode == 6:
        return np.stack([np.full(len(order) - 2, order[0]), order[1:-1], order[2:]], axis=1)
    faces = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
    faces[1::2] = faces[1::2, ::-1]  # every other triangle of a strip turns
    return faces


def _placed(part: Mesh, transform: np.ndarray) -> Mesh:
    """The part in the world; a mirroring transform turns its faces round, so that outside stays outside."""
    faces = part.faces[:, ::-1] if np.linalg.det(transform[:3, :3]) < 0 else part.faces
    return Mesh(part.vertices @ transform[:3, :3].T + transform[:3, 3], faces)
