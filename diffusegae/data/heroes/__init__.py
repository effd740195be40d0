"""Heroes: the layered figures of the game Flare, composed for any combination of body, clothes, arms and ground."""

from diffusegae.data.heroes.world import HERO_COLUMNS, HeroWorld, open_world

__all__ = ["HERO_COLUMNS", "HeroWorld", "open_world"]
