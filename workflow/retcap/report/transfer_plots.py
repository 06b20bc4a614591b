"""Plots of the transfer study: few-shot curves beside zero-shot lines, and accuracy under shift against the base."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
from markupsafe import Markup

from retcap.report.palette import DASHES, SERIES
from retcap.report.plots import INK, MUTED, Mark, svg
from retcap.transfer.robustness import Line, logistic, logit

WIDTH_PX, HEIGHT_PX = 340, 210
SHAPES = ("circle", "square")  # classifiers that learned from labels; zero-shot
STEPS = 60  # points of a drawn line


@dataclass(frozen=True)
class Shots:
    """Few-shot accuracy of one encoder in percent, with bounds, and its zero-shot accuracy where it has one."""

    encoder: str
    points: Sequence[tuple[int, float, float, float]]  # k, value, low, high
    zero_shot: float | None


@dataclass(frozen=True)
class Place:
    """A classifier under a shift, accuracies in percent."""

    encoder: str
    classifier: str
    base: float
    shifted: float
    learned: bool


def few_shot(curves: Sequence[Shots], alt_text: str) -> Markup:
    """Accuracy over k (logarithmic) with 95 % bands, and a dotted line where zero-shot stands."""
    names = [curve.encoder for curve in curves]
    table = pd.DataFrame(
        [
            {"encoder": curve.encoder, "k": k, "value": value, "low": low, "high": high}
            for curve in curves
            for k, value, low, high in curve.points
        ]
    )
    ks = sorted(set(table["k"]))
    x = alt.X("k:Q", title="labelled pictures per class", scale=alt.Scale(type="log"), axis=_axis(ks))
    y = alt.Y("value:Q", title="top-1 accuracy, percent", scale=alt.Scale(domainMin=0))
    colour = _colour(names)
    base = alt.Chart(table)
    dash = alt.StrokeDash("encoder:N", scale=alt.Scale(domain=names, range=DASHES[: len(names)]), legend=None)
    chart = base.mark_area(opacity=0.15).encode(x=x, y=alt.Y("low:Q", title=None), y2="high:Q", color=colour)
    chart += base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash)
    chart += base.mark_point(filled=True, size=34, opacity=1).encode(x=x, y=y, color=colour)
    rules = [{"encoder": one.encoder, "value": one.zero_shot} for one in curves if one.zero_shot is not None]
    if rules:
        rule = alt.Chart(pd.DataFrame(rules)).mark_rule(strokeDash=[2, 3], strokeWidth=2)
        chart += rule.encode(y="value:Q", color=colour)
    return svg(chart.properties(width=WIDTH_PX, height=HEIGHT_PX), alt_text)


def robustness(places: Sequence[Place], line: Line | None, n: tuple[int, int], alt_text: str) -> Markup:
    """Accuracy under a shift against accuracy on the base, with the fitted line and the diagonal of no loss."""
    names = list(dict.fromkeys(place.encoder for place in places))
    table = pd.DataFrame([vars(place) | {"kind": SHAPES[not place.learned]} for place in places])
    most = max(1.0, float(table[["base", "shifted"]].to_numpy().max())) * 1.08
    scale = alt.Scale(domain=[0, min(100.0, most)], nice=False)
    x = alt.X("base:Q", title="accuracy on the base set, percent", scale=scale, axis=alt.Axis(tickCount=5))
    y = alt.Y("shifted:Q", title="accuracy under the shift, percent", scale=scale, axis=alt.Axis(tickCount=5))
    ends = pd.DataFrame({"base": [0, min(100.0, most)], "shifted": [0, min(100.0, most)]})
    chart = alt.Chart(ends).mark_line(color=MUTED, strokeDash=[2, 3], strokeWidth=1).encode(x=x, y=y)
    if line is not None:
        base = np.linspace(0.005, min(0.995, most / 100), STEPS)
        fitted = logistic(line.intercept + line.slope * logit(base, n[0]))
        points = pd.DataFrame({"base": 100 * base, "shifted": 100 * fitted})
        chart += alt.Chart(points).mark_line(color=INK, strokeWidth=1.2).encode(x=x, y=y)
    shape = alt.Shape("kind:N", scale=alt.Scale(domain=list(SHAPES), range=list(SHAPES)), legend=None)
    marks = alt.Chart(table).mark_point(filled=True, size=62, opacity=1)
    chart += marks.encode(x=x, y=y, color=_colour(names), shape=shape)
    return svg(chart.properties(width=HEIGHT_PX + 40, height=HEIGHT_PX + 40), alt_text)


def few_shot_legend(encoders: Sequence[str], zero_shot: Sequence[str]) -> list[Mark]:
    """Lines of the encoders, then their zero-shot lines."""
    marks = []
    for index, name in enumerate(encoders):
        colour = SERIES[index % len(SERIES)]
        dashes = " ".join(map(str, DASHES[index % len(DASHES)]))
        path = f'<path d="M0 6H28" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dashes}"/>'
        marks.append(Mark(f"{name}, few-shot", Markup(path)))
        if name in zero_shot:
            rule = f'<path d="M0 6H28" stroke="{colour}" stroke-width="2" stroke-dasharray="2 3"/>'
            marks.append(Mark(f"{name}, zero-shot", Markup(rule)))
    return marks


def robustness_legend(encoders: Sequence[str]) -> list[Mark]:
    """Colours of the encoders, forms of the classifiers, both lines."""
    marks = []
    for index, name in enumerate(encoders):
        drawing = f'<circle cx="14" cy="6" r="5" fill="{SERIES[index % len(SERIES)]}"/>'
        marks.append(Mark(f"{name}, learned from labels", Markup(drawing)))
    square = f'<rect x="9" y="1" width="10" height="10" fill="{SERIES[0]}"/>'
    marks.append(Mark("zero-shot", Markup(square)))
    marks.append(Mark("fitted line", Markup(f'<path d="M0 6H28" stroke="{INK}" stroke-width="1.2"/>')))
    diagonal = f'<path d="M0 6H28" stroke="{MUTED}" stroke-dasharray="2 3"/>'
    return [*marks, Mark("no loss", Markup(diagonal))]


def _axis(ks: Sequence[int]) -> alt.Axis:
    return alt.Axis(values=list(ks), grid=False, format="d")


def _colour(names: Sequence[str]) -> alt.Color:
    colours = [SERIES[index % len(SERIES)] for index in range(len(names))]
    return alt.Color("encoder:N", scale=alt.Scale(domain=list(names), range=colours), legend=None)
