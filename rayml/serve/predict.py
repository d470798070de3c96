"""`/predict`: rows in, answers out."""

from __future__ import annotations

from rayml.serve.http import Request, Response, json_response
from rayml.serve.served import ServedModel


async def predict(request: Request, model: ServedModel) -> Response:
    """Answer the rows of a JSON body.

    Raises:
        RequestError: the body is too large or does not fit the signature.
    """
    rows = model.parser.parse(await request.body())
    return json_response({"predictions": await model.predict_rows(rows)})
