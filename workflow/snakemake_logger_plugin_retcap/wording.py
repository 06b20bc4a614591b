"""Times, counts and long texts in words, and the few signs that an ASCII terminal cannot show."""

import re

ASCII = str.maketrans(
    {"✓": "+", "✗": "x", "·": "-", "–": "-", "−": "-", "…": "...", "→": "->", "’": "'", "\u202f": " ", "×": "x"}
)
RESOURCES = re.compile(r" \(\d+ GPUs, \d+ MB, \d+ min\)$")  # how messages of GPU jobs end: for plans, not for results


def clock(seconds: float) -> str:
    """Time that has passed.

    >>> clock(5.2), clock(65), clock(3_725)
    ('0:05', '1:05', '1:02:05')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Time that a job took, with as many digits as it deserves.

    >>> duration(0.234), duration(42.4), duration(150), duration(4_000)
    ('0.2 s', '42 s', '2 min 30 s', '1 h 7 min')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def rough(seconds: float) -> str:
    """Time that is still to come: an estimate has no seconds beyond the first minute.

    >>> rough(7), rough(59), rough(100), rough(5_400)
    ('7 s', '59 s', '2 min', '1 h 30 min')
    """
    if seconds > 90 and seconds < 3570:
        return f"{round(seconds / 60)} min"
    return duration(seconds) if seconds > 90 else f"{round(seconds)} s"


def plural(count: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "job"), plural(2, "job")
    ('1 job', '2 jobs')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def title(message: str | None, rule: str) -> str:
    """What a job does, in the words of its rule.

    >>> title("training ret2 (1 GPUs, 4000 MB, 30 min)", "train_retriever"), title(None, "all")
    ('training ret2', 'all')
    """
    return RESOURCES.sub("", message) if message else rule


def clean(text: str) -> str:
    """Text of a job or of data without control characters: a terminal would obey them."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else repr(sign)[1:-1] for sign in text)


def cut(text: str, width: int) -> str:
    """Text in at most `width` signs.

    >>> cut("a long text", 6)
    'a lon…'
    """
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"
