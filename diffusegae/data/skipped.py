"""What ingest left out: the list beside a data set, its reasons, and the share from which on it is too much."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from diffusegae import storage
from diffusegae.data.records import NOT_A_PICTURE, Skipped, SourceError, to_lines

SKIPPED = "skipped.jsonl"
_EXAMPLES = 5  # kept of each reason
_SHOWN = 4  # reasons that an error names


class SkippedError(SourceError):
    """A source of which more could not be used than `data.max_skipped` allows."""


class Reason(BaseModel):
    """Why files were left out, how many, and some of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    count: int
    examples: tuple[Skipped, ...] = Field(description="The first ones.")


def write_skipped(root: str, listed_uri: str, skipped: Iterable[Skipped]) -> dict[str, int]:
    """Write SKIPPED: all that the listing below `listed_uri` left out, and some more; return the number per reason."""
    listed = storage.list_files(listed_uri, ".jsonl")
    lines = [line for path in listed for line in storage.read_bytes(path).splitlines()] + to_lines(skipped)
    storage.write_bytes(storage.join(root, SKIPPED), b"".join(line + b"\n" for line in lines))
    return {reason.reason: reason.count for reason in _tally(lines)}


def read_reasons(root: str) -> tuple[Reason, ...]:
    """Read what SKIPPED lists, the most frequent reason first; nothing where it is not there."""
    path = storage.join(root, SKIPPED)
    return _tally(storage.read_bytes(path).splitlines()) if storage.exists(path) else ()


def require_few(skipped: Mapping[str, int], num_rows: int, max_percent: float, root: str) -> None:
    """Check the share of what was left out, of that and the rows; what is no picture by its name is not missed.

    Raises:
        SkippedError: names the share, the reasons with an example of each, and the remedies.
    """
    count = sum(number for reason, number in skipped.items() if reason != NOT_A_PICTURE)
    percent = 100 * count / max(1, count + num_rows)
    if percent <= max_percent:
        return
    told = [f"{each.count:,} {each.reason} (as {_name(each.examples[0])})" for each in read_reasons(root)]
    told = [*told[:_SHOWN], *(["…"] if len(told) > _SHOWN else [])]
    raise SkippedError(
        f"{percent:.3g}% of the source can't be used, {count:,} of {count + num_rows:,}, and data.max_skipped allows"
        f" {max_percent:g}%: {'; '.join(told)}. All are listed in"
        f" {storage.join(root, SKIPPED)}. Mend their rows or files and give the same command again; or set"
        f" data.max_skipped={math.ceil(percent)} to train on the rest, which is kept and not read again"
    )


def _tally(lines: Sequence[bytes]) -> tuple[Reason, ...]:
    counts: dict[str, int] = {}
    examples: dict[str, list[Skipped]] = {}
    for line in lines:
        item = Skipped(**json.loads(line))
        counts[item.reason] = counts.get(item.reason, 0) + 1
        if counts[item.reason] <= _EXAMPLES:
            examples.setdefault(item.reason, []).append(item)
    ordered = sorted(counts, key=lambda reason: -counts[reason])
    return tuple(Reason(reason=name, count=counts[name], examples=tuple(examples[name])) for name in ordered)


def _name(item: Skipped) -> str:
    return f"{item.path}: {item.detail}" if item.detail else item.path
