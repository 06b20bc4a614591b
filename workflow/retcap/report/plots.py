"""Plots of the report as SVG text: drawn by Altair, rendered by vl-convert, no browser and no network."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from markupsafe import Markup

from retcap.report.palette import DASHES, LIGHT, SERIES

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
LABEL_LIMIT_PX = 170
LINE_WIDTH_PX = 360
POINTS_SHOWN = 400  # points per training curve; more cannot be seen and make the page heavy
Point = tuple[float | int, float | int]  # JSON writes 1.0 as 1 at times, so every number here may be whole
Chart = alt.Chart | alt.LayerChart | alt.FacetChart
INK, MUTED, GRID = LIGHT["ink"], LIGHT["muted"], LIGHT["grid"]


@dataclass(frozen=True)
class Dot:
    """One row of a dot plot: a value with its interval."""

    name: str
    value: float | int
    low: float | int | None
    high: float | int | None
    baseline: bool = False


@dataclass(frozen=True)
class Gap:
    """R@K and PR@K of one data set with the floor and ceiling of PR@K, in percent."""

    name: str
    recall: float | int
    pseudo_recall: float | int
    floor: float | int | None
    ceiling: float | int | None


def dot_plot(dots: Sequence[Dot], axis: str, alt_text: str) -> Markup:
    """One row per system: dot and 95 % interval; baselines are hollow diamonds with a dashed line down the plot."""
    table = pd.DataFrame([vars(dot) | {"kind": "baseline" if dot.baseline else "model"} for dot in dots])
    order = [dot.name for dot in dots]
    row = _name_axis(order)
    scale = alt.Scale(zero=False, nice=True, padding=8)
    position = alt.X(
        "value:Q", title=axis, scale=scale, axis=alt.Axis(tickCount=4, labelOverlap=True, labelSeparation=14)
    )
    kinds = alt.Scale(domain=["model", "baseline"], range=[SERIES[0], SERIES[1]])
    colour = alt.Color("kind:N", scale=kinds, legend=None)
    base = alt.Chart(table)
    guides = (
        base.transform_filter("datum.baseline")
        .mark_rule(strokeDash=[3, 3], opacity=0.55)
        .encode(x=position, color=colour)
    )
    bars = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_rule(strokeWidth=2)
    bars = bars.encode(y=row, x=alt.X("low:Q", title=axis, scale=scale), x2="high:Q", color=colour)
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=["model", "baseline"], range=["circle", "diamond"]), legend=None)
    points = base.mark_point(filled=True, size=75, opacity=1).encode(y=row, x=position, color=colour, shape=shape)
    return svg((guides + bars + points).properties(width=225, height=alt.Step(21)), alt_text)


def cost_plot(dots: Sequence[Dot], costs: Sequence[float], axis: str, alt_text: str) -> Markup:
    """Quality with its 95 % interval against seconds per caption (logarithmic), one named point per system."""
    table = pd.DataFrame([vars(dot) | {"seconds": cost} for dot, cost in zip(dots, costs, strict=True)])
    base = alt.Chart(table).encode(
        x=alt.X("seconds:Q", title="seconds per caption", scale=alt.Scale(type="log", padding=24))
    )
    y = alt.Y("value:Q", title=axis, scale=alt.Scale(zero=False, nice=True, padding=8))
    bars = base.transform_filter("isValid(datum.low) && isValid(datum.high)").mark_rule(color=SERIES[0], strokeWidth=2)
    bars = bars.encode(y=alt.Y("low:Q", title=axis), y2="high:Q")
    points = base.mark_point(filled=True, size=75, opacity=1, color=SERIES[0]).encode(y=y)
    names = base.mark_text(align="left", dx=8, dy=-6, fontSize=12, color=INK).encode(y=y, text="name:N")
    return svg((bars + points + names).properties(width=LINE_WIDTH_PX, height=220), alt_text)


@dataclass(frozen=True)
class Mark:
    """One entry of a legend that several plots share; it stands above them, as text of the page."""

    name: str
    drawing: Markup  # the inside of a small SVG picture, 28 wide and 12 high


def legend(names: Sequence[str]) -> list[Mark]:
    """Entries for line plots whose lines are these names, in this order."""
    marks = []
    for index, name in enumerate(names):
        dash = " ".join(str(length) for length in DASHES[index % len(DASHES)])
        dashes = f' stroke-dasharray="{dash}"' if index % len(DASHES) else ""
        colour = SERIES[index % len(SERIES)]
        marks.append(Mark(name, Markup(f'<path d="M0 6H28" stroke="{colour}" stroke-width="2.5"{dashes}/>')))
    return marks


def gap_legend(k: int) -> list[Mark]:
    """Entries for `gap_plot`."""
    drawings = (
        f'<circle cx="14" cy="6" r="5" fill="{SERIES[0]}"/>',
        f'<rect x="9" y="1" width="10" height="10" fill="{SERIES[1]}"/>',
        f'<path d="M10 1V11L20 6Z" fill="{MUTED}"/>',
        f'<path d="M20 1V11L10 6Z" fill="{MUTED}"/>',
    )
    return [Mark(name, Markup(drawing)) for name, drawing in zip(gap_kinds(k), drawings, strict=True)]


def gap_kinds(k: int) -> list[str]:
    """What `gap_plot` marks, in order."""
    return [f"R@{k}", f"PR@{k}", "PR floor", "PR ceiling"]


def recall_curves(curves: Mapping[str, Mapping[int, float | int]], title: str, alt_text: str) -> Markup:
    """Recall in percent against K (logarithmic), one line per system; `legend` explains the lines."""
    records = [{"system": name, "k": k, "value": value} for name, curve in curves.items() for k, value in curve.items()]
    ks = sorted({record["k"] for record in records})
    x = alt.X("k:Q", title="K", scale=alt.Scale(type="log"), axis=alt.Axis(values=ks, grid=False, format="d"))
    y = alt.Y("value:Q", title=title, scale=alt.Scale(domainMin=0))
    return svg(_lines(records, list(curves), x, y).properties(width=LINE_WIDTH_PX, height=200), alt_text)


def training_curve(points: Sequence[Point], title: str, alt_text: str) -> Markup:
    """One quantity over training steps, thinned by averaging neighbours."""
    records = [{"system": title, "step": step, "value": value} for step, value in _thin(points)]
    x, y = _step_axis(), alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
    return svg(_lines(records, [title], x, y, dots=False).properties(width=LINE_WIDTH_PX, height=200), alt_text)


def evaluation_curves(curves: Mapping[str, Sequence[Point]], title: str, alt_text: str) -> Markup:
    """One quantity per evaluation and data set over training steps, in percent."""
    records = [
        {"system": name, "step": step, "value": value} for name, points in curves.items() for step, value in points
    ]
    x, y = _step_axis(), alt.Y("value:Q", title=title, scale=alt.Scale(domainMin=0))
    return svg(_lines(records, list(curves), x, y).properties(width=LINE_WIDTH_PX, height=200), alt_text)


def gap_plot(gaps: Sequence[Gap], k: int, alt_text: str) -> Markup:
    """R@K and PR@K of every data set joined by a line, between the floor and the ceiling of PR@K."""
    kinds = gap_kinds(k)
    values = [(gap.name, [gap.recall, gap.pseudo_recall, gap.floor, gap.ceiling]) for gap in gaps]
    records = [
        {"name": name, "kind": kind, "value": value}
        for name, row in values
        for kind, value in zip(kinds, row, strict=True)
        if value is not None
    ]
    order = [gap.name for gap in gaps]
    row = _name_axis(order)
    x = alt.X("value:Q", title="percent of queries", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=5))
    joined = alt.Chart(pd.DataFrame([vars(gap) for gap in gaps])).mark_rule(strokeWidth=2, color=MUTED)
    joined = joined.encode(y=row, x=alt.X("recall:Q", title="percent of queries"), x2="pseudo_recall:Q")
    colours = alt.Scale(domain=kinds, range=[SERIES[0], SERIES[1], MUTED, MUTED])
    shapes = alt.Scale(domain=kinds, range=["circle", "square", "triangle-right", "triangle-left"])
    points = alt.Chart(pd.DataFrame(records)).mark_point(filled=True, size=80, opacity=1)
    points = points.encode(
        y=row,
        x=x,
        color=alt.Color("kind:N", scale=colours, legend=None),
        shape=alt.Shape("kind:N", scale=shapes, legend=None),
    )
    return svg((joined + points).properties(width=300, height=alt.Step(30)), alt_text)


def _name_axis(names: list[str]) -> alt.Y:
    # The reader's font may be wider than the one vl-convert measures with: reserve room by characters.
    room_px = min(LABEL_LIMIT_PX, 8 * max(map(len, names)) + 6)
    axis = alt.Axis(ticks=False, domain=False, labelPadding=8, labelLimit=LABEL_LIMIT_PX, minExtent=room_px)
    return alt.Y("name:N", sort=names, title=None, axis=axis)


def _step_axis() -> alt.X:
    return alt.X("step:Q", title="optimiser step", axis=alt.Axis(tickCount=5, grid=False, format="~s"))


def _lines(records: list[dict], order: list[str], x: alt.X, y: alt.Y, dots: bool = True) -> Chart:
    colours = [SERIES[index % len(SERIES)] for index in range(len(order))]
    dashes = [DASHES[index % len(DASHES)] for index in range(len(order))]
    colour = alt.Color("system:N", sort=order, scale=alt.Scale(domain=order, range=colours), legend=None)
    dash = alt.StrokeDash("system:N", sort=order, scale=alt.Scale(domain=order, range=dashes), legend=None)
    base = alt.Chart(pd.DataFrame(records)).encode(x=x, y=y, color=colour)
    lines = base.mark_line(strokeWidth=2 if dots else 1.2).encode(strokeDash=dash)
    return lines + base.mark_point(filled=True, size=28, opacity=1) if dots else lines


def _thin(points: Sequence[Point]) -> list[Point]:
    width = -(-len(points) // POINTS_SHOWN)  # ceiling division: neighbours averaged into one point
    groups = (
        [points[start : start + width] for start in range(0, len(points), width)]
        if width > 1
        else [[p] for p in points]
    )
    return [(sum(p[0] for p in group) / len(group), sum(p[1] for p in group) / len(group)) for group in groups]


def svg(chart: Chart, alt_text: str) -> Markup:
    """A chart in the report's look, with a label for those who cannot see it."""
    # Names come from data: Vega's renderer escapes them in text nodes, and `html.escape` does so for the label.
    # Not validated: the tests draw every kind of plot, and checking each again costs a third of the time.
    spec = chart.configure(**_theme()).properties(background="transparent").to_dict(validate=False)
    svg = vl_convert.vegalite_to_svg(spec)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt_text)}" ', 1))


def _theme() -> dict[str, Any]:
    axis = {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "gridColor": GRID,
        "domainColor": GRID,
        "tickColor": GRID,
        "aria": False,
    }
    return {
        "font": FONT,
        "aria": False,
        "axis": axis,
        "axisY": {"labelColor": INK},
        "view": {"stroke": None},
        "mark": {"aria": False},
    }
