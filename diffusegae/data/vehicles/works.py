"""The vehicles of works, rails, air and water as coloured solids facing +x; the hard world has them, too.

Motorbike, excavator, forklift, tram, airship, submarine, sailboat, rocket car.
"""

import numpy as np

from diffusegae.data.vehicles.livery import DARK, GLASS, LAMP, METAL, RUBBER, TAIL, WINDSCREEN, Livery
from diffusegae.data.vehicles.road import ends, wheels
from diffusegae.data.vehicles.solids import Mesh, block, box, cylinder, ellipsoid, join, prism, slab, tube

_SAIL = (0.97, 0.95, 0.90)


def motorbike(livery: Livery) -> Mesh:
    """Build a motorbike: two wheels in line, a tank and fairing between, a wide handlebar."""
    radius, reach = livery.between(0.31, 0.37), livery.between(0.62, 0.74)
    seat, bar = livery.between(0.74, 0.84), livery.between(0.34, 0.44)
    parts = []
    for x in (-reach, reach):
        parts.append(cylinder((x, 0.0, radius), radius, 0.18, RUBBER, axis=1, segments=18))
        parts.append(cylinder((x, 0.0, radius), 0.55 * radius, 0.20, METAL, axis=1, segments=10))
    return join(
        [
            *parts,
            slab((-0.34, 0.30), 0.15, (0.22, 0.56), DARK),
            block([(-0.10, 0.14, 0.12, 0.56, seat), (0.20, 0.19, 0.15, 0.54, seat + 0.14),
                   (0.46, 0.16, 0.10, 0.58, seat + 0.10)], livery.body),
            block([(0.40, 0.20, 0.15, 0.42, 0.92), (reach + 0.10, 0.13, 0.09, 0.62, 0.86)], livery.body),
            block([(-reach - 0.16, 0.09, 0.11, seat, seat + 0.12), (-0.10, 0.13, 0.12, seat - 0.12, seat)],
                  livery.trim),
            box((0.36, 0.46), (-bar, bar), (0.98, 1.06), METAL),
            block([(0.34, 0.13, 0.11, 0.90, 1.16), (0.52, 0.15, 0.12, 0.86, 0.94)], WINDSCREEN, chamfer=0.0),
            ellipsoid((reach + 0.12, 0.0, 0.74), (0.10, 0.13, 0.12), LAMP, segments=10),
            slab((-reach - 0.30, -reach - 0.12), 0.13, (seat - 0.02, seat + 0.14), TAIL),
            cylinder((-0.30, 0.20, 0.30), 0.07, 0.70, METAL, axis=0, segments=8),
        ]
    )  # fmt: skip


def excavator(livery: Livery) -> Mesh:
    """Build an excavator: tracks, a cab on a turntable, a bent arm with its bucket in front."""
    width, cab = livery.between(0.52, 0.60), livery.between(1.00, 1.14)
    reach, lift = livery.between(1.00, 1.18), livery.between(1.20, 1.42)
    tracks = [
        block([(-0.74, 0.13, 0.13, 0.10, 0.26), (-0.60, 0.13, 0.13, 0.0, 0.34), (0.60, 0.13, 0.13, 0.0, 0.34),
               (0.74, 0.13, 0.13, 0.10, 0.26)], RUBBER, chamfer=0.0).moved(y=side * (width - 0.13))
        for side in (-1, 1)
    ]  # fmt: skip
    boom = block(
        [(0.10, 0.09, 0.09, 0.58, 0.80), (0.62 * reach, 0.08, 0.08, lift - 0.12, lift + 0.06)], livery.body, 0.0
    )
    arm = block([(0.58 * reach, 0.075, 0.075, lift - 0.14, lift + 0.08), (reach + 0.06, 0.06, 0.06, 0.40, 0.62)],
                livery.trim, 0.0)  # fmt: skip
    return join(
        [
            *tracks,
            cylinder((0.0, 0.0, 0.38), 0.34, 0.14, DARK, axis=2, segments=12),
            block([(-0.72, width - 0.08, width - 0.12, 0.44, 0.86), (0.44, width - 0.08, width - 0.10, 0.44, 0.70)],
                  livery.body),
            prism((-0.16, 0.34), (0.20, 0.18), (0.62, cab), GLASS).moved(y=0.24),
            slab((0.26, 0.37), 0.19, (0.66, cab - 0.08), WINDSCREEN).moved(y=0.24),
            prism((-0.20, 0.36), (0.23, 0.21), (cab - 0.02, cab + 0.07), livery.body).moved(y=0.24),
            boom.moved(y=-0.16),
            arm.moved(y=-0.16),
            block([(reach - 0.12, 0.20, 0.16, 0.12, 0.48), (reach + 0.22, 0.20, 0.18, 0.06, 0.20)], LAMP,
                  chamfer=0.0).moved(y=-0.16),
            slab((-0.80, -0.68), width - 0.10, (0.46, 0.84), TAIL),
        ]
    )  # fmt: skip


def forklift(livery: Livery) -> Mesh:
    """Build a forklift: a short counterweight, a caged seat, a tall mast with two forks and a load."""
    mast, width = livery.between(1.30, 1.52), livery.between(0.40, 0.46)
    height, load, back = livery.between(0.06, 0.40), livery.paint(), livery.between(0.80, 0.90)
    posts = [
        box((x - 0.04, x + 0.04), (side * width - 0.04, side * width + 0.04), (0.50, 1.24), DARK)
        for x in (-0.42, 0.26)
        for side in (-1, 1)
    ]
    forks = [box((0.50, 1.06), (side * 0.24 - 0.06, side * 0.24 + 0.06), (height, height + 0.06), METAL)
             for side in (-1, 1)]  # fmt: skip
    rails = [box((0.44, 0.52), (side * 0.30 - 0.05, side * 0.30 + 0.05), (0.08, mast), METAL) for side in (-1, 1)]
    return join(
        [
            block([(-back, width - 0.06, width - 0.08, 0.20, 0.66), (-0.36, width, width - 0.04, 0.14, 0.72),
                   (0.40, width, width - 0.06, 0.14, 0.48)], livery.body),
            slab((-0.40, -0.10), 0.22, (0.60, 0.92), DARK),
            *posts,
            prism((-0.50, 0.32), (width + 0.03, width), (1.22, 1.30), livery.body),
            *rails,
            *forks,
            slab((0.56, 1.00), 0.34, (height + 0.06, height + 0.46), load),
            slab((0.40, 0.54), width, (0.28, 0.40), LAMP),
            slab((-back - 0.08, -back + 0.06), width - 0.04, (0.24, 0.66), TAIL),
            *wheels(-0.52, width + 0.02, 0.19, 0.16),
            *wheels(0.26, width + 0.04, 0.23, 0.18),
        ]
    )  # fmt: skip


def tram(livery: Livery) -> Mesh:
    """Build a tram: two long round-nosed cars joined by a bellows, a pantograph on the roof."""
    length, roof = livery.between(1.40, 1.58), livery.between(0.98, 1.10)
    width, belt = 0.40, livery.between(0.50, 0.58)
    nose = [(length - 0.26, width, width - 0.04, 0.16, roof), (length, 0.6 * width, 0.5 * width, 0.18, roof - 0.22)]
    rear = [(-length, 0.6 * width, 0.5 * width, 0.18, roof - 0.22), (-length + 0.26, width, width - 0.04, 0.16, roof)]
    return join(
        [
            block(nose, LAMP, chamfer=0.0),
            block(rear, TAIL, chamfer=0.0),
            prism((0.10, length - 0.24), (width, width - 0.04), (0.16, roof), livery.body),
            prism((-length + 0.24, -0.10), (width, width - 0.04), (0.16, roof), livery.body),
            slab((-0.14, 0.14), width - 0.07, (0.18, roof - 0.05), DARK),
            slab((0.20, length - 0.34), width + 0.012, (belt, roof - 0.14), GLASS),
            slab((-length + 0.34, -0.20), width + 0.012, (belt, roof - 0.14), GLASS),
            block([(length - 0.16, 0.92 * width, 0.80 * width, belt, roof - 0.10),
                   (length + 0.01, 0.58 * width, 0.50 * width, belt - 0.02, roof - 0.24)], WINDSCREEN, chamfer=0.0),
            slab((-length + 0.3, length - 0.3), width - 0.12, (roof, roof + 0.07), livery.trim),
            block([(0.30, 0.03, 0.03, roof + 0.07, roof + 0.12), (0.62, 0.03, 0.03, roof + 0.30, roof + 0.35)],
                  DARK, chamfer=0.0),
            box((0.58, 0.66), (-0.26, 0.26), (roof + 0.32, roof + 0.37), METAL),
            *[part for x in (-0.72, -0.30, 0.30, 0.72) for part in wheels(x * length, width - 0.02, 0.13, 0.10)],
        ]
    )  # fmt: skip


def airship(livery: Livery) -> Mesh:
    """Build an airship: a great hull with a pale nose, red fins, a gondola below."""
    length, radius = livery.between(1.26, 1.42), livery.between(0.40, 0.48)
    axle = 0.30 + radius
    hull = [(-length, 0.06, 0.06, 0.0), (-0.62 * length, 0.70 * radius, 0.70 * radius, 0.0),
            (-0.10 * length, radius, radius, 0.0), (0.40 * length, 0.96 * radius, 0.96 * radius, 0.0),
            (0.74 * length, 0.70 * radius, 0.70 * radius, 0.0)]  # fmt: skip
    nose = [(0.74 * length, 0.70 * radius, 0.70 * radius, 0.0), (0.92 * length, 0.40 * radius, 0.40 * radius, 0.0),
            (length, 0.05, 0.05, 0.0)]  # fmt: skip
    fin = block([(-length - 0.02, 0.03, 0.03, -0.44, 0.44), (-length + 0.26, 0.03, 0.03, -0.44, 0.44),
                 (-length + 0.52, 0.03, 0.03, -0.26, 0.26)], TAIL, chamfer=0.0)  # fmt: skip
    return join(
        [
            tube(hull, livery.body, axis=0, segments=18).moved(z=axle),
            tube(nose, LAMP, axis=0, segments=18).moved(z=axle),
            fin.moved(z=axle),
            fin.rotated(np.pi / 2, axis=0).moved(z=axle),
            prism((-0.30, 0.36), (0.14, 0.17), (0.0, 0.30), livery.trim),
            slab((0.00, 0.37), 0.165, (0.12, 0.24), WINDSCREEN),
            cylinder((-0.34, 0.24, 0.20), 0.08, 0.24, DARK, axis=0, segments=8),
            cylinder((-0.34, -0.24, 0.20), 0.08, 0.24, DARK, axis=0, segments=8),
        ]
    )  # fmt: skip


def submarine(livery: Livery) -> Mesh:
    """Build a submarine: a long round hull, a tower with a periscope, a red rudder at a screw."""
    length, radius = livery.between(1.30, 1.46), livery.between(0.27, 0.33)
    tower, mast = livery.between(0.28, 0.40), livery.between(0.24, 0.40)
    hull = [(-length, 0.05, 0.05, 0.0), (-0.66 * length, 0.82 * radius, 0.82 * radius, 0.0),
            (-0.30 * length, radius, radius, 0.0), (0.66 * length, radius, radius, 0.0)]  # fmt: skip
    nose = [(0.66 * length, radius, radius, 0.0), (0.88 * length, 0.76 * radius, 0.76 * radius, 0.0),
            (length, 0.10, 0.10, 0.0)]  # fmt: skip
    return join(
        [
            tube(hull, livery.body, axis=0, segments=16).moved(z=radius),
            tube(nose, LAMP, axis=0, segments=16).moved(z=radius),
            slab((-0.7 * length, 0.6 * length), 0.5 * radius, (1.84 * radius, 2.06 * radius), DARK),
            block([(-0.10, 0.13, 0.11, 2 * radius - 0.02, 2 * radius + tower),
                   (0.34, 0.10, 0.07, 2 * radius - 0.02, 2 * radius + tower)], livery.trim),
            slab((0.28, 0.40), 0.085, (2 * radius + 0.10, 2 * radius + tower - 0.06), WINDSCREEN),
            cylinder((0.10, 0.0, 2 * radius + tower + mast / 2), 0.035, mast, METAL, axis=2, segments=8),
            box((0.04, 0.22), (-0.05, 0.05), (2 * radius + tower + mast - 0.06, 2 * radius + tower + mast), METAL),
            block([(-length - 0.06, 0.035, 0.035, 0.0, 2 * radius + 0.10), (-length + 0.20, 0.035, 0.035, 0.04,
                   2 * radius)], TAIL, chamfer=0.0),
            slab((-length - 0.02, -length + 0.18), 0.44, (radius - 0.03, radius + 0.03), TAIL),
            cylinder((-length - 0.08, 0.0, radius), 0.17, 0.06, METAL, axis=0, segments=8),
        ]
    )  # fmt: skip


def sailboat(livery: Livery) -> Mesh:
    """Build a sailing boat: a slim hull, a mast with a mainsail behind and a striped jib in front."""
    length, beam = livery.between(1.06, 1.20), livery.between(0.36, 0.44)
    mast, boom = livery.between(1.60, 1.90), livery.between(0.78, 0.92)
    hull = [(-length, 0.60 * beam, 0.80 * beam, 0.06, 0.34), (-0.30, 0.66 * beam, beam, 0.0, 0.34),
            (0.50 * length, 0.46 * beam, 0.74 * beam, 0.02, 0.38)]  # fmt: skip
    bow = [(0.50 * length, 0.46 * beam, 0.74 * beam, 0.02, 0.38), (length, 0.02, 0.05, 0.14, 0.46)]
    sail = block([(-boom, 0.03, 0.02, 0.50, 0.56), (0.08, 0.045, 0.02, 0.50, mast - 0.06)], livery.trim, chamfer=0.0)
    jib = block([(0.14, 0.025, 0.02, 0.52, 0.86 * mast), (length - 0.06, 0.02, 0.02, 0.48, 0.54)], _SAIL, chamfer=0.0)
    return join(
        [
            block(hull, livery.body, chamfer=0.0),
            block(bow, LAMP, chamfer=0.0),
            slab((-length + 0.12, 0.30), 0.72 * beam, (0.33, 0.39), (0.86, 0.70, 0.46)),
            block([(-0.62, 0.46 * beam, 0.40 * beam, 0.36, 0.56), (0.16, 0.40 * beam, 0.32 * beam, 0.36, 0.50)],
                  (0.97, 0.97, 0.97)),
            slab((-0.50, 0.02), 0.46 * beam, (0.42, 0.49), GLASS),
            cylinder((0.11, 0.0, mast / 2 + 0.15), 0.04, mast - 0.3, METAL, axis=2, segments=8),
            sail,
            jib,
            slab((-length - 0.05, -length + 0.14), 0.82 * beam, (0.10, 0.40), TAIL),
        ]
    )  # fmt: skip


def rocket_car(livery: Livery) -> Mesh:
    """Build a record car: a long cigar on outrigger wheels, a jet behind a bubble, a tall fin."""
    length, radius = livery.between(1.34, 1.52), livery.between(0.22, 0.27)
    fin, track = livery.between(0.50, 0.68), livery.between(0.50, 0.60)
    axle = 0.18 + radius
    body = [(-length, 0.72 * radius, 0.72 * radius, 0.0), (-0.5 * length, radius, radius, 0.0),
            (0.50 * length, 0.80 * radius, 0.80 * radius, 0.0)]  # fmt: skip
    nose = [(0.50 * length, 0.80 * radius, 0.80 * radius, 0.0), (length, 0.03, 0.03, -0.06)]
    return join(
        [
            tube(body, livery.body, axis=0, segments=14).moved(z=axle),
            tube(nose, LAMP, axis=0, segments=14).moved(z=axle),
            ellipsoid((0.22 * length, 0.0, axle + 0.72 * radius), (0.26, 0.15, 0.17), WINDSCREEN, segments=10),
            cylinder((-length - 0.02, 0.0, axle), 0.62 * radius, 0.16, TAIL, axis=0, segments=12),
            block([(-length, 0.03, 0.03, axle + 0.1, axle + radius + fin),
                   (-length + 0.26, 0.03, 0.03, axle + 0.1, axle + radius + fin - 0.08),
                   (-length + 0.72, 0.03, 0.03, axle + 0.1, axle + radius)], livery.trim, chamfer=0.0),
            box((-0.78 * length, -0.62 * length), (-track, track), (0.20, 0.28), DARK),
            *wheels(-0.70 * length, track + 0.08, 0.24, 0.14, livery.trim),
            *wheels(0.52 * length, 0.24, 0.17, 0.10, livery.trim),
            *ends(-length + 0.02, -length + 0.40, radius - 0.06, axle - 0.5 * radius, axle + 0.2 * radius)[:1],
        ]
    )  # fmt: skip
