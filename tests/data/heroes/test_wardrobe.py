"""The wardrobe: what each value puts on, and which values a folder has."""

from diffusegae.data.heroes.wardrobe import WARDROBE, layers_of, values_there


def test_gloves_follow_the_chest_and_boots_the_legs() -> None:
    assert layers_of("chest", "plate_cuirass", "male") == {"chest": "plate_cuirass", "hands": "plate_gauntlets"}
    assert layers_of("legs", "mage_skirt_alt1", "female") == {"legs": "mage_skirt_alt1", "feet": "mage_boots_alt1"}


def test_hair_is_that_of_the_body() -> None:
    assert [layers_of("head", "hair", body) for body in ("male", "female")] == [
        {"head": "head_short"},
        {"head": "head_long"},
    ]


def test_no_two_attributes_dress_the_same_part() -> None:
    parts = {a: {part for layers in values.values() for part in layers} for a, values in WARDROBE.items()}
    every = [part for own in parts.values() for part in own]
    assert len(every) == len(set(every)) == 7


def test_a_value_is_there_if_every_body_has_all_its_layers() -> None:
    there = {"male": {"cloth_shirt", "cloth_gloves", "default_chest"}, "female": {"cloth_shirt", "cloth_gloves"}}
    assert values_there("chest", there) == ("cloth_shirt",)
    assert values_there("chest", {"male": there["male"] | {"default_hands"}}) == ("default_chest", "cloth_shirt")
    assert values_there("off_hand", there) == ("none",)
