"""Bootstrap, randomisation and corrections: against closed forms, in simulation, and on planted effects."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from retcap.analysis import bootstrap, compare, corrections

DRAWS = 1000


def clustered_data(rng: np.random.Generator, clusters: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Three items per cluster that share a cluster effect of standard deviation `spread`; the true mean is 0.3."""
    effect = rng.normal(0, spread, size=clusters)
    values = 0.3 + np.repeat(effect, 3) + rng.normal(0, 0.1, size=3 * clusters)
    return values, np.repeat(np.arange(clusters), 3)


def test_weights_draw_as_many_clusters_as_there_are():
    weights = bootstrap.draw_weights(7, draws=50, rng=np.random.default_rng(1))
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert abs(weights.mean() - 1) < 1e-12


def test_weights_are_the_same_for_the_same_seed():
    first, second = (bootstrap.draw_weights(5, 20, np.random.default_rng(3)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_bootstrap_equals_the_plain_loop_with_an_uneven_last_chunk():
    rng = np.random.default_rng(2)
    values, codes = clustered_data(rng, 11, 0.5)
    values[4] = np.nan
    weights = bootstrap.draw_weights(11, bootstrap.CHUNK + 13, rng)
    sums = bootstrap.cluster_sums(bootstrap.mean_table(values), codes, 11)
    fast = bootstrap.mean(bootstrap.resample(sums, weights))
    plain = []
    for draw in weights:
        picked = np.concatenate([values[codes == cluster] for cluster in range(11) for _ in range(draw[cluster])])
        plain.append(np.nanmean(picked))
    np.testing.assert_allclose(fast, plain, rtol=1e-12)  # fp64 sums in another order


def test_all_columns_at_once_equal_one_by_one():
    rng = np.random.default_rng(13)
    values = rng.random((30, 4))
    values[rng.random((30, 4)) < 0.4] = np.nan
    values[1:, 3] = np.nan  # one item only: no interval
    codes = np.repeat(np.arange(10), 3)
    weights = bootstrap.draw_weights(10, 50, rng)
    together = bootstrap.mean_intervals(values, codes, weights)
    for column, found in enumerate(together):
        alone = bootstrap.interval(bootstrap.mean_table(values[:, column]), codes, weights)
        np.testing.assert_allclose(found, alone, rtol=1e-12)
    assert np.isnan(together[3].low)


def test_standard_error_matches_the_closed_form():
    rng = np.random.default_rng(5)
    values, codes = clustered_data(rng, 200, 1.0)
    found = bootstrap.interval(bootstrap.mean_table(values), codes, bootstrap.draw_weights(200, 2000, rng))
    means = values.reshape(200, 3).mean(axis=1)
    expected = means.std(ddof=0) / np.sqrt(200)  # equal cluster sizes: the mean of cluster means
    assert found.value == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(expected, rel=0.08)  # 2,000 draws: the error of an error is 1.6 %


def test_intervals_cover_the_known_mean_about_95_percent_of_the_time():
    rng = np.random.default_rng(7)
    clusters, repeats = 60, 400
    covered = naive_covered = 0
    for _ in range(repeats):
        values, codes = clustered_data(rng, clusters, 1.0)
        table = bootstrap.mean_table(values)
        found = bootstrap.interval(table, codes, bootstrap.draw_weights(clusters, 400, rng))
        naive = bootstrap.interval(table, np.arange(len(values)), bootstrap.draw_weights(len(values), 400, rng))
        covered += found.low <= 0.3 <= found.high
        naive_covered += naive.low <= 0.3 <= naive.high
    assert 0.91 <= covered / repeats <= 0.98  # binomial noise of 400 repeats: standard deviation 1.1 %
    assert naive_covered / repeats < 0.85  # ignoring the clusters is what goes wrong


def test_permuting_the_image_labels_changes_the_clustered_error():
    rng = np.random.default_rng(8)
    values, codes = clustered_data(rng, 100, 1.0)
    weights = bootstrap.draw_weights(100, DRAWS, rng)
    table = bootstrap.mean_table(values)
    clustered = bootstrap.interval(table, codes, weights).standard_error
    permuted = bootstrap.interval(table, rng.permutation(codes), weights).standard_error
    assert clustered > 1.5 * permuted  # three nearly equal items per cluster: the ratio is about sqrt(3)


def test_identical_systems_have_difference_zero_and_p_one():
    rng = np.random.default_rng(9)
    values, codes = clustered_data(rng, 40, 0.3)
    table = bootstrap.mean_table(values)
    weights = bootstrap.draw_weights(40, DRAWS, rng)
    assert bootstrap.paired_difference(table, table, codes, weights)[:3] == (0, 0, 0)
    assert compare.randomisation_p(table, table, codes, 999, rng) == 1.0


def test_p_is_uniform_when_the_systems_are_exchangeable():
    rng = np.random.default_rng(10)
    ps = []
    for _ in range(200):
        values, codes = clustered_data(rng, 30, 0.0)
        other = 0.3 + rng.normal(0, 0.1, size=len(values))
        ps.append(compare.randomisation_p(bootstrap.mean_table(values), bootstrap.mean_table(other), codes, 199, rng))
    assert 0.02 <= np.mean(np.array(ps) <= 0.05) <= 0.09  # 5 % expected, standard deviation 1.5 %


def test_a_planted_improvement_on_half_the_images_is_found():
    rng = np.random.default_rng(11)
    values, codes = clustered_data(rng, 80, 1.0)
    better = values + np.where(codes % 2 == 0, 0.2, 0.0) + rng.normal(0, 0.05, size=len(values))
    a, b = bootstrap.mean_table(better), bootstrap.mean_table(values)
    found = bootstrap.paired_difference(a, b, codes, bootstrap.draw_weights(80, DRAWS, rng))
    assert found.low > 0
    assert found.value == pytest.approx(0.1, abs=0.03)
    assert compare.randomisation_p(a, b, codes, 999, rng) == 1 / 1000
    reversed_sign = bootstrap.paired_difference(b, a, codes, bootstrap.draw_weights(80, DRAWS, rng))
    assert reversed_sign.high < 0
    # a bootstrap that ignored the pairing could not see it: the systems' own intervals overlap widely
    alone = [bootstrap.interval(table, codes, bootstrap.draw_weights(80, DRAWS, rng)) for table in (a, b)]
    assert alone[0].low < alone[1].high


def test_randomisation_is_exact_on_two_clusters():
    """Differences +1 and +3 over two clusters: of the four sign patterns two reach |4|, so p tends to 1/2."""
    a, b = bootstrap.mean_table(np.array([1.0, 3.0])), bootstrap.mean_table(np.zeros(2))
    p = compare.randomisation_p(a, b, np.array([0, 1]), 20_000, np.random.default_rng(12))
    assert p == pytest.approx(0.5, abs=0.015)


def test_a_corpus_statistic_goes_through_the_same_functions():
    """A ratio of sums, as corpus BLEU is one, is not the mean of ratios."""
    table = np.array([[1.0, 2.0], [3.0, 10.0], [5.0, 6.0]])

    def ratio(sums):
        return sums[..., 0] / sums[..., 1]

    found = bootstrap.interval(table, np.arange(3), bootstrap.draw_weights(3, 500, np.random.default_rng(0)), ratio)
    assert found.value == 9 / 18
    assert 3 / 10 <= found.low <= 0.5 <= found.high <= 5 / 6


def test_a_single_cluster_has_no_interval():
    found = bootstrap.interval(
        bootstrap.mean_table(np.array([0.0, 1.0])), np.array([0, 0]), np.ones((9, 1), dtype=np.uint16)
    )
    assert found.value == 0.5
    assert np.isnan(found.low)
    assert np.isnan(found.standard_error)


def test_equal_items_have_the_exact_bound_of_as_many_clusters():
    """0 hits of 5,046 gave the interval [0, 0]; the exact bound of Clopper and Pearson is 1 - 0.025^(1/n)."""
    values = np.stack([np.zeros(5046), np.ones(5046), np.zeros(5046), np.full(5046, 0.5)], axis=1)
    values[0, 2] = np.nan
    weights = bootstrap.draw_weights(5046, 20, np.random.default_rng(0))
    spans = [(0.0, 1.0), (0.0, 1.0), (-1.0, 1.0), (0.0, 1.0)]
    none, every, gap, half = bootstrap.mean_intervals(values, np.arange(5046), weights, spans=spans)
    bound = 1 - 0.025 ** (1 / 5046)
    assert none[:3] == pytest.approx((0, 0, bound), rel=1e-9)
    assert bound == pytest.approx(0.00073, abs=5e-6)
    assert every[:3] == pytest.approx((1, 1 - bound, 1), rel=1e-9)
    other = 1 - 0.025 ** (1 / 5045)
    assert (gap[:3], gap.clusters) == (pytest.approx((0, -other, other), rel=1e-9), 5045)
    assert half[:3] == pytest.approx((0.5, 0.5 - bound / 2, 0.5 + bound / 2), rel=1e-9)
    assert bootstrap.mean_intervals(values, np.arange(5046), weights)[0][:3] == (0, 0, 0)  # the span is not known


def test_clusters_count_and_not_their_items():
    values, codes = np.zeros((60, 1)), np.repeat(np.arange(20), 3)
    weights = bootstrap.draw_weights(20, 20, np.random.default_rng(0))
    (found,) = bootstrap.mean_intervals(values, codes, weights, spans=[(0.0, 1.0)])
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 20))
    (one,) = bootstrap.mean_intervals(values[:3], codes[:3], np.ones((9, 1), dtype=np.uint16), spans=[(0.0, 1.0)])
    assert np.isnan(one.high)  # a single cluster says nothing about the others


def test_rare_hits_are_covered_also_where_none_is_seen():
    rng, clusters, truth, repeats = np.random.default_rng(21), 60, 0.01, 400
    weights = bootstrap.draw_weights(clusters, 200, rng)
    covered = {True: 0, False: 0}
    for _ in range(repeats):
        hits = (rng.random((clusters, 1)) < truth).astype(float)
        for exact in covered:
            spans = [(0.0, 1.0)] if exact else None
            (found,) = bootstrap.mean_intervals(hits, np.arange(clusters), weights, spans=spans)
            covered[exact] += found.low <= truth <= found.high
    assert covered[True] / repeats > 0.93
    assert covered[False] / repeats < 0.55  # 0.99^60: in 55 of 100 samples there is no hit at all


def test_nothing_counted_is_nan_not_zero():
    table = bootstrap.mean_table(np.array([np.nan, np.nan]))
    found = bootstrap.interval(table, np.array([0, 1]), bootstrap.draw_weights(2, 10, np.random.default_rng(0)))
    assert np.isnan(found.value)


def test_holm_by_hand():
    found = corrections.holm([0.01, 0.005, 0.6, 0.04])
    np.testing.assert_allclose(found, [0.01 * 3, 0.005 * 4, 0.6, 0.04 * 2])
    np.testing.assert_allclose(
        corrections.holm([0.5, 0.9]), [1.0, 1.0]
    )  # 0.5 * 2, then max(0.9, 1.0): capped and monotone
    assert corrections.holm([]).shape == (0,)
    with pytest.raises(ValueError, match="between 0 and 1"):
        corrections.holm([0.2, float("nan")])


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_monotone_capped_and_never_below_the_raw_p(raw):
    adjusted = corrections.holm(raw)
    assert (adjusted >= np.array(raw)).all()
    assert (adjusted <= 1).all()
    order = np.argsort(raw, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted <= np.minimum(1, len(raw) * np.array(raw)) + 1e-15).all()  # never harsher than Bonferroni


@settings(max_examples=60)
@given(st.integers(1, 7), st.data())
def test_two_systems_share_a_letter_exactly_when_not_separated(systems, data):
    pairs = [(i, j) for i in range(systems) for j in range(i + 1, systems)]
    separated = np.zeros((systems, systems), dtype=bool)
    for i, j in pairs:
        separated[i, j] = separated[j, i] = data.draw(st.booleans())
    shown = corrections.letters(separated)
    assert all(shown)
    for i, j in pairs:
        assert bool(set(shown[i]) & set(shown[j])) == (not separated[i, j])


def test_errors_name_the_remedy():
    with pytest.raises(TypeCheckError, match="codes"):  # shapes are checked before the function runs
        bootstrap.cluster_sums(np.zeros((3, 2)), np.zeros(4, dtype=np.int64), 1)
    with pytest.raises(ValueError, match="one code per row"):  # as in a run, where shapes are not checked
        inspect.unwrap(bootstrap.cluster_sums)(np.zeros((3, 2)), np.zeros(4, dtype=np.int64), 1)
    with pytest.raises(ValueError, match="at least one cluster"):
        bootstrap.draw_weights(0, 10, np.random.default_rng(0))
