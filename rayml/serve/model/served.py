"""One version of a model, ready to predict."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import torch
from pydantic_core import to_json

from rayml.registry.bundle.published import published
from rayml.serve.http.messages import Response, json_response
from rayml.serve.model.batching import BATCH_SIZES, Item, MicroBatcher, loop_rows
from rayml.serve.model.histogram import Histogram
from rayml.serve.model.tensor_model import Shadowing, TensorModel
from rayml.serve.openapi.docs import docs_pages
from rayml.serve.openapi.document import openapi
from rayml.serve.openapi.metadata import metadata
from rayml.serve.predict.explain_request import Asked, ExplainParser
from rayml.serve.predict.explainer import Explainer, Explanation
from rayml.serve.predict.odd_values import WARNINGS, OddValues
from rayml.serve.predict.predictor import Predictor
from rayml.serve.predict.row_parser import RequestParser
from rayml.settings.serve import ServeSettings

if TYPE_CHECKING:
    from rayml.serve.predict.row_parser import Row
    from rayml.tasks.task import Answer


class ServedModel:
    """A version with its limits, its batching and the pages that describe it.

    Its constructor runs a few predictions, so an object that exists is ready. `batch_rows` counts
    forward passes by their rows.

    Args:
        predictor: of the bundle.
        version: of the model in the registry.
        settings: limits and batching.
        measured: whether it is served as part of a release, which takes feedback.

    Raises:
        RequestError: the bundle does not support `serve.interval`.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        version: str,
        settings: ServeSettings,
        measured: bool = False,
    ) -> None:
        info, signature = predictor.bundle.info, predictor.signature
        self.name = info.name
        self.version = version
        self.predictor = predictor
        self.signature = signature
        self._shadow: Shadowing | None = None
        self.odd_values = OddValues(published(signature), refuse=settings.unknown == "refuse")
        self.parser = RequestParser(signature, max_rows=settings.max_rows)
        self.explain_parser = ExplainParser(signature, max_rows=settings.max_explain_rows)
        self.explainer = Explainer(
            predictor, tolerance=settings.explain_tolerance, max_steps=settings.max_explain_steps
        )
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._expects_explanations = False
        (example,) = self.parser.parse(to_json(signature.example()))
        self.batch_rows = Histogram(BATCH_SIZES)
        self.tensors = TensorModel(
            predictor,
            settings=settings,
            example=example,
            odd_values=self.odd_values,
            sizes=self.batch_rows,
        )
        self.interval = settings.interval
        if self.interval is not None:
            predictor.regions.require(self.interval)
        # The example's text is known after the first time, and others are not.
        fits = 0 if predictor.slow_features else loop_rows(predictor.predict_rows, example)
        self._batcher = self._batching(predictor.predict_rows, settings, fits)
        # Rows with regions share a pass among themselves, and cost others nothing.
        self._levelled = self._batching(predictor.predict_levelled, settings, fits)
        self.headers = (
            (b"x-model-name", self.name.encode()),
            (b"x-model-version", version.encode()),
        )
        document = openapi(
            self.name,
            version,
            published(signature),
            settings=settings,
            ensemble=info.ensemble,
            regions=predictor.regions.groups,
            measured=measured,
        )
        self.pages: dict[str, Response] = {
            "/metadata": json_response(metadata(predictor, version)),
            "/openapi.json": json_response(document),
            **docs_pages(f"{self.name} {version}"),
        }

    def _batching(
        self, run: Callable[[list[Item]], Sequence[Answer]], settings: ServeSettings, fits: int
    ) -> MicroBatcher[Item, Answer]:
        return MicroBatcher(
            run,
            max_requests=settings.max_batch_size,
            wait_s=settings.batch_wait_s,
            max_loop_items=fits,
            sizes=self.batch_rows,
        )

    @property
    def waiting(self) -> int:
        """Requests that wait for a forward pass or are in one."""
        return self._batcher.waiting + self._levelled.waiting + self.tensors.waiting

    async def predict_rows(self, rows: list[Row], level: float | None = None) -> Sequence[Answer]:
        """Predict parsed rows, in one forward pass with those of other requests.

        Args:
            rows: of a request.
            level: probability with which regions hold the truth; None gives none.
        """
        if level is None:
            answers = await self._batcher.submit(rows)
        else:
            answers = await self._levelled.submit([(row, level) for row in rows])
        if self._shadow is not None:
            self._shadow.offer(rows, answers)
        return answers

    def note_odd(self, answers: Sequence[Answer] | Sequence[Explanation]) -> None:
        """Count the odd values that the answers to a request name.

        Raises:
            RequestError: 422 if there is one and such requests are refused.
        """
        odd = {row: each[WARNINGS] for row, each in enumerate(answers) if WARNINGS in each}
        self.odd_values.note(odd)

    def watch(
        self, shadow: Shadowing | None, watcher: Callable[[torch.Tensor], None] | None
    ) -> None:
        """Give what is answered from now on to others.

        Args:
            shadow: takes rows with their answers.
            watcher: takes the predictions, batch by batch.
        """
        self._shadow = self.tensors.shadow = shadow
        self.predictor.watcher = watcher

    def expect_explanations(self) -> None:
        """Warm up explanations in their thread; the first request for one gets its errors."""
        if not self._expects_explanations:
            self._expects_explanations = True
            with suppress(RuntimeError):  # it is being closed
                self._explaining.submit(self.explainer.warm_up)

    async def explain_rows(self, asked: Asked) -> list[Explanation]:
        """Explain the predictions for parsed rows, in a thread of their own.

        Raises:
            ExplainError: the model cannot be explained.
            RequestError: there is no such class.
        """
        given_up = threading.Event()

        def proceed() -> None:
            if given_up.is_set():
                raise InterruptedError("no client waits for the explanation")

        def work() -> list[Explanation]:
            table = self.predictor.table(asked.rows)
            return self.explainer.explain(
                table, label=asked.label, baseline=asked.baseline, proceed=proceed
            )

        try:
            return await asyncio.get_running_loop().run_in_executor(self._explaining, work)
        finally:
            # A request whose time is over leaves the thread to the next one.
            given_up.set()

    def close(self) -> None:
        """End after answering the requests taken in."""
        self._batcher.close()
        self._levelled.close()
        self._explaining.shutdown(wait=True)
        self.tensors.close()
