"""The architecture, held against the code: who may import whom, which vendor lives in which room, how large things are.

LAYERS is the architecture document: a module may import modules of its own layer or of layers above it in the list.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for room in ("diffusegae", "jobs", "serve") for path in (ROOT / room).rglob("*.py"))

LAYERS: tuple[tuple[str, ...], ...] = (
    ("diffusegae.formats",),
    ("diffusegae.srgb",),
    ("diffusegae.schema", "diffusegae.images", "diffusegae.pixels", "diffusegae.client"),
    (
        "diffusegae.config.base",
        "diffusegae.config.holdout",
        "diffusegae.storage",
        "diffusegae.forecast",
        "diffusegae.capacity",
    ),
    # A source is one file, its part of the config included, so the config stands on the sources.
    (
        "diffusegae.data.sources",
        "diffusegae.data.records",
        "diffusegae.data.bins",
        "diffusegae.data.containers",
        "diffusegae.data.index",
        "diffusegae.data.splits",
        "diffusegae.data.vehicles",
        "diffusegae.data.combined",
        "diffusegae.data.glyphs",
        "diffusegae.data.heroes",
    ),
    ("diffusegae.config", "diffusegae.checkpoint"),
    ("diffusegae.layout",),
    ("diffusegae.models", "diffusegae.diffusion", "diffusegae.data"),
    ("diffusegae.metrics",),
    ("diffusegae.editing", "diffusegae.tracking", "diffusegae.losses", "diffusegae.baselines"),
    ("diffusegae.data.pipeline", "diffusegae.data.ingest", "diffusegae.training", "diffusegae.survey"),
    ("diffusegae.evaluation",),
    ("diffusegae.tuning", "diffusegae.report"),
    ("diffusegae.pipeline", "diffusegae.comparison", "diffusegae.export"),
    # What the rooms of the service share, the models, the API above them, and both on Ray Serve.
    ("serve.problems",),
    ("serve.served", "serve.tasks"),
    ("serve.models",),
    ("serve.http",),
    ("serve.deploy",),
    ("serve",),
    ("jobs",),
)
VENDORS: dict[str, tuple[str, ...]] = {
    "ray.data": ("diffusegae.data.pipeline",),
    "ray.train": ("diffusegae.training.worker", "diffusegae.training.launch"),
    "ray.tune": ("diffusegae.tuning",),
    "optuna": ("diffusegae.tuning",),
    "ray.serve": ("serve.models", "serve.deploy", "serve.app", "jobs.serve"),
    "ray": (
        "diffusegae.capacity",
        "diffusegae.data.pipeline",
        "diffusegae.training.worker",
        "diffusegae.training.launch",
        "diffusegae.tuning",
        "diffusegae.evaluation.tasks",
        "diffusegae.comparison.schedule",
        "jobs",
        "serve.models",
        "serve.deploy",
        "serve.app",
    ),
    "fastapi": ("serve.http", "serve.deploy.ingress"),
    "starlette": ("serve.http", "serve.problems"),
    "httpx": ("diffusegae.client",),
    "mlflow": ("diffusegae.tracking",),
    "pyarrow.fs": ("diffusegae.storage",),
    "s3fs": ("diffusegae.storage",),
    "botocore": ("diffusegae.storage",),
}
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_JOB_LINES = 400, 60, 80


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, relative imports resolved, `from a import b` as both a and a.b."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            target = ".".join(part for part in (base, node.module) if part)
            yield target
            yield from (f"{target}.{alias.name}" for alias in node.names)


def inside(module: str, rooms: tuple[str, ...]) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


def layer_of(module: str) -> int:
    """Return the layer of the most specific entry that a module belongs to."""
    found = [(len(entry), number) for number, layer in enumerate(LAYERS) for entry in layer if inside(module, (entry,))]
    return max(found)[1] if found else -1


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_point_one_way(path: Path) -> None:
    mine = layer_of(module_name(path))
    own = [name for name in imports(path) if inside(name, ("diffusegae", "jobs", "serve"))]
    backward = [name for name in own if layer_of(name) > mine]
    assert not backward


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_vendors_stay_in_their_rooms(path: Path) -> None:
    module = module_name(path)
    strays = [
        name
        for name in imports(path)
        for vendor, rooms in VENDORS.items()
        if inside(name, (vendor,)) and not inside(module, rooms)
    ]
    assert not strays


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_a_file_says_what_it_owns_and_stays_readable(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a file's first docstring line says what it owns"
    assert len(text.splitlines()) <= (MAX_JOB_LINES if path.parent.name == "jobs" else MAX_FILE_LINES)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, node.name
        if isinstance(node, ast.ImportFrom):
            assert node.names[0].name != "*"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_nothing_happens_on_import(path: Path) -> None:
    """Top-level statements define; only a runnable file's `if __name__` guard acts."""
    allowed = (
        ast.Import,
        ast.ImportFrom,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.Assign,
        ast.AnnAssign,
    )
    for node in ast.parse(path.read_text()).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_guard = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
        assert isinstance(node, allowed) or is_docstring or is_guard, ast.unparse(node)[:80]


def test_only_sources_and_configs_know_the_words_of_a_data_set() -> None:
    words = ('"identity"', '"background"', '"pose"')
    knowing = {module_name(path) for path in SOURCES if any(word in path.read_text() for word in words)}
    assert knowing <= {
        "diffusegae.config.data",
        "diffusegae.data.sources.ilab",
        "diffusegae.data.sources.celeba",
        "diffusegae.data.sources.vehicles",
        "diffusegae.data.units",
    }


def test_file_names_say_more_than_utils() -> None:
    assert not [path for path in SOURCES if path.stem in {"utils", "helpers", "common", "misc"}]
