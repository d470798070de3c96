"""What the commands print reads well in a file and in a terminal."""

from __future__ import annotations

import dataclasses
import shlex
from types import SimpleNamespace
from typing import cast

import pytest

from rayml.data.advice.advice import Advice
from rayml.registry.bundle.info import BundleInfo
from rayml.registry.promotion import PromotionDecision, Verdict
from rayml.search.results.confirmation import Confirmation, ConfirmedTrial
from rayml.stages.commands import show
from rayml.timing import Stopwatch
from rayml.types import TargetInfo


def test_markup_is_taken_literally(capsys: pytest.CaptureFixture[str]) -> None:
    show.line("[red]orders[/red] [0]")
    assert capsys.readouterr().out == "[red]orders[/red] [0]\n"


def test_a_request_is_shown_as_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.request("http://127.0.0.1:1/predict", {"who": "it's me"}, 200, b'{"a": 1}')
    command, answer = capsys.readouterr().out.splitlines()
    assert shlex.split(command)[-1] == '{"who": "it\'s me"}'
    assert answer == 'HTTP 200: {"a": 1}'


def test_timings_name_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Stopwatch()
    watch.add("sweep", 2.0)
    show.timings(watch, {"first_epoch": 4.5, "total": 2.0, "train": 1.25})
    out = capsys.readouterr().out
    assert "sweep" in out
    assert "train 1.2" in out
    assert "the first epoch ended 4.5 s after the command started" in out


def test_a_confirmation_names_its_winner_and_what_is_served(
    capsys: pytest.CaptureFixture[str],
) -> None:
    trials = [
        ConfirmedTrial(
            number=number,
            params={},
            parameters=weights,
            steps=60,
            seconds=1.0,
            values=(0.5, 0.75),
            mean=0.625,
            low=0.5,
            high=0.75,
        )
        for number, weights in ((7, 12345), (3, 120))
    ]
    found = Confirmation(
        metric="accuracy",
        direction="maximize",
        winner=3,
        reason="trial 3 is the cheapest",
        seeds=(1, 2),
        candidates=tuple(trials),
        failed=(),
        seed=2,
    )
    show.confirmed(found)
    out = capsys.readouterr().out
    (winner,) = [line for line in out.splitlines() if "winner" in line]
    assert "0.5 to 0.75" in winner
    assert "120" in winner
    assert "12,345" in out
    assert "trial 3 is the cheapest" in out
    assert "the model is that of its seed 2" in out
    show.confirmed(dataclasses.replace(found, ensemble=(2, 1)))
    assert "the model is an ensemble of its seeds 2, 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (
            PromotionDecision(promote=True, reason="without comparison (registry.promote=always)"),
            "is promoted without comparison (registry.promote=always)",
        ),
        (
            PromotionDecision(promote=True, reason="f1 0.9", verdict="first"),
            "is promoted: f1 0.9",
        ),
        (
            PromotionDecision(promote=False, reason="it is worse", verdict="worse", against=3),
            "is not promoted, version 3 stays champion: it is worse",
        ),
        (
            PromotionDecision(promote=False, reason="without comparison (registry.promote=never)"),
            "is not promoted (registry.promote=never)",
        ),
    ],
)
def test_a_decision_is_said_in_plain_words(decision: PromotionDecision, said: str) -> None:
    assert show.decided(decision) == said


@pytest.mark.parametrize("comparable", [True, False])
def test_a_version_that_cannot_be_compared_comes_with_the_way_to_promote_it(
    comparable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict: Verdict = "worse" if comparable else "not comparable"
    decision = PromotionDecision(promote=False, reason="so it is", verdict=verdict, against=1)
    show.registered(
        cast(
            "BundleInfo",
            SimpleNamespace(
                name="m", metrics={}, decision=decision, temperature=1.0, decision_rule=None
            ),
        ),
        4,
        TargetInfo("y", "binary", ("no", "yes")),
    )
    assert ("`rayml promote 4 name=m`" in capsys.readouterr().out) != comparable


def test_advice_is_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    show.advise([Advice("leak", f"column c{i} tells") for i in range(20)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "note: column c0 tells"
    assert len(lines) == 13
    assert lines[-1] == "note: 8 more notes are in the sweep's report"
