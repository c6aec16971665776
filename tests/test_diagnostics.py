"""Diagnostics on synthetic predictors of each kind, and set scores against loops."""

import math
import statistics

import numpy as np
import pytest

from flowsdf.evaluation import baselines, generative
from flowsdf.evaluation import diagnostics as dg

N, D = 40, 64
RNG = np.random.default_rng(0)
MEAN = 5 * RNG.normal(size=D)
TRAINING = MEAN + RNG.normal(size=(N, D))  # concentrated like the thesis's weight vectors: pairwise cosine 0.96
TARGETS = np.arange(N)


def test_the_cloud_is_as_concentrated_as_the_thesis_says():
    found = dg.pairwise_cosine(TRAINING)
    assert found["mean"] == pytest.approx(0.96, abs=0.01)
    loop = [
        float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b)) for i, a in enumerate(TRAINING) for b in TRAINING[i + 1 :]
    ]
    assert found == pytest.approx({"mean": sum(loop) / len(loop), "min": min(loop), "max": max(loop)})
    a, b, nearest = dg.nearest_pair(TRAINING)
    assert nearest == pytest.approx(max(loop)) and dg.cosine(TRAINING, TRAINING)[a, b] == pytest.approx(nearest)
    assert a < b


def test_ranking_equals_a_loop():
    similarity = np.random.default_rng(1).normal(size=(7, 9))
    targets = np.array([3, 1, 4, 1, 5, 0, 2])
    found = dg.ranking(similarity, targets)
    ranks, margins = [], []
    for row, target in zip(similarity, targets, strict=True):
        others = [value for j, value in enumerate(row) if j != target]
        ranks.append(sum(value >= row[target] for value in others))
        margins.append(row[target] - max(others))
    assert found["top1"] == pytest.approx(sum(rank == 0 for rank in ranks) / 7)
    assert found["top5"] == pytest.approx(sum(rank < 5 for rank in ranks) / 7)
    assert found["margin_min"] == pytest.approx(min(margins))
    assert found["margin_mean"] == pytest.approx(sum(margins) / 7)
    assert found["distinct_top1"] == len({int(row.argmax()) for row in similarity})


def test_the_mean_looks_good_by_cosine_and_is_caught_by_every_rank():
    found = dg.diagnose(baselines.mean_code(TRAINING, N), TRAINING, TARGETS)
    by_cosine, centred = found.loc["cosine"], found.loc["centred cosine"]
    assert by_cosine.recall_mean > 0.97  # the number that misled
    assert (by_cosine.distinct_top1, by_cosine.attractor_share) == (1, 1)
    assert by_cosine.top1 <= 1 / N and by_cosine.margin_min < 0
    assert (centred.top1, centred.top5, centred.recall_mean) == (0, 0, 0)
    assert found.loc["cosine"].equals(found.loc["cosine, null"])


def test_noise_around_the_truth_is_no_collapse():
    noisy = TRAINING + 0.5 * np.random.default_rng(2).normal(size=TRAINING.shape)
    found = dg.diagnose(noisy, TRAINING, TARGETS)
    assert (found.loc[["cosine", "centred cosine"], "top1"] == 1).all()
    assert found.loc["cosine", "distinct_top1"] == N
    assert found.loc["centred cosine", "recall_mean"] < 0.95  # and not recall either


def test_retrieval_is_perfect_on_training_shapes():
    found = dg.diagnose(TRAINING.copy(), TRAINING, TARGETS, surface_distances=1 - np.eye(N))
    assert (found.loc[["cosine", "centred cosine", "surface"], "top1"] == 1).all()
    assert found.loc["cosine", "recall_min"] == pytest.approx(1)
    assert found.loc["centred cosine", "margin_min"] > 0.4
    assert found.loc["surface", "margin_min"] == 1


def test_a_weak_follower_collapses_by_cosine_and_follows_once_centred():
    weak = TRAINING.mean(0) + 0.03 * (TRAINING - TRAINING.mean(0))
    found = dg.diagnose(weak, TRAINING, TARGETS)
    assert found.loc["cosine", "attractor_share"] > 0.5 and found.loc["cosine", "top1"] < 0.2
    assert found.loc["centred cosine", "top1"] == 1 and found.loc["centred cosine", "distinct_top1"] == N
    unconditional = baselines.mean_code(TRAINING, N)
    assert dg.condition_contribution(weak, unconditional) < 0.01
    assert dg.condition_contribution(TRAINING, unconditional) > 0.1


def test_variance_ratio_tells_who_moves_the_prediction():
    rng = np.random.default_rng(3)
    conditions, noise = rng.normal(size=(50, 1, 8)), rng.normal(size=(50, 20, 8))
    assert dg.variance_ratio(conditions + 0.1 * noise) > 50
    assert dg.variance_ratio(noise) == pytest.approx(1 / 20, rel=0.3)
    assert dg.variance_ratio(conditions + np.zeros((1, 4, 1))) == np.inf


def test_derangement_moves_everything():
    for count in (2, 3, 17):
        order = dg.derangement(count, np.random.default_rng(count))
        assert sorted(order) == list(range(count)) and (order != np.arange(count)).all()
    with pytest.raises(ValueError, match="one condition"):
        dg.derangement(1, np.random.default_rng(0))


def test_baselines_choose_training_shapes():
    views = np.random.default_rng(1).standard_normal((N, 5, 8))
    cameras = np.tile([4, 1], (N, 1))
    shown = 3 * views[np.arange(N)[:, None], cameras]
    for of in (cameras, None):
        assert (baselines.retrieved_shape(shown[::2], views, None if of is None else of[::2]) == TARGETS[::2]).all()
    turned = np.roll(views, 1, axis=1)  # the same views, each from another camera
    assert (baselines.retrieved_shape(shown, turned, None) == TARGETS).all()
    assert (baselines.retrieved_shape(shown, turned, (cameras + 1) % 5) == TARGETS).all()
    assert (baselines.retrieved_shape(shown, turned, cameras) != TARGETS).any()
    assert baselines.oracle_shape(np.array([[3.0, 1.0], [0.5, 2.0]])).tolist() == [1, 0]
    assert baselines.anchor_shape(3).tolist() == [0, 0, 0]
    drawn = baselines.random_shape(500, 4, np.random.default_rng(0))
    assert set(drawn) == {0, 1, 2, 3}
    assert dg.category_top1(np.array([[3.0, 1.0], [0.5, 2.0]]), ["dog", "mug"], ["mug", "mug"]) == 0.5


def clouds(count: int, seed: int, spread: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 1, 3)) * spread + 0.1 * rng.normal(size=(count, 12, 3))


def chamfer_by_loop(a, b):
    there = sum(min(math.dist(p, q) ** 2 for q in b) for p in a) / len(a)
    back = sum(min(math.dist(p, q) ** 2 for p in a) for q in b) / len(b)
    return 1000 * (there + back)


def test_set_scores_equal_loops():
    generated, reference = clouds(5, 1), clouds(6, 2)
    both = [*generated, *reference]
    d = [[chamfer_by_loop(a, b) for b in both] for a in both]
    gg, rr = generative.pairwise_chamfer(generated, generated), generative.pairwise_chamfer(reference, reference)
    gr = generative.pairwise_chamfer(generated, reference)
    np.testing.assert_allclose(gr, [row[5:] for row in d[:5]])
    mmd = sum(min(d[i][5 + j] for i in range(5)) for j in range(6)) / 6
    cov = len({min(range(6), key=lambda j, i=i: d[i][5 + j]) for i in range(5)}) / 6
    right = sum((min((k for k in range(11) if k != i), key=lambda k, i=i: d[i][k]) < 5) == (i < 5) for i in range(11))
    assert generative.matching_distance(gr).mean() == pytest.approx(mmd)
    assert generative.covered(gr).mean() == pytest.approx(cov)
    assert generative.recognised(gg, gr, rr).mean() == pytest.approx(right / 11)
    table = generative.generative_scores(gg, gr, rr)
    assert table["n"].tolist() == [6, 6, 11]
    assert table["mean"].tolist() == pytest.approx([mmd, cov, right / 11])
    own = [min(d[5 + i][5 + j] for j in range(6) if j != i) for i in range(6)]
    ratio = [min(d[i][5:]) / statistics.median(own) for i in range(5)]
    np.testing.assert_allclose(generative.memorisation(gr, rr), ratio)


def test_the_intervals_of_set_scores_hold_the_mean_of_many_sets():
    random, count = np.random.default_rng(0), 24

    def told(shift: float):
        sets = [random.normal(size=(count, 6)) + shift, random.normal(size=(count, 6))]
        of = lambda a, b: np.square(a[:, None] - b[None]).sum(-1)  # noqa: E731
        return generative.generative_scores(of(sets[0], sets[0]), of(*sets), of(sets[1], sets[1]))

    for shift in (0.0, 1.0):
        tables = [told(shift) for _ in range(60)]
        for name in ("mmd", "cov", "1-nna"):
            found = [table["mean"][name] for table in tables]
            mean, four = np.mean(found), 4 * np.std(found)
            held = np.mean([table["low"][name] <= mean <= table["high"][name] for table in tables])
            assert held >= 0.9
            assert 0.8 < np.mean([table["high"][name] - table["low"][name] for table in tables]) / four < 2.5


def test_a_share_that_never_varies_has_an_interval_all_the_same():
    far = np.full((6, 6), 9.0)
    near = np.ones((6, 6)) - np.eye(6)
    table = generative.generative_scores(near, far, near)
    assert table["mean"]["1-nna"] == table["high"]["1-nna"] == 1 and 0.7 < table["low"]["1-nna"] < 0.8
    assert np.isnan(generative.generative_scores(near[:1, :1], far[:1], near)["low"]).all()


def test_a_copier_and_a_collapsed_generator_are_seen():
    reference = clouds(12, 3)
    rr = generative.pairwise_chamfer(reference, reference)
    assert generative.covered(rr).all() and (generative.memorisation(rr, rr) == 0).all()
    one = np.repeat(reference[:1], 12, axis=0)
    gg, gr = generative.pairwise_chamfer(one, one), generative.pairwise_chamfer(one, reference)
    assert generative.covered(gr).mean() == pytest.approx(1 / 12)
    assert generative.recognised(gg, gr, rr).mean() > 0.9
