"""Birds, a beetle and a snail."""

import numpy as np

from flowsdf.data.procedural.parts import Part, ball, cone, egg, limb, mirrored, smooth, tube


def _perched(x: float, height: float, *, toe: float = 0.14) -> list[Part]:
    """A bird's two legs, each with three toes."""
    toes = [np.array([np.sin(a), 0, np.cos(a)]) * toe for a in (-0.6, 0, 0.6)]

    def leg(side):
        foot = np.array([side * x, 0.03, 0.08])
        return [limb((side * x, height, 0), foot, 0.04, 0.03), *[limb(foot, foot + t, 0.03) for t in toes]]

    return mirrored(leg)


def turkey(rng) -> list[Part]:
    """A round bird before its fan of tail feathers, with a bent neck and a wattle."""
    girth, fan, count = rng.uniform(0.27, 0.44), rng.uniform(0.6, 0.95), int(rng.integers(9, 14))
    high, head = 0.3 + girth, np.array([0, 2 * girth + rng.uniform(0.3, 0.55), rng.uniform(0.38, 0.6)])
    angles = np.linspace(-1, 1, count) * rng.uniform(70, 115)
    feather = limb((0, 0.1, 0), (0, fan - 0.08, -0.1), 0.045, 0.085)
    tail = [feather.turn("z", a).at(0, high, -0.35) for a in angles]
    neck = smooth([(0, high, 0.25), (0, high + 0.05, girth + 0.18), head - (0, 0, 0.05), head], 2)
    beak = cone(0.055, 0.015, 0.16).turn("x", 100).at(*(head + (0, 0, 0.06)))
    wattle = limb(head + (0, -0.05, 0.08), head + (0, -0.24, 0.1), 0.035, 0.05)
    wings = mirrored(lambda s: egg(0.08, 0.2, 0.3).turn("x", 15).at(s * girth * 0.95, high, -0.05))
    body = egg(girth, girth, girth + 0.1).at(0, high, 0)
    return [body, *tail, *tube(neck, 0.13, 0.08), ball(0.1).at(*head), beak, wattle, *wings, *_perched(0.15, high)]


def duck(rng) -> list[Part]:
    """A floating body with an upturned tail, a curved neck and a flat bill."""
    girth, long, rise = rng.uniform(0.26, 0.46), rng.uniform(0.5, 0.75), rng.uniform(0.5, 1.0)
    head = np.array([0, rise, 0.45])
    skull = rng.uniform(0.16, 0.25)
    neck = tube(smooth([(0, 0.1, 0.35), (0, 0.3, 0.5), head], 2), 0.18, 0.13)
    bill = egg(0.11, 0.04, 0.2).at(*(head + (0, -0.05, skull + 0.08)))
    tail = limb((0, 0.1, -0.35), (0, 0.35, -long - 0.12), 0.2, 0.05)
    wings = mirrored(lambda s: egg(0.07, 0.18, 0.36).turn("x", 12).at(s * girth * 0.93, 0.08, -0.1))
    eyes = mirrored(lambda s: ball(0.04).at(*(head + (s * skull * 0.75, 0.05, 0.6 * skull))))
    return [egg(girth, 0.32, long), *neck, ball(skull).at(*head), bill, tail, *wings, *eyes]


def penguin(rng) -> list[Part]:
    """An upright bird with flippers, big feet and a short beak."""
    girth, tall, head = rng.uniform(0.3, 0.52), rng.uniform(0.48, 0.7), rng.uniform(0.2, 0.31)
    top = np.array([0, 1.8 * tall + 0.1, 0.04])
    spread = rng.uniform(8, 80)
    flippers = mirrored(
        lambda s: egg(0.06, 0.34, 0.14).at(0, -0.3, 0).turn("z", s * spread).at(s * (girth - 0.08), tall + 0.3, 0)
    )
    feet = mirrored(lambda s: egg(0.14, 0.06, 0.24).turn("y", s * 15).at(s * 0.19, 0.05, 0.15))
    beak = cone(0.075, 0.02, 0.24).turn("x", 95).at(*(top + (0, 0, head - 0.06)))
    tail = limb((0, 0.2, -0.25), (0, 0.05, -0.5), 0.12, 0.05)
    eyes = mirrored(lambda s: ball(0.045).at(*(top + (s * 0.45 * head, 0.3 * head, 0.8 * head))))
    return [
        egg(girth, tall, 0.9 * girth).at(0, tall + 0.02, 0),
        ball(head).at(*top),
        *flippers,
        *feet,
        beak,
        tail,
        *eyes,
    ]


def beetle(rng) -> list[Part]:
    """Two wing cases, a thorax, a horned or feelered head and six bent legs."""
    wide, long, horned = rng.uniform(0.27, 0.5), rng.uniform(0.42, 0.68), rng.random() < 0.5
    cases = mirrored(lambda s: egg(0.56 * wide, 0.28, long).turn("y", s * 3).at(s * 0.46 * wide, 0.3, -0.25))
    thorax = egg(0.75 * wide, 0.2, 0.2).at(0, 0.27, long - 0.28)
    skull = np.array([0, 0.24, long - 0.02])
    parts = [*cases, thorax, egg(0.15, 0.11, 0.15).at(*skull)]
    for z, sweep in ((-0.45, -0.25), (-0.1, 0.0), (0.25, 0.25)):
        parts += mirrored(lambda s, z=z, sweep=sweep: _jointed(s, z, sweep, wide))
    if horned:
        return [*parts, *tube(smooth([skull, skull + (0, 0.05, 0.25), skull + (0, 0.35, 0.3)], 2), 0.06, 0.035)]
    return parts + mirrored(
        lambda s: tube(smooth([skull, skull + (s * 0.2, 0.15, 0.2), skull + (s * 0.35, 0.1, 0.4)], 2), 0.03)
    )


def _jointed(side: int, z: float, sweep: float, wide: float) -> list[Part]:
    """An insect's leg: up and out, down to the ground, and a foot."""
    joints = [(0.3 * wide, 0.2, z), (wide + 0.15, 0.32, z + 0.5 * sweep), (wide + 0.25, 0.03, z + sweep)]
    return tube([(side * x, y, w) for x, y, w in [*joints, (wide + 0.35, 0.03, z + 1.3 * sweep)]], 0.045, 0.03)


def escargot(rng) -> list[Part]:
    """A snail: a coiled shell on a creeping foot, with two pairs of horns."""
    turns, largest, big = rng.uniform(2.2, 2.9), rng.uniform(0.2, 0.3), rng.uniform(0.3, 0.48)
    angle = np.linspace(0, turns * 360, 24)
    grow = np.exp(-0.0032 * angle)  # a logarithmic spiral from the mouth inwards
    aside = rng.uniform(0.05, 0.3) * (1 - grow) * rng.choice((-1, 1))
    heading = np.radians(angle - 60)
    coil = np.stack(
        [aside, 0.2 + largest + big * (0.4 + grow * np.sin(heading)), big * grow * np.cos(heading) - 0.1], axis=1
    )
    radii = largest * grow + 0.02
    shell = [limb(*ends) for ends in zip(coil[:-1], coil[1:], radii[:-1], radii[1:], strict=True)]
    head = np.array([0, rng.uniform(0.15, 0.5), rng.uniform(0.6, 0.8)])
    foot = tube(smooth([(0, 0.06, -0.8), (0, 0.1, -0.3), (0, 0.1, 0.5), head], 2), 0.05, 0.14)
    horns = mirrored(lambda s: limb(head, head + (s * 0.14, 0.32, 0.12), 0.035))
    tips = mirrored(lambda s: ball(0.05).at(*(head + (s * 0.14, 0.32, 0.12))))
    return [*shell, *foot, *horns, *tips, *mirrored(lambda s: limb(head, head + (s * 0.1, 0, 0.22), 0.03))]
