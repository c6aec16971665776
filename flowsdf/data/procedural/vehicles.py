"""Things that roll, float and fly."""

import numpy as np

from flowsdf.data.procedural.parts import (
    Part,
    around,
    box,
    cone,
    disc,
    limb,
    mirrored,
    plate,
    revolve,
    ring,
    rod,
    smooth,
)

SPOKES = 13  # of every wagon wheel


def wagon_wheel(rng) -> list[Part]:
    """A standing wheel: a broad rim, a hub and thirteen spokes."""
    rim, wide, hub = rng.uniform(0.07, 0.18), rng.uniform(0.1, 0.36), rng.uniform(0.18, 0.3)
    spoke = rod((0, 0.1, 0), (0, 1 - rim / 2, 0), rng.uniform(0.026, 0.036)).turn("z", rng.uniform(0, 360 / SPOKES))
    half, jut = wide / 2, rng.uniform(0.04, 0.22)
    tyre = revolve([(1 - rim, -half), (1, -half), (1, half), (1 - rim, half)])
    axle = revolve(
        [(0.07, -half - jut), (hub - 0.06, -half - jut), (hub, 0), (hub - 0.06, half + jut), (0.07, half + jut)]
    )
    return [tyre.turn("x", 90), axle.turn("x", 90), *around(SPOKES, spoke, axis="z")]


def _wheels(x: float, positions, radius: float, width: float) -> list[Part]:
    """Pairs of wheels on axles across x, at positions along z, standing on the ground."""
    wheel = disc(radius, width).turn("z", 90)
    wheels = [wheel.at(s * x, radius, z) for z in positions for s in (-1, 1)]
    return wheels + [rod((-x, radius, z), (x, radius, z), 0.03) for z in positions]


def cabin_car(rng) -> list[Part]:
    """A railway caboose: a body with windows under an arched roof, a cupola and an open platform at each end."""
    x, long, tall = rng.uniform(0.22, 0.4), rng.uniform(0.6, 0.72), rng.uniform(0.32, 0.58)
    floor, eaves, wheel = 0.28, 0.28 + tall, rng.uniform(0.08, 0.135)
    arch = np.array([(np.cos(a) * (x + 0.06), np.sin(a) * 0.14) for a in np.linspace(0, np.pi, 17)])
    cupola = box(1.5 * x, 0.26, rng.uniform(0.25, 0.55)).at(0, eaves + rng.uniform(0.1, 0.2), rng.uniform(-0.35, 0.35))
    parts = [
        box(2 * x, tall, 2 * long).at(0, floor + tall / 2, 0),
        plate(arch, 2 * long + 0.36).at(0, eaves - 0.01, 0),
        cupola,
    ]
    parts += [box(2 * x + 0.04, 0.07, 2 * long + 0.4).at(0, floor, 0)]
    parts += [
        box(0.05, 0.16, 0.18).at(s * (x + 0.01), floor + 0.6 * tall, z)
        for s in (-1, 1)
        for z in np.linspace(-0.45, 0.45, rng.integers(3, 5))
    ]
    parts += [
        rod((i * x, floor, j * (long + 0.17)), (i * x, eaves, j * (long + 0.17)), 0.025)
        for i in (-1, 1)
        for j in (-1, 1)
    ]
    parts += mirrored(lambda s: rod((-x, floor + 0.2, s * (long + 0.17)), (x, floor + 0.2, s * (long + 0.17)), 0.025))
    parts += [box(1.2 * x, 0.18, 0.4).at(0, 0.19, z) for z in (-0.41, 0.41)]
    return parts + _wheels(x - 0.05, (-0.55, -0.28, 0.28, 0.55), wheel, 0.08)


def airplane(rng) -> list[Part]:
    """A fuselage with swept wings, a tail and an engine under each wing."""
    girth, span, sweep = rng.uniform(0.08, 0.17), rng.uniform(0.55, 1.0), rng.uniform(-0.1, 0.55)
    chord, tip, stance = rng.uniform(0.22, 0.45), rng.uniform(0.1, 0.25), rng.uniform(-0.7, 0.7) * girth

    def fin(length, root, end, back):
        return plate([(0, -root / 2), (length, -back - end / 2), (length, end / 2 - back), (0, root / 2)], 0.05).turn(
            "x", 90
        )

    def lifts(side):
        wing, tail = fin(span, chord, tip, sweep), fin(0.35, 0.2, 0.1, 0.12)
        pair = [wing.at(0, stance, 0.08), tail.at(0, 0.04, -0.76)]
        return (
            pair
            if side > 0
            else [part.turn("z", 180).at(0, 2 * y, 0) for part, y in zip(pair, (stance, 0.04), strict=True)]
        )

    nose = smooth([(0.0, 1.0), (0.6 * girth, 1.0), (girth, 0.85), (girth, 0.6)], 3)
    tube_ = smooth([(girth, -0.3), (girth, -0.5), (0.03, -0.95), (0, -0.95)], 2)
    body = revolve(np.concatenate([nose, tube_])[::-1]).turn("x", 90)
    rudder = fin(rng.uniform(0.28, 0.4), 0.26, 0.14, 0.14).turn("z", 90).at(0, 0, -0.76)
    engines = mirrored(
        lambda s: limb(
            (s * 0.45 * span, stance - 0.08, -0.45 * sweep),
            (s * 0.45 * span, stance - 0.08, 0.25 - 0.45 * sweep),
            0.07,
            0.075,
        )
    )
    return [body, *mirrored(lifts), rudder, *engines]


def boat(rng) -> list[Part]:
    """A sailing boat: a pointed hull, a cabin, a mast, a boom and two sails."""
    beam, mast, low = rng.uniform(0.18, 0.4), rng.uniform(0.95, 1.5), rng.uniform(0.16, 0.34)
    side = smooth([(0.7 * beam, -0.75), (1.15 * beam, 0), (0.9 * beam, 0.45), (0, 0.85)], 2)
    outline = np.concatenate([side, (side * (-1, 1))[-2::-1]])
    hull = plate(outline, low).turn("x", 90).at(0, 0, 0)
    keel = plate(outline * (0.65, 0.85), 0.14).turn("x", 90).at(0, -low / 2 - 0.05, 0)
    reach = rng.uniform(0.4, 0.85)
    main = plate([(0.03, 0.32), (reach, 0.32), (0.03, mast - 0.05)], 0.045).turn("y", 90).at(0, 0, 0.1)
    jib = plate([(-0.66, 0.22), (-0.1, 0.3), (0, mast - 0.15)], 0.045).turn("y", 90).at(0, 0, 0.1)
    cabin = box(beam, 0.18, 0.4, rounded=0.04).at(0, low / 2 + 0.05, -0.2)
    return [
        hull,
        keel,
        main,
        jib,
        cabin,
        rod((0, 0, 0.1), (0, mast, 0.1), 0.035),
        rod((0, 0.3, 0.1), (0, 0.3, 0.05 - reach), 0.03),
    ]


def skateboard(rng) -> list[Part]:
    """A deck with kicked ends on two trucks and four wheels."""
    half, long, kick = rng.uniform(0.15, 0.32), rng.uniform(0.5, 0.7), rng.uniform(5, 35)
    wheel, grip = rng.uniform(0.06, 0.12), 0.06
    height = 2 * wheel + 0.13
    round_ = np.array([(np.cos(a) * half, 0.26 + np.sin(a) * half * 0.8) for a in np.linspace(0, np.pi, 17)])
    end = plate([(-half, 0), (half, 0), *round_], grip).turn("x", 90 - kick).at(0, height, long - 0.02)
    ends = [end, end.turn("y", 180)]
    trucks = [box(0.12, wheel + 0.12, 0.14).at(0, 1.5 * wheel + 0.06, z) for z in (-0.42, 0.42)]
    return [
        box(2 * half, grip, 2 * long).at(0, height, 0),
        *ends,
        *trucks,
        *_wheels(half - 0.05, (-0.42, 0.42), wheel, 0.1),
    ]


def surfboard(rng) -> list[Part]:
    """A standing board with a pointed nose and fins at its tail."""
    wide, tail, nose = rng.uniform(0.18, 0.38), rng.uniform(0.04, 0.24), rng.uniform(0.0, 0.12)
    side = smooth(
        [(tail, -0.98), (1.05 * wide, -0.5), (1.25 * wide, rng.uniform(-0.1, 0.45)), (0.7 * wide, 0.75), (nose, 1.0)], 3
    )
    mirror = (side * (-1, 1))[::-1]
    board = plate(np.concatenate([side, mirror if nose else mirror[1:]]), rng.uniform(0.06, 0.12))
    blade = plate([(-0.1, 0), (0.1, 0), (-0.08, rng.uniform(0.15, 0.32))], 0.04).turn("y", 90)
    fin = blade.turn("x", -90)
    count = rng.choice((1, 3))
    spots = [(0, -0.8), (-0.14, -0.62), (0.14, -0.62)][:count]
    stringer = box(0.03, 1.7, 0.1).at(0, -0.02, 0)
    return [board, stringer, *[fin.at(x, y, -0.02) for x, y in spots]]


def windmill(rng) -> list[Part]:
    """A tapering tower with a cap and four latticed sails."""
    foot, tall, span = rng.uniform(0.25, 0.5), rng.uniform(0.8, 1.25), rng.uniform(0.5, 0.85)
    turned = rng.uniform(0, 90)
    front = 0.75 * foot
    spar = [rod((0, 0, 0), (0, span, 0), 0.03), box(0.16, 0.65 * span, 0.035).at(0.09, 0.62 * span, 0)]
    sails = [part.turn("z", turned).at(0, tall, front) for blade in spar for part in around(4, blade, axis="z")]
    hub = rod((0, tall, 0), (0, tall, front + 0.07), 0.07)
    cap = [cone(0.68 * foot, 0.03, 0.32).at(0, tall + 0.05, 0), disc(0.72 * foot, 0.08).at(0, tall + 0.04, 0)]
    door = box(0.18, 0.3, 0.1).at(0, 0.15, foot - 0.06)
    return [cone(foot, 0.6 * foot, tall + 0.05), *cap, hub, *sails, door, ring(foot - 0.08, 0.05).at(0, 0.35, 0)]
