"""No family of models starves, and each is pruned beside its own."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rayml.search.pruning.pruning import AsyncHalving, PrunerOfFamilies
from rayml.search.study.families import starved


@given(
    families=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True),
    liked=st.integers(0, 3),
    trials=st.integers(0, 60),
)
def test_each_has_half_of_an_equal_share(families: list[str], liked: int, trials: int) -> None:
    """Whatever family the sampler likes, the others are trained too."""
    trained: list[str] = []
    for _ in range(trials):
        trained.append(starved(families, trained) or families[liked % len(families)])
    counts = Counter(trained)
    for each in families:
        assert counts[each] >= trials // (2 * len(families))
    # The rest is the sampler's choice.
    if len(families) > 1:
        assert counts[families[liked % len(families)]] >= trials // 2 - len(families)


def test_the_first_trials_are_one_of_each_family() -> None:
    trained: list[str] = []
    for _ in range(3):
        trained.append(starved(["net", "trees", "lines"], trained) or "net")
    assert starved(["net", "trees", "lines"], []) == "net"
    assert trained[0] == "net"


def test_a_family_is_pruned_beside_its_own() -> None:
    families = {0: "net", 1: "trees", 2: "net", 3: "trees"}
    pruner = PrunerOfFamilies(lambda: AsyncHalving(1, 2), families.__getitem__)
    assert pruner.decide(0, 1, 0.5).action == "keep"
    # Ten trees are far behind an epoch of a network, and say nothing of what they become.
    assert pruner.decide(1, 1, 9.0).action == "keep"
    assert pruner.decide(2, 1, 0.6).action == "prune"
    assert pruner.decide(3, 1, 9.5).action == "prune"


def test_without_families_all_are_compared() -> None:
    pruner = PrunerOfFamilies(lambda: AsyncHalving(1, 2), lambda _: "")
    assert pruner.decide(0, 1, 0.5).action == "keep"
    assert pruner.decide(1, 1, 9.0).action == "prune"
