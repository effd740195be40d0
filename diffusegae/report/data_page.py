"""The page of a data set: what to know of it before a model is trained on it, in one file beside its manifest."""

from collections.abc import Mapping, Sequence

import numpy as np

from diffusegae import storage
from diffusegae.data.association import TOO_CLOSE
from diffusegae.data.column import Column
from diffusegae.data.findings import DATA_PAGE, SHOWN_VALUES, Findings, Pair, Place, TwinFindings, read_findings
from diffusegae.data.shards import Manifest, read_manifest
from diffusegae.data.skipped import Reason, read_reasons
from diffusegae.data.thumbnails import read_places, tell_framing
from diffusegae.images import decode_batch, decode_image, encode_image, make_grid
from diffusegae.report import html
from diffusegae.report.html import Cell, Row
from diffusegae.schema import source_column

SIDE = 64  # pixels of a thumbnail at most
UNEVEN = 0.85  # evenness below which an attribute's balance is remarked on
FEW_PARTNERS = 0.5
OPEN_PAIRS = 3
NEAR = (
    "Near ones have nearly the same light and dark (3 of 64 cells may differ) and nearly the same colours: shots of"
    " a burst look so, copies that were compressed or scaled anew, and perhaps two pictures of one plain thing."
)
BALANCE = (
    "Evenness is the entropy of the labels over that of as many equally frequent values: 1 where all are as frequent."
    " Bars are shares of the images, their light end is held out."
)
PAIRS = (
    "What no image shows together cannot be judged where it is seen, and what training never shows is zero-shot."
    " Follows: how many images the best guess of one by the other gets right, and by chance. Cells: images; in red: no"
    " image; slanted: held-out images alone."
)
Pictures = Mapping[Place, tuple[str, bytes]]  # key, encoded picture


def write_data_page(uri: str) -> str:
    """Write DATA_PAGE beside the manifest of the data set at a URI, if it is not there; return its address.

    Nothing is written, and "" returned, of a set that was made when ingest found nothing out.
    """
    target = storage.join(uri, DATA_PAGE)
    if storage.exists(target):
        return target
    findings = read_findings(uri)
    if findings is None:
        return ""
    storage.write_bytes(target, draw_data_page(uri, read_manifest(uri), findings, read_reasons(uri)).encode())
    return target


def draw_data_page(uri: str, manifest: Manifest, findings: Findings, reasons: Sequence[Reason]) -> str:
    """Return the page."""
    columns = {name: _column(manifest, column) for name, column in findings.columns.items()}
    twins = findings.twins.examples if findings.twins else ()
    places = [place for by_value in findings.pictures.values() for each in by_value.values() for place in each]
    places += [place for twin in twins for place in (twin.held_out, twin.train)]
    pictures = read_places(uri, manifest, places)
    about = f"{manifest.num_rows:,} images of {manifest.image_size} px in {len(manifest.shards):,} shards at {uri}."
    body = [
        html.heading("Data set", 1),
        html.paragraph(f"{about} {tell_framing(manifest.recipe.framing)}", "soft"),
        html.block("tiles", _tiles(manifest, findings)),
        *_notes(manifest, findings, columns),
        *_attributes(manifest, findings, columns, pictures),
        *_pairs(findings),
        *_twins(findings.twins, pictures),
        *_skipped(manifest, reasons),
    ]
    return html.make_page("Data set", body)


def _column(manifest: Manifest, column: str) -> Column:
    counts = manifest.value_counts[column]
    return Column(source_column(column), manifest.columns[column], counts, manifest.num_rows - sum(counts))


def _tiles(manifest: Manifest, findings: Findings) -> list[str]:
    skipped, twins = sum(manifest.skipped.values()), findings.twins
    entries = manifest.num_rows + skipped
    tiles = [
        html.tile("images", f"{manifest.num_rows:,}", f"{manifest.num_train:,} to train on"),
        html.tile(
            "held out", _percent(manifest.num_held_out / manifest.num_rows),
            "seen pairs {:,}, unseen pair {:,}, unseen instance {:,}".format(*manifest.held_counts),
        ),
        html.tile("skipped", _percent(skipped / entries), f"{skipped:,} of {entries:,}"),
        html.tile("have exact partners", _percent(findings.partner_share), "one for each attribute, sharing it alone"),
    ]  # fmt: skip
    if twins:
        tiles += [
            html.tile("held out, and in training", f"{twins.num_copies:,}", "exact copies"),
            html.tile("held out, and nearly in training", f"{twins.num_near:,}", "near copies"),
        ]
    return tiles


def _notes(manifest: Manifest, findings: Findings, columns: Mapping[str, Column]) -> list[str]:
    """Return in sentences what stands out."""
    notes = [f"{pair}." for pair in findings.associations if pair.strength >= TOO_CLOSE]
    for name, column in columns.items():
        if column.evenness < UNEVEN and column.num_images:
            most = int(np.argmax(column.counts))
            notes.append(
                f"{name} is uneven: {_percent(column.counts[most] / column.num_images)} of the images show"
                f" {column.values[most]}; refine.balance: 1 and finetune.balance: 1 draw rare values as often."
            )
        if column.num_missing:
            notes.append(f"{column.num_missing:,} images have no {name}; they judge nothing.")
    twins = findings.twins
    if twins and twins.num_copies + twins.num_near:
        found = twins.num_copies + twins.num_near
        notes.append(
            f"{found:,} of {twins.num_held_out:,} held-out images are (nearly) in training, too, so figures of held-out"
            f" images flatter; {twins.num_other_labels:,} of them have other labels there."
        )
    if findings.partner_share < FEW_PARTNERS:
        notes.append(
            "Few images have, for each attribute, a partner that shares it and differs in all others; partners may"
            " share more by chance (refine.partners: auto)."
        )
    if manifest.skipped:
        most_skipped = max(manifest.skipped, key=lambda reason: manifest.skipped[reason])
        notes.append(f"Most of what was skipped: {most_skipped} ({manifest.skipped[most_skipped]:,}).")
    return [html.heading("What stands out"), html.bullets(notes or ["Nothing that ingest looks for."])]


def _attributes(manifest: Manifest, findings: Findings, columns: Mapping[str, Column], pictures: Pictures) -> list[str]:
    header = ["", "values", "most frequent", "median", "rarest", "evenness", "without a label"]
    rows = []
    for name, column in columns.items():
        counts = np.sort([count for count in column.counts if count])
        amounts = [counts[-1], int(np.median(counts)), counts[0]] if len(counts) else [0, 0, 0]
        cells = [f"{len(counts):,}", *(f"{amount:,}" for amount in amounts)]
        cells += [f"{column.evenness:.2f}", f"{column.num_missing:,}"]
        title = name if column.name == name else f"{name}\ncolumn {column.name}"
        rows.append(Row(title, [Cell(cell) for cell in cells]))
    parts = [html.heading("Attributes"), html.paragraph(BALANCE), html.table([*map(Cell, header)], rows)]
    for name, column in columns.items():
        parts.append(html.heading(name, 3))
        train = dict(zip(column.values, manifest.train_counts[findings.columns[name]], strict=True))
        parts.append(html.block("values", _cards(column, train, findings.pictures[name], pictures, manifest)))
        rest = len([count for count in column.counts if count]) - SHOWN_VALUES
        if rest > 0:
            parts.append(
                html.paragraph(f"The {SHOWN_VALUES} most frequent values; {rest:,} more are not shown.", "soft")
            )
    return parts


def _cards(
    column: Column,
    train: Mapping[str, int],
    shown: Mapping[str, Sequence[Place]],
    pictures: Pictures,
    manifest: Manifest,
) -> list[str]:
    """Return a card for each shown value: its name, its images, and some of them."""
    counts, cards = dict(zip(column.values, column.counts, strict=True)), []
    for value, places in shown.items():
        held = counts[value] - train[value]
        many = f"{counts[value]:,}" + (f", {held:,} held out" if held else "")
        head = html.block("head", [html.line(value, "name"), html.line(many, "many soft")])
        shares = (part / max(1, column.num_images) for part in (counts[value], held))
        strip = _strip([pictures[place][1] for place in places], manifest.image_size)
        cards.append(html.block("card", [head, html.bar(*shares), html.embedded(value, strip)]))
    return cards


def _strip(encoded: Sequence[bytes], size: int, columns: int = 8) -> bytes:
    """Lay stored pictures side by side as thumbnails, white where there are less than `columns`."""
    pixels = np.full((columns, size, size, 3), 255, np.uint8)
    pixels[: len(encoded)] = decode_batch(encoded, size)
    return encode_image(make_grid(_thumbnails(pixels), columns, gap=1), "webp", 85)


def _thumbnails(pixels: np.ndarray) -> np.ndarray:
    """Return pictures at 1 / k of their size, so that they are at most SIDE pixels."""
    side = pixels.shape[1]
    factor = next(k for k in range(1, side + 1) if side % k == 0 and side // k <= SIDE)
    shape = (len(pixels), side // factor, factor, side // factor, factor, 3)
    return np.asarray(pixels.reshape(shape).mean(axis=(2, 4)).round().astype(np.uint8))


def _pairs(findings: Findings) -> list[str]:
    follows = {(each.given, each.follows): each for each in findings.associations}
    rows = []
    for pair in findings.pairs:
        first, second = pair.names
        cells = [f"{pair.num_shown:,} of {pair.num_possible:,}", f"{pair.num_trained:,}"]
        for given, other in ((first, second), (second, first)):
            found = follows[given, other]
            cells.append(f"{_percent(found.share)}\nby chance {_percent(found.chance)}")
        rows.append(Row(f"{first} · {second}", [Cell(cell) for cell in cells]))
    header = ["", "pairs that occur", "in training", "second follows from first", "first from second"]
    tables = [
        html.folded(f"{pair.names[0]} · {pair.names[1]}", _matrix(pair), is_open=number < OPEN_PAIRS)
        for number, pair in enumerate(findings.pairs)
    ]
    return [html.heading("Pairs of values"), html.paragraph(PAIRS), html.table([*map(Cell, header)], rows), *tables]


def _matrix(pair: Pair) -> str:
    """Return the images per pair of values, and which absent ones chance would show."""
    largest = max(1, *(count for line in pair.images for count in line))
    rows = []
    for value, images, trained in zip(pair.values[0], pair.images, pair.trained, strict=True):
        cells = []
        for count, seen in zip(images, trained, strict=True):
            kind = "never" if not count else "" if seen else "held"
            cells.append(Cell(f"{count:,}", kind, 0.45 * count / largest))
        rows.append(Row(value, cells))
    told = ", ".join(f"{' with '.join(each.values)} ({each.expected:,.0f})" for each in pair.absent)
    absent = f"Never together, with the images that chance would show: {told}." if told else ""
    hidden = pair.num_possible > sum(map(len, pair.images))
    about = f"The {SHOWN_VALUES} most frequent values of each at most." if hidden else ""
    table = html.table([Cell(pair.names[0]), *map(Cell, pair.values[1])], rows, groups=_over(pair))
    return table + html.paragraph(about, "soft") + html.paragraph(absent)


def _over(pair: Pair) -> list[Cell]:
    return [Cell(""), Cell(pair.names[1], "group", span=len(pair.values[1]))]


def _twins(twins: TwinFindings | None, pictures: Pictures) -> list[str]:
    title = html.heading("The same picture on both sides of the split")
    if twins is None:
        return [title, html.paragraph("Not compared: an older version began this ingest; --refresh makes it anew.")]
    told = (
        f"Of {twins.num_held_out:,} held-out images {twins.num_copies:,} are in training, too, pixel by pixel, and"
        f" {twins.num_near:,} more nearly so; {twins.num_other_labels:,} of both have other labels there. In the whole"
        f" set {twins.num_repeated:,} images are copies of another one. {NEAR}"
    )
    cards = []
    for twin in twins.examples:
        sides = []
        for side, place in (("held out", twin.held_out), ("training", twin.train)):
            key, encoded = pictures[place]
            picture = html.embedded(key, _single(encoded))
            sides.append(html.block("", [html.line(side), picture, html.line(key, "key-of")]))
        kind = html.line("Exact copy" if twin.is_copy else "Near copy", "name")
        differs = [html.line(f"other {', '.join(twin.differs)}", "warning")] if twin.differs else []
        cards.append(html.block("card", [kind, *differs, html.block("two", sides)]))
    return [title, html.paragraph(told), html.block("twins", cards)]


def _single(encoded: bytes) -> bytes:
    return encode_image(decode_image(encoded), "webp", 90)


def _skipped(manifest: Manifest, reasons: Sequence[Reason]) -> list[str]:
    if not reasons:
        return [html.heading("Skipped"), html.paragraph("Nothing.")]
    entries = manifest.num_rows + sum(reason.count for reason in reasons)
    rows = [
        Row(
            reason.reason,
            [
                Cell(f"{reason.count:,}"),
                Cell(_percent(reason.count / entries)),
                Cell("\n".join(["", *(f"{each.path}: {each.detail}" for each in reason.examples)]), "text"),
            ],
        )
        for reason in reasons
    ]
    text = "All are in skipped.jsonl beside this page; above data.max_skipped percent ingest stops."
    header = [Cell(""), Cell("files"), Cell("share"), Cell("the first", "text")]
    return [html.heading("Skipped"), html.paragraph(text), html.table(header, rows)]


def _percent(share: float) -> str:
    """Write a share; a small one is never 0."""
    return f"{share:.1%}" if share == 0 or share >= 0.0005 else "< 0.1%"
