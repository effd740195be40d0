"""Forecasts: what is said before, in the first seconds, and at the end, by a clock of the test's own."""

import pytest

from diffusegae.forecast import Forecast, Workload, format_bytes, format_seconds
from tests.clock import Clock

WORK = Workload("pretrain", amount=1000, unit="images", steps=10, bytes_read=11_200_000, bytes_written=2_000)


def test_a_measured_forecast_is_sharp_after_the_first_seconds_and_judged_at_the_end() -> None:
    clock = Clock()
    forecast = Forecast(WORK, clock=clock)
    assert forecast.announce() == (
        "pretrain: 1,000 images in 10 steps; reads about 11.2 MB; writes about 2 kB;"
        " how long is known 5 seconds after it has started"
    )
    assert forecast.advance(10) == ""
    clock.now += 4
    assert forecast.advance(40) == ""
    clock.now += 2
    assert forecast.advance(70) == "pretrain: 10 images/s in the first 6 s; about 1:33 to go"
    clock.now += 2
    assert forecast.advance(90) == ""
    clock.now = 100 + 2 * 99.0
    assert forecast.verdict() == "pretrain: took 3:18, forecast 1:39 at the measured rate (+100 %)"


def test_a_given_rate_forecasts_at_once_and_only_what_is_left() -> None:
    clock = Clock()
    forecast = Forecast(WORK, rate=5.0, done=500, clock=clock)
    assert "in 10 steps, 500 of them left; " in forecast.announce()
    assert forecast.announce().endswith("about 1:40 at the given 5 images/s")
    forecast.advance(500)
    clock.now += 50
    assert forecast.advance(900) == ""
    assert forecast.verdict() == "pretrain: took 0:50, forecast 1:40 at the given rate (-50 %)"


def test_short_work_says_so() -> None:
    clock = Clock()
    forecast = Forecast(WORK, clock=clock)
    assert forecast.verdict() == "pretrain: nothing was left to do"
    forecast.advance(0)
    clock.now += 1
    assert forecast.verdict() == "pretrain: took 0:01, over before a forecast was made"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (61, "1:01"), (3661.2, "1:01:01")])
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (3.3e11, "330 GB")])
def test_sizes_are_readable(count: float, text: str) -> None:
    assert format_bytes(count) == text
