"""The connection to MLflow: a client of one server or database, whose errors say what to do.

Everything goes through `MlflowClient` with an explicit URI: MLflow's fluent functions keep global state, which the
processes of a training run would not share.
"""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from diffusegae.tracking.moved import follow_artifacts

SQLITE = "sqlite:///"
_ANSWER_SECONDS = 5.0


class TrackingError(RuntimeError):
    """MLflow does not answer, or does not have what was asked for."""


def connect(uri: str, create: bool = False) -> MlflowClient:
    """Return a client of a tracking server or an SQLite database; `create` makes a database that isn't there yet.

    Raises:
        TrackingError: the server does not answer, or there is no such database.
    """
    if uri.startswith(("http://", "https://")):
        _require_answer(uri)
    elif uri.startswith(SQLITE):
        database = Path(uri.removeprefix(SQLITE)).absolute()
        _require_database(database, create)
        with explained(uri):
            follow_artifacts(database, database.parent)
    with explained(uri):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn MLflow's exceptions into a TrackingError that names the address."""
    try:
        yield
    except (MlflowException, OSError) as error:
        raise TrackingError(f"MLflow at {uri}: {error}") from error


def _require_answer(uri: str) -> None:
    """Ask once: MLflow itself would try for minutes before it says that nobody is there."""
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_ANSWER_SECONDS):
            pass
    except urllib.error.HTTPError:
        return  # it answers, if only to refuse this page
    except OSError as error:
        raise TrackingError(
            f"no MLflow server answers at {uri} ({error}); start it, or name another with tracking.uri"
        ) from error


def _require_database(path: Path, create: bool) -> None:
    if create:
        path.parent.mkdir(parents=True, exist_ok=True)
    elif not path.is_file():
        raise TrackingError(f"there is no MLflow database {path}; run the pipeline first, or name another tracking.uri")
