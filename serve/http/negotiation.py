"""Content negotiation: the form of an answer by the client's Accept header (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from serve.problems import Problem, shown

RANGE = re.compile(r"\s*([\w!#$&^.+*-]+)/([\w!#$&^.+*-]+)\s*((?:;[^,]*)?)$")
QUALITY = re.compile(r"0(?:\.\d{0,3})?|1(?:\.0{0,3})?")
MAX_LENGTH = 4096  # of a header that is worth reading


@dataclass(frozen=True)
class MediaRange:
    """One element of an Accept header."""

    main: str
    sub: str
    quality: float

    def specificity(self, media_type: str) -> int:
        """Return how closely it names a media type: 3 exactly, 2 type/*, 1 */*, 0 not at all."""
        main, sub = media_type.split("/")
        if (self.main, self.sub) == (main, sub):
            return 3
        if self.sub == "*" and self.main in (main, "*"):
            return 1 if self.main == "*" else 2
        return 0


def negotiate(accept: str | None, offers: Sequence[str]) -> str:
    """Return the offered media type that the client likes best; among equals one that it names, then the first.

    Raises:
        Problem: 406 if it accepts none of them.
    """
    if accept is None or not accept.strip():
        return offers[0]
    ranges = _parse(accept)
    ranked = [(*_liking(ranges, offer), -index, offer) for index, offer in enumerate(offers)]
    quality, _, _, best = max(ranked)
    if quality == 0:
        detail = f"Accept: {shown(accept)}; this request is answered as {', '.join(offers)}, so accept one of these"
        raise Problem(406, "Not acceptable", detail)
    return best


def _liking(ranges: Sequence[MediaRange], offer: str) -> tuple[float, int]:
    """Return the quality of the range that names the offer most closely, and how closely that is."""
    found = [(each.specificity(offer), each.quality) for each in ranges]
    specificity, quality = max(found, default=(0, 0.0))
    return (quality if specificity else 0.0), specificity


def _parse(accept: str) -> list[MediaRange]:
    ranges = []
    for element in accept[:MAX_LENGTH].split(","):
        match = RANGE.match(element)
        if match is None:
            continue
        quality, is_plain = 1.0, True
        for parameter in match[3].split(";")[1:]:
            name, _, value = (part.strip().lower() for part in parameter.partition("="))
            if name == "q":
                quality = float(value) if QUALITY.fullmatch(value) else 0.0
                break
            is_plain = is_plain and name in ("", "charset")
        if is_plain:  # none of our media types has other parameters
            ranges.append(MediaRange(match[1].lower(), match[2].lower(), quality))
    return ranges
