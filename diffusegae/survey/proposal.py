"""The proposal: from a survey to attributes, an image size, a preset and the YAML of a config."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from diffusegae.config.data import NAMED_VALUES
from diffusegae.config.yaml_text import flow_yaml
from diffusegae.data.association import TOO_CLOSE, Association
from diffusegae.data.column import Column
from diffusegae.data.findings import partner_share
from diffusegae.data.sources.listed import ListedConfig
from diffusegae.survey.labels import LabelSurvey
from diffusegae.survey.pictures import PictureSurvey

MAX_ATTRIBUTES = 8  # a GROUP holds one image more than there are attributes
MIN_WIDTH = 6
Z_DIS_WIDTH, HELD_OUT = 100, 20
MANY_VALUES = 100  # of a column that tells another one always: instances of that one, rather than an attribute
# preset, its image size, what it took where it was measured (README, "Presets")
ON_CPU = {False: ("mini", 32, "about 4 minutes of training on two cores"),
          True: ("quick", 32, "about 12 minutes of training on two cores")}  # fmt: skip
ON_GPU = ("fast64", 64, "planned for 12 minutes on an H100, never measured")
FEW_IMAGES = 3000  # below it the smaller preset


class SurveyError(ValueError):
    """A set of pictures of which no model that edits can be trained."""


@dataclass(frozen=True)
class Proposed:
    """An attribute: its column, the column of its instances if it has one, and its width in z_dis."""

    column: Column
    instances: str
    width: int


@dataclass(frozen=True)
class Proposal:
    """What a config would say, and what there is to say about it."""

    attributes: tuple[Proposed, ...]
    preset: str
    image_size: int
    takes: str
    left_out: Mapping[str, str]
    warnings: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """The attributes' names."""
        return [attribute.column.name for attribute in self.attributes]


def propose(labels: LabelSurvey, pictures: PictureSurvey, num_gpus: int) -> Proposal:
    """Choose attributes, preset and size.

    Of two columns of which one always tells the other, that one is taken; if it has MANY_VALUES, it tells the instances
    of the other, by which GROUPs are then formed. Of more than MAX_ATTRIBUTES columns those with the most information
    are taken.

    Raises:
        SurveyError: fewer than two columns can be attributes, or no picture can be read.
    """
    if not pictures.num_read:
        raise SurveyError(f"none of the pictures that were tried can be read: {dict(pictures.problems)}")
    left_out = {column.name: column.problem for column in labels.columns if column.problem}
    usable = [column for column in labels.columns if not column.problem]
    pairs = labels.associations([column.name for column in usable])
    instances = _nest(pairs, usable, left_out)
    kept = [column for column in usable if column.name not in left_out]
    richest = sorted(kept, key=lambda column: -column.bits)[:MAX_ATTRIBUTES]
    for column in kept:
        if column not in richest:
            left_out[column.name] = f"{MAX_ATTRIBUTES} others tell more; add it by hand if you want it"
    kept = [column for column in kept if column in richest]
    if len(kept) < 2:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise SurveyError(
            f"{len(kept)} column(s) can be attributes ({', '.join(column.name for column in kept) or 'none'}), expected"
            f" at least 2, to tell them apart. {reasons or 'There is no other column'}"
        )
    widths = _widths(kept)
    preset, size, takes = ON_GPU if num_gpus else ON_CPU[labels.num_images >= FEW_IMAGES]
    return Proposal(
        attributes=tuple(
            Proposed(column, instances.get(column.name, ""), width) for column, width in zip(kept, widths, strict=True)
        ),
        preset=preset,
        image_size=size,
        takes=takes,
        left_out=left_out,
        warnings=tuple(_warnings(labels, pictures, pairs, [column.name for column in kept], size)),
    )


def _nest(pairs: Sequence[Association], usable: Sequence[Column], left_out: dict[str, str]) -> dict[str, str]:
    """Find the columns that always tell another one; return attribute → column of instances, and leave these out."""
    sizes = {column.name: len(column.values) for column in usable}
    always = [pair for pair in pairs if pair.share == 1]
    instances: dict[str, str] = {}
    for pair in always:
        if sizes[pair.given] == sizes[pair.follows] and pair.given not in left_out:
            left_out.setdefault(pair.follows, f"it says the same as {pair.given}")
    for given in sorted({pair.given for pair in always} - set(left_out), key=lambda name: sizes[name]):
        told = [pair.follows for pair in always if pair.given == given and pair.follows not in left_out]
        told = sorted((name for name in told if sizes[name] < sizes[given]), key=lambda name: sizes[name])
        if not told:
            continue
        if sizes[given] > MANY_VALUES:
            instances[told.pop()] = given
            left_out[given] = f"it tells the instances of {next(reversed(instances))}, by which GROUPs are formed"
        left_out |= {name: f"it follows from {given}, with which it changes" for name in told if name not in instances}
    return instances


def _widths(columns: Sequence[Column]) -> list[int]:
    """Share out z_dis by the logarithm of the number of values, MIN_WIDTH at the least."""
    weights = np.log2([1 + len(column.values) for column in columns])
    spare = Z_DIS_WIDTH - MIN_WIDTH * len(columns)
    exact = MIN_WIDTH + spare * weights / weights.sum()
    ends = np.rint(np.cumsum(exact)).astype(int)
    return [int(width) for width in np.diff(ends, prepend=0)]


def _warnings(
    labels: LabelSurvey, pictures: PictureSurvey, pairs: Sequence[Association], names: Sequence[str], size: int
) -> list[str]:
    found = [str(pair) for pair in pairs if pair.strength >= TOO_CLOSE and {pair.given, pair.follows} <= set(names)]
    share = partner_share(labels.matrix(names))
    if share < 1:
        found.append(
            f"{share:.0%} of the images have, for each attribute, another one that shares it and differs in all others;"
            + (" the rest are never the centre of a GROUP" if share >= 0.5 else " so partners may share more by chance")
        )
    for column in labels.columns:
        if column.name in names and len(column.values) > NAMED_VALUES:
            found.append(
                f"of the {len(column.values):,} values of {column.name} the {NAMED_VALUES} most frequent go by name and"
                " are judged (data.named_values); the others train"
            )
    if labels.num_repeated:
        found.append(f"{labels.num_repeated:,} rows name a picture that another one names; ingest takes the first")
    if pictures.sides[0] < size:
        found.append(f"half of the pictures are smaller than {pictures.sides[0]} px and are enlarged to {size} px")
    if pictures.num_oblong:
        found.append(
            f"{pictures.num_oblong} of {pictures.num_read} pictures tried are oblong, and data.resize: crop shows less"
            " than two thirds of each; pad or stretch shows all"
        )
    if pictures.num_transparent:
        found.append(
            f"{pictures.num_transparent} of {pictures.num_read} pictures tried are transparent; data.background, white"
            " by default, is what they are laid over"
        )
    return found


def to_yaml(proposal: Proposal, source: ListedConfig, name: str, command: str) -> str:
    """Return the config as commented YAML."""
    settings = {key: value for key, value in source.model_dump(mode="json").items() if value not in (None, "")}
    longest = max(len(_key(attribute)) for attribute in proposal.attributes)
    lines = [
        f"# Written by {command}. Every key: jobs/pipeline.py --config THIS --print-config",
        f"extends: {proposal.preset}  # {proposal.takes}",
        f"name: {flow_yaml(name)}",
        "data:",
        f"  source: {flow_yaml(settings)}",
        f"  attributes:  # the widths of their parts of z_dis, {Z_DIS_WIDTH} in all",
    ]
    for attribute in proposal.attributes:
        lines.append(f"    {_key(attribute):<{longest}}  # {attribute.column}")
    lines += [f"    # {left}: {reason}" for left, reason in proposal.left_out.items()]
    lines += [
        f"  holdout: {{images: {HELD_OUT}}}  # percent; pairs and values that training never sees: README",
        "  resize: crop  # or pad, or stretch",
        f"model: {{image_size: {proposal.image_size}}}",
    ]
    return "\n".join(lines) + "\n"


def _key(attribute: Proposed) -> str:
    instances = f"group_column: {flow_yaml(attribute.instances)}, " if attribute.instances else ""
    return f"{flow_yaml(attribute.column.name)}: {{{instances}width: {attribute.width}}}"


def name_of(images: str) -> str:
    """Return a name for a config by the address of its pictures: letters, digits, - and _."""
    stem = PurePosixPath(images.rstrip("/")).stem.lower()
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in stem)
    return kept.strip("-") or "mine"


def describe(labels: LabelSurvey, pictures: PictureSurvey, proposal: Proposal) -> str:
    """Say what was found, what ingest leaves out, what is proposed and what to think of, in lines."""
    first = "" if labels.is_whole else "the first "
    lines = [f"{first}{labels.num_images:,} pictures; of {pictures.num_read} tried: {_counts(pictures.formats)}, the"
             f" shorter side {pictures.sides[0]} px at the median, {pictures.sides[1]} at the least"]  # fmt: skip
    if labels.skipped:
        lines.append(f"left out by the listing: {_counts(labels.skipped)}")
    if pictures.problems:
        lines.append(f"unreadable of the pictures tried: {_counts(pictures.problems)}")
    lines += [f"attribute  {attribute.column.name}: {attribute.column}" for attribute in proposal.attributes]
    lines += [f"left out   {name}: {reason}" for name, reason in proposal.left_out.items()]
    lines += [f"note       {warning}" for warning in proposal.warnings]
    members = 1 + len(proposal.attributes)
    lines.append(
        f"preset     {proposal.preset}: {proposal.takes} with 3 attributes; GROUPs of {members} images here, so stage 3"
        f" takes {math.ceil(10 * members / 4) / 10:g} times that preset's"
    )
    return "\n".join(lines)


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in found.items())
