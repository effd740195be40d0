"""Made-up figures and pictures of three rows in three strata: real objects, of which every number is known."""

from collections.abc import Mapping
from html.parser import HTMLParser

import numpy as np
import pytest

from diffusegae.data.splits import STRATA
from diffusegae.evaluation.measured import Items, Measured
from diffusegae.evaluation.results import Finding, Judged, Results, gather
from diffusegae.metrics.projection import Projection
from diffusegae.schema import Attribute, AttributeSchema
from tests.tiny import smoke_config

NAMES = ("vehicle", "ground", "pose")
PAIRS = [(part, name) for part in NAMES for name in NAMES if part != name]
ROWS, SIZE, FRAMES, GREY = 2, 32, 4, 200
CONFIG = smoke_config("compare.path_steps=[20, 100]")
SCHEMA = AttributeSchema(
    attributes=tuple(
        Attribute(
            name=name, column=name, group_column=name, values=("a", "b", "c"), group_values=("a", "b", "c"), width=4
        )
        for name in NAMES
    )
)


class Structure(HTMLParser):
    """Collects a page's sources, tags and table rows, and fails on tags that do not match."""

    void = frozenset({"meta", "img", "polyline", "line", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in self.void:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "small":
            self.rows[-1][-1] += "|"

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th", "small"):
            self.rows[-1][-1] += data


def parse(text: str) -> Structure:
    structure = Structure()
    structure.feed(text)
    assert structure.open == []
    return structure


def items(figures: Mapping[str, float], noise: float, seed: int, count: int = 60, strata: int = 3) -> Items:
    """Return items whose figures lie about the given means in every stratum, worse by half in each further one."""
    stratum = np.arange(count) % strata
    common = np.random.default_rng(0).normal(size=count)  # what makes an image hard for everybody
    own = np.random.default_rng(seed + 1).normal(size=count) * 0.2
    found = {}
    for name, mean in figures.items():
        bad = 1 - mean if 0.5 < mean <= 1 else mean
        error = bad * (1 + 0.5 * stratum) + noise * bad * (common + own)
        found[name] = 1 - error if 0.5 < mean <= 1 else error
    return Items(stratum, np.arange(count), found)


def pictures(*shape: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, SIZE, SIZE, 3), dtype=np.uint8)


def given_pictures() -> dict[str, np.ndarray]:
    """Return what every row was shown, with one true picture missing in the hardest stratum."""
    shapes = {"originals": (ROWS,), "sources": (ROWS,), "donors": (ROWS,), "replaced_truths": (ROWS, 3),
              "givers": (ROWS, 3), "recombined_truths": (ROWS,)}  # fmt: skip
    found = {f"{s}/{n}": pictures(*shape, seed=k) for k, s in enumerate(STRATA) for n, shape in shapes.items()}
    found[f"{STRATA[2]}/replaced_truths"][0, 1] = GREY
    return found


def measured_row(quality: float, seed: int = 0, *, edits: bool = True, coded: bool = True, count: int = 60) -> Measured:
    """Return all that may be measured of a row whose errors are 1 - `quality`."""
    bad = 1 - quality
    close = {"mse": bad / 10, "ssim": 1 - bad, "lpips": bad}
    rights = {f"right/{name}": quality for name in NAMES} | {"all_right": quality}
    found = {
        "reconstruct": items(close | rights, 0.05, seed, count),
        "reconstruct_random": items(close | rights, 0.05, seed, count),
        "path": items({"ppl/T20": 300 + 100 * bad, "ppl/T100": 200 + 100 * bad}, 0.05, seed, count),
    }
    values = {"reconstruct_random/seen_pairs/fd_vgg16": 100 * bad}
    if edits:
        shares = {"swapped": quality, "kept": quality, "all_kept": quality, "copied": bad}
        by_name = {f"{key}/{name}": value for name in NAMES for key, value in (shares | close).items()}
        found["replace"] = items(shares | close | by_name, 0.05, seed, count)
        found["recombine"] = items(rights | close | {"copied": bad}, 0.05, seed, count)
        found["unedited"] = items(rights | close, 0.05, seed, count)
    if coded:
        figures = {f"own/{name}": quality for name in NAMES} | {f"full/{name}": quality for name in NAMES}
        figures |= {f"mlp_own/{name}": quality for name in NAMES} | {"leak": bad / 5, "mlp_leak": bad / 4}
        figures |= {f"reads/{p}/{n}": 0.3 + bad / 5 for p, n in PAIRS} | {f"leak/{p}/{n}": bad / 5 for p, n in PAIRS}
        figures |= {f"mlp_leak/{p}/{n}": bad / 4 for p, n in PAIRS}
        found["codes"] = items(figures, 0.1, seed, count)
        values |= {f"codes/{s}/leak_max": bad / 5 for s in STRATA} | {
            f"codes/{s}/mlp_leak_max": bad / 4 for s in STRATA
        }
        values |= {
            f"codes/seen_pairs/{key}": quality for key in ("dci_disentanglement", "part_mig", "dci_informativeness")
        }
        values |= {"codes/seen_pairs/width": 12.0, "codes/seen_pairs/is_divided": 1.0}
        values |= {f"codes/seen_pairs/silhouette_part/{name}": 2 * quality - 1 for name in NAMES}
    kinds: dict[str, tuple[int, ...]] = {"inferred": (ROWS,), "random": (ROWS,)}
    kinds |= {"replaced": (ROWS, 3), "recombined": (ROWS,)} if edits else {}
    examples = {f"{s}/{n}": pictures(*shape, seed=7 + seed) for s in STRATA for n, shape in kinds.items()}
    examples["seen_pairs/interpolated"] = pictures(ROWS, FRAMES, seed=8)
    if edits:
        examples["seen_pairs/interpolated_single"] = pictures(3, ROWS, FRAMES, seed=9)
    generator = np.random.default_rng(seed)
    codes = Projection(generator.normal(size=(30, 2)), generator.integers(0, 3, (30, 3)), (0.5, 0.2, -0.1))
    return Measured(found, values, examples, codes if coded else None)


def judge(name: str, title: str, measured: Measured, seed: int = 0, notes: tuple[str, ...] = ()) -> Judged:
    finding = Finding(name=name, title=title, seed=seed, notes=notes, metrics=measured.metrics, seconds=600.0 + seed,
                      images=10_000, parameters=1_234_567, fingerprint="f")  # fmt: skip
    return Judged(finding, measured)


def make_references(count: int = 60, kind: str = "rendered") -> Measured:
    accuracy = items({f"accuracy/{name}": 0.99 for name in NAMES}, 0.0, 0, count)
    kinds = {each: float(each == kind) for each in ("rendered", "held_out", "none")}
    stratum = np.arange(count) % 3
    truths = {name: np.full(count, value) for name, value in (kinds | {"all_right": 0.98}).items()}
    truths |= {f"right/{name}": np.full(count, 0.99) for name in NAMES}
    found = {"judge": accuracy, "truths": Items(stratum, np.arange(count), truths)}
    if kind == "rendered":
        found["floor"] = items({"mse": 0.0001, "ssim": 0.99, "lpips": 0.004}, 0.01, 0, count)
    values = {f"judge/seen_pairs/{guess}/{name}": 1 / 3 for guess in ("chance", "majority") for name in NAMES}
    return Measured(found, values, given_pictures())


Subjects = dict[str, list[Judged]]


def make_subjects(num_seeds: int = 1) -> Subjects:
    """Return ours, a rival, and a row that can hardly bring pictures back and has no code."""
    rows = {
        "diffusegae": ("DiffuseGAE (ours)", 0.98, True, True), "diffae": ("Diff-AE", 0.9, True, True),
        "ddim": ("DDIM", 0.6, False, False),
    }  # fmt: skip
    subjects: Subjects = {}
    for k, (name, (title, quality, edits, coded)) in enumerate(rows.items()):
        each = [measured_row(quality, seed + 10 * k, edits=edits, coded=coded) for seed in range(num_seeds)]
        subjects[name] = [judge(name, title, found, seed, (f"{title} is told.",)) for seed, found in enumerate(each)]
    return subjects


@pytest.fixture(scope="session")
def subjects() -> Subjects:
    return make_subjects()


@pytest.fixture(scope="session")
def references() -> Measured:
    return make_references()


@pytest.fixture(scope="session")
def results(subjects: Subjects) -> Results:
    return gather(judged.finding for each in subjects.values() for judged in each)
