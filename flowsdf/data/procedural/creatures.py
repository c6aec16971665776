"""Animals, built of round-ended limbs and eggs."""

import numpy as np

from flowsdf.data.procedural.parts import Part, around, ball, cone, egg, limb, mirrored, plate, smooth, tube


def _quadruped(length, girth, leg, thick, neck, skull, muzzle) -> tuple[list[Part], np.ndarray]:
    """A body on four legs, a neck (rise, reach), a skull and a muzzle; and where the skull is."""
    high, front = leg + 0.7 * girth, length / 2
    head = np.array([0, high + neck[0], front + neck[1]])
    parts = [limb((0, high, -front), (0, high + 0.02, front), 0.9 * girth, girth), ball(skull).at(*head)]
    parts += [limb((0, high + 0.2 * girth, front), head, 0.75 * girth, 0.75 * skull)]
    parts += [limb(head, head + (0, -0.3 * muzzle, skull + muzzle), 0.7 * skull, 0.4 * skull)]
    for z, bend in ((-front, -0.08), (front, 0.04)):
        for x in (-0.6 * girth, 0.6 * girth):
            knee = (x, 0.5 * leg, z + bend)
            parts += [limb((x, high, z), knee, 1.6 * thick, thick), limb(knee, (x, thick, z), thick)]
            parts += [limb((x, thick, z), (x, thick, z + 1.2 * thick), thick)]
    return parts, head


def _ears(head, *, apart: float, tall: float, wide: float, tilt: float = 0.0) -> list[Part]:
    """Two pointed ears on a head, leaning out by ``tilt`` degrees."""
    return mirrored(lambda s: cone(wide, 0.02, tall).turn("z", -s * tilt).at(*(head + (s * apart, 0.6 * apart, 0))))


def dog(rng) -> list[Part]:
    """A hound with hanging ears and a raised tail."""
    length, girth, leg = rng.uniform(0.5, 1.05), rng.uniform(0.15, 0.27), rng.uniform(0.2, 0.6)
    skull, drop = rng.uniform(0.15, 0.24), rng.uniform(0.1, 0.24)
    parts, head = _quadruped(
        length, girth, leg, 0.05, rng.uniform((0.2, 0.1), (0.45, 0.3)), skull, rng.uniform(0.08, 0.25)
    )
    parts += mirrored(
        lambda s: egg(0.045, drop, 0.09).turn("z", s * 15).at(*(head + (s * skull, 0.03 - drop / 2, -0.02)))
    )
    rump = np.array([0, leg + girth, -length / 2 - 0.6 * girth])
    tail = smooth([rump, rump + (0, 0.05, -0.15), rump + (0, *rng.uniform((0.05, -0.4), (0.45, -0.1)))], 2)
    return [*parts, *tube(tail, 0.05, 0.03), ball(0.05).at(*(head + (0, 0.02 - 0.04, 0) + (0, 0, skull + 0.14)))]


def wolf(rng) -> list[Part]:
    """A lean body with a shaggy neck, pricked ears, a long muzzle and a bushy hanging tail."""
    length, girth, leg = rng.uniform(0.65, 1.05), rng.uniform(0.17, 0.26), rng.uniform(0.32, 0.6)
    parts, head = _quadruped(
        length, girth, leg, 0.055, rng.uniform((0.08, 0.2), (0.42, 0.35)), 0.185, rng.uniform(0.13, 0.22)
    )
    ruff = egg(girth * 1.15, girth * 1.4, girth * 1.1).at(0, leg + girth, length / 2 + 0.08)
    rump = np.array([0, leg + girth, -length / 2 - 0.5 * girth])
    middle = rump + (0, *rng.uniform((-0.2, -0.25), (0.0, -0.18)))
    tip = middle + (0, *rng.uniform((-0.35, -0.3), (-0.15, -0.1)))
    brush = [limb(rump, middle, 0.06, 0.12), limb(middle, tip, 0.12, 0.04)]
    return [*parts, ruff, *brush, *_ears(head, apart=0.1, tall=rng.uniform(0.17, 0.24), wide=0.065, tilt=12.0)]


def lion(rng) -> list[Part]:
    """A heavy cat with a mane of locks round its face and a tufted tail."""
    length, girth, leg = rng.uniform(0.6, 1.0), rng.uniform(0.17, 0.27), rng.uniform(0.25, 0.5)
    mane = rng.uniform(0.26, 0.38)
    parts, head = _quadruped(length, girth, leg, 0.065, rng.uniform((0.15, 0.15), (0.38, 0.3)), 0.19, 0.08)
    lock = limb((0, 0.1, 0), (0, mane, -0.03), 0.1, 0.06)
    locks = [part.at(*(head - (0, 0, 0.03))) for part in around(int(rng.integers(10, 14)), lock, axis="z")]
    scruff = egg(0.9 * mane, 1.1 * mane, mane).at(*(head - (0, 0.12, 0.22)))
    rump = np.array([0, leg + girth, -length / 2 - 0.6 * girth])
    tail = smooth([rump, rump + (0, -0.1, -0.3), rump + (0, *rng.uniform((-0.35, -0.5), (0.4, -0.3)))], 2)
    ears = mirrored(lambda s: ball(0.065).at(*(head + (s * 0.14, 0.16, 0.08))))
    return [*parts, *locks, scruff, *ears, *tube(tail, 0.035), egg(0.07, 0.1, 0.07).at(*tail[-1])]


def giraffe(rng) -> list[Part]:
    """A short body on stilts, a long neck and two small horns."""
    leg, rise = rng.uniform(0.5, 0.85), rng.uniform(0.55, 1.0)
    length = rng.uniform(0.3, 0.6)
    parts, head = _quadruped(length, rng.uniform(0.14, 0.21), leg, 0.04, (rise, rng.uniform(0.05, 0.4)), 0.09, 0.1)
    horns = mirrored(lambda s: limb(head, head + (s * 0.05, 0.17, -0.03), 0.028, 0.035))
    ears = mirrored(lambda s: limb(head, head + (s * 0.17, 0.06, -0.04), 0.045, 0.025))
    rump = np.array([0, leg + 0.15, -length / 2 - 0.12])
    return [*parts, *horns, *ears, *tube([rump, rump + (0, -0.15, -0.06), rump + (0, -0.35, -0.05)], 0.028, 0.045)]


def elephant(rng) -> list[Part]:
    """A great body on pillars, with a trunk, sail ears and tusks."""
    girth, leg, length = rng.uniform(0.28, 0.4), rng.uniform(0.25, 0.5), rng.uniform(0.35, 0.65)
    high, front = leg + 0.7 * girth, length / 2
    head = np.array([0, high + 0.2, front + 0.35])
    pillars = [
        limb((x * 0.55 * girth, high, z * front), (x * 0.55 * girth, 0.09, z * front), 0.13, 0.1)
        for x in (-1, 1)
        for z in (-1, 1)
    ]
    curl = rng.uniform(0.05, 0.9)
    trunk = smooth([head, head + (0, -0.1, 0.3), head + (0, -0.5, 0.3), head + (0, curl - 0.6, 0.5)], 2)
    ears = mirrored(
        lambda s: egg(0.2, rng.uniform(0.24, 0.26), 0.045).turn("y", s * 35).at(*(head + (s * 0.3, 0, -0.1)))
    )
    tusks = mirrored(lambda s: limb(head + (s * 0.1, -0.12, 0.15), head + (s * 0.13, -0.25, 0.42), 0.04, 0.028))
    tail = limb((0, high + 0.1, -front - girth), (0, high - 0.3, -front - girth - 0.1), 0.03)
    body = limb((0, high, -front), (0, high, front), girth, 0.95 * girth)
    return [body, egg(0.21, 0.25, 0.22).at(*head), *pillars, *tube(trunk, 0.13, 0.05), *ears, *tusks, tail]


def cat(rng) -> list[Part]:
    """A cat that sits upright, its tail curled to one side."""
    girth, tall, head = rng.uniform(0.26, 0.42), rng.uniform(0.65, 1.05), rng.uniform(0.2, 0.3)
    top = np.array([0, tall + 0.6 * head, 0.1])
    body = [egg(girth, 0.34, 0.4).at(0, 0.33, -0.1), limb((0, 0.4, -0.05), (0, tall - 0.1, 0.06), 0.26, 0.17)]
    legs = mirrored(lambda s: limb((s * 0.13, tall - 0.3, 0.14), (s * 0.13, 0.06, 0.28), 0.09, 0.065))
    paws = mirrored(lambda s: limb((s * 0.26, 0.08, -0.05), (s * 0.26, 0.07, 0.25), 0.12, 0.07))
    side = rng.choice((-1, 1))
    tail = smooth(
        [
            (0, 0.08, -0.45),
            (side * 0.5, 0.07, -0.45),
            (side * 0.6, 0.07, 0),
            (side * 0.45, rng.uniform(0.07, 0.4), 0.3),
        ],
        2,
    )
    face = [
        ball(head).at(*top),
        egg(0.1, 0.07, 0.08).at(*(top + (0, -0.07, head - 0.03))),
        ball(0.035).at(*(top + (0, -0.02, head + 0.03))),
    ]
    return [
        *body,
        *legs,
        *paws,
        *tube(tail, 0.07, 0.05),
        *face,
        *_ears(top, apart=0.15, tall=0.24, wide=0.1, tilt=15.0),
    ]


def rabbit(rng) -> list[Part]:
    """A crouching rabbit with long ears and a round tail."""
    girth, ear, lean = rng.uniform(0.27, 0.42), rng.uniform(0.35, 0.7), rng.uniform(3, 35)
    head = np.array([0, rng.uniform(0.6, 0.88), rng.uniform(0.3, 0.5)])
    body = [
        egg(girth, 0.36, 0.48).at(0, 0.38, -0.1),
        ball(0.13).at(0, 0.28, -0.58),
        limb((0, 0.45, 0.1), head, 0.2, 0.15),
    ]
    haunches = mirrored(lambda s: egg(0.13, 0.24, 0.26).at(s * girth * 0.85, 0.26, -0.2))
    feet = mirrored(lambda s: limb((s * 0.24, 0.06, -0.2), (s * 0.24, 0.06, 0.15), 0.07))
    paws = mirrored(lambda s: limb((s * 0.12, 0.35, 0.25), (s * 0.12, 0.06, 0.38), 0.08, 0.06))
    back = rng.uniform(-60, 0)
    ears = mirrored(
        lambda s: (
            egg(0.085, ear / 2, 0.045)
            .at(0, ear / 2 + 0.1, 0)
            .turn("z", -s * lean)
            .turn("x", back)
            .at(*(head + (s * 0.06, 0, -0.05)))
        )
    )
    face = [egg(0.19, 0.2, 0.24).at(*head), ball(0.04).at(*(head + (0, -0.02, 0.24)))]
    return [*body, *haunches, *feet, *paws, *ears, *face]


def fish(rng) -> list[Part]:
    """A flat body with a forked tail, fins and eyes."""
    tall, thick, long = rng.uniform(0.22, 0.58), rng.uniform(0.12, 0.26), rng.uniform(0.5, 0.72)
    fork = rng.uniform(0.2, 0.48)
    tail = plate([(-0.05, -0.05), (0.35, -fork), (0.24, 0), (0.35, fork), (-0.05, 0.05)], 0.05)
    dorsal = plate([(-0.35, 0), (0.35, 0), (0.4, 0.14), (0.1, rng.uniform(0.22, 0.3)), (-0.15, 0.24)], 0.045)
    belly = plate([(-0.1, 0.1), (0.25, -0.2), (0.2, 0.1)], 0.045)
    upright = [tail.at(long - 0.06, 0, 0), dorsal.at(0, 0.75 * tall, 0), belly.at(0, -0.8 * tall, 0)]
    parts = [part.turn("y", 90) for part in upright] + [egg(thick, tall, long)]
    parts += mirrored(lambda s: ball(0.055).at(s * thick * 0.62, 0.1 * tall, 0.7 * long))
    return parts + mirrored(lambda s: egg(0.03, 0.08, 0.18).turn("y", -s * 40).at(s * (thick + 0.05), -0.08, 0.15))
