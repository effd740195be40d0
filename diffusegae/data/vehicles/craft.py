"""The vehicles off the road as coloured solids facing +x: tank, train, plane, helicopter, boat, tractor."""

import numpy as np

from diffusegae.data.vehicles.livery import DARK, GLASS, LAMP, METAL, RUBBER, TAIL, WINDSCREEN, Livery
from diffusegae.data.vehicles.road import wheels
from diffusegae.data.vehicles.solids import Mesh, block, box, cylinder, ellipsoid, join, prism, slab, tube


def tank(livery: Livery) -> Mesh:
    """Build a tank: tracks, a low hull, a round turret and a long gun."""
    length, width = livery.between(0.98, 1.10), livery.between(0.58, 0.66)
    turret, gun = livery.between(0.36, 0.42), livery.between(0.80, 1.00)
    tracks = []
    for side in (-1, 1):
        outline = [(-length, 0.13, 0.13, 0.14, 0.30), (-length + 0.14, 0.13, 0.13, 0.0, 0.42),
                   (length - 0.16, 0.13, 0.13, 0.0, 0.42), (length, 0.13, 0.13, 0.18, 0.32)]  # fmt: skip
        tracks.append(block(outline, RUBBER, chamfer=0.0).moved(y=side * (width - 0.13)))
        for x in np.linspace(-length + 0.24, length - 0.26, 4):
            tracks.append(cylinder((float(x), side * (width - 0.12), 0.18), 0.14, 0.27, METAL, axis=1, segments=8))
    return join(
        [
            *tracks,
            block([(-length, width - 0.04, width - 0.08, 0.36, 0.58),
                   (length - 0.45, width - 0.04, width - 0.08, 0.36, 0.58),
                   (length + 0.02, width - 0.06, width - 0.08, 0.34, 0.40)], livery.body),
            slab((-length - 0.05, -length + 0.26), width - 0.02, (0.34, 0.64), TAIL),
            tube([(0.56, turret + 0.06, turret + 0.02, 0.0), (0.82, turret, turret - 0.04, 0.0),
                  (0.88, turret - 0.12, turret - 0.14, 0.0)], livery.body, axis=2).moved(x=-0.12),
            cylinder((-0.22, 0.12, 0.90), 0.14, 0.10, livery.trim, axis=2, segments=10),
            cylinder((turret + gun / 2 - 0.16, 0.0, 0.71), 0.075, gun, DARK, axis=0, segments=10),
            cylinder((turret + gun - 0.20, 0.0, 0.71), 0.11, 0.20, LAMP, axis=0, segments=10),
            box((length - 0.24, length - 0.02), (width - 0.30, width - 0.08), (0.42, 0.52), LAMP),
            box((length - 0.24, length - 0.02), (-width + 0.08, -width + 0.30), (0.42, 0.52), LAMP),
        ]
    )  # fmt: skip


def train(livery: Livery) -> Mesh:
    """Build a steam locomotive: boiler and chimney in front of a tall cab."""
    length, radius = livery.between(1.20, 1.36), livery.between(0.32, 0.38)
    chimney, cab = livery.between(0.36, 0.50), livery.between(1.22, 1.36)
    axle = 0.36 + radius
    cab_front = -length + 0.72
    front_wheels = [part for x in (0.0, 0.45, 0.9) for part in wheels(x * length, 0.44, 0.20, 0.10, livery.trim)]
    return join(
        [
            slab((-length, length - 0.12), 0.36, (0.26, 0.40), DARK),
            cylinder(((cab_front + length - 0.1) / 2, 0.0, axle), radius, length - 0.1 - cab_front, livery.body, 0),
            cylinder((length - 0.10, 0.0, axle), radius + 0.03, 0.14, DARK, axis=0),
            cylinder((length - 0.02, 0.0, axle + 0.05), 0.19, 0.16, LAMP, axis=0, segments=10),
            tube([(0.0, 0.10, 0.10, 0.0), (0.6 * chimney, 0.12, 0.12, 0.0), (chimney, 0.20, 0.20, 0.0)],
                 DARK, axis=2).moved(x=length - 0.38, z=axle + radius - 0.06),
            ellipsoid((0.05, 0.0, axle + radius), (0.17, 0.17, 0.20), livery.trim, segments=10),
            prism((-length, cab_front), (0.44, 0.44), (0.30, cab - 0.06), livery.body),
            slab((-length + 0.16, cab_front - 0.12), 0.452, (0.78, cab - 0.16), GLASS),
            slab((cab_front - 0.05, cab_front + 0.015), 0.38, (0.90, cab - 0.14), WINDSCREEN),
            prism((-length - 0.10, cab_front + 0.10), (0.52, 0.46), (cab - 0.06, cab + 0.04), livery.trim),
            slab((-length - 0.06, -length + 0.12), 0.46, (0.26, 0.76), TAIL),
            block([(length - 0.16, 0.44, 0.40, 0.06, 0.36), (length + 0.14, 0.18, 0.10, 0.06, 0.14)], LAMP, 0.0),
            *wheels(-length + 0.36, 0.46, 0.27, 0.10, livery.trim),
            *front_wheels,
        ]
    )  # fmt: skip


def plane(livery: Livery) -> Mesh:
    """Build an airliner: round fuselage, swept wings with engines, a red tail."""
    length, span = livery.between(1.18, 1.32), livery.between(1.00, 1.18)
    radius, sweep = livery.between(0.22, 0.26), livery.between(0.22, 0.36)
    deck = 0.30 + radius
    fuselage = [(-length, 0.05, 0.05, 0.10), (-0.55 * length, radius, radius, 0.0),
                (0.60 * length, radius, radius, 0.0), (0.82 * length, 0.80 * radius, 0.80 * radius, -0.01)]  # fmt: skip
    nose = [(0.80 * length, 0.83 * radius, 0.83 * radius, -0.01), (0.94 * length, 0.5 * radius, 0.5 * radius, -0.03),
            (length, 0.06, 0.06, -0.04)]  # fmt: skip
    return join(
        [
            tube(fuselage, livery.body, axis=0).moved(z=deck),
            tube(nose, LAMP, axis=0).moved(z=deck),
            slab((0.62 * length, 0.76 * length), 0.78 * radius, (deck + 0.05, deck + 0.90 * radius), GLASS),
            *_wing(0.30, span, sweep, 0.52, 0.24, deck - 0.10, livery),
            *_fin(length, deck, radius),
            cylinder((0.22, 0.48 * span, deck - 0.22), 0.11, 0.36, livery.trim, axis=0, segments=10),
            cylinder((0.22, -0.48 * span, deck - 0.22), 0.11, 0.36, livery.trim, axis=0, segments=10),
            *wheels(-0.08, 0.26, 0.12, 0.10),
            *wheels(0.68 * length, 0.07, 0.10, 0.06),
            slab((-0.12, -0.04), 0.2, (0.12, deck), METAL),
            slab((0.66 * length, 0.70 * length), 0.03, (0.10, deck), METAL),
        ]
    )  # fmt: skip


def _wing(front: float, span: float, sweep: float, root: float, tip: float, z: float, livery: Livery) -> list[Mesh]:
    """Build both wings as one swept block along y, with painted tips."""
    half = 0.045
    inner = [(0.0, root, 0.0), (0.82, root + (tip - root) * 0.82, sweep * 0.82)]
    outer = [(0.82, root + (tip - root) * 0.82, sweep * 0.82), (1.0, tip, sweep)]
    parts = []
    for stations, paint in ((inner, livery.body), (outer, livery.trim)):
        # Blocks run along x: build with the span as x, then turn it to either side.
        lofted = [(at * span, chord / 2, chord / 2, -half, half) for at, chord, _ in stations]
        for side in (-1, 1):
            mesh = block(lofted, paint, chamfer=0.0).rotated(side * np.pi / 2, axis=2)
            shear = np.abs(mesh.corners[..., 1]) * (sweep / span) + root / 2 - 0.18
            corners = mesh.corners.copy()
            corners[..., 0] += front - shear
            parts.append(Mesh(corners, mesh.normals, mesh.colours).moved(z=z))
    return parts


def _fin(length: float, deck: float, radius: float) -> list[Mesh]:
    """Build the red tail: an upright fin and the two tailplanes."""
    fin = block([(-length - 0.04, 0.035, 0.035, 0.05, 0.66), (-length + 0.22, 0.035, 0.035, 0.05, 0.62),
                 (-length + 0.50, 0.035, 0.035, 0.05, 0.20)], TAIL, chamfer=0.0)  # fmt: skip
    tailplane = block([(-length, 0.46, 0.46, 0.06, 0.12), (-length + 0.16, 0.46, 0.46, 0.06, 0.12),
                       (-length + 0.32, 0.12, 0.12, 0.06, 0.12)], TAIL, chamfer=0.0)  # fmt: skip
    return [fin.moved(z=deck), tailplane.moved(z=deck)]


def helicopter(livery: Livery) -> Mesh:
    """Build a helicopter: a glazed round cabin, a thin boom with a red tail, a rotor overhead."""
    body, boom = livery.between(0.40, 0.46), livery.between(1.15, 1.30)
    rotor, blades, phase = livery.between(0.90, 1.02), livery.count(3, 5), livery.between(0.0, 2.0)
    centre = 0.26 + body * 0.9
    top = centre + body * 0.9
    blade = slab((0.0, rotor), 0.055, (-0.015, 0.015), DARK)
    skids = [box((-0.45, 0.55), (side * 0.36 - 0.04, side * 0.36 + 0.04), (0.0, 0.06), METAL) for side in (-1, 1)]
    struts = [slab((x, x + 0.07), 0.36, (0.05, 0.24), METAL) for x in (-0.28, 0.26)]
    return join(
        [
            ellipsoid((0.08, 0.0, centre), (0.66, body, body * 0.9), livery.body),
            ellipsoid((0.34, 0.0, centre + 0.03), (0.46, body * 0.93, body * 0.80), WINDSCREEN),
            cylinder((0.74, 0.0, centre - 0.17), 0.12, 0.18, LAMP, axis=0, segments=10),
            tube([(-boom, 0.05, 0.05, 0.10), (-0.45, 0.13, 0.13, 0.05), (-0.2, 0.2, 0.2, 0.0)],
                 livery.body, axis=0, segments=8).moved(z=centre + 0.05),
            slab((-0.40, 0.12), 0.20, (top - 0.10, top + 0.07), livery.trim),
            block([(-boom - 0.16, 0.035, 0.035, 0.05, 0.52), (-boom + 0.08, 0.035, 0.035, -0.06, 0.40),
                   (-boom + 0.24, 0.035, 0.035, 0.0, 0.14)], TAIL, chamfer=0.0).moved(z=centre + 0.10),
            slab((-boom - 0.04, -boom + 0.14), 0.34, (centre + 0.12, centre + 0.18), TAIL),
            cylinder((0.0, 0.0, top + 0.12), 0.06, 0.24, METAL, axis=2, segments=8),
            *[blade.rotated(phase + 2 * np.pi * i / blades, axis=2).moved(z=top + 0.24) for i in range(blades)],
            *skids,
            *struts,
        ]
    )  # fmt: skip


def boat(livery: Livery) -> Mesh:
    """Build a tug: a pointed hull, a wheelhouse set back, a funnel and a red stern."""
    length, beam = livery.between(1.20, 1.36), livery.between(0.48, 0.56)
    deck, house = livery.between(0.42, 0.50), livery.between(0.42, 0.56)
    hull = [(-length, 0.6 * beam, 0.88 * beam, 0.02, deck), (-0.4, 0.74 * beam, beam, 0.0, deck),
            (0.35 * length, 0.66 * beam, 0.94 * beam, 0.0, deck + 0.03),
            (0.72 * length, 0.32 * beam, 0.60 * beam, 0.04, deck + 0.12),
            (length, 0.02, 0.06, 0.16, deck + 0.24)]  # fmt: skip
    planks = [(x, high - 0.08, high - 0.08, top - 0.02, top + 0.02) for x, _, high, _, top in hull[:-1]]
    return join(
        [
            block(hull[:4], livery.body, chamfer=0.0),
            block(hull[3:], LAMP, chamfer=0.0),
            block([*planks, (length - 0.14, 0.04, 0.04, deck + 0.20, deck + 0.26)], (0.93, 0.78, 0.55), chamfer=0.0),
            block([(-0.62, 0.60 * beam, 0.58 * beam, deck, deck + house),
                   (0.22, 0.60 * beam, 0.56 * beam, deck, deck + house)], (0.97, 0.97, 0.97)),
            slab((-0.50, 0.10), 0.61 * beam, (deck + 0.42 * house, deck + 0.80 * house), GLASS),
            slab((0.14, 0.25), 0.52 * beam, (deck + 0.38 * house, deck + 0.84 * house), WINDSCREEN),
            prism((-0.70, 0.32), (0.66 * beam, 0.62 * beam), (deck + house, deck + house + 0.07), livery.trim),
            cylinder((-0.36, 0.0, deck + house + 0.22), 0.13, 0.40, livery.body, axis=2, segments=10),
            cylinder((-0.36, 0.0, deck + house + 0.44), 0.135, 0.12, DARK, axis=2, segments=10),
            slab((-length - 0.04, -length + 0.18), 0.91 * beam, (0.12, deck + 0.10), TAIL),
            cylinder((0.56 * length, 0.0, deck + 0.26), 0.12, 0.34, LAMP, axis=2, segments=10),
            slab((length - 0.12, length + 0.05), 0.09, (deck + 0.06, deck + 0.28), LAMP),
        ]
    )  # fmt: skip


def tractor(livery: Livery) -> Mesh:
    """Build a farm tractor: huge rear wheels under the cab, a long narrow bonnet in front."""
    length, rear = livery.between(0.92, 1.02), livery.between(0.44, 0.50)
    cab, small = livery.between(1.22, 1.36), livery.between(0.22, 0.26)
    hub = livery.trim
    return join(
        [
            block([(-0.15, 0.26, 0.22, 0.36, 0.82), (length - 0.05, 0.25, 0.20, 0.36, 0.74),
                   (length, 0.22, 0.16, 0.38, 0.68)],
                  livery.body),
            slab((length - 0.08, length + 0.04), 0.24, (0.46, 0.70), LAMP),
            slab((-0.86, -0.1), 0.30, (0.30, 0.72), livery.body),
            prism((-0.80, -0.28), (0.30, 0.28), (0.70, cab), GLASS),
            block([(-0.28, 0.305, 0.285, 0.70, cab), (-0.10, 0.305, 0.30, 0.70, 0.74)], WINDSCREEN, chamfer=0.0),
            prism((-0.90, -0.20), (0.36, 0.32), (cab, cab + 0.09), livery.body),
            slab((-0.98, -0.80), 0.32, (0.34, 0.86), TAIL),
            cylinder((0.42, 0.16, 0.98), 0.05, 0.44, METAL, axis=2, segments=8),
            *wheels(-0.52, 0.66, rear, 0.28, hub),
            *wheels(length - 0.28, 0.50, small, 0.18, hub),
            slab((-0.58, -0.46), 0.5, (rear - 0.06, rear + 0.06), RUBBER),
            slab((length - 0.34, length - 0.22), 0.4, (small - 0.04, small + 0.04), RUBBER),
        ]
    )  # fmt: skip
