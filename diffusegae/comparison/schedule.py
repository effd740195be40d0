"""Work on a cluster in the order of what it needs: so much side by side, one failure stopping only what hangs on it."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray

logger = logging.getLogger(__name__)

MAX_DEATHS = 3  # of a work's process, after which it is begun again and goes on from what it stored


@dataclass(frozen=True)
class Work:
    """A function to run in a process of its own, when all works of the names in `needs` are done."""

    name: str
    function: Callable[..., None]
    arguments: tuple[Any, ...]
    needs: tuple[str, ...] = ()
    num_cpus: float = 0
    num_gpus: float = 0


def run_all(works: Sequence[Work], concurrent: int) -> dict[str, str]:
    """Run all works on the running Ray; return why each that did not succeed failed, by name.

    A need that is not among the works is taken as met.
    """
    waiting, running = list(works), dict[Any, Work]()
    pending = {work.name for work in works}
    failures: dict[str, str] = {}
    while waiting or running:
        waiting = _drop_hopeless(waiting, failures)
        for work in [work for work in waiting if pending.isdisjoint(work.needs)][: concurrent - len(running)]:
            waiting.remove(work)
            logger.info("compare: %s starts; %d to go", work.name, len(waiting) + len(running))
            running[_start(work)] = work
        if not running:
            continue
        (finished,), _ = ray.wait(list(running))
        work = running.pop(finished)
        try:
            ray.get(finished)
            pending.remove(work.name)
        except Exception as error:  # whatever it is, the other methods go on
            failures[work.name] = _reason(error)
            logger.error("compare: %s failed: %s", work.name, failures[work.name])
    return failures


def _start(work: Work) -> Any:
    remote = ray.remote(num_cpus=work.num_cpus, num_gpus=work.num_gpus, max_retries=MAX_DEATHS)(work.function)
    return remote.options(name=work.name).remote(*work.arguments)


def _drop_hopeless(waiting: list[Work], failures: dict[str, str]) -> list[Work]:
    """Leave out, with the reason, what needs something that failed."""
    kept = []
    for work in waiting:
        lost = next((need for need in work.needs if need in failures), None)
        if lost is None:
            kept.append(work)
        else:
            failures[work.name] = f"it needs {lost}, which failed"
    return kept


def _reason(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {cause}".strip().splitlines()[0]
