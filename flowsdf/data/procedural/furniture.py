"""Things to sit at, sit on, sleep in and keep books in."""

import numpy as np

from flowsdf.data.procedural.parts import (
    Part,
    around,
    ball,
    bow,
    box,
    cone,
    disc,
    egg,
    limb,
    mirrored,
    revolve,
    ring,
    rod,
    tube,
    vessel,
)


def _legs(x: float, z: float, height: float, *, radius: float, splay: float = 0.0) -> list[Part]:
    """Four legs from the corners (+-x, height, +-z) down to the ground, leaning outwards by ``splay``."""
    corners = [(i, j) for i in (-1, 1) for j in (-1, 1)]
    return [rod((i * (x + splay), 0, j * (z + splay)), (i * x, height, j * z), radius) for i, j in corners]


def table(rng) -> list[Part]:
    """A dining table, with a round top on a pedestal or a rectangular one on four legs."""
    height, top = rng.uniform(0.65, 1.2), rng.uniform(0.05, 0.13)
    if rng.random() < 0.35:
        radius = rng.uniform(0.45, 0.9)
        stem, foot = rng.uniform(0.05, 0.14), rng.uniform(0.25, 0.5)
        return [disc(radius, top).at(0, height, 0), rod((0, 0, 0), (0, height, 0), stem), cone(foot, stem, 0.12)]
    x, z, leg = rng.uniform(0.5, 0.9), rng.uniform(0.35, 0.65), rng.uniform(0.035, 0.08)
    apron = box(2 * x - 0.2, 0.1, 2 * z - 0.2).at(0, height - top, 0)
    return [box(2 * x, top, 2 * z).at(0, height, 0), apron, *_legs(x - 0.1, z - 0.1, height, radius=leg)]


def coffee_table(rng) -> list[Part]:
    """A low wide table with a shelf below its top."""
    x, z, height = rng.uniform(0.65, 0.95), rng.uniform(0.3, 0.65), rng.uniform(0.3, 0.65)
    leg, splay = rng.uniform(0.035, 0.09), rng.uniform(0, 0.1)
    top = box(2 * x, rng.uniform(0.07, 0.13), 2 * z, rounded=0.03).at(0, height, 0)
    inset = 0.08 - 0.7 * splay
    shelf = box(2 * (x - inset), 0.05, 2 * (z - inset)).at(0, rng.uniform(0.15, 0.45) * height, 0)
    return [top, shelf, *_legs(x - 0.1, z - 0.1, height, radius=leg, splay=splay)]


def chair(rng) -> list[Part]:
    """Four legs, a seat and a back of slats or a panel; sometimes arms."""
    half, seat, back = rng.uniform(0.28, 0.5), rng.uniform(0.45, 0.85), rng.uniform(0.5, 1.0)
    leg, lean = rng.uniform(0.03, 0.06), rng.uniform(0.02, 0.25)
    foot, head = np.array([0, seat, 0.05 - half]), np.array([0, seat + back, 0.05 - half - lean])
    parts = [box(2 * half, 0.07, 2 * half).at(0, seat, 0), *_legs(half - 0.05, half - 0.05, seat, radius=leg)]
    parts += mirrored(lambda s: rod(foot + (s * (half - 0.05), 0, 0), head + (s * (half - 0.05), 0, 0), leg))
    slats, tall = np.linspace(rng.uniform(0.3, 0.7), 0.93, rng.integers(1, 5)), rng.uniform(0.07, 0.2)
    parts += [box(2 * half - 0.1, tall, 0.05).at(*(foot + t * (head - foot))) for t in slats]
    if rng.random() < 0.4:
        parts += mirrored(lambda s: rod((s * half, seat + 0.3, -half), (s * half, seat + 0.3, half - 0.05), leg))
        parts += mirrored(lambda s: rod((s * half, seat, half - 0.1), (s * half, seat + 0.3, half - 0.1), leg))
    return parts


def stool(rng) -> list[Part]:
    """A round seat on three or four splayed legs tied by a ring."""
    radius, height, count = rng.uniform(0.3, 0.6), rng.uniform(0.7, 1.6), int(rng.integers(3, 5))
    foot, tied = radius + rng.uniform(-0.05, 0.2), rng.uniform(0.2, 0.6)
    leg = rod((foot, 0, 0), (0.7 * radius, height, 0), rng.uniform(0.035, 0.05))
    tie = ring(foot + tied * (0.7 * radius - foot), 0.03).at(0, tied * height, 0)
    return [disc(radius, rng.uniform(0.07, 0.24)).at(0, height, 0), tie, *around(count, leg)]


def bench(rng) -> list[Part]:
    """A park bench: slats for a seat and a back on two sturdy frames."""
    x, seat, gap = rng.uniform(0.6, 1.0), rng.uniform(0.32, 0.6), rng.uniform(0.14, 0.165)
    parts = [box(2 * x, 0.05, 0.08).at(0, seat, -0.2 + gap * i) for i in range(4)]
    rows = int(rng.integers(2, 4))
    parts += [box(2 * x, 0.1, 0.05).at(0, seat + 0.15 + gap * i, -0.33 - 0.03 * i) for i in range(rows)]
    side, top = x - rng.uniform(0.06, 0.3), seat + gap * (rows + 0.3)
    parts += mirrored(lambda s: rod((s * side, 0, 0.2), (s * side, seat, 0.2), 0.045))
    parts += mirrored(lambda s: rod((s * side, 0, -0.3), (s * side, top, -0.36), 0.045))
    parts += mirrored(lambda s: box(0.07, 0.06, 0.6).at(s * side, seat - 0.05, -0.025))
    return parts + mirrored(lambda s: box(0.08, 0.05, 0.6).at(s * side, seat + 0.25, -0.05))


def bed(rng) -> list[Part]:
    """A mattress with pillows and a blanket between a headboard and a footboard."""
    x, z, height = rng.uniform(0.35, 0.7), rng.uniform(0.7, 0.85), rng.uniform(0.18, 0.42)
    head, foot = height + rng.uniform(0.25, 0.6), height + rng.uniform(0.02, 0.25)
    mattress = box(2 * x - 0.06, 0.2, 2 * z, rounded=0.07).at(0, height + 0.05, 0)
    boards = [box(2 * x, head, 0.07).at(0, head / 2, -z), box(2 * x, foot, 0.07).at(0, foot / 2, z)]
    pillow = egg(0.2, 0.07, 0.14)
    pillows = mirrored(lambda s: pillow.at(s * 0.45 * x, height + 0.18, 0.2 - z))
    long = rng.uniform(0.5, 1.3) * z
    blanket = box(2 * x + 0.02, 0.15, long, rounded=0.05).at(0, height + 0.1, 0.97 * z - long / 2)
    return [mattress, *boards, *pillows, blanket, box(2 * x - 0.05, 0.1, 2 * z).at(0, height - 0.05, 0)]


def bookcase(rng) -> list[Part]:
    """Shelves between two sides, with rows of books on them."""
    x, depth, rows = rng.uniform(0.28, 0.7), rng.uniform(0.2, 0.5), int(rng.integers(3, 6))
    step = 1.7 / rows
    parts = mirrored(lambda s: box(0.06, 1.76, depth).at(s * x, 0.85, 0))
    parts += [box(2 * x, 0.06, depth).at(0, step * i, 0) for i in range(rows + 1)]
    parts += [box(2 * x, 1.74, 0.04).at(0, 0.85, -depth / 2)]
    for row in range(rows):
        left = 0.03 - x
        for _ in range(rng.integers(2, 7)):
            wide, tall = rng.uniform(0.06, 0.11), rng.uniform(0.5, 0.85) * step
            parts.append(box(wide, tall, 0.7 * depth).at(left + wide / 2, step * row + tall / 2, 0))
            left += wide
    return parts


def sofa(rng) -> list[Part]:
    """One to three seat cushions, a back and two arms, all soft."""
    x, seats, arm = rng.uniform(0.6, 0.95), int(rng.integers(1, 4)), rng.uniform(0.12, 0.25)
    back, wide, high = rng.uniform(0.5, 0.95), 2 * (x - arm) / seats, rng.uniform(0.35, 0.55)
    base = box(2 * x, 0.22, 0.72, rounded=0.04).at(0, 0.2, 0)
    rest = box(2 * x, back, 0.2, rounded=0.08).at(0, 0.1 + back / 2, -0.3)
    arms = mirrored(lambda s: box(arm, high, 0.75, rounded=0.055).at(s * (x - arm / 2), 0.1 + high / 2, 0.02))
    middles = [(i + 0.5) * wide - (x - arm) for i in range(seats)]
    cushions = [box(wide - 0.02, 0.16, 0.55, rounded=0.06).at(m, 0.38, 0.1) for m in middles]
    feet = [disc(0.05, 0.12).at(i * (x - 0.1), 0.06, j * 0.28) for i in (-1, 1) for j in (-1, 1)]
    return [base, rest, *arms, *cushions, *feet]


def lamp(rng) -> list[Part]:
    """A table lamp: foot, stem with a bulge, bulb and a hollow shade."""
    height, low, high = rng.uniform(1.0, 1.3), rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.32)
    drop, foot = rng.uniform(0.35, 0.65), rng.uniform(0.25, 0.4)
    shade = revolve([(low, height - drop), (high, height), (high - 0.05, height), (low - 0.05, height - drop)])
    bulge = egg(*rng.uniform((0.08, 0.1), (0.22, 0.3))[[0, 1, 0]]).at(0, rng.uniform(0.2, 0.35), 0)
    spokes = around(3, rod((0, 0, 0), (high - 0.02, 0, 0), 0.025).at(0, height - 0.05, 0))
    stem = rod((0, 0, 0), (0, height - 0.05, 0), 0.035)
    return [cone(foot, foot - 0.1, 0.08), stem, bulge, ball(0.1).at(0, height - 0.25, 0), shade, *spokes]


def ladder(rng) -> list[Part]:
    """Two rails and rungs; leaning, or a stepladder with a second pair of rails."""
    rungs, foot, head = int(rng.integers(4, 9)), rng.uniform(0.22, 0.45), rng.uniform(0.15, 0.3)
    lean = rng.uniform(0.1, 0.55)
    low, high = np.array([0, 0, lean]), np.array([0, 1.8, -0.03])
    sides = mirrored(lambda s: rod(low + (s * foot, 0, 0), high + (s * head, 0, 0), 0.04))
    parts = [*sides]
    for t in (np.arange(rungs) + 0.6) / rungs:
        centre, half = low + t * (high - low), foot + t * (head - foot)
        parts.append(rod(centre - (half, 0, 0), centre + (half, 0, 0), 0.032))
    if rng.random() < 0.5:
        parts += mirrored(lambda s: rod((s * foot, 0, -lean), (s * head, 1.8, 0), 0.035))
        parts += [box(2 * head + 0.1, 0.06, 0.25).at(0, 1.8, 0), box(2 * foot, 0.06, 0.05).at(0, 0.5, -0.72 * lean)]
    return parts


def bucket(rng) -> list[Part]:
    """An open pail with a rolled lip and a bail."""
    foot, lip, height = rng.uniform(0.3, 0.5), rng.uniform(0.48, 0.72), rng.uniform(0.65, 1.2)
    lift = rng.uniform(5, 175)
    bail = tube(bow(lip, 0, 180), 0.028)
    body = vessel([(foot, 0), (lip, height)], 0.05)
    return [body, ring(lip, 0.04).at(0, height, 0), *[p.turn("x", lift).at(0, height, 0) for p in bail]]


def barrel(rng) -> list[Part]:
    """A cask: bulging staves, sunken ends and iron hoops."""
    end, belly, half = rng.uniform(0.32, 0.58), rng.uniform(0.08, 0.26), rng.uniform(0.5, 0.85)

    def radius(y):
        return end + belly * (1 - (y / half) ** 2)

    side = [(radius(y), y) for y in np.linspace(-half, half, 25)]
    lid = [(end - 0.06, half), (end - 0.06, half - 0.07), (0, half - 0.07)]
    levels = np.array([rng.uniform(0.12, 0.45), rng.uniform(0.7, 0.85)]) * half
    hoops = [ring(radius(y) - 0.01, 0.035).at(0, s * y, 0) for y in levels for s in (-1, 1)]
    body = revolve([(0, 0.07 - half), (end - 0.06, 0.07 - half), (end - 0.06, -half), *side, *lid])
    return [body, *hoops, limb((0, 0, radius(0) - 0.05), (0, 0, radius(0) + 0.1), rng.uniform(0.05, 0.1))]
