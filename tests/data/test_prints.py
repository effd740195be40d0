"""Prints: equal for equal bytes, nearly so after light changes, and apart for other pictures."""

import io

import numpy as np
from PIL import Image, ImageEnhance

from diffusegae.data.prints import Prints, make_prints, reduce_picture, same_colours
from diffusegae.images import encode_image


def scene(seed: int, size: int = 64) -> Image.Image:
    """Paint coloured blots that no two seeds share."""
    generator = np.random.default_rng(seed)
    small = Image.fromarray(generator.integers(0, 256, (5, 5, 3), np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


def prints(*pictures: Image.Image) -> Prints:
    return make_prints([encode_image(each) for each in pictures], [reduce_picture(each) for each in pictures])


def compressed(picture: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encode_image(picture, "jpeg", quality))).convert("RGB")


def test_light_changes_move_few_bits_and_no_colour() -> None:
    picture = scene(0)
    resized = picture.resize((40, 40)).resize((64, 64))
    changed = [compressed(picture, 60), resized, ImageEnhance.Brightness(picture).enhance(1.03)]
    found = prints(picture, *changed)
    assert len(set(found.copy.tolist())) == 4
    assert np.bitwise_count(found.outline[1:] ^ found.outline[0]).max() <= 3
    assert same_colours(found.colours[1:], found.colours[:1].repeat(3)).all()


def test_other_pictures_are_apart() -> None:
    found = prints(*(scene(seed) for seed in range(30)))
    first, second = np.triu_indices(30, 1)
    assert np.bitwise_count(found.outline[first] ^ found.outline[second]).min() > 3
    assert not same_colours(found.colours[first], found.colours[second]).any()
    red, blue = prints(Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")).colours
    assert not same_colours(np.array([red]), np.array([blue])).any()


def test_noise_of_even_ground_has_no_outline() -> None:
    noise = np.random.default_rng(0).integers(126, 130, (64, 64, 3), np.uint8)
    assert prints(Image.fromarray(noise)).outline.tolist() == [0]


def test_what_is_written_is_read_in_its_order() -> None:
    some, others = prints(scene(0), scene(1)), prints(scene(2))
    joined = Prints.join([some.to_bytes(), others.to_bytes()])
    assert joined.outline.tolist() == [*some.outline.tolist(), *others.outline.tolist()]
    assert joined.take(np.array([2, 0])).copy.tolist() == [others.copy[0], some.copy[0]]
