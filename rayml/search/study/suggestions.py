"""The configurations that a study has to try in any case: points of a grid, and suggestions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from rayml.search.problem.parameter import Params, Scalar


class Agenda:
    """Gives each trial its point of a grid, or the next suggestion.

    Args:
        points: of the grid that are left; None where a sampler proposes.
        suggestions: configurations to begin with.
        taken: which of them trials took already, by their places.
    """

    def __init__(
        self,
        points: Iterable[dict[str, Scalar]] | None,
        suggestions: Sequence[Params],
        taken: Iterable[int],
    ) -> None:
        self._points = None if points is None else deque(points)
        self._suggestions = suggestions
        self._taken = set(taken)

    @property
    def points(self) -> int | None:
        """How many points are left; None where there is no grid."""
        return None if self._points is None else len(self._points)

    def next(self, fixed: Params) -> tuple[int | None, Mapping[str, Scalar]]:
        """The values that the next trial shall have, by preference with the fixed ones.

        Returns:
            The place of the suggestion that they are, if they are one; and the values.
        """
        place, values = self._suggestion(fixed)
        return place, {**values, **fixed, **self._point(fixed)}

    def _suggestion(self, fixed: Params) -> tuple[int | None, Params]:
        for place, values in enumerate(self._suggestions):
            if place not in self._taken and values.items() >= fixed.items():
                self._taken.add(place)
                return place, values
        return None, {}

    def _point(self, fixed: Params) -> Params:
        if self._points is None:
            return {}
        for place, point in enumerate(self._points):
            if point.items() >= fixed.items():
                del self._points[place]
                return point
        return self._points.popleft()
