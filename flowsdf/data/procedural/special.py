"""The three shapes that no network is ever trained on, and the primitives whose distance is exact on both sides."""

from flowsdf.data.procedural.parts import Part, ball, box, cone, disc, egg, limb, mirrored, revolve, ring, smooth


def humanoid(rng) -> list[Part]:
    """A standing person with outstretched arms."""

    def arm(s):
        shoulder, elbow, wrist = (s * 0.2, 0.5, 0), (s * 0.48, 0.53, 0), (s * 0.76, 0.56, 0.04)
        thumb = limb(wrist, (s * 0.82, 0.62, 0.08), 0.04, 0.028)
        return [
            limb(shoulder, elbow, 0.085, 0.065),
            limb(elbow, wrist, 0.065, 0.045),
            egg(0.1, 0.035, 0.06).at(s * 0.84, 0.565, 0.045),
            thumb,
        ]

    def leg(s):
        hip, knee, ankle = (s * 0.1, 0, 0), (s * 0.16, -0.42, 0.03), (s * 0.19, -0.86, -0.02)
        return [
            limb(hip, knee, 0.12, 0.08),
            limb(knee, ankle, 0.08, 0.05),
            limb(ankle, (s * 0.21, -0.91, 0.13), 0.055, 0.04),
        ]

    torso = [limb((0, 0.05, 0), (0, 0.4, 0), 0.15, 0.19), limb((-0.14, 0.48, 0), (0.14, 0.48, 0), 0.1)]
    head = [
        limb((0, 0.5, 0), (0, 0.66, 0.01), 0.07),
        egg(0.12, 0.155, 0.14).at(0, 0.8, 0.02),
        ball(0.035).at(0, 0.79, 0.165),
    ]
    return [*torso, *head, *mirrored(arm), *mirrored(leg), limb((-0.07, 0, 0), (0.07, 0, 0), 0.14)]


def tunnel(rng) -> list[Part]:
    """A thin hollow tube, open at both ends, lying along z."""
    return [revolve([(0.4, -0.9), (0.45, -0.9), (0.45, 0.9), (0.4, 0.9)]).turn("x", 90)]


def bust(rng) -> list[Part]:
    """A head with brow, eyes, nose, lips and ears on a neck, shoulders and a plinth."""
    head = [egg(0.3, 0.38, 0.36).at(0, 0.45, 0), egg(0.2, 0.2, 0.24).at(0, 0.2, 0.12)]
    nose = [
        limb((0, 0.5, 0.34), (0, 0.35, 0.43), 0.04, 0.065),
        *mirrored(lambda s: ball(0.045).at(s * 0.05, 0.34, 0.37)),
    ]
    brow = mirrored(lambda s: limb((s * 0.04, 0.57, 0.34), (s * 0.2, 0.57, 0.25), 0.055, 0.045))
    eyes = mirrored(lambda s: egg(0.065, 0.04, 0.05).at(s * 0.12, 0.475, 0.305))
    lips = [egg(0.1, 0.028, 0.05).at(0, y, 0.35) for y in (0.19, 0.235)]
    ears = mirrored(lambda s: egg(0.045, 0.11, 0.07).turn("y", s * 20).at(s * 0.31, 0.42, -0.02))
    chest = [egg(0.66, 0.26, 0.3).at(0, -0.45, 0), limb((0, -0.4, 0), (0, 0.15, -0.02), 0.22, 0.17)]
    plinth = smooth([(0.28, -0.92), (0.16, -0.85), (0.14, -0.7), (0.25, -0.6)])
    return [*head, *nose, *brow, *eyes, *lips, *ears, *chest, revolve([(0, -1), (0.28, -1), *plinth, (0, -0.6)])]


def sphere() -> Part:
    """A ball of radius 0.8."""
    return ball(0.8)


def cube() -> Part:
    """A box of three different edges."""
    return box(1.2, 0.8, 1.0)


def cylinder() -> Part:
    """A flat-ended cylinder."""
    return disc(0.5, 1.4)


def capsule() -> Part:
    """A round-ended cylinder."""
    return limb((0, -0.5, 0), (0, 0.5, 0), 0.4)


def torus() -> Part:
    """A ring of genus one."""
    return ring(0.65, 0.25)


def truncated_cone() -> Part:
    """A flat-ended cone."""
    return cone(0.7, 0.2, 1.3).at(0, -0.65, 0)


def rounded_box() -> Part:
    """A box with soft edges."""
    return box(1.2, 0.8, 1.0, rounded=0.2)


def ellipsoid() -> Part:
    """An egg of three different axes."""
    return egg(0.9, 0.5, 0.65)


SPECIALS = {"humanoid": humanoid, "tunnel": tunnel, "bust": bust}
PRIMITIVES = {
    "sphere": sphere,
    "box": cube,
    "cylinder": cylinder,
    "capsule": capsule,
    "torus": torus,
    "cone": truncated_cone,
    "rounded_box": rounded_box,
    "ellipsoid": ellipsoid,
}
