"""What a sweep found: a table of its trials, those that none beats in leak and error at once, the winner's config."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import yaml
from pydantic import JsonValue

from diffusegae.config.pipeline import PipelineConfig
from diffusegae.tuning.job import SweepError
from diffusegae.tuning.ledger import TrialRecord
from diffusegae.tuning.score import ERROR, LEAK, OWN, SCORE
from diffusegae.tuning.space import config_at, dimensions_of, value_at
from diffusegae.tuning.trial import DIVERGED

MEASURED = (SCORE, OWN, LEAK, ERROR)
WINNER_SUFFIX = "-tuned"


@dataclass(frozen=True)
class TrialResult:
    """One trial for tables and pictures: its settings by key, and what it measured last."""

    record: TrialRecord
    settings: dict[str, JsonValue]
    samples_seen: int
    figures: dict[str, float]

    @property
    def number(self) -> int:
        """Its number; 0 is the config itself."""
        return self.record.number

    @property
    def score(self) -> float:
        """Its last score."""
        return self.figures[SCORE]

    @property
    def is_whole(self) -> bool:
        """Tell whether it ran to its end, so that its figures can be held against others'."""
        return self.record.status == "done" and DIVERGED not in self.figures


def read_results(config: PipelineConfig, records: Sequence[TrialRecord]) -> list[TrialResult]:
    """Return the trials that measured anything, in order."""
    dimensions = dimensions_of(config)
    results = []
    for record in records:
        if record.last is not None:
            drawn = config_at(config, dimensions, record.point)
            settings = {key: value_at(drawn, key) for key in dimensions}
            results.append(TrialResult(record, settings, record.last.samples_seen, record.last.metrics))
    return results


def winner_of(results: Sequence[TrialResult]) -> TrialResult:
    """Return the best trial of those that ran to their end; SweepError if none did."""
    whole = [result for result in results if result.is_whole]
    if not whole:
        raise SweepError("no trial ran to its end; see the log, and tune.length and tune.space in the config")
    return max(whole, key=lambda result: result.score)


def pareto_front(results: Sequence[TrialResult]) -> list[TrialResult]:
    """Return the whole trials that no other beats in leak without losing in error, or the reverse; least leak first."""
    whole = sorted((r for r in results if r.is_whole), key=lambda r: (r.figures[LEAK], r.figures[ERROR]))
    front: list[TrialResult] = []
    for result in whole:
        if not front or result.figures[ERROR] < front[-1].figures[ERROR]:
            front.append(result)
    return front


def winner_config(config: PipelineConfig, winner: TrialResult) -> PipelineConfig:
    """Return the config with the winner's settings and a name of its own, on the same images, stage 1 and latents."""
    drawn = config_at(config, dimensions_of(config), winner.record.point)
    return drawn.model_copy(update={"name": config.name + WINNER_SUFFIX, "base": config.base or config.name})


def write_winner(config: PipelineConfig, results: Sequence[TrialResult]) -> str:
    """Return the winner's config as YAML, with where it comes from."""
    winner = winner_of(results)
    found = next((r for r in results if r.number == 0 and r.is_whole), None)
    against = f", the config's own {found.score:.4f}" if found else ""
    content = yaml.safe_dump(winner_config(config, winner).model_dump(mode="json"), sort_keys=False)
    return (
        f"# Trial {winner.number}, the best of {len(results)} trials on {config.name}: validation score"
        f" {winner.score:.4f}{against}.\n# python jobs/train.py --config THIS_FILE --stage refine\n{content}"
    )


def write_table(results: Sequence[TrialResult]) -> str:
    """Return all trials as CSV, the best first."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    keys = list(results[0].settings) if results else []
    writer.writerow(["trial", "status", "groups", *MEASURED, "mean_leak", "max_leak", *keys])
    for result in _best_first(results):
        leaks = [result.figures.get(f"probe/{name}_leak", "") for name in ("mean", "max")]
        figures = [result.figures[name] for name in MEASURED]
        settings = [shown(value, digits=6) for value in result.settings.values()]
        writer.writerow([result.number, result.record.status, result.samples_seen, *figures, *leaks, *settings])
    return table.getvalue()


def write_pareto(config: PipelineConfig, results: Sequence[TrialResult]) -> str:
    """Return the Pareto front and all trials as Markdown."""
    winner, front = winner_of(results), pareto_front(results)
    weights = config.tune.weights
    stopped = sum(result.record.status == "stopped" for result in results)
    lines = [
        f"# Sweep of {config.name}: {len(results)} trials, {stopped} stopped early",
        "",
        f"score = {weights.own:g} own - {weights.leak:g} leak - {weights.error:g} error, on a validation split of the"
        " training rows (diffusegae/tuning/score.py). Trial 0 is the config itself.",
        "",
        "## Pareto front of leak and error (trials that ran to their end)",
        "",
        *_markdown(front, winner),
        "",
        "## All trials, the best first; a stopped one was measured after fewer GROUPs",
        "",
        *_markdown(_best_first(results), winner),
    ]
    return "\n".join(lines) + "\n"


def _best_first(results: Sequence[TrialResult]) -> list[TrialResult]:
    return sorted(results, key=lambda result: (not result.is_whole, -result.score))


def _markdown(results: Sequence[TrialResult], winner: TrialResult) -> list[str]:
    keys = list(results[0].settings) if results else []
    titles = ["trial", "GROUPs", *MEASURED, *(short_key(key) for key in keys)]
    rows = []
    for result in results:
        mark = " (winner)" if result is winner else " (config)" if result.number == 0 else ""
        cells = [f"{result.number}{mark}", f"{result.samples_seen:,}"]
        cells += [f"{result.figures[name]:.4f}" for name in MEASURED]
        rows.append([*cells, *(shown(value) for value in result.settings.values())])
    return [f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *rows)]


def short_key(key: str) -> str:
    """Return a key without the sections that are clear from the rest."""
    for section in ("data.attributes.", "model.gae.", "model.", "refine."):
        key = key.removeprefix(section)
    return key.replace(".width", " width")


def shown(value: JsonValue, digits: int = 3) -> str:
    """Return a setting as short text; a list of equal numbers as `4 x 256`."""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, list):
        texts = [shown(entry, digits) for entry in value]
        return f"{len(texts)} x {texts[0]}" if len(texts) > 1 and len(set(texts)) == 1 else "-".join(texts)
    return str(value).lower() if isinstance(value, bool) else str(value)
