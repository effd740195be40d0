"""The model card: what an exported model edits, what it was trained on, how good it is, where it ends."""

from collections.abc import Mapping
from typing import Any

import yaml

from diffusegae.checkpoint import CheckpointMeta
from diffusegae.config.base import Config
from diffusegae.schema import Attribute

MAX_VALUES = 12  # of an attribute that are named
USE = """```python
from pathlib import Path

from PIL import Image

from diffusegae.editing.loading import load_editor
from diffusegae.images import decode_image
from diffusegae.pixels import to_pixels, to_tensor

editor = load_editor(Path("{directory}"))  # the torch module alone: models.autoencoder.DiffuseGAE.from_pretrained
source, donor = (
    to_tensor(decode_image(Path(file).read_bytes(), editor.image_size)[None]) for file in ("source.png", "donor.png")
)
edited = editor.edit(source, {{"{attribute}": donor}})  # the donor's {attribute}, all else from the source
Image.fromarray(to_pixels(edited)[0]).save("edited.png")
```"""


class CardFacts(Config):
    """What a card says beside what the checkpoint knows."""

    name: str  # of the registered model, with its version
    directory: str  # by which the example opens it
    license: str
    figures: str = ""  # the closing table of its evaluation, as plain text; empty: it was not judged


def write_card(meta: CheckpointMeta, facts: CardFacts) -> str:
    """Return the card of a checkpoint, with the front matter that model hubs read."""
    size, data = meta.config.model.image_size, meta.config.data
    header: Mapping[str, Any] = {
        "license": facts.license,
        "library_name": "diffusegae",
        "pipeline_tag": "image-to-image",
        "tags": ["diffusion", "disentanglement", "image-editing"],
    }
    lines = [
        "---",
        yaml.safe_dump(dict(header), sort_keys=False).rstrip(),
        "---",
        f"# {facts.name}",
        "",
        f"A DiffuseGAE: it changes one attribute of a picture of {size} × {size} px and leaves the rest alone.",
        "",
        "| attribute | values | width of its part of z_dis |",
        "|---|---|---|",
        *(f"| {a.name} | {_values(a)} | {a.width} |" for a in meta.attributes.attributes),
        "",
        "## Use",
        "",
        USE.format(directory=facts.directory, attribute=meta.attributes.names[0]),
        "",
        "## Training",
        "",
        f"Data: `{data.source.kind}`, held out: {_holdout(data.holdout.model_dump(exclude_defaults=True))}.",
        f"The weights are those after stage `{meta.stage}`, averaged over its {meta.samples_seen:,} samples;"
        " `meta.json` holds the whole config.",
        f"Made with {', '.join(f'{package} {number}' for package, number in sorted(meta.versions.items()))}.",
        "",
        "## Figures, on held-out pictures",
        "",
        f"```\n{facts.figures.rstrip()}\n```" if facts.figures else "Not measured: its pipeline has no evaluation.",
        "",
        "## Limits",
        "",
        "- It edits the attributes above, to values that some training picture shows; others it renders as the nearest",
        "  that it knows.",
        f"- Pictures of another size are scaled and cut to {size} px.",
        '- What it does to things it was not trained on is the column "unseen instance", where there is one.',
        "",
    ]
    return "\n".join(lines)


def _values(attribute: Attribute) -> str:
    shown = [value.replace("|", "\\|") for value in attribute.values[:MAX_VALUES]]
    more = len(attribute.values) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _holdout(holdout: Mapping[str, Any]) -> str:
    return "; ".join(f"{kind} {value}" for kind, value in holdout.items()) or "as by default"
