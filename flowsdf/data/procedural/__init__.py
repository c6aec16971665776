"""The built-in source of shapes: parametric solids with an exact occupancy, and meshes as bad as published ones."""

from flowsdf.data.procedural.flaws import flawed_nodes
from flowsdf.data.procedural.parts import Part
from flowsdf.data.procedural.shapes import (
    CATEGORIES,
    COUNT,
    HELD_OUT_CATEGORIES,
    PRIMITIVES,
    SPECIALS,
    Procedural,
    by_uid,
    clean_mesh,
    distance,
    held_out,
    held_out_category,
    occupancy,
    primitive,
    special,
    training,
)

__all__ = [
    "CATEGORIES",
    "COUNT",
    "HELD_OUT_CATEGORIES",
    "PRIMITIVES",
    "SPECIALS",
    "Part",
    "Procedural",
    "by_uid",
    "clean_mesh",
    "distance",
    "flawed_nodes",
    "held_out",
    "held_out_category",
    "occupancy",
    "primitive",
    "special",
    "training",
]
