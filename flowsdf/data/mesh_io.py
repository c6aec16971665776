"""Mesh files in and out: GLB, glTF, OBJ, PLY, STL and OFF, always as one triangle mesh in float64."""

import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh

from flowsdf.conventions import Mesh
from flowsdf.data.faults import Rejected
from flowsdf.data.files import write_whole
from flowsdf.data.gltf import FACES, read_gltf
from flowsdf.geometry.mesh import face_areas

SUFFIXES = (".glb", ".gltf", ".obj", ".off", ".ply", ".stl")
FILE_BYTES = 512 * 2**20


def read_mesh(path: Path, root: Path | None = None) -> Mesh:
    """The file's triangles, node transforms applied, polygons cut into fans.

    Opens nothing outside ``root`` (the file's folder by default). Raises Rejected when the file is at fault; a
    broken file may also take all memory or time, so files of unknown origin go through ``read_limited``.
    """
    root, suffix = root or path.parent, path.suffix.lower()
    _check_file(path, root, suffix)
    if suffix in (".glb", ".gltf"):
        mesh = read_gltf(path, root)
    elif suffix == ".obj":
        mesh = _read_obj(path.read_text(errors="replace"))
    else:
        mesh = _read_other(path.read_bytes(), suffix)
    return _checked(mesh)


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Writes one mesh as .glb, .obj, .off, .ply or .stl, by the file's name."""
    content = _trimesh(mesh).export(file_type=path.suffix[1:].lower())
    write_whole(path, content.encode() if isinstance(content, str) else bytes(content))


def write_scene(path: Path, meshes: Sequence[Mesh]) -> None:
    """Writes a GLB scene of one node per mesh, unmerged, in single precision."""
    scene = trimesh.Scene()
    for index, mesh in enumerate(meshes):
        scene.add_geometry(_trimesh(mesh), node_name=f"node_{index}", geom_name=f"mesh_{index}")
    write_whole(path, scene.export(file_type="glb"))


def _check_file(path: Path, root: Path, suffix: str) -> None:
    """Rejects by name, place, size and first bytes, before anything is parsed."""
    if not path.resolve().is_relative_to(root.resolve()):
        raise Rejected("symlink", "the file lies outside the folder that names it")
    if not path.is_file():
        raise Rejected("missing_file", "there is no such regular file")
    if suffix not in SUFFIXES:
        raise Rejected("unsupported", f"{suffix or 'no suffix'} is not one of {' '.join(SUFFIXES)}")
    size = path.stat().st_size
    if size == 0:
        raise Rejected("empty", "the file is empty")
    if size > FILE_BYTES:
        raise Rejected("too_large", f"{size / 2**20:,.0f} MiB, at most {FILE_BYTES / 2**20:.0f} MiB are read")
    with path.open("rb") as file:
        head = file.read(4096)
    if not _looks_like(suffix, head, size):
        raise Rejected("magic", f"the content is not {suffix[1:].upper()}: it starts with {head[:16]!r}")


def _looks_like(suffix: str, head: bytes, size: int) -> bool:
    """Whether a file's first bytes fit its suffix."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if suffix == ".glb":
        return head[:4] == b"glTF"
    if suffix == ".gltf":
        return text[:1] == b"{"
    if suffix == ".ply":
        return head[:3] == b"ply"
    if suffix == ".off":
        return b"\0" not in head and re.match(rb"(#.*\s+)*C?OFF\s", text) is not None
    if suffix == ".obj":
        return b"\0" not in head and text[:1] != b"<"
    return text[:5].lower() == b"solid" or size == 84 + 50 * int.from_bytes(head[80:84], "little")


def _read_obj(text: str) -> Mesh:
    """An OBJ file's positions and faces; indices count from 1, or back from the latest vertex when negative."""
    if device := re.search(r"^mtllib\s+/(dev|proc|sys)/\S*", text, re.MULTILINE):
        raise Rejected("uri", f"{device[0][:80]!r} points at a device")
    vertices, faces = [], []
    for line in text.replace("\\\n", " ").splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            vertices.append([float(value) for value in rest[:3]])
        elif word == "f":
            first, *others = (int(corner.split("/")[0]) for corner in rest)
            first, *others = (index - 1 if index > 0 else index or -(10**9) for index in (first, *others))
            first, *others = (index if index >= 0 else len(vertices) + index for index in (first, *others))
            faces += [(first, a, b) for a, b in zip(others, others[1:], strict=False)]
    return Mesh(np.array(vertices, np.float64).reshape(-1, 3), np.array(faces, np.int64).reshape(-1, 3))


def _read_other(data: bytes, suffix: str) -> Mesh:
    """PLY, STL and OFF; given no name and no resolver, trimesh can open no other file."""
    for claimed in re.findall(rb"^element \w+ (\d+)", data[:10_000], re.MULTILINE):
        if int(claimed) > len(data):
            raise Rejected("truncated", f"{int(claimed):,} elements in {len(data):,} bytes")
    loaded = trimesh.load(io.BytesIO(data), file_type=suffix[1:], process=False)
    if not isinstance(loaded, trimesh.Trimesh):
        raise Rejected("no_faces", "the file holds points or lines only")
    return Mesh(np.array(loaded.vertices, np.float64), np.array(loaded.faces, np.int64).reshape(-1, 3))


def _checked(mesh: Mesh) -> Mesh:
    """The mesh, when it has a face of some area, finite vertices and faces of vertices that exist."""
    if not len(mesh.faces):
        raise Rejected("no_faces", "the file holds no faces")
    if len(mesh.faces) > FACES:
        raise Rejected("too_many_faces", f"{len(mesh.faces):,} faces, at most {FACES:,} are read")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise Rejected("index", f"a face uses a vertex that is not one of the {len(mesh.vertices):,}")
    if not np.isfinite(mesh.vertices).all():
        raise Rejected("not_finite", "a vertex is NaN or infinite")
    extent = np.ptp(mesh.vertices, axis=0).max()
    if not 0 < extent < np.inf or face_areas(Mesh(mesh.vertices / extent, mesh.faces)).max() < 1e-12:
        raise Rejected("degenerate", "no face has an area")
    return mesh


def _trimesh(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
