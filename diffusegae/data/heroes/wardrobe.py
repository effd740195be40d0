"""The wardrobe: which layers each value of an attribute puts on a hero.

Boots follow the legs and gloves the chest, of the same family: alone they are a few pixels. Whole suits are left out
(`steel_armor`, `leather_armor`, `clothes`): a chest that reaches down to the feet hides the legs.
"""

from collections.abc import Collection, Mapping

BODIES = ("male", "female")
_HAIR = {"male": "head_short", "female": "head_long"}  # the hero without a head-dress

# Attribute, value, part of the body: name of the layer.
WARDROBE: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "chest": {
        chest: {"chest": chest, "hands": hands}
        for chest, hands in (
            ("default_chest", "default_hands"),
            ("cloth_shirt", "cloth_gloves"),
            ("leather_chest", "leather_gloves"),
            ("chain_cuirass", "chain_gloves"),
            ("plate_cuirass", "plate_gauntlets"),
            ("mage_vest", "mage_sleeves"),
            ("mage_vest_alt1", "mage_sleeves_alt1"),
            ("mage_vest_alt2", "mage_sleeves_alt2"),
        )
    },
    "legs": {
        legs: {"legs": legs, "feet": feet}
        for legs, feet in (
            ("default_legs", "default_feet"),
            ("cloth_pants", "cloth_sandals"),
            ("leather_pants", "leather_boots"),
            ("chain_greaves", "chain_boots"),
            ("plate_greaves", "plate_boots"),
            ("mage_skirt", "mage_boots"),
            ("mage_skirt_alt1", "mage_boots_alt1"),
            ("mage_skirt_alt2", "mage_boots_alt2"),
        )
    },
    "head": {
        head: {"head": head}
        for head in ("hair", "leather_hood", "chain_coif", "plate_helm", "mage_hood", "mage_hood_alt1",
                     "mage_hood_alt2")
    },
    "main_hand": {
        arm: {"main": arm}
        for arm in ("dagger", "shortsword", "longsword", "greatsword", "zweihander", "wand", "rod", "staff",
                    "greatstaff", "club", "reinforced_club", "mace", "hand_axe", "infantry_axe", "battle_axe",
                    "smith_hammer", "war_hammer", "maul", "slingshot", "shortbow", "longbow", "greatbow")
    },
    "off_hand": {"none": {}} | {arm: {"off": arm} for arm in ("buckler", "iron_buckler", "shield")},
}  # fmt: skip


def layers_of(attribute: str, value: str, body: str) -> dict[str, str]:
    """Return the layers of a value on a body: part to name."""
    layers = WARDROBE[attribute][value]
    return {part: _HAIR[body] if name == "hair" else name for part, name in layers.items()}


def values_there(attribute: str, there: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return the values whose layers all bodies have; `there` holds the names of the layers of each."""
    return tuple(
        value
        for value in WARDROBE[attribute]
        if all(set(layers_of(attribute, value, body).values()) <= set(names) for body, names in there.items())
    )
