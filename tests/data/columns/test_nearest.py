from __future__ import annotations

from rayml.data.columns.nearest import did_you_mean, listed

KNOWN = ["price", "Channel", "mean radius"]


def test_the_nearest_name_is_asked_for() -> None:
    assert did_you_mean("prise", KNOWN) == "Did you mean 'price'? "
    assert did_you_mean("CHANNEL ", KNOWN) == "Did you mean 'Channel'? "
    assert did_you_mean("mean_radius", KNOWN) == "Did you mean 'mean radius'? "
    assert did_you_mean("zzz", KNOWN) == ""
    assert did_you_mean("", KNOWN) == ""
    assert did_you_mean("price" * 10_000, KNOWN) == ""


def test_very_many_names_are_cut() -> None:
    assert listed(KNOWN) == "price, Channel, mean radius"
    assert listed(["abc"] * 1000, 10) == "abc, abc, …"
