"""The vehicles of the road as coloured solids facing +x: car, van, bus, pickup, semi, f1car."""

from diffusegae.data.vehicles.livery import DARK, GLASS, LAMP, METAL, RUBBER, TAIL, WINDSCREEN, Livery
from diffusegae.data.vehicles.solids import Colour, Mesh, block, box, cylinder, join, prism, slab


def wheels(x: float, y: float, radius: float, width: float, hub: Colour = METAL) -> list[Mesh]:
    """Build a pair of wheels at `x`, their outer faces at plus and minus `y`."""
    parts = []
    for side in (-1, 1):
        centre = side * (y - width / 2)
        parts.append(cylinder((x, centre, radius), radius, width, RUBBER, axis=1))
        parts.append(cylinder((x, centre + side * 0.012, radius), radius * 0.52, width, hub, axis=1, segments=8))
    return parts


def ends(rear: float, front: float, half_width: float, low: float, high: float) -> list[Mesh]:
    """Wrap a red band around the tail and a pale lamp band around the nose of a body."""
    grille = low + 0.3 * (high - low)
    sides = (-half_width - 0.015, half_width + 0.015)
    return [
        box((rear - 0.035, rear + 0.18), sides, (low, high), TAIL),
        box((front - 0.15, front + 0.035), sides, (grille, high), LAMP),
        box((front - 0.15, front + 0.045), sides, (low, grille), DARK),
    ]


def car(livery: Livery) -> Mesh:
    """Build a saloon: long bonnet, cabin set back, sloping windscreen."""
    length, width = livery.between(0.95, 1.12), livery.between(0.46, 0.53)
    roof, cabin = livery.between(0.84, 0.98), livery.between(-0.08, 0.06)
    radius = livery.between(0.18, 0.22)
    waist, inner = 0.54, width - 0.05
    back, front = -0.72 * length + cabin, 0.42 * length + cabin
    hood = [(-length, width, width - 0.03, 0.16, waist), (0.35, width, width - 0.02, 0.16, waist)]
    hood += [(length - 0.08, width, width - 0.06, 0.16, 0.43), (length, width - 0.04, width - 0.10, 0.18, 0.38)]
    roofline = [(back + 0.22, inner - 0.05, inner - 0.08, roof - 0.03, roof + 0.04)]
    roofline += [(front - 0.36, inner - 0.05, inner - 0.08, roof - 0.03, roof + 0.04)]
    return join(
        [
            block(hood, livery.body),
            block([(back, inner, inner, waist - 0.02, waist), (back + 0.2, inner, inner - 0.08, waist - 0.02, roof),
                   (front - 0.4, inner, inner - 0.08, waist - 0.02, roof)], GLASS),
            block([(front - 0.4, inner + 0.005, inner - 0.075, waist - 0.02, roof),
                   (front, inner + 0.005, inner, waist - 0.02, waist)], WINDSCREEN, chamfer=0.0),
            block(roofline, livery.body),
            *ends(-length, length, width - 0.02, 0.20, 0.44),
            *wheels(-0.58 * length, width + 0.02, radius, 0.15),
            *wheels(0.58 * length, width + 0.02, radius, 0.15),
        ]
    )  # fmt: skip


def van(livery: Livery) -> Mesh:
    """Build a delivery van: a tall closed box with a short sloping nose."""
    length, width = livery.between(0.98, 1.12), livery.between(0.48, 0.55)
    roof, nose = livery.between(1.12, 1.30), livery.between(0.30, 0.38)
    split = length - nose
    stripe = livery.between(0.55, 0.68)
    return join(
        [
            prism((-length, split - 0.14), (width, width - 0.03), (0.16, roof), livery.body, chamfer=0.06),
            block([(split - 0.14, width, width, 0.16, 0.64), (length - 0.04, width, width - 0.05, 0.16, 0.52),
                   (length, width, width - 0.08, 0.18, 0.46)], livery.body),
            block([(split - 0.14, width, width - 0.035, 0.62, roof - 0.01),
                   (length - 0.12, width - 0.03, width - 0.07, 0.54, 0.58)], WINDSCREEN, chamfer=0.0),
            slab((-length + 0.2, split - 0.3), width + 0.012, (stripe, stripe + 0.22), livery.trim),
            slab((-length + 0.25, split - 0.3), width - 0.2, (roof, roof + 0.05), livery.trim),
            *ends(-length, length, width - 0.01, 0.20, 0.46),
            slab((-length - 0.03, -length + 0.16), width + 0.01, (0.5, roof - 0.05), TAIL),
            *wheels(-0.60 * length, width + 0.02, 0.20, 0.16),
            *wheels(0.60 * length, width + 0.02, 0.20, 0.16),
        ]
    )  # fmt: skip


def bus(livery: Livery) -> Mesh:
    """Build a coach: one long box with a band of windows and a flat front."""
    length, width = livery.between(1.32, 1.50), livery.between(0.46, 0.52)
    roof, windows = livery.between(1.06, 1.22), livery.count(4, 6)
    sill, lintel = roof - 0.46, roof - 0.14
    pitch = (2 * length - 0.36) / windows
    panes = [
        box((-length + 0.18 + i * pitch, -length + 0.12 + (i + 1) * pitch), (-width - 0.012, width + 0.012),
            (sill, lintel), GLASS)
        for i in range(windows)
    ]  # fmt: skip
    return join(
        [
            prism((-length, length), (width, width - 0.02), (0.15, roof), livery.body, chamfer=0.05),
            *panes,
            slab((-length + 0.06, length - 0.06), width + 0.008, (0.30, 0.40), livery.trim),
            slab((length - 0.24, length + 0.03), width + 0.014, (sill - 0.08, lintel + 0.06), WINDSCREEN),
            slab((-length + 0.35, -length + 0.8), width - 0.15, (roof, roof + 0.07), livery.trim),
            slab((length - 0.7, length - 0.35), width - 0.15, (roof, roof + 0.05), livery.trim),
            *ends(-length, length, width, 0.17, 0.50),
            slab((-length - 0.03, -length + 0.17), width + 0.014, (0.40, roof - 0.04), TAIL),
            *wheels(-0.62 * length, width + 0.02, 0.19, 0.14),
            *wheels(0.62 * length, width + 0.02, 0.19, 0.14),
        ]
    )  # fmt: skip


def pickup(livery: Livery) -> Mesh:
    """Build a pickup: cab in front of an open bed that carries a load."""
    length, width = livery.between(1.08, 1.22), livery.between(0.48, 0.54)
    roof, waist = livery.between(0.98, 1.10), 0.58
    bed = -0.05 * length
    inner = width - 0.04
    load_height, loads = livery.between(0.10, 0.34), livery.count(1, 3)
    pitch = (bed + length - 0.3) / loads
    cargo = [
        box((-length + 0.18 + i * pitch, -length + 0.12 + (i + 1) * pitch), (-width + 0.12, width - 0.12),
            (0.40, 0.44 + load_height), livery.paint())
        for i in range(loads)
    ]  # fmt: skip
    return join(
        [
            slab((-length, bed + 0.02), width - 0.04, (0.23, 0.40), DARK),
            box((-length, bed), (width - 0.08, width), (0.22, waist + 0.04), livery.body),
            box((-length, bed), (-width, -width + 0.08), (0.22, waist + 0.04), livery.body),
            block([(bed, width, width - 0.02, 0.22, waist), (length - 0.06, width, width - 0.05, 0.22, 0.54),
                   (length, width - 0.03, width - 0.08, 0.24, 0.50)], livery.body),
            prism((bed, bed + 0.34), (inner, inner - 0.05), (waist, roof), GLASS),
            block([(bed + 0.34, inner + 0.005, inner - 0.045, waist - 0.02, roof),
                   (bed + 0.66, inner + 0.005, inner, waist - 0.02, waist)], WINDSCREEN, chamfer=0.0),
            prism((bed - 0.03, bed + 0.38), (inner, inner - 0.05), (roof - 0.02, roof + 0.06), livery.body),
            *cargo,
            *ends(-length, length, width - 0.01, 0.24, 0.50),
            slab((-length - 0.03, -length + 0.06), width, (0.24, waist + 0.06), TAIL),
            *wheels(-0.58 * length, width + 0.03, 0.24, 0.18),
            *wheels(0.60 * length, width + 0.03, 0.24, 0.18),
        ]
    )  # fmt: skip


def semi(livery: Livery) -> Mesh:
    """Build an articulated lorry: a short tall tractor, a gap, and a high trailer in the second paint."""
    length, width = livery.between(1.40, 1.56), livery.between(0.44, 0.50)
    roof, cab = livery.between(1.22, 1.36), livery.between(0.95, 1.06)
    back = length - 0.78
    trailer_front = back - 0.16
    return join(
        [
            prism((-length, trailer_front), (width, width), (0.40, roof), livery.trim, 0.04),
            slab((-length + 0.25, trailer_front - 0.2), width + 0.012, (0.62, 1.08), livery.body),
            slab((-length, length - 0.2), 0.22, (0.22, 0.40), DARK),
            prism((back, length - 0.40), (width, width - 0.03), (0.20, cab), livery.body),
            block([(length - 0.42, width, width - 0.03, 0.20, 0.62), (length, width - 0.04, width - 0.08, 0.20, 0.56)],
                  livery.body),
            block([(length - 0.40, width, width - 0.05, 0.60, cab - 0.02), (length - 0.26, width, width, 0.58, 0.62)],
                  WINDSCREEN, chamfer=0.0),
            slab((back + 0.1, length - 0.44), width + 0.012, (0.66, cab - 0.10), GLASS),
            cylinder((back - 0.05, width - 0.05, 0.80), 0.05, 1.05, METAL, axis=2, segments=8),
            cylinder((back - 0.05, -width + 0.05, 0.80), 0.05, 1.05, METAL, axis=2, segments=8),
            *ends(-length, length, width, 0.20, 0.50),
            slab((-length - 0.03, -length + 0.16), width + 0.012, (0.40, roof - 0.06), TAIL),
            *[part for x in (-length + 0.3, -length + 0.72, back + 0.1, length - 0.26)
              for part in wheels(x, width + 0.02, 0.19, 0.14)],
        ]
    )  # fmt: skip


def f1car(livery: Livery) -> Mesh:
    """Build a racing car: open wheels, thin nose, a wing at each end."""
    length, track = livery.between(1.18, 1.32), livery.between(0.56, 0.62)
    wing, pod = livery.between(0.62, 0.74), livery.between(0.32, 0.40)
    return join(
        [
            block([(-length + 0.1, 0.14, 0.10, 0.12, 0.46), (-0.25, 0.18, 0.12, 0.12, 0.58),
                   (0.0, 0.18, 0.14, 0.12, 0.40), (0.5, 0.13, 0.10, 0.14, 0.34),
                   (length - 0.1, 0.07, 0.05, 0.16, 0.24)], livery.body),
            block([(-0.75, 0.16, 0.14, 0.10, 0.30), (-0.45, pod, pod - 0.04, 0.10, 0.36),
                   (0.1, pod, pod - 0.04, 0.10, 0.36), (0.25, pod - 0.08, pod - 0.1, 0.12, 0.30)], livery.trim),
            slab((0.0, 0.16), 0.12, (0.36, 0.47), WINDSCREEN),
            cylinder((-0.10, 0.0, 0.48), 0.10, 0.16, livery.paint(), axis=2, segments=10),
            block([(length - 0.24, track, track, 0.08, 0.15), (length, track - 0.05, track - 0.05, 0.08, 0.15)],
                  LAMP, chamfer=0.0),
            slab((length - 0.16, length + 0.04), 0.075, (0.14, 0.25), LAMP),
            slab((-length - 0.02, -length + 0.26), track - 0.04, (wing, wing + 0.07), TAIL),
            box((-length - 0.02, -length + 0.28), (track - 0.06, track - 0.02), (0.30, wing + 0.09), TAIL),
            box((-length - 0.02, -length + 0.28), (-track + 0.02, -track + 0.06), (0.30, wing + 0.09), TAIL),
            slab((-length + 0.04, -length + 0.14), 0.06, (0.20, wing), DARK),
            slab((-0.70 * length, -0.66 * length), track, (0.22, 0.26), DARK),
            slab((0.56 * length, 0.60 * length), track, (0.18, 0.22), DARK),
            *wheels(-0.68 * length, track + 0.06, 0.26, 0.24, livery.trim),
            *wheels(0.58 * length, track + 0.04, 0.22, 0.20, livery.trim),
        ]
    )  # fmt: skip
