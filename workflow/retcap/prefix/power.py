"""Can the design tell two conditions apart? A test over seeds, its power, and the seeds that a difference would take.

The test is Student's on the differences of the seeds: condition A with seed s minus condition B with seed s. It asks
whether another training would show the same, on these test pictures; the bootstrap over pictures asks whether other
pictures would, with these trainings. Neither contains the other.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL, POWER = 0.05, 0.8  # two-sided; the usual power to plan with (Cohen 1988)
MOST_SEEDS = 10_000


class SeedTest(NamedTuple):
    """A difference over seeds. Bounds and p are None for fewer than two seeds, or where all differ by the same."""

    seeds: int
    difference: float
    deviation: float | None  # standard deviation of a seed's difference
    low: float | None
    high: float | None
    p: float | None


def seed_test(first: Sequence[float], second: Sequence[float]) -> SeedTest:
    """First minus second, paired by seed, with the 95 % interval and p of Student's test.

    >>> found = seed_test([1.0, 2.0, 3.0], [0.0, 2.0, 1.0])
    >>> found.difference, round(found.deviation, 6), round(found.p, 4)
    (1.0, 1.0, 0.2254)
    """
    from scipy import stats

    values = np.subtract(first, second)
    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return SeedTest(count, mean, None, None, None, None)
    deviation = float(np.std(values, ddof=1))
    if deviation == 0:
        return SeedTest(count, mean, 0.0, None, None, None)
    error = deviation / math.sqrt(count)
    reach = float(stats.t.ppf(1 - LEVEL / 2, count - 1)) * error
    p = 2 * float(stats.t.sf(abs(mean) / error, count - 1))
    return SeedTest(count, mean, deviation, mean - reach, mean + reach, p)


def power(difference: float, deviation: float, seeds: int) -> float:
    """Probability that the test over seeds finds a true difference, by the noncentral t distribution (Cohen 1988, 2.5).

    >>> round(power(1.0, 1.0, 10), 3)
    0.803
    """
    from scipy import stats

    if seeds < 2:
        return 0.0
    if deviation == 0:
        return 1.0
    bound = stats.t.ppf(1 - LEVEL / 2, seeds - 1)
    shift = difference / deviation * math.sqrt(seeds)
    return float(stats.nct.sf(bound, seeds - 1, shift) + stats.nct.cdf(-bound, seeds - 1, shift))


def seeds_needed(difference: float, deviation: float) -> int | None:
    """Fewest seeds with which the power reaches 80 %; None where even ten thousand do not.

    >>> seeds_needed(1.0, 1.0), seeds_needed(0.5, 1.0)
    (10, 34)
    """
    if power(difference, deviation, MOST_SEEDS) < POWER:
        return None
    low, high = 1, 2
    while power(difference, deviation, high) < POWER:
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(difference, deviation, middle) >= POWER else (middle, high)
    return high


def visible_over_pictures(standard_error: float) -> float:
    """True difference that a test over pictures with this standard error finds with 80 % power, whatever the seeds.

        (z_0.975 + z_0.8) * SE = 2.80 * SE

    >>> round(visible_over_pictures(1.0), 2)
    2.8
    """
    from scipy import stats

    return float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)) * standard_error
