"""Small image files for tests: true iLab-20M names in a folder tree, .zip or .tar, and folders with a table."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

ILAB_CATEGORIES = ("car", "tank", "f1car")
ILAB_POSES = ("c00-r01", "c00-r02")


def picture(seed: int, encoding: str = "PNG", side: int = 40) -> bytes:
    """Return an encoded picture: a coloured block on a plain ground, both by seed."""
    random = np.random.default_rng(seed)
    pixels = np.full((side, side + 8, 3), random.integers(0, 256, 3), np.uint8)
    pixels[8:24, 8:30] = random.integers(0, 256, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=encoding)
    return buffer.getvalue()


def ilab_files(num_instances: int = 2, num_backgrounds: int = 3) -> dict[str, bytes]:
    """Return path to content as iLab_6pose.zip has them: a folder per split and pose, names that say the rest."""
    files: dict[str, bytes] = {}
    for category in ILAB_CATEGORIES:
        for instance in range(num_instances):
            for background in range(num_backgrounds):
                for pose in ILAB_POSES:
                    name = f"{category}-i{instance:04d}-b{background:04d}-{pose}-l0-f1"
                    ending, encoding = ("jpg", "JPEG") if category == "tank" else ("png", "PNG")
                    folder = f"train_img_c00_10class/{pose.replace('-', '_')}"
                    files[f"{folder}/{name}.{ending}"] = picture(len(files), encoding)
    return files


def write_tree(root: Path, files: Mapping[str, bytes]) -> str:
    """Write files below a folder; return it."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return str(root)


def write_zip(target: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> str:
    """Write files into a .zip, with an entry for a folder as zip programs make; return its path."""
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.writestr("train_img_c00_10class/", b"")
        for path, content in files.items():
            archive.writestr(path, content)
    return str(target)


def write_tar(target: Path, files: Mapping[str, bytes]) -> str:
    """Write files into a .tar with leading ./ as tar programs make; return its path."""
    with tarfile.open(target, "w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"./{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return str(target)
