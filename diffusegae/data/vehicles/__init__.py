"""Toy vehicles: a renderer of labelled pictures that needs no download."""

from diffusegae.data.vehicles.render import Look, VehicleWorld
from diffusegae.data.vehicles.shapes import KINDS

__all__ = ["KINDS", "Look", "VehicleWorld"]
