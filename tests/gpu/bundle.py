"""What comes back from a machine that returns few and small files: one zip of figures and a checkpoint in parts.

    python -m tests.gpu.bundle FOLDER CHECKPOINT

puts the parts in FOLDER together to the checkpoint directory CHECKPOINT, which any job, editor or service reads.
"""

import argparse
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from diffusegae.checkpoint import META, CheckpointMeta, save_checkpoint

PART_BYTES, MOST_FILES, TOTAL_BYTES = 16 * 2**20, 8, 64 * 2**20
FIGURES = "figures.zip"
PART = "ema.safetensors.part-{:02d}"


class BundleError(RuntimeError):
    """More than may come back, or parts of which some are missing."""


def zip_folder(folder: Path, target: Path) -> None:
    """Write all files below a folder into one zip; BundleError if it is larger than a file may be."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    if target.stat().st_size > PART_BYTES:
        raise BundleError(f"{target} has {target.stat().st_size / 2**20:.1f} MiB, more than {PART_BYTES // 2**20}")


def write_parts(weights: Mapping[str, Tensor], meta: CheckpointMeta, out: Path) -> int:
    """Write averaged weights in half precision as numbered parts beside their meta file; return how many.

    Nothing is written if they would not fit beside the zip.

    Raises:
        BundleError: the weights need more files or bytes than may come back.
    """
    halves = {name: _halve(value) for name, value in weights.items()}
    content = save(halves)
    parts = [content[start : start + PART_BYTES] for start in range(0, len(content), PART_BYTES)]
    held = sum(path.stat().st_size for path in out.iterdir() if path.is_file())
    others = sum(path.is_file() for path in out.iterdir())
    if held + len(content) > TOTAL_BYTES or others + len(parts) + 1 > MOST_FILES:
        raise BundleError(
            f"the weights have {len(content) / 2**20:.1f} MiB in half precision and need {len(parts)} files, beside"
            f" {held / 2**20:.1f} MiB in {others}; {TOTAL_BYTES // 2**20} MiB in {MOST_FILES} files may come back"
        )
    for number, part in enumerate(parts):
        (out / PART.format(number)).write_bytes(part)
    (out / META).write_text(meta.model_dump_json(indent=1))
    return len(parts)


def join_parts(folder: Path, checkpoint: Path) -> None:
    """Write the checkpoint, in float32, that `write_parts` cut up; BundleError if a part is missing."""
    parts = sorted(folder.glob(PART.format(0)[:-2] + "*"))
    if not parts or [path.name for path in parts] != [PART.format(number) for number in range(len(parts))]:
        raise BundleError(f"{folder} holds {[path.name for path in parts]}; expected part-00 and all after it")
    try:
        halves = load(b"".join(path.read_bytes() for path in parts))
    except Exception as error:  # safetensors raises what it has; a missing last part is the usual reason
        raise BundleError(f"the parts in {folder} are not a whole file ({error}); copy them again") from error
    weights = {name: value.float() if value.is_floating_point() else value for name, value in halves.items()}
    meta = CheckpointMeta.model_validate_json((folder / META).read_text())
    save_checkpoint(checkpoint, meta, {"ema": weights})


def _halve(value: Tensor) -> Tensor:
    on_cpu = value.detach().cpu().contiguous()
    return on_cpu.to(torch.float16) if on_cpu.is_floating_point() else on_cpu


def main() -> None:
    """Put a checkpoint together."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the parts and meta.json are")
    parser.add_argument("checkpoint", type=Path, help="directory to write")
    arguments = parser.parse_args()
    join_parts(arguments.folder, arguments.checkpoint)
    print(arguments.checkpoint)


if __name__ == "__main__":
    main()
