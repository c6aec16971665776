"""Things for the hand and the pocket, instruments, and what stands in a garden."""

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
    plate,
    revolve,
    ring,
    rod,
    smooth,
    tube,
)


def toothbrush(rng) -> list[Part]:
    """A slim waisted handle with rows of bristle tufts at one end."""
    grip, neck, tuft = rng.uniform(0.05, 0.12), rng.uniform(0.03, 0.05), rng.uniform(0.1, 0.26)
    bend = rng.uniform(-0.15, 0.15)
    long = rng.uniform(0.35, 0.65)
    head = box(0.15, 0.06, long, rounded=0.029).at(0, 0, 0.92 - long / 2)
    waist, throat = (0, bend, -0.1), (0, 0, 0.97 - long)
    handle = [limb((0, 0, -0.9), waist, 0.9 * grip, grip), limb(waist, throat, grip, neck)]
    rows = np.linspace(0.98 - long, 0.86, round(10 * long))
    return [*handle, head, *[rod((x, 0, z), (x, tuft, z), 0.026) for x in (-0.042, 0.042) for z in rows]]


def sharpie(rng) -> list[Part]:
    """A marker: a thick barrel, a narrower cap with a clip, and an end plug."""
    radius, cap = rng.uniform(0.09, 0.19), rng.uniform(0.4, 0.8)
    slim, stop = 0.85 * radius, 0.9 - cap
    barrel = revolve([(0, -0.9), (0.6 * radius, -0.9), (radius, -0.75), (radius, stop - 0.06), (slim, stop), (0, stop)])
    lid = revolve([(0, stop), (radius + 0.015, stop), (slim + 0.01, 0.85), (0.6 * slim, 0.9), (0, 0.9)])
    clip = [box(0.06, cap - 0.1, 0.04).at(0, 0.87 - cap / 2, radius + 0.06), box(0.06, 0.06, 0.14).at(0, 0.8, radius)]
    return [barrel, lid, *clip, ring(radius, 0.022).at(0, rng.uniform(-0.65, -0.2), 0)]


def pacifier(rng) -> list[Part]:
    """A curved shield between a rubber teat and a ring to hold."""
    wide, tall, loop = rng.uniform(0.42, 0.7), rng.uniform(0.26, 0.44), rng.uniform(0.25, 0.42)
    bulb = rng.uniform(0.14, 0.24)
    teat = [limb((0, 0, 0), (0, 0, 0.3), 0.13, 0.1), egg(bulb, 0.85 * bulb, 0.24).at(0, 0, 0.48)]
    knob = rod((0, 0, 0.02), (0, 0, -0.16), 0.16)
    side, swing = rng.choice((0.0, 90.0)), rng.uniform(0, 70)
    holder = ring(loop, 0.05).turn("x", 90).turn("y", side).turn("x", swing).at(0, -loop + 0.06, -0.16)
    return [egg(wide, tall, 0.09), *teat, knob, holder]


def hammer(rng) -> list[Part]:
    """A handle, and a head with a face and a split claw or a wedge."""
    handle, face, long = rng.uniform(0.04, 0.085), rng.uniform(0.08, 0.18), rng.uniform(0.22, 0.5)
    shaft = [limb((0, -0.95, 0), (0, -0.2, 0), 1.2 * handle, handle), rod((0, -0.3, 0), (0, 0.78, 0), 0.8 * handle)]
    head = [rod((0, 0.68, 0), (0, 0.68, long), 0.8 * face), rod((0, 0.68, long - 0.08), (0, 0.68, long + 0.04), face)]
    if rng.random() < 0.6:
        claw = mirrored(
            lambda s: tube(
                smooth([(s * 0.03, 0.7, -0.05), (s * 0.07, 0.7, -0.3), (s * 0.09, 0.5, -0.5)], 2), 0.065, 0.03
            )
        )
    else:
        claw = [plate([(0.05, -0.1), (0.05, 0.1), (-0.42, 0.03), (-0.42, -0.03)], 0.18).turn("y", -90).at(0, 0.68, 0)]
    return [*shaft, *head, *claw, box(0.2, 0.2, 0.2, rounded=0.04).at(0, 0.68, 0)]


def sword(rng) -> list[Part]:
    """A pointed blade with a ridge, a cross-guard, a grip and a pommel."""
    wide, swell, guard, grip = (
        rng.uniform(0.06, 0.18),
        rng.uniform(0.6, 1.4),
        rng.uniform(0.2, 0.48),
        rng.uniform(0.22, 0.48),
    )
    low = grip - 0.92
    blade = [(-wide, low), (wide, low), (swell * wide, 0.6), (0, 1.0), (-swell * wide, 0.6)]
    cross = mirrored(
        lambda s: tube(
            [(0, low, 0), (s * 0.6 * guard, low, 0), (s * guard, low + rng.uniform(-0.02, 0.12), 0)], 0.05, 0.04
        )
    )
    hilt = [rod((0, -0.95, 0), (0, low, 0), 0.045), ball(rng.uniform(0.06, 0.13)).at(0, -0.95, 0)]
    wraps = [ring(0.045, 0.02).at(0, y, 0) for y in np.linspace(-0.85, low - 0.06, 4)]
    return [plate(blade, 0.05), box(0.05, 1.4 - grip, 0.09).at(0, low + 0.7 - grip / 2, 0), *cross, *hilt, *wraps]


def key(rng) -> list[Part]:
    """A ring to hold, a shaft with a collar, and a bit with notched teeth."""
    bow_, shaft, drop = rng.uniform(0.18, 0.4), rng.uniform(0.045, 0.08), rng.uniform(0.2, 0.45)
    tall, end = rng.uniform(0.3, 0.5), -rng.uniform(0.55, 0.95)
    slots = end + np.linspace(0.1, tall, rng.integers(2, 4))
    bits = [box(drop, 0.1, 0.07).at(drop / 2, y, 0) for y in slots] + [
        box(0.14, tall, 0.07).at(0.07, end + 0.05 + tall / 2, 0)
    ]
    stem = [rod((0, end, 0), (0, 0.35, 0), shaft), disc(1.8 * shaft, 0.08).at(0, 0.3, 0)]
    return [ring(bow_, 0.065).turn("x", 90).at(0, 0.33 + bow_, 0), *stem, *bits]


def dumbbell(rng) -> list[Part]:
    """A bar with one to three plates at each end."""
    plates, big, bar = int(rng.integers(1, 4)), rng.uniform(0.25, 0.6), rng.uniform(0.05, 0.11)
    thick, shrink = rng.uniform(0.1, 0.22), rng.uniform(0.7, 0.95)
    discs = [
        disc(big * shrink**i, thick - 0.01).turn("z", 90).at(0.35 + (i + 0.5) * thick, 0, 0) for i in range(plates)
    ]
    end = 0.42 + plates * thick
    return [rod((-end, 0, 0), (end, 0, 0), bar), *discs, *[part.turn("y", 180) for part in discs]]


def umbrella(rng) -> list[Part]:
    """An open canopy of eight panels with ribs, a shaft and a crook."""
    span, rise, crook = rng.uniform(0.65, 1.0), rng.uniform(0.22, 0.6), rng.uniform(0.1, 0.2)
    curve = smooth([(span, 0.55), (0.75 * span, 0.55 + 0.75 * rise), (0, 0.55 + rise)])
    canopy = revolve([*curve, *(curve - (0, 0.055))[::-1]])
    rib = limb((0, 0.35, 0), (0.6 * span, 0.52 + 0.55 * rise, 0), 0.025)
    shaft = [rod((0, -0.7, 0), (0, 0.55 + rise, 0), 0.032), limb((0, 0.5 + rise, 0), (0, 0.68 + rise, 0), 0.04, 0.025)]
    grip = tube(bow(crook, 180, 360, centre=(crook, -0.7, 0)), 0.045)
    tips = around(8, ball(0.04).at(span - 0.01, 0.54, 0))
    return [canopy, *shaft, *grip, *around(8, rib), *tips]


def signboard(rng) -> list[Part]:
    """A framed board on one or two posts, or hung from an arm."""
    x, y, posts = rng.uniform(0.4, 0.85), rng.uniform(0.22, 0.5), int(rng.integers(1, 3))
    middle = 1.55 - y
    board = box(2 * x, 2 * y, 0.06).at(0, middle, 0.04)
    frame = [box(2 * x + 0.08, 0.08, 0.12).at(0, middle + s * y, 0.04) for s in (-1, 1)]
    frame += mirrored(lambda s: box(0.08, 2 * y, 0.12).at(s * x, middle, 0.04))
    stand = [rod((p, 0, -0.03), (p, 1.65, -0.03), 0.05) for p in ([0.0] if posts == 1 else [-0.7 * x, 0.7 * x])]
    lines = [box(rng.uniform(0.8, 1.5) * x, 0.06, 0.06).at(0, middle + d * y, 0.08) for d in (-0.4, 0, 0.4)]
    return [
        board,
        *frame,
        *stand,
        *lines,
        *[disc(0.14, 0.06).at(p, 0.03, -0.03) for p in ([0.0] if posts == 1 else [-0.7 * x, 0.7 * x])],
    ]


def birdhouse(rng) -> list[Part]:
    """A hut on a pole with a pitched roof, a round door and a perch."""
    x, z, wall = rng.uniform(0.24, 0.45), rng.uniform(0.22, 0.48), rng.uniform(0.3, 0.65)
    peak = rng.uniform(0.18, 0.5)
    front = [(-x, 0), (x, 0), (x, wall), (0, wall + peak), (-x, wall)]
    pitch = np.degrees(np.arctan2(peak, x))
    slab = box(1.25 * np.hypot(x, peak), 0.06, 2 * z + 0.25)
    roof = mirrored(lambda s: slab.turn("z", -s * pitch).at(s * 0.52 * x, 0.7 + wall + 0.5 * peak, 0))
    door = ring(rng.uniform(0.1, 0.13), 0.035).turn("x", 90).at(0, 0.7 + 0.6 * wall, z)
    perch = limb((0, 0.7 + 0.2 * wall, z - 0.05), (0, 0.7 + 0.2 * wall, z + 0.2), 0.03)
    return [
        plate(front, 2 * z).at(0, 0.7, 0),
        *roof,
        door,
        perch,
        rod((0, 0, 0), (0, 0.75, 0), 0.055),
        disc(0.25, 0.06).at(0, 0.03, 0),
    ]


def banjo(rng) -> list[Part]:
    """A round drum, a long straight neck with frets, and a peg-head."""
    drum, deep, neck = rng.uniform(0.3, 0.5), rng.uniform(0.12, 0.3), rng.uniform(0.045, 0.08)
    top = rng.uniform(0.85, 1.3)
    pot = [disc(drum - 0.02, deep - 0.06).turn("x", 90), ring(drum, 0.05).turn("x", 90).at(0, 0, deep / 2 - 0.04)]
    brackets = [b.turn("x", 90) for b in around(12, box(0.06, deep, 0.06).at(drum, 0, 0))]
    stick = box(2 * neck, top - drum + 0.15, 0.07).at(0, (top + drum) / 2 - 0.05, deep / 2)
    frets = [box(2 * neck + 0.02, 0.03, 0.1).at(0, y, deep / 2) for y in np.linspace(drum + 0.1, top - 0.05, 6)]
    head = plate([(-neck, 0), (neck, 0), (1.9 * neck, 0.35), (-1.9 * neck, 0.35)], 0.06).at(0, top, deep / 2 - 0.02)
    pegs = [limb((0, y, deep / 2), (s * 0.2, y, deep / 2), 0.03) for s in (-1, 1) for y in (top + 0.12, top + 0.27)]
    return [*pot, *brackets, stick, *frets, head, *pegs, box(0.25, 0.05, 0.06).at(0, -0.15, deep / 2 - 0.01)]


def guitar(rng) -> list[Part]:
    """A waisted body with a sound hole, a bridge, a neck and a peg-head."""
    top, low = rng.uniform(0.7, 1.05), rng.uniform(-0.95, -0.65)
    hip, waist, bust = rng.uniform(0.32, 0.52), rng.uniform(0.17, 0.3), rng.uniform(0.26, 0.42)
    side = smooth(
        [
            (0, low),
            (hip, low),
            (1.15 * hip, 0.5 * low),
            (waist - 0.05, -0.15),
            (bust, 0.2),
            (0.8 * bust, 0.3),
            (0, 0.3),
        ],
        2,
    )
    body = plate(np.concatenate([side, (side * (-1, 1))[-2:0:-1]]), rng.uniform(0.14, 0.2))
    rose = ring(0.11, 0.03).turn("x", 90).at(0, -0.05, 0.09)
    neck = box(0.11, top + 0.08, 0.08).at(0, top / 2, 0.08)
    head = plate([(-0.055, 0), (0.055, 0), (0.1, 0.25), (-0.1, 0.25)], 0.06).at(0, top, 0.06)
    pegs = [
        limb((0, y, 0.06), (s * 0.16, y, 0.06), 0.028) for s in (-1, 1) for y in (top + 0.05, top + 0.13, top + 0.21)
    ]
    frets = [box(0.13, 0.03, 0.11).at(0, y, 0.08) for y in np.linspace(0.35, top - 0.05, 5)]
    return [body, rose, neck, head, *pegs, *frets, box(0.3, 0.06, 0.1).at(0, 0.6 * low, 0.08)]


def snowman(rng) -> list[Part]:
    """Two or three snowballs with a carrot nose, stick arms, buttons and a hat."""
    foot, shrink, balls = rng.uniform(0.38, 0.56), rng.uniform(0.62, 0.85), int(rng.integers(2, 4))
    radii = foot * shrink ** np.arange(balls)
    heights = 0.95 * radii + np.concatenate([[0], np.cumsum(1.65 * radii[:-1])])
    parts = [ball(r).at(0, y, 0) for r, y in zip(radii, heights, strict=True)]
    head, top, chest, trunk = radii[-1], heights[-1], heights[-2], radii[-2]
    parts += [cone(0.055, 0.015, rng.uniform(0.2, 0.3)).turn("x", 90).at(0, top, head - 0.02)]
    parts += mirrored(lambda s: ball(0.04).at(s * 0.4 * head, top + 0.35 * head, 0.84 * head))
    parts += [ball(0.042).at(0, chest + h * trunk, 0.98 * trunk * np.sqrt(1 - h**2)) for h in (-0.3, 0.1, 0.5)]
    lift = rng.uniform(-0.15, 0.5)
    parts += mirrored(
        lambda s: limb((s * 0.8 * trunk, chest + 0.1, 0), (s * (trunk + 0.4), chest + 0.15 + lift, 0.05), 0.035, 0.028)
    )
    hat = rng.uniform(0.15, 0.45)
    return parts + [
        disc(1.05 * head, 0.06).at(0, top + 0.75 * head, 0),
        disc(0.65 * head, hat).at(0, top + 0.75 * head + hat / 2, 0),
    ]


def mushroom(rng) -> list[Part]:
    """A domed cap over a stem with a skirt and a bulb."""
    cap, dome, tall = rng.uniform(0.45, 0.85), rng.uniform(0.35, 0.85), rng.uniform(0.5, 1.1)
    stem = rng.uniform(0.1, 0.25)
    curve = smooth([(0.8 * cap, 0), (cap, 0.02), (0.95 * cap, 0.7 * dome), (0.3 * cap, dome), (0, dome)])
    top = revolve([(0, 0.15), (0.8 * cap, 0), *curve[1:]]).at(0, tall, 0)
    trunk = smooth([(1.2 * stem, 0), (1.5 * stem, 0.2), (stem, 0.3), (stem, tall + 0.2)])
    skirt = cone(1.6 * stem, 0.9 * stem, 0.15).at(0, 0.62 * tall, 0)
    return [top, revolve([(0, 0), *trunk, (0, tall + 0.2)]), skirt]
