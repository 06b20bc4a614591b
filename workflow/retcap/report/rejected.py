"""Records that could not be used, by reason, for every study."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

EXAMPLES = 3  # records shown per reason


def by_reason(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rejected records per reason, most frequent first, with the first few of each."""
    counts = Counter(record["reason"] for record in records)
    rows = []
    for reason, amount in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        first = [record for record in records if record["reason"] == reason][:EXAMPLES]
        rows.append({"reason": reason, "amount": amount, "examples": first})
    return rows
