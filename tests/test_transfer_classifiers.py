"""Zero-shot, probe, few-shot and retrieval scores: against independent computations, and on planted answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from retcap.analysis import bootstrap
from retcap.transfer import few_shot, hits, image_text, probe, robustness, zero_shot

N, C, T, E = 41, 5, 3, 7


def clouds(seed: int, per_class: int, classes: int = C, spread: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around one centre per class; the centres are the same for every seed."""
    centres = np.random.default_rng(99).standard_normal((classes, E))
    labels = np.repeat(np.arange(classes), per_class)
    rng = np.random.default_rng(seed)
    return zero_shot.unit(centres[labels] + spread * rng.standard_normal((len(labels), E))).astype(np.float32), labels


def test_zero_shot_equals_a_computation_of_its_own():
    rng = np.random.default_rng(0)
    images, prompts = zero_shot.unit(rng.standard_normal((N, E))), rng.standard_normal((C, T, E))
    labels = rng.integers(C, size=N)
    weights = []
    for each in prompts:
        mean = sum(vector / np.sqrt((vector**2).sum()) for vector in each) / T
        weights.append(mean / np.sqrt((mean**2).sum()))
    similarity = np.array(
        [[sum(a * b for a, b in zip(image, weight, strict=True)) for weight in weights] for image in images]
    )
    order = np.argsort(-similarity, axis=1)
    expected = [list(row).index(label) for row, label in zip(order, labels, strict=True)]
    found = zero_shot.places(images, zero_shot.class_weights(prompts), labels)
    assert found.tolist() == expected
    assert hits.within(found, 1).mean() == (similarity.argmax(axis=1) == labels).mean()


def test_the_ensemble_is_of_all_templates_and_the_single_one_of_the_first():
    vectors = np.random.default_rng(1).standard_normal((C, 1 + T, E))
    found = zero_shot.weights_by_classifier(vectors, ["a", "b", "c"])
    assert list(found) == ["bare name", "one template", "ensemble of 3"]
    np.testing.assert_allclose(found["bare name"], zero_shot.unit(vectors[:, 0]))
    np.testing.assert_allclose(found["one template"], zero_shot.unit(vectors[:, 1]))
    np.testing.assert_allclose(found["ensemble of 3"], zero_shot.class_weights(vectors[:, 1:]))
    assert list(zero_shot.classifiers(["a {}"])) == ["bare name", "one template"]


def test_a_model_that_says_the_same_of_everything_scores_nothing():
    labels = np.arange(C)
    assert (hits.places(np.zeros((C, C)), labels) == C - 1).all()
    images = np.tile(np.eye(E)[0], (3, 1))
    assert [place.tolist() for place in image_text.places(images, images, np.arange(3))] == [[2, 2, 2], [2, 2, 2]]


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(ValueError, match=r"Item 1 has a score that is not finite"):
        hits.places(np.array([[0.0, 1.0], [np.nan, 1.0]]), np.array([0, 0]))
    with pytest.raises(ValueError, match="2 vectors have no direction"):
        zero_shot.unit(np.array([[0.0, 0.0], [np.nan, 1.0], [1.0, 0.0]]))


def test_mean_per_class_weighs_classes_alike_and_leaves_out_those_without_an_item():
    labels, hit = np.array([0, 0, 0, 1, 3]), np.array([True, True, False, False, True])
    table = hits.by_class(hit, labels, C)
    assert hits.mean_per_class(C)(table.sum(axis=0)) == pytest.approx((2 / 3 + 0 + 1) / 3, rel=1e-15)


def recall_by_one_hot(scores: np.ndarray, positive: np.ndarray, k: int) -> float:
    """CLIP_benchmark's definition: share of rows with at least one positive pair among the k best columns."""
    best = np.argsort(-scores, axis=1)[:, :k]
    return float(np.take_along_axis(positive, best, axis=1).any(axis=1).mean())


@pytest.mark.parametrize("block_bytes", [1, 8 * N * 5, image_text.BLOCK_BYTES])
def test_recall_by_counting_equals_recall_by_sorting(block_bytes: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_text, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(2)
    images = zero_shot.unit(rng.standard_normal((N, E)))
    owner = rng.permutation(np.repeat(np.arange(N), rng.integers(1, 6, size=N)))
    texts = zero_shot.unit(images[owner] + 0.8 * rng.standard_normal((len(owner), E)))
    to_text, to_image = image_text.places(images, texts, owner)
    scores, positive = texts @ images.T, np.arange(N) == owner[:, None]
    for k in (1, 5, 10):
        assert (to_image < k).mean() == recall_by_one_hot(scores, positive, k)
        assert (to_text < k).mean() == recall_by_one_hot(scores.T, positive.T, k)
    assert 0.1 < (to_text < 1).mean() < 0.95


def test_an_image_without_a_caption_is_named():
    vectors = np.eye(3)
    with pytest.raises(ValueError, match="1 of 3 images have no caption, the first is image 1"):
        image_text.places(vectors, vectors[:2], np.array([0, 2]))
    with pytest.raises(ValueError, match="A caption names image 3, and there are 3 images"):
        image_text.places(vectors, vectors, np.array([0, 1, 3]))


@pytest.mark.parametrize("classes", [2, C])
def test_a_probe_is_scikit_learns_on_the_same_features(classes: int):
    (images, labels), (others, truth) = clouds(3, 9, classes), clouds(4, 20, classes)
    model = LogisticRegression(C=3.0, max_iter=1000).fit(images.astype(np.float64), labels)
    found = probe.fit(images, labels, classes, 3.0)
    assert found.converged
    scores = found.scores(others)
    assert (scores.argmax(axis=1) == model.predict(others.astype(np.float64))).all()
    assert (hits.places(scores, truth) == 0).mean() == model.score(others.astype(np.float64), truth)
    np.testing.assert_allclose(  # logits are defined up to a constant per item
        np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True),
        model.predict_proba(others.astype(np.float64)),
        rtol=1e-9,
    )


def test_a_class_that_training_has_not_seen_is_never_the_answer():
    images, labels = clouds(5, 6)
    kept = labels != 2
    found = probe.fit(images[kept], labels[kept], C, 1.0)
    assert (found.scores(images).argmax(axis=1) != 2).all()
    with pytest.raises(ValueError, match=r"two classes or more\. Got 6 of 1"):
        probe.fit(images[:6], labels[:6], C, 1.0)


def test_the_sweep_finds_the_best_c_of_all_it_tries_and_starts_where_the_last_fit_ended():
    train, valid = clouds(6, 4, spread=1.2), clouds(7, 30, spread=1.2)
    found = probe.sweep(train, valid, C, low=1e-4, high=1e4, per_decade=4)
    assert found.tried[found.best] == max(found.tried.values())
    assert len(found.tried) >= 5 + 2 * 3 - 2  # the coarse grid, then up to two neighbours at each of three halvings
    plain = probe.fit(*train, C, found.best)
    warm = probe.fit(*train, C, found.best, start=probe.fit(*train, C, found.best / 100))
    np.testing.assert_allclose(warm.weights, plain.weights, atol=0.02 * abs(plain.weights).max())  # L-BFGS stops nearby
    edge = probe.sweep(train, valid, C, low=1e-6, high=1e-5, per_decade=1)
    assert edge.at_edge


def test_a_share_of_every_class_validates():
    labels = np.repeat(np.arange(3), [10, 5, 1])
    kept, held = probe.split_validation(labels, 0.2, np.random.default_rng(0))
    assert np.bincount(labels[held], minlength=3).tolist() == [2, 1, 0]
    assert sorted([*kept, *held]) == list(range(16))


def test_draws_are_nested_and_have_k_of_each_class():
    labels = np.random.default_rng(8).permutation(np.repeat(np.arange(C), [4, 5, 6, 7, 8]))
    drawn = [few_shot.draw(labels, C, k, np.random.default_rng(1)) for k in (1, 2, 4)]
    for k, chosen in zip((1, 2, 4), drawn, strict=True):
        assert np.bincount(labels[chosen]).tolist() == [k] * C
    assert set(drawn[0]) < set(drawn[1]) < set(drawn[2])
    assert few_shot.possible(labels, C, [8, 1, 4]) == [1, 4]
    with pytest.raises(ValueError, match="Class 0 has 4 training images, fewer than the 8 to draw"):
        few_shot.draw(labels, C, 8, np.random.default_rng(1))


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_crossing_lies_where_the_curve_first_reaches_the_level(level: float, curve: list[float]):
    ks = [1, 2, 4, 8]
    found = few_shot.crossing(ks, curve, level)
    if found == few_shot.BELOW:
        assert level < curve[0]
    elif found == few_shot.BEYOND:
        assert curve[-1] < level or (curve[0] > level) is False
        assert all(later < level for later in curve[1:]) or level > max(curve)
    else:
        assert np.interp(np.log2(found), np.log2(ks), curve) == pytest.approx(level, abs=1e-6)


def test_the_interval_of_a_crossing_holds_the_planted_one():
    rng = np.random.default_rng(9)
    ks, truth, level = [1, 2, 4, 8, 16], np.array([0.2, 0.3, 0.4, 0.5, 0.6]), 0.45
    held, draws = 0, 3
    for _ in range(40):
        hit = rng.random((draws, len(ks), 300)) < truth[None, :, None]
        codes, weights = np.arange(300), bootstrap.draw_weights(300, 200, rng)
        curve = few_shot.curve(hit, codes, weights, rng)
        np.testing.assert_allclose(curve.value, hit.mean(axis=(0, 2)), rtol=1e-12)
        found = few_shot.crossing_interval(ks, curve, rng.random(300) < level, codes, weights)
        held += found.low <= 2**2.5 <= found.high
    assert held >= 35  # 95 % of 40 are 38


def test_a_curve_that_ends_before_says_so_in_its_bounds():
    codes, rng = np.arange(50), np.random.default_rng(10)
    weights = bootstrap.draw_weights(50, 100, rng)
    curve = few_shot.curve(np.zeros((2, 2, 50), bool), codes, weights, rng)
    found = few_shot.crossing_interval([1, 2], curve, np.ones(50, bool), codes, weights)
    assert found == (few_shot.BEYOND, few_shot.BEYOND, few_shot.BEYOND)


def planted(shares: list[float], items: int) -> np.ndarray:
    """Hits with exactly these shares, in an order of their own per row."""
    rng = np.random.default_rng(11)
    return np.stack([rng.permutation(np.arange(items) < round(share * items)) for share in shares]).astype(np.float64)


def test_classifiers_on_the_line_have_no_effective_robustness_and_one_above_it_has_its_distance():
    base = [0.3, 0.5, 0.7, 0.6]
    line = robustness.Line(-0.5, 0.8)
    expected = robustness.logistic(line.intercept + line.slope * robustness.logit(np.array(base), 4000))
    shifted = [*expected[:3], expected[3] + 0.2]
    hit = planted(base, 4000), planted(list(shifted), 4000)
    weights = bootstrap.draw_weights(4000, 100, np.random.default_rng(12))
    found, fitted = robustness.effective(*hit, np.array([True, True, True, False]), (weights, weights))
    assert fitted is not None
    np.testing.assert_allclose(fitted, line, atol=5e-3)  # shares are rounded to 1 of 4000
    for one in found[:3]:
        assert abs(one.effective) < 1e-3
        assert one.low < 0 < one.high
    assert found[3].effective == pytest.approx(0.2, abs=2e-3)
    assert 0.15 < found[3].low < 0.2 < found[3].high < 0.25


def test_two_points_are_no_line():
    weights = bootstrap.draw_weights(20, 30, np.random.default_rng(13))
    hit = planted([0.2, 0.5, 0.6], 20)
    found, line = robustness.effective(hit, hit, np.array([True, True, False]), (weights, weights))
    assert line is None
    assert found[2] == (0.6, 0.6, None, None, None, None)
    same = planted([0.5, 0.5, 0.5], 20)  # no spread: any slope would do
    assert robustness.effective(same, same, np.ones(3, bool), (weights, weights))[1] is None
