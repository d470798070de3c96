"""Measures whether a cohort trains faster compiled or in bfloat16, and switches to it."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from rayml.errors import TrainError
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.speed.acceleration import (
    PRIOR,
    Prospect,
    Work,
    decide_bfloat16,
    decide_compile,
    judge_compiled,
)
from rayml.train.speed.compiler import Backend, CompiledLosses, why_no_compiler
from rayml.types import Compile

_ROUNDS = 5
# Measured costs and gains of compiling in this process, by device, which replace `PRIOR`.
_known: dict[str, Prospect] = {}


class Accelerator:
    """Makes the training of one cohort faster where that saves time.

    Args:
        compile: whether to compile.
        measures: whether measured times may decide, which differ from run to run; without them
            `auto` compiles nothing.
        backend: of torch.compile.
    """

    def __init__(
        self,
        compile: Compile,  # noqa: A002 - the setting's name
        *,
        measures: bool = True,
        backend: Backend = "inductor",
    ) -> None:
        self._compile = compile
        self._measures = measures
        self._backend = backend
        self._bfloat16 = False
        self._compiled = False

    def start(self, loop: LaneLoop, steps: int) -> list[str]:
        """Decide how a cohort trains, before its first step.

        Args:
            loop: of the cohort, whose weights stay as they are.
            steps: predicted number of training steps with as many lanes.

        Returns:
            A line for each decision, with its reason.

        Raises:
            TrainError: `compile` is `always`, and compiling fails.
        """
        lines = []
        if self._measures and _may_choose_precision(loop):
            lines.append(self._choose_precision(loop))
        if self._compile == "always" or (self._compile == "auto" and self._measures):
            lines.append(self._choose_code(loop, steps))
        return lines

    def go_on(self, loop: LaneLoop) -> None:
        """Train a further loop of the cohort in the way that `start` chose."""
        loop.gradients.bfloat16 |= self._bfloat16
        if self._compiled:
            # Already compiled code is found again where the structure is the same.
            compiled = self._code(loop)
            compiled.finish()
            loop.gradients.compiled = compiled

    def _choose_precision(self, loop: LaneLoop) -> str:
        def switch(bfloat16: bool) -> None:
            loop.gradients.bfloat16 = bfloat16

        chosen = decide_bfloat16(*_compare(loop, switch))
        self._bfloat16 = loop.gradients.bfloat16 = chosen.taken
        return chosen.reason

    def _choose_code(self, loop: LaneLoop, steps: int) -> str:
        device = loop.device
        always = self._compile == "always"
        work = Work(steps, _time(loop.try_gradients(), loop.device))
        chosen = decide_compile(work, _known.get(device.type, PRIOR[device.type]))
        if not (always or chosen.taken):
            return chosen.reason
        if self._backend == "inductor" and (reason := why_no_compiler(device)):
            return self._refuse(reason)
        try:
            measured = self._try(loop)
        except Exception as error:  # noqa: BLE001 - compilers raise whatever they meet
            loop.gradients.compiled = None
            return self._refuse(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
        _known[device.type] = measured
        judged = judge_compiled(work, measured)
        if not (judged.taken or always):
            loop.gradients.compiled = None
            return judged.reason
        self._compiled = True
        return (
            judged.reason
            if judged.taken
            else f"{judged.reason}; kept, since search.cohort.compile=always"
        )

    def _try(self, loop: LaneLoop) -> Prospect:
        run = loop.try_gradients()
        compiled = self._code(loop)
        loop.gradients.compiled = compiled
        start = time.perf_counter()
        # The backward pass, and a CUDA graph, may be made in the second one.
        for _ in range(3):
            run()
        spent = time.perf_counter() - start
        compiled.finish()

        def switch(on: bool) -> None:
            loop.gradients.compiled = compiled if on else None

        eager, faster = _compare(loop, switch)
        return Prospect(spent, eager / faster)

    def _code(self, loop: LaneLoop) -> CompiledLosses:
        return CompiledLosses(loop.gradients.losses, loop.device, self._backend)

    def _refuse(self, reason: str) -> str:
        if self._compile == "always":
            raise TrainError(
                f"search.cohort.compile=always, and nothing compiles here ({reason})",
                remedy="Install g++, or set search.cohort.compile=auto",
            )
        return f"not compiled: {reason}"


def _may_choose_precision(loop: LaneLoop) -> bool:
    auto = all(lane.settings.precision == "auto" for lane in loop.lanes)
    return auto and loop.device.type == "cuda"


def _compare(loop: LaneLoop, switch: Callable[[bool], None]) -> tuple[float, float]:
    """Seconds of a step's gradients with a switch off and on; it is on afterwards.

    Both are measured in turns, since other processes come and go, and the fastest of each counts.
    """
    run = loop.try_gradients()
    best = [float("inf")] * 2
    for _ in range(_ROUNDS):
        for on in (False, True):
            switch(on)
            best[on] = min(best[on], _time(run, loop.device))
    return best[False], best[True]


def _time(run: Callable[[], object], device: torch.device, times: int = 3) -> float:
    """Seconds of the fastest of several runs."""
    wait = _waiting(device)
    run()
    best = float("inf")
    for _ in range(times):
        wait()
        start = time.perf_counter()
        run()
        wait()
        best = min(best, time.perf_counter() - start)
    return best


def _waiting(device: torch.device) -> Callable[[], None]:
    if device.type != "cuda":
        return lambda: None
    return lambda: torch.cuda.synchronize(device)
