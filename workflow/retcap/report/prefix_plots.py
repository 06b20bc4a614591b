"""Plots of the prefix captioning study: BLEU-4 against prefix length with both uncertainties, and losses."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import altair as alt
import pandas as pd
from markupsafe import Markup

from retcap.report.palette import DASHES, SERIES
from retcap.report.plots import INK, MUTED, Mark, svg

WIDTH_PX, HEIGHT_PX = 340, 230
SMALL_WIDTH_PX, SMALL_HEIGHT_PX = 250, 130


@dataclass(frozen=True)
class Length:
    """A condition in points of 100: mean over seeds with its interval over pictures, and the value of every seed."""

    system: str
    length: int
    value: float
    low: float
    high: float
    seeds: Sequence[float]


def lengths(points: Sequence[Length], blind: float | None, alt_text: str) -> Markup:
    """BLEU-4 over prefix length: line and bars are the mean with its interval over pictures, crosses single seeds."""
    systems = list(dict.fromkeys(point.system for point in points))
    places = sorted({point.length for point in points})
    table = pd.DataFrame([asdict(point) | {"at": str(point.length)} for point in points]).drop(columns="seeds")
    single = pd.DataFrame(
        [{"system": one.system, "at": str(one.length), "value": value} for one in points for value in one.seeds]
    )
    x = alt.X("at:O", title="prefix length, tokens", sort=[str(place) for place in places], axis=alt.Axis(labelAngle=0))
    y = alt.Y("value:Q", title="BLEU-4, percent", scale=alt.Scale(zero=False, padding=8))
    colour = alt.Color("system:N", scale=alt.Scale(domain=systems, range=_colours(systems)), legend=None)
    dash = alt.StrokeDash("system:N", scale=alt.Scale(domain=systems, range=DASHES[: len(systems)]), legend=None)
    # beside one another, so that the bars of two mappers do not cover each other
    offset = alt.XOffset("system:N", sort=systems) if len(systems) > 1 else alt.Undefined
    base = alt.Chart(table)
    chart = base.mark_line(strokeWidth=1.5, opacity=0.6).encode(x=x, y=y, color=colour, strokeDash=dash, xOffset=offset)
    chart += base.mark_rule(strokeWidth=2).encode(
        x=x, y=alt.Y("low:Q", title="BLEU-4, percent"), y2="high:Q", color=colour, xOffset=offset
    )
    chart += base.mark_point(filled=True, size=55, opacity=1).encode(x=x, y=y, color=colour, xOffset=offset)
    seeds = alt.Chart(single).mark_point(shape="cross", size=36, opacity=0.9, strokeWidth=1, filled=False)
    chart += seeds.encode(x=x, y=y, color=alt.value(INK), xOffset=offset)
    if blind is not None:
        rule = alt.Chart(pd.DataFrame([{"value": blind}])).mark_rule(strokeDash=[3, 3], color=MUTED, strokeWidth=1.5)
        chart += rule.encode(y="value:Q")
    return svg(chart.properties(width=WIDTH_PX, height=HEIGHT_PX), alt_text)


def legend(systems: Sequence[str]) -> list[Mark]:
    """Entries for `lengths`."""
    marks = []
    for index, name in enumerate(systems):
        colour = _colours(systems)[index]
        path = f'<path d="M14 0V12" stroke="{colour}" stroke-width="2"/><circle cx="14" cy="6" r="4" fill="{colour}"/>'
        marks.append(Mark(f"{name}: mean over seeds, 95 % interval over pictures", Markup(path)))
    cross = f'<path d="M14 2V10M10 6H18" stroke="{INK}" stroke-width="1.2"/>'
    marks.append(Mark("one seed", Markup(cross)))
    blind = f'<path d="M0 6H28" stroke="{MUTED}" stroke-width="1.5" stroke-dasharray="3 3"/>'
    return [*marks, Mark("blind: one caption for every picture", Markup(blind))]


def losses(cells: Sequence[Mapping[str, Any]], alt_text: str) -> Markup:
    """Training loss of every seed as a line, validation loss as points."""
    lines = pd.DataFrame(
        [{"seed": str(one["seed"]), "step": step, "loss": loss} for one in cells for step, loss in one["train"]],
        columns=["seed", "step", "loss"],
    )
    points = pd.DataFrame(
        [{"seed": str(one["seed"]), "step": step, "loss": loss} for one in cells for step, loss in one["valid"]],
        columns=["seed", "step", "loss"],
    )
    seeds = [str(one["seed"]) for one in cells]
    colour = alt.Color("seed:N", scale=alt.Scale(domain=seeds, range=_colours(seeds)), legend=None)
    x = alt.X("step:Q", title="optimiser step", axis=alt.Axis(tickCount=4, grid=False, format="~s"))
    y = alt.Y("loss:Q", title="nats per token", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4))
    chart = alt.Chart(lines).mark_line(strokeWidth=1.2).encode(x=x, y=y, color=colour)
    chart += alt.Chart(points).mark_point(filled=True, size=30, opacity=1).encode(x=x, y=y, color=colour)
    return svg(chart.properties(width=SMALL_WIDTH_PX, height=SMALL_HEIGHT_PX), alt_text)


def _colours(names: Sequence[str]) -> list[str]:
    return [SERIES[index % len(SERIES)] for index in range(len(names))]
