"""Artifacts that were moved or copied with their database: their addresses in it, which are absolute, follow them."""

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

ARTIFACTS = "mlflow-artifacts"  # the folder in a storage that an SQLite database's artifacts go to
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
_LOCK_SECONDS = 30.0

logger = logging.getLogger(__name__)


def follow_artifacts(database: Path, storage: Path) -> None:
    """Let the addresses in an SQLite database of MLflow's mean the artifacts of a storage, if its runs' lie there now.

    Artifacts that are still found where the database says stay its own, unless it was copied together with others.

    Raises:
        OSError: the addresses are outdated and the database can't be written.
    """
    target = storage / ARTIFACTS
    if not (database.is_file() and target.is_dir()):
        return
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=_LOCK_SECONDS)) as connection:
            for old in _outdated(connection, target, is_beside=database.parent == storage):
                _rewrite(connection, old, str(target))
                logger.info("%s: what was in %s is in %s now", database, old, target)
    except sqlite3.OperationalError as error:
        reason = f"the artifacts of {database} are in {target} now, which can't be noted in it: {error}"
        raise OSError(reason) from error


def _outdated(connection: sqlite3.Connection, target: Path, is_beside: bool) -> list[str]:
    """Return the artifact folders in a database of which the runs' files are found in another folder."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not {table for table, _ in _COLUMNS} <= tables:
        return []  # being created
    found = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
    folders = [str(folder) for (folder,) in found if str(folder).endswith(f"/{ARTIFACTS}") and folder != str(target)]
    return [each for each in folders if _may_follow(each, target, is_beside) and _holds(connection, each, target)]


def _may_follow(old: str, target: Path, is_beside: bool) -> bool:
    return is_beside and not os.path.samefile(old, target) if os.path.isdir(old) else True


def _holds(connection: sqlite3.Connection, old: str, target: Path) -> bool:
    """Tell whether a run that the database has in one folder lies in another one."""
    begin = f"{old}/"
    runs = connection.execute("SELECT artifact_uri FROM runs WHERE substr(artifact_uri, 1, ?) = ?", (len(begin), begin))
    return any((target / str(uri).removeprefix(begin)).is_dir() for (uri,) in runs)


def _rewrite(connection: sqlite3.Connection, old: str, new: str) -> None:
    with connection:
        for table, column in _COLUMNS:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
            )
