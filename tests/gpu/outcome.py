"""What became of a check, and how many of them are run so that none hides another."""

import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["pass", "FAIL", "skip"]
# Returns what it measured in a few words; raises Failed or anything else if that is not as it should be.
Check = Callable[[], str]


class Failed(AssertionError):  # noqa: N818 - a finding
    """A check's finding is outside its tolerance."""


class Skipped(Exception):  # noqa: N818 - nothing is wrong
    """A check that says nothing here: what it needs is not on this machine."""


@dataclass(frozen=True)
class Outcome:
    """A check's verdict, what it measured, and the seconds it took."""

    name: str
    verdict: Verdict
    detail: str
    seconds: float = 0.0

    def to_line(self) -> str:
        """Return it as one line of JSON, for the process that asked."""
        return json.dumps(asdict(self))


def require(holds: bool, detail: str) -> str:
    """Return what was measured, or raise Failed with it."""
    if not holds:
        raise Failed(detail)
    return detail


def run_check(name: str, check: Check) -> Outcome:
    """Run a check; whatever it raises becomes its verdict."""
    started = time.perf_counter()
    try:
        verdict, detail = "pass", check()
    except Skipped as reason:
        verdict, detail = "skip", str(reason)
    except Failed as finding:
        verdict, detail = "FAIL", str(finding)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        verdict = "FAIL"
        detail = f"{type(error).__name__}: {str(error)[:300]} ({place.filename.rpartition('/')[2]}:{place.lineno})"
    return Outcome(name, verdict, " ".join(detail.split()), time.perf_counter() - started)  # type: ignore[arg-type]


def read_outcomes(group: str, lines: Sequence[str], ending: str) -> Iterator[Outcome]:
    """Yield what a group's process wrote: a line when a check begins, its outcome when it ends.

    `ending` says how the process ended, "" if well; the check that it was in then has failed.
    """
    begun = ""
    for line in lines:
        try:
            content = json.loads(line)
        except json.JSONDecodeError:
            continue  # what a library prints, or a line that was cut off
        if not isinstance(content, dict):
            continue
        begun = content.get("begins", "")
        if not begun:
            yield Outcome(**content)
    if ending:
        yield Outcome(begun or f"{group}: all of it", "FAIL", f"{ending}; what follows in this group was not run")


def as_table(outcomes: Sequence[Outcome]) -> str:
    """Return a table for a terminal and, last, how many passed."""
    width = max((len(outcome.name) for outcome in outcomes), default=0)
    rows = [f"{o.verdict:4}  {o.name:{width}}  {o.seconds:6.1f} s  {o.detail}" for o in outcomes]
    counts = {verdict: sum(o.verdict == verdict for o in outcomes) for verdict in ("pass", "FAIL", "skip")}
    return "\n".join([*rows, f"{counts['pass']} passed, {counts['FAIL']} failed, {counts['skip']} skipped"])
