"""The colours of the report: drawn into plots in their light form, swapped for the dark form by the page's style sheet.

Plots carry the light colours as plain attributes, so they look right when saved alone. In the page one CSS rule per
colour (`svg [fill="#0b63b0"] { fill: var(--series-1) }`) turns the attribute into a variable, which follows the scheme.
Every text and series colour has a contrast of at least 4.5 : 1 on its background (WCAG 2.2, success criterion 1.4.3).
"""

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1d2127",
    "muted": "#59626d",
    "grid": "#e2e5e9",
    "series-1": "#0b63b0",
    "series-2": "#b04a08",
    "series-3": "#177245",
    "series-4": "#7546bd",
    "series-5": "#ad2a76",
    "series-6": "#00727f",
    "series-7": "#756300",
    "series-8": "#6c5546",
}
DARK = {
    "paper": "#15181c",
    "ink": "#e8eaed",
    "muted": "#a3acb8",
    "grid": "#30363d",
    "series-1": "#6cb4f5",
    "series-2": "#f59a5c",
    "series-3": "#62c793",
    "series-4": "#b99af0",
    "series-5": "#f08fc3",
    "series-6": "#4fc5d2",
    "series-7": "#d3bd4a",
    "series-8": "#c8ab98",
}
SERIES = [LIGHT[f"series-{number}"] for number in range(1, 9)]
# Dashes of lines, because colour must never be the only cue (WCAG 2.2, 1.4.1).
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 3], [4, 4], [1, 3], [10, 2, 2, 2]]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2, definition of "contrast ratio").

    >>> round(contrast("#000000", "#ffffff"), 1)
    21.0
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
