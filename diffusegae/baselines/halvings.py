"""How often a picture's side can be halved: what strided convolutions ask of the image size, checked once."""


class ImageSizeError(ValueError):
    """An image size that a network's strided convolutions can't halve as often as its config asks."""


def halved(image_size: int, times: int, setting: str, smallest: int = 1) -> int:
    """Return the side after so many halvings, which `setting` asks for; ImageSizeError if it does not come out."""
    side = image_size >> times
    if side >= smallest and side << times == image_size:
        return side
    fitting = 0
    while image_size % 2 ** (fitting + 1) == 0 and image_size >> (fitting + 1) >= smallest:
        fitting += 1
    raise ImageSizeError(
        f"{setting} halves the image {times} times, but model.image_size is {image_size}; expected a multiple of"
        f" {2**times} that leaves at least {smallest} px. Set at most {fitting} there, or another image size"
    )
