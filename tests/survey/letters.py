"""A folder of letters in inks on papers, and a table of them as people write one: what surveys are tested by."""

import csv
import io
from pathlib import Path

import numpy as np
from PIL import Image

INKS = {"red": (220, 30, 30), "blue": (30, 60, 220), "black": (0, 0, 0), "green": (20, 150, 40)}
PAPERS = {"white": (255, 255, 255), "sand": (230, 210, 160), "mint": (190, 240, 210)}


def write_letters(root: Path, count: int = 240, seed: int = 0) -> tuple[str, str]:
    """Write pictures and a table; return the addresses of both.

    Columns: letter (one in ten missing), vowel (follows from letter), ink, twin (the same as ink), paper, id (a name),
    constant (one value).
    """
    generator = np.random.default_rng(seed)
    folder = root / "photos"
    folder.mkdir(parents=True)
    rows = []
    for number in range(count):
        letter, ink = "ABCDEF"[generator.integers(6)], list(INKS)[generator.integers(4)]
        paper = list(PAPERS)[generator.integers(3)]
        picture = Image.new("RGB", (48, 40), PAPERS[paper])
        left = 4 + 6 * "ABCDEF".index(letter)
        picture.paste(INKS[ink], (left, 8, left + 8, 32))
        picture.save(folder / f"{number:04d}.png")
        rows.append({
            "file": f"{number:04d}.png", "letter": "" if number % 10 == 0 else letter,
            "vowel": "yes" if letter in "AE" else "no", "ink": ink, "twin": ink.upper(), "paper": paper,
            "id": f"n{number}", "constant": "x",
        })  # fmt: skip
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (root / "labels.csv").write_text(text.getvalue())
    return str(folder), str(root / "labels.csv")
