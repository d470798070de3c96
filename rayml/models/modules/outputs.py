"""What a model returns, checked: broadcasting would hide a wrong shape in the loss."""

from __future__ import annotations

from torch import Tensor

from rayml.errors import ConfigError


def require_outputs(outputs: object, wanted: tuple[int, ...], lanes: int = 0) -> Tensor:
    """Refuse what a model returned unless it is one real tensor of the shape that its task needs.

    Args:
        outputs: of the model.
        wanted: the shape.
        lanes: leading dimensions that messages leave out, since rayml added them.

    Raises:
        ConfigError: it is something else.
    """
    remedy = "Correct its forward(numeric, categorical)"
    shape = wanted[lanes:]
    if not isinstance(outputs, Tensor):
        raise ConfigError(
            f"the model returns a {type(outputs).__name__}; this task needs one tensor of shape"
            f" {shape}",
            remedy=remedy,
        )
    if not outputs.is_floating_point():
        raise ConfigError(f"the model returns {outputs.dtype}, not real numbers", remedy=remedy)
    if outputs.shape != wanted:
        raise ConfigError(
            f"the model returns shape {tuple(outputs.shape[lanes:])}; this task needs {shape}",
            remedy=remedy,
        )
    return outputs
