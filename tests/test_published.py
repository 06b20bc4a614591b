"""Published numbers: complete, sourced, and every derived figure recomputed from the numbers it comes from."""

import numpy as np
import pytest

from retcap.retrieval.judging.floors import random_hit
from retcap.retrieval.m2kr import published


def test_every_row_has_its_source_and_caveat():
    assert len(published.ROWS) == 11
    cells = sum(len(row.scores) for row in published.ROWS)
    assert cells == 3 * 11 + 3 * 12 + 3 * 9 + 4 + 8
    for row in published.ROWS:
        assert row.source
        assert row.caveat
        assert all(0 < score < 1 for score in row.scores.values())
        assert set(row.scores) <= set(published.COLUMNS)


@pytest.mark.parametrize(
    ("system", "column", "expected"),
    [
        ("ReT CLIP ViT-L", ("wit", "R@10"), 0.734),
        ("ReT OpenCLIP ViT-G", ("infoseek", "PR@5"), 0.625),
        ("PreFLMR ViT-B/32, released", ("okvqa", "PR@5"), 0.658),
        ("PreFLMR ViT-G, paper (2.1B)", ("evqa", "PR@5"), 0.731),
        ("TinyCLIP ReT-2 of the pilot", ("oven", "R@5"), 0.5512),
    ],
)
def test_cells_stand_in_their_columns(system, column, expected):
    row = next(row for row in published.ROWS if row.system == system)
    assert row.scores[column] == expected


def test_sources_follow_the_rows():
    sources = {row.system: row.source for row in published.ROWS}
    assert sources["PreFLMR ViT-L, released"] == published.FLMR
    assert sources["PreFLMR ViT-L, paper (543M)"] == published.PAPER
    assert sources["ReT OpenCLIP ViT-H"] == published.RET
    assert sources['"baseline" of the pilot'] == published.PILOT


def test_relative_drops_follow_from_the_table_and_not_from_the_claim():
    drops = [round(row.drop_percent, 1) for row in published.PILOT_TABLE]
    assert drops == pytest.approx([-25.3, -77.1, -76.7, -86.8], abs=0.051)
    for row in published.PILOT_TABLE:
        assert abs(row.drop_percent - row.claimed_drop_percent) > 0.8
        needed = row.tiny_r5_percent / (1 + row.claimed_drop_percent / 100)
        assert needed > row.baseline_r5_percent + 1  # the baseline that the claimed drop would need
    needed = [row.tiny_r5_percent / (1 + row.claimed_drop_percent / 100) for row in published.PILOT_TABLE]
    assert needed == pytest.approx([77.3, 42.0, 38.3, 14.5], abs=0.06)


def test_gaps_and_means_of_the_pilot():
    gaps = [row.gap_points for row in published.PILOT_TABLE]
    assert gaps == pytest.approx([-1.68, 16.40, 22.43, 33.90], abs=1e-9)
    assert np.mean([row.tiny_r5_percent for row in published.PILOT_TABLE]) == pytest.approx(18.39, abs=0.005)
    assert np.mean([row.baseline_r5_percent for row in published.PILOT_TABLE]) == pytest.approx(39.70, abs=0.005)
    assert np.mean([row.tiny_pr5_percent for row in published.PILOT_TABLE]) == pytest.approx(36.15, abs=0.005)


def test_pilot_percentages_are_whole_counts_over_the_test_sets():
    counts = {"oven": (2822, 2736), "evqa": (310, 925), "infoseek": (404, 1460), "okvqa_mm": (80, 1791)}
    for row in published.PILOT_TABLE:
        for percent, hits in zip((row.tiny_r5_percent, row.tiny_pr5_percent), counts[row.dataset], strict=True):
            assert round(100 * hits / row.test_queries, 2) == percent


def test_pilot_rows_agree_with_the_published_table():
    rows = {row.system: row.scores for row in published.ROWS}
    for row in published.PILOT_TABLE:
        name = row.dataset.removesuffix("_mm")
        tiny = rows["TinyCLIP ReT-2 of the pilot"]
        assert tiny[name, "R@5"] == pytest.approx(row.tiny_r5_percent / 100)
        assert tiny[name, "PR@5"] == pytest.approx(row.tiny_pr5_percent / 100)
        assert rows['"baseline" of the pilot'][name, "R@5"] == pytest.approx(row.baseline_r5_percent / 100)


def test_parameter_counts_follow_from_the_configurations():
    """Totals as published: 151,277,313 for CLIP ViT-B/32; TinyCLIP is 23.7 % smaller, not 39.6 %."""
    tiny, clip = (published.TOWERS[name] for name in ("TinyCLIP-ViT-61M-32-Text-29M", "CLIP ViT-B/32"))
    assert [tower.parameters for tower in tiny] == [61_411_200, 53_970_944]
    totals = [sum(tower.parameters for tower in towers) + published.TEMPERATURE for towers in (tiny, clip)]
    assert totals[1] == 151_277_313
    assert totals[0] / totals[1] - 1 == pytest.approx(-0.237, abs=0.0005)
    assert totals[1] / totals[0] == pytest.approx(1.31, abs=0.005)
    assert tiny[0].parameters / clip[0].parameters - 1 == pytest.approx(-0.301, abs=0.0005)
    assert tiny[1].parameters / clip[1].parameters - 1 == pytest.approx(-0.149, abs=0.0005)
    assert tiny[1].embeddings == pytest.approx(25.3e6, rel=1e-3)


def test_chance_of_the_four_corpora():
    chance = [100 * random_hit(np.array([1]), total, 5)[0] for total in (3_192, 51_472, 98_276, 114_516)]
    assert chance == pytest.approx([0.157, 0.0097, 0.0051, 0.0044], abs=5e-4)


def test_every_claim_has_its_correction():
    assert len(published.CORRECTIONS) == 10
    assert all(claim and correction for claim, correction in published.CORRECTIONS)
