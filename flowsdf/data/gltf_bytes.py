"""What a glTF 2.0 file says: its JSON, its buffers and its accessors, each claim held against its bytes."""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import numpy as np

from flowsdf.data.faults import Rejected

ELEMENTS = 100_000_000  # at most, in an accessor that no bytes stand behind
COMPRESSED = {"KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression"}

_HARMLESS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_mesh_quantization", "KHR_xmp")
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


class Document:
    """A .glb or .gltf file in memory; its buffers may name files inside ``root`` and nothing else."""

    def __init__(self, path: Path, root: Path) -> None:
        self.tree, binary = _parsed(path.read_bytes())
        _require_known(set(self.tree.get("extensionsRequired", ())))
        self.buffers = [_buffer(buffer, binary, path, root) for buffer in self.tree.get("buffers", ())]

    def item(self, kind: str, index: int) -> dict:
        """``tree[kind][index]``, where an index from the end is no index."""
        if not 0 <= index < len(self.tree.get(kind, ())):
            raise Rejected("malformed", f"there is no number {index} in {kind}")
        return self.tree[kind][index]

    def accessor(self, index: int) -> np.ndarray:
        """An accessor's values (count, width), its sparse part put in, normalised integers made fractions."""
        accessor = self.item("accessors", index)
        values = self._values(accessor, accessor["count"], accessor["type"])
        if "sparse" in accessor:
            values = self._sparse(accessor, values.copy())
        if accessor.get("normalized") and values.dtype.kind in "iu":
            values = np.maximum(values / np.iinfo(values.dtype).max, -1.0)
        return values

    def _sparse(self, accessor: dict, values: np.ndarray) -> np.ndarray:
        sparse = accessor["sparse"]
        where = self._values(sparse["indices"], sparse["count"], "SCALAR").ravel()
        if where.dtype.kind != "u":
            raise Rejected("malformed", "a sparse accessor's indices are not whole numbers without a sign")
        if len(where) and where.max() >= len(values):
            raise Rejected("sparse", f"a sparse accessor sets element {where.max():,} of {len(values):,}")
        replaced = {**sparse["values"], "componentType": accessor["componentType"]}
        values[where] = self._values(replaced, sparse["count"], accessor["type"])
        return values

    def _values(self, source: dict, count: int, kind: str) -> np.ndarray:
        """The (count, width) array at a source's view and offset; zeros when it names no view."""
        dtype, width = np.dtype(_COMPONENTS[source["componentType"]]), _WIDTHS[kind]
        if "bufferView" not in source:
            if not 0 <= count * width <= ELEMENTS:
                raise Rejected("accessor", f"an accessor claims {count:,} elements and has no data")
            return np.zeros((count, width), dtype)
        view = self.item("bufferViews", source["bufferView"])
        if COMPRESSED & set(view.get("extensions", ())):
            raise _compressed("a buffer view")
        if not 0 <= view["buffer"] < len(self.buffers):
            raise Rejected("malformed", f"there is no buffer {view['buffer']}")
        start, row = view.get("byteOffset", 0), dtype.itemsize * width
        data = memoryview(self.buffers[view["buffer"]])[start : start + view["byteLength"]]
        offset, stride = source.get("byteOffset", 0), view.get("byteStride", row)
        if min(start, offset, count) < 0 or stride < row or offset + (count - 1) * stride + row > len(data):
            raise Rejected("accessor", f"an accessor claims {count:,} elements, more than its {len(data):,} bytes hold")
        return np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize))


def _parsed(data: bytes) -> tuple[dict, bytes]:
    """The JSON and the binary chunk: of a .glb when the magic says so, else of a .gltf."""
    binary = b""
    if data[:4] == b"glTF":
        version, length = struct.unpack_from("<II", data, 4)
        if version != 2:
            raise Rejected("gltf_version", f"glTF {version} instead of 2")
        if length > len(data):
            raise Rejected("truncated", f"the header claims {length:,} bytes, the file has {len(data):,}")
        chunks = dict(reversed(list(_chunks(data[:length]))))  # the first of each kind counts
        data, binary = chunks[b"JSON"], chunks.get(b"BIN\0", b"")
    tree = json.loads(data)
    if not str(tree["asset"]["version"]).startswith("2."):
        raise Rejected("gltf_version", f"glTF {str(tree['asset']['version'])[:20]} instead of 2")
    return tree, binary


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = 12
    while offset < len(data):
        length, kind = struct.unpack_from("<I4s", data, offset)
        if length > len(data) - offset - 8:
            raise Rejected("truncated", f"a chunk claims {length:,} bytes, {len(data) - offset - 8:,} are left")
        yield kind, data[offset + 8 : offset + 8 + length]
        offset += 8 + length


def _require_known(extensions: set[str]) -> None:
    if extensions & COMPRESSED:
        raise _compressed(min(extensions & COMPRESSED))
    if unknown := [name for name in sorted(extensions) if not name.startswith(_HARMLESS)]:
        raise Rejected("unsupported", f"the file requires the extension {unknown[0][:80]!r}")


def _compressed(what: str) -> Rejected:
    return Rejected("compressed", f"{what} is compressed and there is no decoder here: export it without compression")


def _buffer(buffer: dict, binary: bytes, path: Path, root: Path) -> bytes:
    data = binary if "uri" not in buffer else _resource(buffer["uri"], path, root)
    if not 0 <= buffer["byteLength"] <= len(data):
        raise Rejected("truncated", f"a buffer claims {buffer['byteLength']:,} bytes and has {len(data):,}")
    return data[: buffer["byteLength"]]


def _resource(uri: str, path: Path, root: Path) -> bytes:
    """The bytes of a data URI, or of a file that lies inside ``root``."""
    if uri.startswith("data:"):
        head, _, body = uri.partition(",")
        return base64.b64decode(body) if head.endswith(";base64") else unquote_to_bytes(body)
    target = (path.parent / unquote(uri)).resolve()
    if urlsplit(uri).scheme or not target.is_relative_to(root.resolve()):
        raise Rejected("uri", f"the buffer address {uri[:80]!r} leaves the folder")
    if not target.is_file():
        raise Rejected("missing_file", f"the buffer {uri[:80]!r} is not there")
    return target.read_bytes()
