"""Things to drink from, pour from and put flowers in: profiles turned round the upright axis."""

import numpy as np

from flowsdf.data.procedural.parts import (
    Part,
    ball,
    bow,
    cone,
    disc,
    plate,
    revolve,
    ring,
    smooth,
    tube,
    vessel,
)


def mug(rng) -> list[Part]:
    """A straight or tapered cup with one handle."""
    foot, height, wall = rng.uniform(0.35, 0.65), rng.uniform(0.75, 1.45), rng.uniform(0.05, 0.08)
    lip = foot * rng.uniform(0.85, 1.35)
    grip, round_ = rng.uniform(0.22, 0.38) * min(height, 1.1), rng.uniform(0.045, 0.085)
    handle = tube(bow(grip, -80, 80, centre=((foot + lip) / 2 - 0.05, height / 2, 0)), round_)
    return [vessel([(foot - 0.05, 0), (foot, 0.05), (lip, height)], wall), *handle]


def bottle(rng) -> list[Part]:
    """A body, a shoulder, a neck and a stopper."""
    body, neck = rng.uniform(0.22, 0.5), rng.uniform(0.09, 0.16)
    shoulder, rise = rng.uniform(0.6, 1.15), rng.uniform(0.1, 0.42)
    curve = smooth([(neck, shoulder + rise + 0.1), (neck, shoulder + rise), (body, shoulder), (body, shoulder - 0.3)])
    side = [(0, 0), (body - 0.04, 0), (body, 0.04), *curve[::-1], (neck, 1.75)]
    glass = revolve([*side, (neck - 0.04, 1.75), (neck - 0.04, 1.5), (0, 1.5)])
    return [glass, ring(neck, 0.035).at(0, 1.68, 0), disc(neck - 0.03, 0.4).at(0, 1.65, 0)]


def Tabasco_sauce(rng) -> list[Part]:  # noqa: N802 - the vocabulary's own spelling
    """A small round bottle with a long slim neck, a fluted cap and a diamond label."""
    body, neck, shoulder = rng.uniform(0.22, 0.4), rng.uniform(0.08, 0.12), rng.uniform(0.6, 1.0)
    cap, tall = neck + rng.uniform(0.03, 0.09), rng.uniform(0.25, 0.45)
    curve = smooth([(body, shoulder - 0.2), (body, shoulder), (neck, shoulder + 0.05), (neck, shoulder + 0.3)])
    glass = revolve([(0, 0), (body, 0), (body, 0.05), *curve, (neck, 1.5), (0, 1.5)])
    flutes = cap * (1 + 0.06 * np.cos(np.pi * np.arange(24)))  # a 12-pointed star
    angle = np.arange(24) * np.pi / 12
    lid = plate(np.stack([flutes * np.cos(angle), flutes * np.sin(angle)], axis=1), tall)
    size = rng.uniform(0.6, 0.75) * body
    label = plate([(0, -size), (size, 0), (0, size), (-size, 0)], 0.2).at(0, shoulder / 2, body - 0.06)
    return [glass, lid.turn("x", 90).at(0, 1.45 + tall / 2, 0), label, disc(body + 0.03, 0.06).at(0, 0.05, 0)]


def vase(rng) -> list[Part]:
    """A hollow curve of foot, belly, neck and flaring lip; sometimes two handles."""
    foot, belly = rng.uniform(0.2, 0.35), rng.uniform(0.45, 0.7)
    neck, lip = rng.uniform(0.16, 0.28), rng.uniform(0.3, 0.45)
    wide, slim = rng.uniform(0.45, 0.9), rng.uniform(1.2, 1.45)
    curve = smooth(
        [(foot, 0), (foot + 0.05, 0.1), (belly, wide - 0.25), (belly, wide + 0.2), (neck, slim), (lip, 1.75)]
    )
    parts = [vessel(curve, 0.06)]
    if rng.random() < 0.4:
        handle = tube(bow(0.25, -70, 100, centre=(neck + 0.05, slim - 0.05, 0)), 0.045)
        parts += handle + [part.turn("y", 180) for part in handle]
    return parts


def bowl(rng) -> list[Part]:
    """A wide open dish on a low foot ring."""
    lip, height, foot = rng.uniform(0.65, 0.95), rng.uniform(0.4, 1.0), rng.uniform(0.2, 0.45)
    flare = rng.uniform(0, 0.18)
    curve = smooth(
        [(foot, 0.08), (0.75 * lip, 0.1), (lip - flare, 0.5 * height), (lip - flare, height - 0.1), (lip, height)]
    )
    return [vessel(curve, 0.06), revolve([(foot - 0.08, 0), (foot, 0), (foot, 0.12), (foot - 0.08, 0.12)])]


def wineglass(rng) -> list[Part]:
    """A hollow bowl on a slender stem and a flat foot."""
    bowl_, lip, stem = rng.uniform(0.28, 0.55), rng.uniform(0.22, 0.45), rng.uniform(0.45, 1.0)
    curve = smooth([(0.05, stem), (bowl_, stem + 0.02), (bowl_ + 0.05, stem + 0.4), (lip, rng.uniform(1.6, 1.85))])
    foot = rng.uniform(0.3, 0.48)
    base = smooth([(foot, 0.04), (0.1, 0.07), (0.04, 0.25), (0.04, stem - 0.1), (0.09, stem + 0.04)])
    return [vessel(curve, 0.05), revolve([(0, 0), (foot, 0), *base, (0, stem + 0.04)])]


def teapot(rng) -> list[Part]:
    """A round pot with a spout, a handle and a knobbed lid."""
    belly, height, lift = rng.uniform(0.42, 0.65), rng.uniform(0.55, 1.15), rng.uniform(0.1, 0.4)
    curve = smooth([(0.3, 0), (belly + 0.1, 0.1), (belly + rng.uniform(-0.15, 0.1), height - 0.1), (0.28, height)])
    lid = smooth([(0.3, height - 0.02), (0.25, height + 0.1), (0.05, height + 0.14), (0.05, height + 0.2)])
    body = revolve([(0, 0), *curve, (0, height)])
    path = [(belly - 0.1, 0.3 * height, 0), (belly + 0.2, 0.4 * height, 0), (belly + 0.25, height, 0)]
    spout = tube(smooth([*path, (belly + 0.4, height + lift - 0.1, 0)], 2), 0.13, 0.06)
    handle = tube(bow(0.4 * height, 50, 310, centre=(-belly - 0.03, height / 2, 0)), 0.055)
    knob = ball(rng.uniform(0.07, 0.1)).at(0, height + 0.22, 0)
    return [body, revolve([(0, height - 0.05), (0.3, height - 0.05), *lid, (0, height + 0.2)]), knob, *spout, *handle]


def hourglass(rng) -> list[Part]:
    """Two glass bulbs that meet in a waist, between two plates on posts."""
    bulb, half = rng.uniform(0.28, 0.55), rng.uniform(0.65, 0.95)
    upper = smooth([(0.06, 0), (0.1, 0.15), (bulb, 0.3), (bulb, half - 0.1), (0.5 * bulb, half)])
    lower = (upper * (1, -1))[:0:-1]
    plates = [disc(bulb + 0.14, 0.1).at(0, s * (half + 0.02), 0) for s in (-1, 1)]
    posts, count = disc(0.045, 2 * half).at(bulb + 0.06, 0, 0), int(rng.integers(3, 5))
    return [
        revolve([(0, -half), *lower, *upper, (0, half)]),
        *plates,
        *[posts.turn("y", 360 * i / count) for i in range(count)],
    ]


def trophy_cup(rng) -> list[Part]:
    """A hollow goblet with two large ears on a stepped plinth."""
    lip, height, plinth = rng.uniform(0.3, 0.6), rng.uniform(1.35, 1.8), rng.uniform(0.28, 0.48)
    curve = smooth([(0.07, 0.65), (lip - 0.05, 0.7), (lip - 0.05, height - 0.3), (lip, height)])
    stem = smooth([(0.28, 0.22), (0.06, 0.3), (0.06, 0.6), (0.14, 0.72)])
    ear = tube(bow(rng.uniform(0.18, 0.34), -100, 130, centre=(lip + 0.02, height - 0.38, 0)), 0.045)
    base = [cone(plinth, plinth - 0.04, 0.2), revolve([(0, 0.18), (0.28, 0.18), *stem, (0, 0.72)])]
    return [vessel(curve, 0.06), *base, *ear, *[part.turn("y", 180) for part in ear]]


def candle_holder(rng) -> list[Part]:
    """Several candles on curved arms that leave one stem."""
    arms, reach, height = int(rng.integers(2, 5)), rng.uniform(0.35, 0.75), rng.uniform(0.6, 1.0)
    path = smooth([(0, 0.5, 0), (0.5 * reach, 0.35, 0), (reach, 0.4, 0), (reach, height, 0)], 2)
    tall = rng.uniform(0.3, 0.5)
    cup, candle = cone(0.07, 0.13, 0.1).at(reach, height, 0), disc(0.06, tall).at(reach, height + 0.08 + tall / 2, 0)
    arm = [*tube(path, 0.04), cup, candle, ball(0.04).at(reach, height + 0.1 + tall, 0)]
    middle = [
        disc(0.05, 1.0).at(0, 0.55, 0),
        cone(0.07, 0.13, 0.1).at(0, 1.0, 0),
        disc(0.06, tall).at(0, 1.08 + tall / 2, 0),
    ]
    foot = revolve([(0, 0), (0.4, 0), *smooth([(0.4, 0.06), (0.1, 0.1), (0.06, 0.3)]), (0, 0.3)])
    return [foot, *middle, *[part.turn("y", 360 * i / arms) for i in range(arms) for part in arm]]
