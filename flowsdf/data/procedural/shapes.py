"""The built-in shapes by number: which category, which dimensions, in which raw frame."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from flowsdf.conventions import Mesh
from flowsdf.data.procedural import creatures, furniture, small_creatures, tools, vehicles, vessels
from flowsdf.data.procedural import special as specials
from flowsdf.data.procedural.parts import Part
from flowsdf.geometry import implicit

COUNT = 5000  # training shapes that can be asked for

_TRAINING = (
    furniture.coffee_table,  # obj_0000
    vessels.mug,
    tools.snowman,  # obj_0050 comes round to the third
    furniture.chair,
    small_creatures.turkey,  # obj_0100 to the fifth
    vessels.bottle,
    furniture.lamp,
    creatures.dog,
    vehicles.airplane,
    vehicles.wagon_wheel,  # obj_0009
    furniture.table,
    tools.banjo,
    small_creatures.duck,
    vehicles.surfboard,
    vessels.vase,
    tools.toothbrush,
    creatures.rabbit,
    tools.signboard,
    vessels.teapot,
    tools.pacifier,
    furniture.sofa,
    creatures.fish,
    tools.hammer,
    creatures.wolf,  # obj_0119 to the twenty-fourth
    vehicles.cabin_car,
    small_creatures.beetle,
    vessels.Tabasco_sauce,
    furniture.bench,
    creatures.lion,
    tools.sharpie,
    small_creatures.escargot,
    furniture.bookcase,
    vessels.wineglass,
    tools.guitar,
    vehicles.boat,
    creatures.cat,
    furniture.ladder,
    tools.mushroom,
    furniture.bed,
    tools.sword,
    small_creatures.penguin,
    furniture.bucket,
    vehicles.skateboard,
    creatures.giraffe,
    furniture.barrel,
    vessels.bowl,
    tools.dumbbell,
    furniture.stool,
)
_HELD_OUT = (
    vessels.hourglass,
    tools.key,
    tools.umbrella,
    vessels.trophy_cup,
    tools.birdhouse,
    creatures.elephant,
    vessels.candle_holder,
    vehicles.windmill,
)
CATEGORIES = tuple(generator.__name__ for generator in _TRAINING)
HELD_OUT_CATEGORIES = tuple(generator.__name__ for generator in _HELD_OUT)
SPECIALS = tuple(specials.SPECIALS)
PRIMITIVES = tuple(specials.PRIMITIVES)


class Procedural(NamedTuple):
    """One shape in its own raw frame: y up, of any size and place."""

    uid: str
    category: str
    parts: tuple[Part, ...]


def training(index: int) -> Procedural:
    """Training shape 0 .. 4999; the categories come round in turn."""
    if not 0 <= index < COUNT:
        raise IndexError(f"training shapes are numbered 0 to {COUNT - 1}, not {index}")
    return _instance("training", 0, index, _TRAINING[index % len(_TRAINING)])


def held_out(index: int) -> Procedural:
    """An instance of a training category that no training number gives."""
    return _instance("held_out", 1, index, _TRAINING[index % len(_TRAINING)])


def held_out_category(index: int) -> Procedural:
    """An instance of a category that no training number gives."""
    return _instance("held_out_category", 2, index, _HELD_OUT[index % len(_HELD_OUT)])


def special(name: str) -> Procedural:
    """One of ``SPECIALS``, which no network is trained on."""
    return _instance("special", 3, SPECIALS.index(name), specials.SPECIALS[name])


def primitive(name: str) -> Procedural:
    """One of ``PRIMITIVES``, at the origin in units of the frame, its distance exact on both sides."""
    return Procedural(f"primitive-{PRIMITIVES.index(name):04d}", name, (specials.PRIMITIVES[name](),))


def by_uid(uid: str) -> Procedural:
    """The shape that has this uid: what another process needs to make it again."""
    family, _, number = uid.partition("-")
    index = int(number)
    match family:
        case "training":
            return training(index)
        case "held_out":
            return held_out(index)
        case "held_out_category":
            return held_out_category(index)
        case "special":
            return special(SPECIALS[index])
        case "primitive":
            return primitive(PRIMITIVES[index])
    raise KeyError(f"no procedural shape is called {uid}")


def distance(shape: Procedural, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Signed distance in raw units: exact outside, a lower bound on the depth inside where parts overlap."""
    return implicit.union(part.distance for part in shape.parts)(points)


def occupancy(shape: Procedural, points: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, " n"]:
    """Whether each point, in raw units, is inside the solid; exact."""
    return distance(shape, points) < 0


def clean_mesh(shape: Procedural) -> Mesh:
    """The closed outward meshes of the parts in one, overlapping where the parts do, in raw units."""
    return joined([part.mesh() for part in shape.parts])


def joined(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one, nothing merged."""
    first = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + start for mesh, start in zip(meshes, first, strict=False)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces))


def _instance(family: str, stream: int, index: int, generator) -> Procedural:
    """The generator's shape for one seed, scaled by 0.1 to 10 and moved off the origin."""
    rng = np.random.default_rng([stream, index])
    parts = generator(rng)
    scale = 10 ** rng.uniform(-1, 1)
    offset = scale * rng.uniform(-2, 2, 3)
    return Procedural(
        f"{family}-{index:04d}", generator.__name__, tuple(part.placed(offset=offset, scale=scale) for part in parts)
    )
