"""What may change when a sweep goes on, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rayml.config.compose import Composed, compose
from rayml.errors import ConfigError, InvalidConfigError, SearchError
from rayml.search.journal.journal import SweepJournal
from rayml.stages.resume import extended_config, require_more, resumed_config

FOLDER = Path("sweeps/first")


@pytest.fixture
def stored() -> Composed:
    return compose(["data=wine", "search.trials=7"])


def test_a_sweep_may_be_resumed_elsewhere(stored: Composed) -> None:
    overrides = ["search.concurrency=3", "search.resources.cpu=2", "cluster=running"]
    after = resumed_config(stored, FOLDER, overrides).typed()
    assert (after.search.concurrency, after.search.trials) == (3, 7)
    assert after.cluster.address == "auto"


@pytest.mark.parametrize("override", ["search.trials=9", "space=none", "train.epochs=1", "seed=1"])
def test_a_resumed_sweep_searches_what_it_searched(stored: Composed, override: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot change .* when it is resumed.*extend=first"):
        resumed_config(stored, FOLDER, [override])


@pytest.mark.parametrize(("text", "trials"), [("+100", 107), ("100", 100), ("+3", 10)])
def test_a_budget_is_added_to_or_set(stored: Composed, text: str, trials: int) -> None:
    after = extended_config(stored, FOLDER, [f"search.trials={text}"])
    assert after.typed().search.trials == trials


def test_a_budget_that_there_is_not_cannot_be_added_to(stored: Composed) -> None:
    with pytest.raises(InvalidConfigError, match=r"search\.seconds has no value to add to"):
        extended_config(stored, FOLDER, ["search.seconds=+60"])
    limited = compose(["search.seconds=1.5"])
    assert extended_config(limited, FOLDER, ["search.seconds=+60"]).typed().search.seconds == 61.5


def test_the_space_of_an_extended_sweep_may_change(stored: Composed) -> None:
    after = extended_config(
        stored, FOLDER, ["space.model.width.choices=[8]", "search.pruner.name=none"]
    )
    assert after.typed().space["model"]["width"]["choices"] == [8]


def test_what_a_trial_is_stays(stored: Composed) -> None:
    overrides = ["model.width=8", "train.epochs=9", "data.target=x", "search.trials=+1"]
    with pytest.raises(ConfigError) as caught:
        extended_config(stored, FOLDER, overrides)
    assert "data.target, train.epochs, model.width" in str(caught.value)
    assert "search.warm_start=[first]" in str(caught.value)


def test_a_sweep_keeps_its_name(stored: Composed) -> None:
    with pytest.raises(ConfigError, match=r"search\.name"):
        extended_config(stored, FOLDER, ["search.name=other"])


def test_a_database_with_a_password_is_named_again() -> None:
    url = "postgresql://me:secret@host/x"
    shown = compose([f"search.storage={url}"])
    masked = Composed(
        {
            **shown.plain,
            "search": {**shown.plain["search"], "storage": url.replace("secret", "***")},
        },
        (),
    )
    with pytest.raises(ConfigError, match=r"the password of search\.storage=.* is not stored"):
        resumed_config(masked, FOLDER, [])
    after = resumed_config(masked, FOLDER, [f"search.storage='{url}'"])
    assert after.typed().search.storage == url
    with pytest.raises(ConfigError, match="not the database of this sweep") as caught:
        resumed_config(masked, FOLDER, ["search.storage='postgresql://me:secret@other/x'"])
    assert "secret" not in str(caught.value)


def test_a_sweep_that_runs_is_not_extended(
    stored: Composed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rayml.search.journal.repair._PATIENCE", 0.0)
    with pytest.raises(SearchError, match="has no journal"):
        require_more(tmp_path, stored)
    journal = SweepJournal(tmp_path / "journal.log")
    with pytest.raises(SearchError, match="another process writes"):
        require_more(tmp_path, stored)
    journal.close()
    assert require_more(tmp_path, stored).finished == 0


@pytest.mark.parametrize("address", ["ray://evil.example:10001", "192.0.2.7:6379"])
def test_a_file_alone_does_not_say_which_cluster_is_joined(address: str) -> None:
    stored = compose(["data=wine", f"cluster.address='{address}'"])
    for go_on in (resumed_config, extended_config):
        with pytest.raises(ConfigError, match=rf"Add cluster\.address={address}"):
            go_on(stored, FOLDER, ["search.concurrency=2"])
        again = go_on(stored, FOLDER, [f"cluster.address='{address}'"]).typed()
        assert again.cluster.address == address
        assert go_on(stored, FOLDER, ["cluster=local"]).typed().cluster.address is None


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:6379", "ray://[::1]:10001"])
def test_a_sweep_goes_on_in_a_cluster_of_this_machine(address: str) -> None:
    stored = compose(["data=wine", f"cluster.address='{address}'"])
    assert resumed_config(stored, FOLDER, []).typed().cluster.address == address
