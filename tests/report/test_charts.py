"""Charts: lines fill their frame with a bar for each interval, codes are laid out row by row."""

import numpy as np

from diffusegae.images import decode_image
from diffusegae.metrics.projection import Projection
from diffusegae.metrics.uncertainty import Interval
from diffusegae.report.charts import DPI, draw_projections, line_chart

CURVE = {0.0: 1.0, 640.0: 0.4, 1280.0: 0.2}


def exact(points: dict[float, float]) -> dict[float, Interval]:
    return {x: Interval(y, y, y) for x, y in points.items()}


def test_a_level_curve_is_drawn() -> None:
    assert 'points="0.0,110.0 300.0,110.0"' in line_chart("flat", {"flat": exact({0.0: 2.0, 10.0: 2.0})}, "x")


def test_a_curve_fills_its_frame_and_says_its_range() -> None:
    drawn = line_chart("a & b", {"a": exact(CURVE)}, "images")
    assert 'points="0.0,0.0 150.0,82.5 300.0,110.0"' in drawn
    assert 'd=""' in drawn  # no interval
    assert "a &amp; b" in drawn
    assert "0.2 to 1, last 0.2" in drawn
    assert 'class="key"' not in drawn


def test_lines_are_told_apart_and_have_bars_and_a_tick_at_every_x_of_a_logarithmic_axis() -> None:
    line = {20.0: Interval(300.0, 290.0, 320.0), 100.0: Interval(310.0, 300.0, 330.0), 500.0: Interval(310, 310, 310)}
    drawn = line_chart("lines", {"<one>": line, "two": exact({20.0: 330.0})}, "T", log=True)
    assert 'points="0.0,82.5 150.0,55.0 300.0,55.0"' in drawn
    assert 'd="M0.0,110.0 L0.0,27.5 M150.0,82.5 L150.0,0.0"' in drawn
    assert [tick in drawn for tick in (">20<", ">100<", ">500<")] == [True] * 3
    assert drawn.count('class="key"') == 2
    assert len({style.split('"')[0] for style in drawn.split('style="')[1:]}) == 2
    assert "&lt;one&gt;" in drawn


def test_codes_are_drawn_a_row_each_and_a_column_per_attribute() -> None:
    generator = np.random.default_rng(0)
    codes = Projection(generator.normal(size=(20, 2)), generator.integers(0, 30, (20, 2)), (0.5, -0.1))
    sheet = decode_image(draw_projections({"one": codes, "two": codes}, ("a", "b")))
    assert sheet.shape[:2] == (int((2 * 3.2 + 0.2) * DPI), int(2 * 3.2 * DPI))
