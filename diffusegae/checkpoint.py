"""What a checkpoint directory holds: `meta.json` and one `*.safetensors` file per set of tensors; nothing pickled.

One reader serves training, evaluation, the registry and the service. `meta.json` is written last, so a directory
without it is not a checkpoint but the remains of a write that was cut off.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from diffusegae import storage
from diffusegae.config.base import Config
from diffusegae.config.pipeline import PipelineConfig
from diffusegae.schema import AttributeSchema

META = "meta.json"
FORMAT = 2


class CheckpointError(RuntimeError):
    """A directory that isn't a whole checkpoint, or one of another format."""


class Position(Config):
    """The next sample of a lane: a place in the order that (seed, epoch) fix."""

    epoch: int = 0
    window: int = 0
    offset: int = 0


class CheckpointMeta(Config):
    """What is known of the weights beside them."""

    format: int = FORMAT
    stage: str
    samples_seen: int
    positions: tuple[Position, ...]  # one per lane of the data
    seconds: float = 0.0  # of training up to here, without those that a death took away
    config: PipelineConfig
    attributes: AttributeSchema
    versions: dict[str, str]


def save_checkpoint(directory: Path, meta: CheckpointMeta, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write each set of tensors as `<name>.safetensors`, then the meta file that makes the directory a checkpoint."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, values in tensors.items():
        on_cpu = {key: value.detach().cpu().contiguous() for key, value in values.items()}
        save_file(on_cpu, str(directory / f"{name}.safetensors"))
    (directory / META).write_text(meta.model_dump_json(indent=1))


@contextmanager
def local_checkpoint(uri: str) -> Iterator[Path]:
    """Give a checkpoint as a local directory: itself, or a temporary copy of one in object storage."""
    if storage.is_local(uri):
        yield Path(storage.resolve(uri))
        return
    with tempfile.TemporaryDirectory() as folder:
        storage.download_directory(uri, folder)
        yield Path(folder)


def read_meta(directory: Path) -> CheckpointMeta:
    """Read `meta.json`; CheckpointError if it is absent, of another format or damaged."""
    path = directory / META
    if not path.is_file():
        raise CheckpointError(f"{directory} has no {META}: not a checkpoint, or one whose writing was cut off")
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is damaged ({error}); use an earlier checkpoint") from error
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {content.get('format')!r}, this version reads {FORMAT}")
    try:
        return CheckpointMeta.model_validate(content)
    except ValidationError as error:
        raise CheckpointError(f"{path} does not fit this version: {error}") from error


def read_tensors(directory: Path, name: str) -> dict[str, Tensor]:
    """Read one set of tensors to the CPU; CheckpointError if it is not there."""
    path = directory / f"{name}.safetensors"
    if not path.is_file():
        held = sorted(file.stem for file in directory.glob("*.safetensors"))
        raise CheckpointError(f"{directory} holds no tensors {name!r}; it holds: {', '.join(held) or 'none'}")
    return load_file(str(path))


def samples_of(address: str) -> int:
    """Return the count of samples that a checkpoint's name ends with."""
    return int(address.rpartition("/")[2].rpartition("_")[2])


def furthest_checkpoint(folder: str) -> str:
    """Return the address of the whole checkpoint below a folder that has seen the most samples, "" without one."""
    whole = [path.removesuffix(f"/{META}") for path in storage.list_files(folder, f"/{META}")]
    return max(whole, key=samples_of, default="")


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimizer's per-parameter state as flat tensors '<parameter index>.<name>'."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, entry in state.items() for name, value in entry.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Load what `flatten_optimizer` returned; rates and betas stay those of the config.

    Moments take the memory layout of their weights, which a fused step asks for and a file does not keep.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value.clone()
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
