"""Contrastive loss, soft labels and cached gradients on one process; several ranks are in test_distributed.py.

Where two ways of computing a value must agree they are compared in float64: a term that the one forgets or counts twice
is then a million times larger than what a CPU's order of adding up can do, and no tolerance has to be weighed.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from retcap.contrastive import cached_gradient, loss
from retcap.contrastive.cached_gradient import split

pytestmark = pytest.mark.numeric

B, H = 5, 7
EXACT = {"rtol": 0, "atol": 1e-13}  # sums of up to 100 terms of size 10 or less: 100 * 10 * 2**-53 = 1.1e-13


def vectors(seed: int, rows: int = B) -> torch.Tensor:
    return F.normalize(torch.randn(rows, H, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def agree(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == expected.dtype == torch.float64
    torch.testing.assert_close(found, expected, **EXACT)


def by_hand(query, passage, factor, target_q, target_p):
    """The formulas of the module, written as loops."""
    scores = factor * query @ passage.T
    rows = range(len(query))
    one = -sum(target_q[i][j] * (scores[i, j] - scores[i].logsumexp(0)) for i in rows for j in rows) / len(query)
    other = -sum(target_p[j][i] * (scores[i, j] - scores[:, j].logsumexp(0)) for i in rows for j in rows) / len(query)
    return one, other


def test_distinct_passages_give_plain_cross_entropy():
    query, passage, factor = vectors(0), vectors(1), torch.tensor(9.0, dtype=torch.float64)
    scores = factor * query @ passage.T
    labels = torch.arange(B)
    one_sided = loss.contrastive_loss(query, passage, factor, labels, symmetric=False)
    both = loss.contrastive_loss(query, passage, factor, labels)
    agree(one_sided, F.cross_entropy(scores, labels))
    agree(both, (F.cross_entropy(scores, labels) + F.cross_entropy(scores.T, labels)) / 2)


def test_repeated_passages_share_the_label():
    query, passage, factor = vectors(0), vectors(1), torch.tensor(3.0, dtype=torch.float64)
    codes = torch.tensor([4, 2, 4, 9, 4])  # not small and dense: only equality counts
    third = 1 / 3
    target = [
        [third, 0, third, 0, third],
        [0, 1, 0, 0, 0],
        [third, 0, third, 0, third],
        [0, 0, 0, 1, 0],
        [third, 0, third, 0, third],
    ]
    one, other = by_hand(query, passage, factor, target, target)
    agree(loss.contrastive_loss(query, passage, factor, codes, symmetric=False), one)
    agree(loss.contrastive_loss(query, passage, factor, codes), (one + other) / 2)


def test_equal_passages_do_not_repel_each_other():
    """One passage on both rows: the soft labels are met already, where the identity would ask for the impossible."""
    query = vectors(0, 1).expand(2, H)
    passage = vectors(1, 1).expand(2, H)
    value = loss.contrastive_loss(query, passage, torch.tensor(50.0, dtype=torch.float64), torch.tensor([1, 1]))
    agree(value, torch.tensor(math.log(2), dtype=torch.float64))  # the entropy of (1/2, 1/2): the least there is


def test_positive_sets_normalise_each_direction_by_itself():
    query, passage, factor = vectors(0, 3), vectors(1, 3), torch.tensor(4.0, dtype=torch.float64)
    codes = torch.tensor([10, 11, 12])
    positives = torch.tensor([[10, 12], [11, loss.NO_PASSAGE], [12, loss.NO_PASSAGE]])  # query 0 also accepts passage 2
    by_query = [[0.5, 0, 0.5], [0, 1, 0], [0, 0, 1]]
    by_passage = [[1, 0, 0], [0, 1, 0], [0.5, 0, 0.5]]
    one, other = by_hand(query, passage, factor, by_query, by_passage)
    agree(loss.contrastive_loss(query, passage, factor, codes, positives), (one + other) / 2)


def test_positive_sets_of_one_equal_the_plain_rule():
    codes = torch.tensor([3, 3, 8, 1, 8])
    arguments = vectors(0), vectors(1), torch.tensor(6.0, dtype=torch.float64), codes
    assert torch.equal(loss.contrastive_loss(*arguments), loss.contrastive_loss(*arguments, codes[:, None]))


def test_order_of_the_batch_does_not_matter():
    order = torch.tensor([3, 0, 4, 1, 2])
    codes = torch.tensor([3, 3, 8, 1, 8])
    query, passage, factor = vectors(0), vectors(1), torch.tensor(6.0, dtype=torch.float64)
    plain = loss.contrastive_loss(query, passage, factor, codes)
    agree(plain, loss.contrastive_loss(query[order], passage[order], factor, codes[order]))


def test_half_precision_vectors_are_scored_in_fp32():
    query, passage = vectors(0).bfloat16(), vectors(1).bfloat16()
    codes, factor = torch.arange(B), torch.tensor(100.0)
    expected = loss.contrastive_loss(query.float(), passage.float(), factor, codes)
    assert loss.contrastive_loss(query, passage, factor, codes) == expected


def test_repeated_pairs():
    assert loss.repeated_pairs(torch.tensor([7, 7, 2, 7])).item() == 3
    assert loss.repeated_pairs(torch.tensor([1, 2, 3])).item() == 0


class Towers(nn.Module):
    """Two encoders with dropout and a temperature."""

    def __init__(self, dropout: float):
        super().__init__()
        self.query, self.passage = (
            nn.Sequential(nn.Linear(4, 6), nn.Dropout(dropout), nn.Tanh(), nn.Linear(6, H)) for _ in range(2)
        )
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, query, passage):
        return F.normalize(self.query(query), dim=-1), F.normalize(self.passage(passage), dim=-1)


def towers_and_batch(dropout: float):
    torch.manual_seed(11)
    model = Towers(dropout).double()
    batch = {side: torch.randn(B, 4, dtype=torch.float64) for side in ("query", "passage")}
    codes = torch.tensor([1, 2, 1, 3, 4])

    def loss_of(query, passage):
        return loss.contrastive_loss(query, passage, model.logit_scale.exp(), codes)

    return model, batch, loss_of


def gradients(model):
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    return found


@pytest.mark.parametrize("chunk", [1, 2, 3, B, 100])
def test_cached_gradients_equal_plain_ones(chunk):
    model, batch, loss_of = towers_and_batch(dropout=0.0)
    plain = loss_of(*model(**batch))
    plain.backward()
    expected = gradients(model)
    cached = cached_gradient.backward(lambda part: model(**part), split(batch, chunk), loss_of)
    agree(cached, plain.detach())
    for name, gradient in gradients(model).items():
        agree(gradient, expected[name])


def test_cached_gradients_replay_the_dropout():
    """Against plain autograd over the same chunks and draws; without the replay the second pass would differ."""
    model, batch, loss_of = towers_and_batch(dropout=0.5)
    chunks = split(batch, 2)
    torch.manual_seed(23)
    query, passage = (torch.cat(parts) for parts in zip(*(model(**chunk) for chunk in chunks), strict=True))
    plain = loss_of(query, passage)
    plain.backward()
    expected, state = gradients(model), torch.get_rng_state()
    torch.manual_seed(23)
    cached = cached_gradient.backward(lambda part: model(**part), chunks, loss_of)
    assert torch.equal(cached, plain.detach())
    assert torch.equal(torch.get_rng_state(), state)
    for name, gradient in gradients(model).items():
        agree(gradient, expected[name])


def test_cached_gradients_scale_and_accumulate():
    model, batch, loss_of = towers_and_batch(dropout=0.0)
    for weight in (0.25, 0.75):
        cached_gradient.backward(lambda part: model(**part), split(batch, 2), loss_of, weight)
    twice = gradients(model)
    loss_of(*model(**batch)).backward()
    for name, gradient in gradients(model).items():
        agree(gradient, twice[name])


def test_batch_norms_in_training_mode_are_refused():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    with pytest.raises(ValueError, match=r"1 batch norms normalise by the chunk, first 1\. Set chunk_size to null"):
        cached_gradient.refuse_batch_norms(model)
    cached_gradient.refuse_batch_norms(model.eval())
