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
