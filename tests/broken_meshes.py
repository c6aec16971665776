"""Mesh files that must be rejected, each with its code, files that are odd and must be read, and plain good ones."""

import base64
import json
import os
import struct
from pathlib import Path

import numpy as np

from flowsdf.conventions import Mesh
from flowsdf.data.mesh_io import write_mesh

TRIANGLES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
CORNERS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
PLY = "ply\nformat ascii 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n"


def prism(sides: int, height: float) -> Mesh:
    """A closed prism over a regular polygon, its faces outward."""
    turn = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack([np.cos(turn), np.zeros(sides), -np.sin(turn)], axis=1)
    vertices = np.concatenate([ring, ring + [0, height, 0], [[0, 0, 0], [0, height, 0]]])
    here, there = np.arange(sides), np.roll(np.arange(sides), -1)
    side = np.concatenate([[here, there, there + sides], [here, there + sides, here + sides]], axis=1).T
    low, high = np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
    caps = np.concatenate([[there, here, low], [here + sides, there + sides, high]], axis=1).T
    return Mesh(vertices, np.concatenate([side, caps]))


def write_good(folder: Path, count: int) -> list[Path]:
    """So many different closed meshes, in five formats in turn."""
    paths = [folder / f"good_{i:03d}{('.glb', '.obj', '.ply', '.stl', '.off')[i % 5]}" for i in range(count)]
    for i, path in enumerate(paths):
        write_mesh(path, prism(3 + i % 9, 0.3 + 0.17 * (i // 3)))
    return paths


def scene(vertices=CORNERS, faces=TRIANGLES, *, nodes=None, **changes) -> tuple[dict, bytes]:
    """A glTF document of one mesh and its buffer; ``changes`` replace keys of the document."""
    data = np.asarray(faces, "<u4").tobytes() + np.asarray(vertices, "<f4").tobytes()
    split, nodes = 4 * np.size(faces), nodes or [{"mesh": 0}]
    document = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": nodes,
        "meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "indices": 0}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5125, "count": int(np.size(faces)), "type": "SCALAR"},
            {"bufferView": 1, "componentType": 5126, "count": len(vertices), "type": "VEC3"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": split},
            {"buffer": 0, "byteOffset": split, "byteLength": len(data) - split},
        ],
        "buffers": [{"byteLength": len(data)}],
    }
    return document | changes, data


def glb(document: dict, data: bytes) -> bytes:
    """The two as the bytes of a .glb file."""
    text = json.dumps(document).encode()
    text, data = text + b" " * (-len(text) % 4), data + b"\0" * (-len(data) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def gltf(uri: str) -> bytes:
    """A .gltf file whose one buffer has this address."""
    document, data = scene()
    return json.dumps(document | {"buffers": [{"byteLength": len(data), "uri": uri}]}).encode()


def changed(*path, value) -> bytes:
    """The tetrahedron's .glb with one place of its document replaced."""
    document, data = scene()
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return glb(document, data)


def instances(nodes: int, faces: int) -> bytes:
    """So many nodes that show one mesh of so many faces."""
    children = [{"children": list(range(1, nodes + 1))}, *[{"mesh": 0}] * nodes]
    return glb(*scene(faces=np.resize(TRIANGLES, (faces, 3)), nodes=children))


def broken_bytes() -> dict[str, tuple[str, bytes]]:
    """Every broken file that is a string of bytes: its name, the code it must get, its content."""
    good = glb(*scene())
    primitive = ("meshes", 0, "primitives", 0)
    draco = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}
    values = {"bufferView": 1}
    sparse = {"count": 4, "indices": {"bufferView": 0, "componentType": 5125}, "values": values}
    wild = np.array([[0, 1, 9], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    nan, bomb = CORNERS.copy(), scene(extensionsRequired=list(draco))[0]
    nan[1, 1] = np.nan
    return {
        "empty.glb": ("empty", b""),
        "header_only.glb": ("malformed", good[:12][:8] + struct.pack("<I", 12)),
        "truncated.glb": ("truncated", good[: len(good) // 2]),
        "length.glb": ("truncated", good[:8] + b"\xff" * 4 + good[12:]),
        "chunk_length.glb": ("truncated", good[:12] + b"\xff" * 4 + good[16:]),
        "short_buffer.glb": ("truncated", changed("buffers", 0, "byteLength", value=10**9)),
        "obj.glb": ("magic", OBJ.encode()),
        "error_page.glb": ("magic", b"<!DOCTYPE html><title>404</title>"),
        "glb.gltf": ("magic", good),
        "glb.obj": ("magic", good),
        "error_page.obj": ("magic", b"<html>404</html>"),
        "glb.stl": ("magic", good),
        "obj.ply": ("magic", OBJ.encode()),
        "obj.off": ("magic", OBJ.encode()),
        "short.stl": ("magic", b"\0" * 80 + struct.pack("<I", 12) + b"\0" * 50),
        "version_1.glb": ("gltf_version", good[:4] + struct.pack("<I", 1) + good[8:]),
        "version_1.gltf": ("gltf_version", b'{"asset": {"version": "1.0"}}'),
        "no_position.glb": ("no_position", changed(*primitive, "attributes", value={"NORMAL": 1})),
        "accessor.glb": ("accessor", changed("accessors", 1, "count", value=2**31)),
        "accessor_no_data.glb": (
            "accessor",
            changed("accessors", 1, value={"componentType": 5126, "count": 2**31, "type": "VEC3"}),
        ),
        "negative_count.glb": ("accessor", changed("accessors", 1, "count", value=-4)),
        "stride_0.glb": ("accessor", changed("bufferViews", 1, "byteStride", value=0)),
        "sparse.glb": (
            "sparse",
            changed("accessors", 0, value={"componentType": 5125, "count": 2, "type": "SCALAR", "sparse": sparse}),
        ),
        "index.glb": ("index", glb(*scene(faces=wild))),
        "draco.glb": ("compressed", glb(*scene(extensionsRequired=list(draco)))),
        "draco_optional.glb": ("compressed", changed(*primitive, "extensions", value=draco)),
        "draco_bomb.glb": ("compressed", glb(bomb | {"buffers": [{"byteLength": 61}]}, b"DRACO" + b"\xff" * 56)),
        "meshopt.glb": ("compressed", glb(*scene(extensionsRequired=["EXT_meshopt_compression"]))),
        "meshopt_view.glb": (
            "compressed",
            changed("bufferViews", 1, "extensions", value={"EXT_meshopt_compression": {}}),
        ),
        "extension.glb": ("unsupported", glb(*scene(extensionsRequired=["VENDOR_<script>"]))),
        "gpu_instances.glb": ("unsupported", changed("nodes", 0, "extensions", value={"EXT_mesh_gpu_instancing": {}})),
        "mesh.fbx": ("unsupported", b"Kaydara FBX Binary"),
        "cycle.glb": ("node_cycle", glb(*scene(nodes=[{"children": [1]}, {"children": [0], "mesh": 0}]))),
        "own_child.glb": ("node_cycle", glb(*scene(nodes=[{"children": [0], "mesh": 0}]))),
        "two_parents.glb": ("node_cycle", glb(*scene(nodes=[{"children": [1, 2]}, {"children": [2]}, {"mesh": 0}]))),
        "million.glb": ("too_many_nodes", instances(10**6, 4)),
        "instances.glb": ("too_many_faces", instances(20_000, 1_001)),
        "uri_up.gltf": ("uri", gltf("../../x.bin")),
        "uri_up_quoted.gltf": ("uri", gltf("..%2f..%2Fx.bin")),
        "uri_file.gltf": ("uri", gltf("file:///etc/hostname")),
        "uri_absolute.gltf": ("uri", gltf("/etc/hostname")),
        "uri_http.gltf": ("uri", gltf("http://127.0.0.1:9/x.bin")),
        "uri_host.gltf": ("uri", gltf("//127.0.0.1/x.bin")),
        "no_buffer.gltf": ("missing_file", gltf("absent.bin")),
        "device.obj": ("uri", f"mtllib /dev/zero\n{OBJ}f 1 2 3\n".encode()),
        "nan.glb": ("not_finite", glb(*scene(vertices=nan))),
        "inf.obj": ("not_finite", f"{OBJ}v inf 0 0\nf 1 2 5\n".encode()),
        "all_equal.glb": ("degenerate", glb(*scene(vertices=np.ones((4, 3))))),
        "collinear.obj": ("degenerate", b"v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\n"),
        "points.glb": ("no_faces", changed(*primitive, "mode", value=0)),
        "lines.glb": ("no_faces", changed(*primitive, "mode", value=1)),
        "no_scene.glb": ("no_faces", changed("scenes", value=[])),
        "points.ply": ("no_faces", (PLY.format(2) + "end_header\n0 0 0\n1 1 1\n").encode()),
        "points.obj": ("no_faces", OBJ.encode()),
        "lines.obj": ("no_faces", f"{OBJ}l 1 2\n".encode()),
        "bad_mode.glb": ("malformed", changed(*primitive, "mode", value=7)),
        "bad_type.glb": ("malformed", changed("accessors", 1, "componentType", value=1)),
        "vec4_position.glb": (
            "malformed",
            changed("accessors", 1, value={"componentType": 5126, "count": 3, "type": "VEC4"}),
        ),
        "float_index.glb": ("malformed", changed("accessors", 0, "componentType", value=5126)),
        "text_count.glb": ("malformed", changed("accessors", 1, "count", value="4")),
        "negative_mesh.glb": ("malformed", changed("nodes", 0, "mesh", value=-1)),
        "bad_json.gltf": ("malformed", b'{"asset": {"version": "2.0"'),
        "deep.gltf": ("malformed", b'{"asset": ' + b"[" * 10**6),
        "zero_index.obj": ("index", f"{OBJ}f 0 1 2\n".encode()),
        "index.obj": ("index", f"{OBJ}f 1 2 9\n".encode()),
        "back_index.obj": ("index", f"{OBJ}f 1 2 -9\n".encode()),
        "words.obj": ("malformed", b"v one two three\n"),
        "claims.ply": ("truncated", (PLY.format(2**31) + "end_header\n").encode()),
        "truncated.off": ("malformed", b"OFF\n4 4 0\n0 0 0\n1 0 0\n"),
        "index.off": ("malformed", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n"),
    }


def write_broken(folder: Path) -> dict[str, str]:
    """All the broken files; returns the code that each must be rejected with."""
    codes = {}
    for name, (code, data) in broken_bytes().items():
        (folder / name).write_bytes(data)
        codes[name] = code
    return codes | _write_special(folder)


def _write_special(folder: Path) -> dict[str, str]:
    """Those that are large holes, links and pipes."""
    for name, head in (("data_uri.gltf", b'{"buffers": [{"uri": "data:,'), ("faces_20m.stl", b"\0" * 80)):
        with (folder / name).open("wb") as file:
            file.write(head + struct.pack("<I", 20_000_001))
            file.truncate(84 + 50 * 20_000_001)  # a hole: takes no disk
    (folder / "link.glb").symlink_to("/etc/hostname")
    (folder / "endless.glb").symlink_to("/dev/zero")
    (folder / "dangling.glb").symlink_to(folder / "absent.glb")
    os.mkfifo(folder / "pipe.glb")
    outside = {
        "link.glb": "symlink",
        "endless.glb": "symlink",
        "dangling.glb": "missing_file",
        "pipe.glb": "missing_file",
    }
    return {"data_uri.gltf": "too_large", "faces_20m.stl": "too_large"} | outside


def write_odd(folder: Path) -> dict[str, int]:
    """Files that are odd and must be read; returns how many faces each has."""
    document, data = scene()
    flags = {"componentType": 5125, "count": 12, "type": "SCALAR"}
    whole = {"count": 12, "indices": {"bufferView": 2, "componentType": 5121}, "values": {"bufferView": 0}}
    sparse = json.loads(json.dumps(document))
    sparse["accessors"][0] = flags | {"sparse": whole}
    sparse["bufferViews"].append({"buffer": 0, "byteOffset": len(data), "byteLength": 12})
    sparse["buffers"][0]["byteLength"] = len(data) + 12
    wicked = "../<script>\n\N{SKULL}" + "x" * 4096
    plate = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    files = {
        "inside_out.glb": (4, glb(*scene(faces=TRIANGLES[:, ::-1]))),
        "duplicates.glb": (8, glb(*scene(faces=np.concatenate([TRIANGLES, TRIANGLES[:, ::-1]])))),
        "plate.glb": (2, glb(*scene(vertices=plate, faces=TRIANGLES[:2]))),
        "huge.glb": (4, glb(*scene(vertices=CORNERS * 1e30))),
        "tiny.obj": (1, b"v 0 0 0\nv 1e-30 0 0\nv 0 1e-30 0\nf 1 2 3\n"),
        "sparse_good.glb": (4, glb(sparse, data + bytes(range(12)))),
        "names.glb": (4, glb(*scene(nodes=[{"mesh": 0, "name": wicked}]))),
        "fan.glb": (10, changed("meshes", 0, "primitives", 0, "mode", value=6)),
        "strip.glb": (10, changed("meshes", 0, "primitives", 0, "mode", value=5)),
        "embedded.gltf": (4, gltf("data:application/octet-stream;base64," + base64.b64encode(data).decode())),
        "beside.gltf": (4, gltf("bytes%20here.bin")),
        "quads.obj": (3, f"mtllib absent.mtl\n{OBJ}f 1/1/1 2 3 4\nf -4 -3 -2\n".encode()),
        "ngon.off": (3, b"OFF\n5 1 0\n0 0 0\n2 0 0\n2 1 0\n1 2 0\n0 1 0\n5 0 1 2 3 4\n"),
        "quad.ply": (2, (PLY.format(4) + "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
                         "0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n").encode()),
    }  # fmt: skip
    (folder / "bytes here.bin").write_bytes(data)
    for name, (_, content) in files.items():
        (folder / name).write_bytes(content)
    return {name: count for name, (count, _) in files.items()}
