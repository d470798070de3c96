"""`/explain`: rows in, what moved each prediction out."""

from __future__ import annotations

from rayml.errors import ExplainError
from rayml.serve.http.messages import Request, Response, error_response, json_response
from rayml.serve.model.served import ServedModel


async def explain(request: Request, model: ServedModel) -> Response:
    """Answer what moved the predictions for the rows of a JSON body.

    Raises:
        RequestError: the body is too large or does not fit the signature.
    """
    asked = model.explain_parser.parse_asked(await request.body())
    request.has_rows(len(asked.rows))
    try:
        explanations = await model.explain_rows(asked)
    except ExplainError as error:
        # The model answers well; an error of the server would count against it.
        return error_response(422, str(error))
    model.note_odd(explanations)
    return json_response(
        {"explanations": explanations, "baseline": model.explainer.baseline(asked.baseline)}
    )
