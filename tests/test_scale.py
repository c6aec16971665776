"""A pretended run of many shapes, of which some go wrong, loses nothing."""

import pytest

from flowsdf.data.faults import Failed, Rejected
from flowsdf.studies import scale


def test_nothing_is_lost_when_shapes_go_wrong_and_workers_die() -> None:
    rates = (0.05, 0.002, 0.002)
    found = scale.simulate([1.0, 3.0], 800, speed=2000, rates=rates, workers=2, seed=1)
    assert sum(found[name] for name in scale.FATES) == 800
    assert found["rejected"] > 10 and found["kills its worker once"] >= 1 and found["kills every worker"] >= 1


def test_a_lost_outcome_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(function, tasks, *, on_result, **_settings):
        for number in range(len(tasks) - 1):
            on_result(number, number)
        return [*range(len(tasks) - 1), Rejected("lost", "it was")]

    monkeypatch.setattr(scale, "run_tasks", careless)
    with pytest.raises(Failed, match="1 ended wrongly, 1 were not answered once"):
        scale.simulate([1.0], 5, speed=1000, rates=(0.0, 0.0, 0.0), workers=1, seed=0)
