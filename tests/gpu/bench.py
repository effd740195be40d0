"""Measure a device: training of every stage, a plain loop of another library, data, edits: python -m tests.gpu.bench.

    python -m tests.gpu.bench --quick          # what is broken, in 4 minutes at most
    python -m tests.gpu.bench --out DIR        # all rows, in 10

Rows stand in the order of importance; a row that fails or does not fit what is left of the time becomes one that says
so. bench.json is written after each row, so that what was measured is kept whatever happens.
"""

import argparse
import gc
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch._dynamo

from diffusegae.training.flops import matrix_product_rate
from tests.gpu import bench_data, bench_editing, bench_others, bench_training
from tests.gpu.bench_row import Row
from tests.gpu.machine import describe, device_of, facts
from tests.gpu.outcome import Skipped

MINUTES, QUICK_MINUTES, QUICK_SECONDS = 9.5, 3.5, 1.0


@dataclass
class Found:
    """A row's figures, or why there are none."""

    name: str
    figures: dict[str, float]
    note: str = ""
    seconds: float = 0.0


def main() -> None:
    """Measure what the time allows, write the figures, print a table last."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=3.0, help="that each row is measured for, after its warm-up")
    parser.add_argument("--minutes", type=float, help=f"for all rows; {MINUTES}, or {QUICK_MINUTES} with --quick")
    parser.add_argument("--quick", action="store_true", help=f"measure each row for {QUICK_SECONDS} s")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--out", type=Path, default=Path("gpu-bench"))
    arguments = parser.parse_args()
    device = device_of(arguments.device)
    seconds = QUICK_SECONDS if arguments.quick else arguments.seconds
    usual = QUICK_MINUTES if arguments.quick else MINUTES
    deadline = time.monotonic() + 60 * (usual if arguments.minutes is None else arguments.minutes)
    rows = [row for row in all_rows(device, seconds) if arguments.only in row.name]
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: list[Found] = []
    for row in rows:
        found.append(measure(row, deadline))
        print(as_line(found[-1]), flush=True)
        content = {"machine": facts(device), "rows": [vars(each) for each in found]}
        (arguments.out / "bench.json").write_text(json.dumps(content, indent=1))
    table = f"{describe(device)}\n\n{as_markdown(found)}"
    (arguments.out / "bench.md").write_text(table + "\n")
    print(f"\n{table}")


def all_rows(device: torch.device, seconds: float) -> list[Row]:
    """Return every row, the most important first; ranks of several files are merged."""
    rows = [Row("bfloat16 matrix product", 0, lambda: _product(device))]
    for part in (bench_training, bench_editing, bench_others, bench_data):
        rows += part.rows(device, seconds)
    return sorted(rows, key=lambda row: row.rank)


def measure(row: Row, deadline: float) -> Found:
    """Run a row, whatever happens in it."""
    left = deadline - time.monotonic()
    if left < row.least_seconds:
        return Found(row.name, {}, f"not run: {left:.0f} s were left, it may take {row.least_seconds:.0f}")
    started = time.monotonic()
    try:
        found = Found(row.name, row.run())
    except Skipped as reason:
        found = Found(row.name, {}, str(reason))
    except torch.OutOfMemoryError:
        found = Found(row.name, {}, "does not fit the memory")
    except Exception as error:
        found = Found(row.name, {}, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    found.seconds = time.monotonic() - started
    _clear()
    return found


def _clear() -> None:
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _product(device: torch.device) -> dict[str, float]:
    return {"TFLOP/s": matrix_product_rate(device, "bfloat16") / 1e12}


def as_line(found: Found) -> str:
    """Return a row as one line, for who watches."""
    figures = "  ".join(f"{name} {value:.4g}" for name, value in found.figures.items())
    return f"{found.name}: {figures or found.note}  ({found.seconds:.0f} s)"


def as_markdown(found: Sequence[Found]) -> str:
    """Return all rows as tables, one for all that have the same kinds of figures; last what was not measured."""
    kinds: dict[tuple[str, ...], list[Found]] = {}
    for each in found:
        if each.figures:
            kinds.setdefault(tuple(name for name in each.figures if name != "GPU GiB"), []).append(each)
    tables = [_table(rows) for rows in kinds.values()]
    return "\n\n".join([*tables, *(f"{each.name}: {each.note}" for each in found if not each.figures)])


def _table(found: Sequence[Found]) -> str:
    columns = list(dict.fromkeys(name for each in found for name in each.figures))
    lines = ["| row | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for each in sorted(found, key=lambda each: each.name):
        cells = [f"{each.figures[name]:.4g}" if name in each.figures else "" for name in columns]
        lines.append(f"| {each.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
