"""Pictures: what files of all kinds show, how they are framed, why some are refused, encodings, and grids."""

import io
import pickle
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms, ImageFile

from diffusegae.formats import ImageError
from diffusegae.images import (
    Encoding,
    Framing,
    Resize,
    decode_batch,
    decode_image,
    encode_image,
    label_grid,
    make_grid,
    open_image,
    to_picture,
)
from tests.picture_files import FILES, HEIGHT, PIXELS, WIDTH, PictureFile, cut_outs, saved
from tests.serve.hostile_pictures import idat, png, progressive


def make_pixels(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_png_is_lossless() -> None:
    pixels = make_pixels(32, 32)
    assert np.array_equal(decode_image(encode_image(pixels, "png")), pixels)


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_lossy_encodings_are_what_they_say_and_near(encoding: Encoding) -> None:
    pixels = np.full((32, 32, 3), (200, 60, 90), np.uint8)
    data = encode_image(pixels, encoding, quality=95)
    assert Image.open(io.BytesIO(data)).format == encoding.upper()
    assert np.abs(decode_image(data).astype(int) - pixels).max() < 8


def test_decoding_crops_the_centre_and_resizes() -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:12] = 200
    assert np.all(decode_image(encode_image(pixels), size=4) == 200)
    assert np.all(decode_image(encode_image(pixels.transpose(1, 0, 2).copy()), size=4) == 200)


def test_decoding_at_the_right_size_changes_nothing() -> None:
    pixels = make_pixels(16, 16)
    assert np.array_equal(decode_image(encode_image(pixels), size=16), pixels)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_pictures_as_people_have_them_show_what_they_show(file: PictureFile) -> None:
    pixels = decode_image(file.data)
    assert pixels.shape == file.pixels.shape
    assert np.abs(pixels.astype(int) - file.pixels).max() <= file.tolerance
    middle = file.pixels[:, 4:20]
    assert np.abs(decode_image(file.data, HEIGHT).astype(int) - middle).max() <= file.tolerance


@pytest.mark.parametrize(("one", "other"), [*zip(cut_outs(0), cut_outs(137), strict=True)], ids=lambda file: file.name)
def test_cut_outs_that_look_alike_are_alike(one: PictureFile, other: PictureFile) -> None:
    assert one.data != other.data or "clear" in one.name
    for size in (None, 5, 11, 40):
        assert np.array_equal(decode_image(one.data, size), decode_image(other.data, size))


def test_what_is_transparent_lies_on_the_background() -> None:
    pixels = decode_image(cut_outs()[0].data, framing=Framing(background="#204060"))
    assert np.array_equal(pixels[:, : WIDTH // 2], PIXELS[:, : WIDTH // 2])
    assert (pixels[:, WIDTH // 2 :] == (0x20, 0x40, 0x60)).all()


def test_srgb_itself_is_not_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + b"\0"  # one that was not met yet
    monkeypatch.setattr(ImageCms, "buildTransform", None)
    assert np.array_equal(decode_image(saved(PIXELS, "PNG", icc_profile=profile)), PIXELS)


def test_damaged_exif_data_say_nothing() -> None:
    data = saved(PIXELS, "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert np.array_equal(decode_image(data), PIXELS)


@pytest.mark.parametrize("size", [5, 16, 24, 60])
def test_pad_keeps_all_and_fills_up(size: int) -> None:
    framing = Framing("pad", "#204060")
    for pixels in (PIXELS, PIXELS.transpose(1, 0, 2).copy()):
        square = decode_image(saved(pixels, "PNG"), size, framing)
        square = square if pixels.shape[1] == WIDTH else square.transpose(1, 0, 2)
        inside = round(HEIGHT * size / WIDTH)
        above = (size - inside) // 2
        expected = np.array(Image.fromarray(pixels).resize((size, inside) if pixels is PIXELS else (inside, size), 1))
        expected = expected if pixels is PIXELS else expected.transpose(1, 0, 2)
        assert np.array_equal(square[above : above + inside], expected)
        assert (np.delete(square, np.s_[above : above + inside], axis=0) == (0x20, 0x40, 0x60)).all()


def test_a_thread_is_padded_too() -> None:
    assert decode_image(saved(np.zeros((1, 500, 3), np.uint8), "PNG"), 16, Framing("pad")).shape == (16, 16, 3)


def test_stretch_ignores_the_shape() -> None:
    expected = np.array(Image.fromarray(PIXELS).resize((20, 20), Image.Resampling.LANCZOS))
    assert np.array_equal(decode_image(saved(PIXELS, "PNG"), 20, Framing("stretch")), expected)


@pytest.mark.parametrize(("resize", "enlarged"), [("crop", (17, 40)), ("stretch", (17, 40)), ("pad", (25, 40))])
def test_a_picture_of_fewer_pixels_is_enlarged(resize: Resize, enlarged: tuple[int, ...]) -> None:
    framing = Framing(resize)
    assert all(framing.enlarges((WIDTH, HEIGHT), size) for size in enlarged)
    assert not framing.enlarges((WIDTH, HEIGHT), enlarged[0] - 1)


@pytest.mark.parametrize("colour", ["whit", "#12", "#11223344", "rgba(0, 0, 0, 10)"])
def test_a_background_is_an_opaque_colour(colour: str) -> None:
    with pytest.raises(ValueError, match="color|opaque"):
        _ = Framing(background=colour).colour


def test_large_jpegs_are_decoded_smaller_and_look_the_same() -> None:
    photo = np.array(Image.fromarray(make_pixels(60, 80)).resize((1600, 1200), Image.Resampling.BICUBIC))
    data = saved(photo, "JPEG", quality=95)
    with open_image(data) as opened:
        pixels = np.array(to_picture(opened, 64))
        assert opened.size == (400, 300)
    whole = np.array(Image.open(io.BytesIO(data)).crop((200, 0, 1400, 1200)).resize((64, 64), Image.Resampling.LANCZOS))
    difference = np.abs(pixels.astype(int) - whole)
    assert (difference.max(), round(difference.mean())) <= (8, 1)


HEIC = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(100)
REFUSED = {
    "empty": (b"", "image does not decode", "^0 bytes that begin as no picture does; expected one of: PNG, JPEG"),
    "text": (b"no picture", "image does not decode", "^10 bytes that begin as no picture does"),
    "cut PNG": (saved(PIXELS, "PNG")[:600], "image does not decode", r"600 bytes .* as PNG \(.*; re-export"),
    "cut JPEG": (saved(PIXELS, "JPEG")[:700], "image does not decode", r"700 bytes .* as JPEG \(.*truncated"),
    "cut WEBP": (saved(PIXELS, "WEBP")[:200], "image does not decode", "200 bytes that do not decode as WEBP"),
    "a header alone": (b"\xff\xd8\xff\xe0", "image does not decode", r"4 bytes .* as JPEG \(its header is damaged\)"),
    "HEIC": (HEIC, "format not read: HEIC", "^a HEIC file; convert it to one of these: PNG, JPEG"),
    "iPhone's HEIC": (b"\0\0\0\x24ftypheic" + bytes(99), "format not read: HEIC", "a HEIC file"),
    "JPEG 2000": (saved(PIXELS, "JPEG2000"), "format not read: JPEG 2000", "a JPEG 2000 file"),
    "a page": (b"\n<!DOCTYPE html><p>404", "format not read: HTML", "a HTML file"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1", "format not read: Git LFS pointer", "LFS"),
    "32 bits": (
        saved(Image.new("F", (4, 4)), "TIFF"), "format not read: 32 bits per channel", "whose range is unknown",
    ),
    "bomb": (png(idat(), width=30_000, height=30_000), "image of too many pixels", "far too many pixels; expected at"),
    "scans": (progressive(16, 100), "image does not decode", "more than 64 scans"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "reason", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_read_has_a_reason_that_counts(data: bytes, reason: str, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        decode_image(data)
    assert caught.value.reason == reason
    assert " at 0x" not in str(caught.value)
    assert (copied := pickle.loads(pickle.dumps(caught.value))).reason == reason
    assert str(copied) == str(caught.value)


def test_pixels_are_counted_by_the_header() -> None:
    with (
        pytest.raises(ImageError, match="24 x 16 pixels; expected at most 383") as caught,
        open_image(saved(PIXELS, "PNG"), max_pixels=383),
    ):
        pass
    assert caught.value.reason == "image of too many pixels"


def test_lack_of_memory_is_no_fault_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(PIXELS, "PNG")
    monkeypatch.setattr(ImageFile.ImageFile, "load", _exhaust)
    with pytest.raises(MemoryError):
        decode_image(data)


def _exhaust(image: Image.Image) -> None:
    raise MemoryError


def test_pictures_need_no_torch() -> None:
    program = "import sys, diffusegae.images, diffusegae.config.data; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_batches_are_decoded_in_order() -> None:
    pixels = np.stack([make_pixels(8, 8, seed) for seed in range(5)])
    assert np.array_equal(decode_batch([encode_image(picture) for picture in pixels], size=8), pixels)


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_any_number_of_threads_decodes_the_same(threads: int) -> None:
    encoded = [encode_image(make_pixels(16, 16, seed), "jpeg") for seed in range(5)]
    assert np.array_equal(decode_batch(encoded, 16, threads), decode_batch(encoded, 16))
    assert decode_batch([], 16, threads).shape == (0, 16, 16, 3)


def test_a_bad_image_of_a_batch_is_told_from_any_thread() -> None:
    encoded = [encode_image(make_pixels(16, 16, seed), "jpeg") for seed in range(4)]
    with pytest.raises(ValueError, match="JPEG"):
        decode_batch([*encoded, encoded[0][:300]], 16, threads=2)


@pytest.mark.parametrize(
    "options",
    [{}, {"quality": 30}, {"progressive": True}, {"subsampling": 0}, {"comment": "a note"}, {"dpi": (72, 72)},
     {"restart_marker_rows": 1}, {"keep_rgb": True}],
    ids=str,
)  # fmt: skip
def test_every_jpeg_is_decoded_as_pillow_decodes_it(options: dict[str, object]) -> None:
    smooth = Image.fromarray(make_pixels(6, 6)).resize((48, 48))
    buffer = io.BytesIO()
    smooth.save(buffer, format="JPEG", **options)
    data = buffer.getvalue()
    assert np.array_equal(decode_batch([data], 48)[0], np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("size", [(20, 16), (16, 20), (8, 8), (64, 64)])
@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_a_picture_of_another_size_is_refused(size: tuple[int, int], encoding: Encoding) -> None:
    with pytest.raises(ValueError, match=r"among pictures of|could not broadcast|too small"):
        decode_batch([encode_image(make_pixels(*size), encoding)], 16)


def test_grid_holds_each_picture_in_its_place() -> None:
    pixels = np.stack([np.full((4, 4, 3), level, np.uint8) for level in (10, 20, 30)])
    grid = make_grid(pixels, columns=2, scale=2, gap=1)
    assert grid.shape == (1 + 2 * 9, 1 + 2 * 9, 3)
    assert np.all(grid[1:9, 1:9] == 10)
    assert np.all(grid[1:9, 10:18] == 20)
    assert np.all(grid[10:18, 1:9] == 30)
    assert np.all(grid[10:18, 10:18] == 255)


def test_captions_stand_above_an_unchanged_grid() -> None:
    grid = make_grid(np.zeros((2, 40, 40, 3), np.uint8), columns=2)
    labelled = label_grid(grid, ["left", "right"], title="two")
    assert labelled.shape[1] == grid.shape[1]
    band = labelled.shape[0] - grid.shape[0]
    assert np.array_equal(labelled[band:], grid)
    assert labelled[:band].min() < 128


def test_a_long_title_takes_more_lines() -> None:
    grid = make_grid(np.zeros((2, 40, 40, 3), np.uint8), columns=2)
    one, many = (label_grid(grid, [], title=" ".join(["words"] * count)) for count in (1, 12))
    assert many.shape[0] >= one.shape[0] + 3 * 18
    assert many.shape[1] == grid.shape[1]
    assert (many[: many.shape[0] - one.shape[0], :, 0] < 128).any(axis=1).sum() > 20
