"""The vehicle kinds in order, and one instance of a kind as a mesh."""

from collections.abc import Callable

from diffusegae.data.vehicles import craft, road, works
from diffusegae.data.vehicles.livery import Livery, draw_livery
from diffusegae.data.vehicles.solids import Mesh

_BUILDERS: dict[str, Callable[[Livery], Mesh]] = {
    "car": road.car,
    "van": road.van,
    "bus": road.bus,
    "pickup": road.pickup,
    "semi": road.semi,
    "tank": craft.tank,
    "train": craft.train,
    "plane": craft.plane,
    "helicopter": craft.helicopter,
    "boat": craft.boat,
    "f1car": road.f1car,
    "tractor": craft.tractor,
    "motorbike": works.motorbike,
    "excavator": works.excavator,
    "forklift": works.forklift,
    "tram": works.tram,
    "airship": works.airship,
    "submarine": works.submarine,
    "sailboat": works.sailboat,
    "rocket_car": works.rocket_car,
}

KINDS: tuple[str, ...] = tuple(_BUILDERS)


def build_vehicle(kind: int, instance: int, seed: int) -> Mesh:
    """Build an instance facing +x and standing on z = 0; the same arguments give the same mesh."""
    return _BUILDERS[KINDS[kind]](draw_livery(kind, instance, seed))
