"""The meshes as people publish them: overlapping nodes with flipped, doubled, missing and unmerged faces."""

import zlib

import numpy as np

from flowsdf.conventions import Mesh
from flowsdf.data.procedural.shapes import Procedural, clean_mesh, joined

PINHOLE = 0.008  # the widest hole, in units of the shape's radius
NODES = 6  # at most so many nodes a shape


def flawed_nodes(shape: Procedural) -> list[Mesh]:
    """The shape as a scene's nodes, in raw units; the flaws are drawn from its uid.

    Parts overlap; about one node in three is turned inside out in part or whole, one in three repeats faces, one
    in three shares no vertices between faces; half of the shapes are open, with pinholes of at most ``PINHOLE``
    shape radii. The surface stays where it is.
    """
    rng = np.random.default_rng(zlib.crc32(shape.uid.encode()))
    meshes = [part.mesh() for part in shape.parts]
    groups = np.array_split(np.arange(len(meshes)), min(NODES, len(meshes)))
    nodes = [joined([meshes[i] for i in group]) for group in groups]
    if rng.random() < 0.5:
        extent = np.ptp(clean_mesh(shape).vertices, axis=0)
        nodes = [pierced(node, 0.5 * extent.max() * PINHOLE, 0.05, rng) for node in nodes]
    for flaw in (flipped, doubled, unmerged):
        nodes = [flaw(node, rng) if rng.random() < 0.35 else node for node in nodes]
    return nodes


def pierced(mesh: Mesh, width: float, share: float, rng) -> Mesh:
    """A share of the large faces, each with a triangular hole of at most ``width`` at its middle."""
    corners = mesh.vertices[mesh.faces]  # (f, 3, 3)
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    chosen = np.flatnonzero((longest > 2 * width) & (rng.random(len(longest)) < share))
    corners, middle = corners[chosen], corners[chosen].mean(axis=1, keepdims=True)
    inner = middle + (corners - middle) * (width / longest[chosen])[:, None, None]
    a = mesh.faces[chosen]
    b = len(mesh.vertices) + np.arange(3 * len(chosen)).reshape(-1, 3)
    c, d = np.roll(b, -1, axis=1), np.roll(a, -1, axis=1)
    rim = np.concatenate([np.stack([a, d, c], axis=-1), np.stack([a, c, b], axis=-1)]).reshape(-1, 3)
    kept = np.delete(mesh.faces, chosen, axis=0)
    return Mesh(np.concatenate([mesh.vertices, inner.reshape(-1, 3)]), np.concatenate([kept, rim]))


def flipped(mesh: Mesh, rng) -> Mesh:
    """Some of the faces, or all, turned inside out."""
    share = rng.choice((0.1, 0.5, 1.0))
    turned = rng.random(len(mesh.faces)) < share
    return Mesh(mesh.vertices, np.where(turned[:, None], mesh.faces[:, ::-1], mesh.faces))


def doubled(mesh: Mesh, rng) -> Mesh:
    """A tenth of the faces once more, some the other way round, and a few faces without area."""
    again = mesh.faces[rng.random(len(mesh.faces)) < 0.1]
    flat = mesh.faces[rng.integers(0, len(mesh.faces), 3)][:, [0, 1, 1]]
    return Mesh(mesh.vertices, np.concatenate([mesh.faces, again[::2], again[1::2, ::-1], flat]))


def unmerged(mesh: Mesh, rng) -> Mesh:
    """Every face with vertices of its own, in no particular order."""
    faces = rng.permutation(mesh.faces)
    return Mesh(mesh.vertices[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3))
