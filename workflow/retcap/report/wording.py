"""How numbers, sizes and lists are written in the report."""

import re
from collections.abc import Sequence

NOTHING = "–"  # stands where a number is absent, so that an empty cell never looks like a forgotten one


def number(value: float | int | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals and a true minus sign.

    >>> number(0.14159), number(-0.02), number(None)
    ('0.142', '−0.020', '–')
    """
    if value is None or value != value:
        return NOTHING
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")  # −0.000 is a rounding artefact, not a direction
    return text.replace("-", "−")


def signed(value: float | int | None, digits: int = 3) -> str:
    """A difference, always with its sign.

    >>> signed(0.014), signed(-0.5, 1), signed(0.0)
    ('+0.014', '−0.5', '0.000')
    """
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 and float(text) != 0 else text


def percent(fraction: float | int | None, digits: int = 1) -> str:
    """A fraction in percent, without the sign; the column says the unit.

    >>> percent(0.5512)
    '55.1'
    """
    return number(None if fraction is None else 100 * fraction, digits)


def interval(low: float | int | None, high: float | int | None, digits: int = 3, scale: float | int = 1.0) -> str:
    """A 95 % interval, or nothing when one side is unknown; a dash would be misread beside a minus sign.

    >>> interval(0.1, 0.25), interval(-0.1, 0.25)
    ('0.100–0.250', '−0.100 to 0.250')
    """
    if low is None or high is None:
        return ""
    joint = "–" if low >= 0 else " to "
    return f"{number(low * scale, digits)}{joint}{number(high * scale, digits)}"


def p_value(p: float | int | None) -> str:
    """A p value, never written as zero; a dash where there is none.

    >>> p_value(0.0342), p_value(0.0001)
    ('0.034', '< 0.001')
    """
    return "< 0.001" if p is not None and p < 0.001 else number(p)


def count(value: int | float | None) -> str:
    """A whole number with thin spaces between thousands.

    >>> count(114516)
    '114\\u202f516'
    """
    return NOTHING if value is None else f"{int(value):,}".replace(",", "\u202f")


def duration(seconds: float | int | None) -> str:
    """A time span in the two largest fitting units.

    >>> duration(3.21), duration(75), duration(8732)
    ('3.2 s', '1 min 15 s', '2 h 25 min')
    """
    if seconds is None:
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest_s = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s"
    return f"{minutes // 60} h {minutes % 60} min"


def memory(megabytes: float | int | None) -> str:
    """Memory in MB or GB.

    >>> memory(512.4), memory(20480)
    ('512 MB', '20.0 GB')
    """
    if megabytes is None:
        return NOTHING
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1024:.1f} GB"


def first_clause(text: str) -> str:
    """The beginning of an error message, enough for a sentence; the whole stands elsewhere.

    >>> first_clause("CUDA out of memory. Tried to allocate 2.1 GiB (see the log)")
    'CUDA out of memory'
    """
    line = text.strip().partition("\n")[0].strip()
    return cut(re.split(r"[.;] | \(", line)[0].rstrip(".;"), 100)


def listing(words: Sequence[str]) -> str:
    """Words as a sentence part.

    >>> listing(["a", "b", "c"]), listing(["a"])
    ('a, b and c', 'a')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def plural(amount: int, word: str, words: str | None = None) -> str:
    """An amount with its noun.

    >>> plural(1, "query", "queries"), plural(2, "item")
    ('1 query', '2 items')
    """
    return f"{count(amount)} {word if amount == 1 else words or word + 's'}"


def cut(text: str | None, characters: int) -> str:
    """The text, shortened at a word boundary when it is long.

    >>> cut("one two three", 8)
    'one two …'
    """
    text = text or ""
    return text if len(text) <= characters else f"{text[:characters].rsplit(' ', 1)[0]} …"
