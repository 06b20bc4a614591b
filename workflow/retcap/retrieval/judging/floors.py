"""What a ranking that knows nothing would score: PR@K and R@K need this floor beside them before they mean anything.

A uniformly random ranking of N passages, m of which count as a hit, has one among its first K with probability

    1 - C(N - m, K) / C(N, K)  =  1 - product over j < K of (1 - m / (N - j))          (hypergeometric, no sampling)

>>> random_hit(np.array([0, 1, 2, 9]), 10, 5).round(6).tolist()  # one of ten: 5/10; two: 1 - (5 * 4) / (10 * 9)
[0.0, 0.5, 0.777778, 1.0]
"""

import numpy as np
from jaxtyping import Float, Int


def random_hit(marked: Int[np.ndarray, " Q"], total: int, k: int) -> Float[np.ndarray, " Q"]:
    """Probability that a random ranking of `total` passages has one of `marked` among its first k, per query.

    Summed as logarithms: the binomials themselves overflow, and 1 - (nearly 1) would lose a floor of 1e-5.
    """
    if (marked < 0).any() or (marked > total).any():
        raise ValueError(
            f"Between 0 and {total} passages can count as hits. Got {marked.min()} to {marked.max()} instead."
        )
    distinct, place = np.unique(marked, return_inverse=True)
    left = total - np.arange(min(k, total))
    with np.errstate(divide="ignore"):  # log(0): all that is left are hits, so the probability is 1
        logs = np.log1p(np.maximum(-distinct[:, None] / left[None, :], -1.0)).sum(axis=1)
    return -np.expm1(logs)[place] + 0.0  # no negative zero
