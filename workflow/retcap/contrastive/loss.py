"""Contrastive loss over in-batch passages, with soft labels where a passage occurs more than once in the batch.

    s_ij = scale * q_i . p_j
    Y_ij = 1[y_i = y_j] / sum_j 1[y_i = y_j]            the identity when all passages of the batch differ
    L_q  = - mean_i sum_j Y_ij log softmax_j(s_ij)
    L    = (L_q + L_p) / 2                              L_p: the same with rows and columns exchanged

The form of Y is ReT's (Caffagni et al. 2025, `modeling_contrastive_loss.py`), whose symmetric form cannot run; here
both directions do. With positive sets, Y_ij is proportional to 1[passage j is a positive of query i] instead, so
another positive of the same query is no negative; that matrix is not symmetric and each direction is normalised by
itself.

On several ranks each rank takes its own rows against the gathered columns of all ranks (`gather.py`). Its loss is its
sum divided by the mean number of rows per rank, so that averaging gradients over ranks, as DDP does, gives exactly the
gradient of the joined batch, also when ranks hold different numbers of rows.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from retcap.contrastive import gather

NO_PASSAGE = -1  # fills the unused places of a positive set


def contrastive_loss(
    query: Float[Tensor, "B H"],
    passage: Float[Tensor, "B H"],
    factor: Float[Tensor, ""],
    codes: Int[Tensor, " B"],
    positives: Int[Tensor, "B P"] | None = None,
    *,
    symmetric: bool = True,
    across_ranks: bool = True,
) -> Float[Tensor, ""]:
    """Mean cross entropy in nats over the queries (and passages) of this batch.

    `factor` is exp(logit_scale); `codes` are the passages' ids as integers, equal if and only if the ids are;
    `positives` are the codes of all positives of each query, filled up with NO_PASSAGE. `across_ranks=False` takes
    negatives from this rank alone.
    """
    precise = torch.promote_types(query.dtype, torch.float32)  # scores of bf16 vectors tie in masses near 1
    query, passage = query.to(precise), passage.to(precise)
    gathered = across_ranks and gather.ranks() > 1
    all_passages, all_codes = (gather.rows(passage), gather.labels(codes)) if gathered else (passage, codes)
    mine = codes[:, None] if positives is None else positives
    matches = (mine[:, None, :] == all_codes[None, :, None]).any(dim=-1)
    loss = _cross_entropy(factor * query @ all_passages.T, matches)
    if symmetric:
        all_queries = gather.rows(query) if gathered else query
        theirs = mine if not gathered else gather.labels(mine, fill=NO_PASSAGE)
        matches = (codes[:, None, None] == theirs[None, :, :]).any(dim=-1)
        loss = (loss + _cross_entropy(factor * passage @ all_queries.T, matches)) / 2
    rows_per_rank = len(all_codes) / gather.ranks() if gathered else len(codes)
    return loss / rows_per_rank


def _cross_entropy(scores: Float[Tensor, "B N"], matches: Bool[Tensor, "B N"]) -> Float[Tensor, ""]:
    """Sum over rows of the cross entropy against the uniform distribution over the row's matches."""
    target = matches.to(scores.dtype) / matches.sum(
        dim=1, keepdim=True
    )  # never 0 / 0: a row's own partner is among the columns
    return F.cross_entropy(scores, target, reduction="sum")


def repeated_pairs(codes: Int[Tensor, " B"]) -> Int[Tensor, ""]:
    """Number of pairs of rows that share a passage, which the soft labels keep from being negatives.

    Stays on the device: reading it here would make the GPU wait in every step.

    >>> repeated_pairs(torch.tensor([7, 7, 2, 7])).item()
    3
    """
    return ((codes[:, None] == codes[None, :]).sum() - len(codes)) // 2
