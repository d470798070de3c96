"""`/predict`: rows in, answers out, as JSON or as Arrow IPC."""

from __future__ import annotations

from pydantic_core import to_json

from rayml.serve.http.compression import compressed
from rayml.serve.http.messages import Request, Response, json_response
from rayml.serve.model.served import ServedModel
from rayml.serve.predict.regions import PARAMETER, read_level
from rayml.serve.tensors.arrow import FILE, STREAM, write_answers


async def predict(request: Request, model: ServedModel) -> Response:
    """Answer the rows of a JSON or Arrow body.

    Raises:
        RequestError: the body is too large or does not fit the signature.
    """
    kind = request.headers.get(b"content-type", b"")
    if kind.startswith((STREAM, FILE)):
        body = await request.body()
        return await model.tensors.off_loop(lambda: _predict_arrow(body, request, model))
    level = _level(request, model)
    rows = model.parser.parse(await request.body())
    request.has_rows(len(rows))
    answers = await model.predict_rows(rows, level)
    model.note_odd(answers)
    return json_response({"predictions": answers})


def _predict_arrow(body: bytes, request: Request, model: ServedModel) -> Response:
    """Answer in Arrow where the client accepts it, else in JSON."""
    level = _level(request, model)
    table = model.tensors.arrow.parse(body)
    request.has_rows(table.num_rows)
    estimate = model.tensors.estimate_now(table, level)
    if STREAM in request.headers.get(b"accept", b""):
        response = Response(200, write_answers(estimate, model.tensors.outputs), STREAM)
    else:
        answers = model.predictor.answers(estimate)
        response = Response(200, to_json({"predictions": answers}))
    return compressed(response, request.headers)


def _level(request: Request, model: ServedModel) -> float | None:
    """The probability with which regions hold the truth; None where none are asked for.

    Raises:
        RequestError: 422, it is no probability, or the model does not support it.
    """
    given = request.query(PARAMETER)
    if given is None:
        return model.interval
    level = read_level(given)
    model.predictor.regions.require(level)
    return level
