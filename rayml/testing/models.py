"""What rayml expects of a model, as tests for its author.

A class of tests that pytest collects:

    class TestMine(ModelTests):
        def make(self, shape, outputs):
            return Mine(shape, outputs, width=8)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from rayml.models.modules.lazy import materialise
from rayml.models.modules.pooling import learn_pool
from rayml.settings.train import TrainSettings
from rayml.testing.contract import check_contract
from rayml.testing.rows import learnable, task_of
from rayml.train.lanes.lane import NewLane
from rayml.train.lanes.lanes import LaneLoop
from rayml.train.lanes.structure import same_structure
from rayml.train.loop.batches import ArrayBatches
from rayml.train.loop.loop import TrainingLoop
from rayml.train.loop.randomness import seeded
from rayml.train.loop.results import EpochResult
from rayml.train.speed.probe import why_not_stacked
from rayml.types import FeatureShape

_CPU = torch.device("cpu")
_ROWS = 12
_EPOCHS = 3


class ModelTests:
    """The contract of a model; subclass it and give `make`.

    Attributes:
        shapes: of features that the model has to take.
        outputs: numbers of outputs that it has to give: 1 for two classes or a number.
    """

    shapes: ClassVar[tuple[FeatureShape, ...]] = (
        FeatureShape(4, (3, 5)),
        FeatureShape(3),
        FeatureShape(1, (2,)),
    )
    outputs: ClassVar[tuple[int, ...]] = (1, 3)

    def make(self, shape: FeatureShape, outputs: int) -> nn.Module:
        """The model under test."""
        raise NotImplementedError

    def test_outputs_are_real_numbers_of_the_right_shape(self) -> None:
        """[rows, outputs], for one row as well."""
        for shape in self.shapes:
            for outputs in self.outputs:
                model = self._built(shape, outputs).eval()
                for rows in (_ROWS, 1):
                    found = model(*_batch(shape, rows))
                    assert isinstance(found, Tensor), f"forward returns a {type(found).__name__}"
                    assert found.shape == (rows, outputs), f"it returns {tuple(found.shape)}"
                    assert found.is_floating_point(), f"it returns {found.dtype}"
                    assert found.isfinite().all(), "it returns numbers that are not finite"

    def test_inputs_are_left_as_they_are(self) -> None:
        """A model that writes to its inputs is given copies, which cost time and memory."""
        for training in (True, False):
            for shape in self.shapes:
                given, before = _batch(shape, _ROWS), _batch(shape, _ROWS)
                self._built(shape, 1).train(training)(*given)
                for name, one, other in zip(("numeric", "categorical"), given, before, strict=True):
                    assert torch.equal(one, other), f"forward writes to {name}; copy it first"

    def test_a_rows_prediction_is_its_own(self) -> None:
        """In evaluation the neighbours of a batch change nothing, nor does an earlier batch."""
        for shape in self.shapes:
            model = self._built(shape, 1).eval()
            batch = _batch(shape, _ROWS)
            together = _run(model, batch)
            rows = [tuple(part[i : i + 1] for part in batch) for i in range(_ROWS)]
            single = torch.cat([_run(model, row) for row in rows])
            assert torch.allclose(together, single, rtol=1e-4, atol=1e-5), (
                "a row is predicted otherwise beside other rows"
            )
            assert torch.equal(together, _run(model, batch)), "the same batch gives other outputs"

    def test_weights_follow_from_the_seed(self) -> None:
        """The generators of Python, NumPy and PyTorch are seeded; others are not."""
        for shape in self.shapes:
            one, other = self._built(shape, 1).state_dict(), self._built(shape, 1).state_dict()
            assert one.keys() == other.keys(), "built twice, it has other weights"
            for name, each in one.items():
                assert torch.equal(each, other[name]), f"{name} does not follow from the seed"

    def test_what_trains_is_float32_and_has_gradients(self) -> None:
        """One optimizer keeps all weights in one buffer."""
        for shape in self.shapes:
            model = self._built(shape, 1).train()
            trained = {k: v for k, v in model.named_parameters() if v.requires_grad}
            assert trained, "it has nothing to train"
            for name, each in trained.items():
                assert each.dtype == torch.float32, f"{name} is {each.dtype}, not float32"
            model(*_batch(shape, _ROWS)).square().mean().backward()
            slopes = [each.grad for each in trained.values() if each.grad is not None]
            assert any(slope.abs().sum() > 0 for slope in slopes), "nothing has a gradient"
            assert all(slope.isfinite().all() for slope in slopes), "a gradient is not finite"

    def test_a_saved_model_predicts_the_same(self) -> None:
        """`state_dict` holds all that a prediction depends on."""
        for shape in self.shapes:
            model = self._built(shape, 1)
            model.train()(*_batch(shape, _ROWS))  # statistics of batches are among it
            saved = copy.deepcopy(model.state_dict())
            loaded = self._built(shape, 1, seed=1)
            loaded.load_state_dict(saved)
            batch = _batch(shape, _ROWS)
            assert torch.equal(_run(model.eval(), batch), _run(loaded.eval(), batch)), (
                "what is loaded predicts otherwise; make the rest a buffer"
            )

    def test_its_state_is_tensors(self) -> None:
        """A bundle holds safetensors and no pickle, which all other state would need."""
        for shape in self.shapes:
            for name, each in self._built(shape, 1).state_dict().items():
                assert isinstance(each, Tensor), (
                    f"{name} of its state_dict is a {type(each).__name__}; make it a buffer"
                )

    def test_lanes_train_as_each_alone(self) -> None:
        """Trials of a cohort share one pass; the results are those of single training.

        A model that cannot be stacked trains alone, and passes.
        """
        for shape in self.shapes:
            train, held = (learnable("binary", shape, rows, rows) for rows in (160, 80))
            batches, validation = ArrayBatches(train, 40), ArrayBatches(held, 80)
            task = task_of("binary")
            lanes = [self._lane(shape, number) for number in (0, 1)]
            alike = same_structure(lanes[0].model, lanes[1].model)
            if not alike or why_not_stacked(lanes[0], task, batches):
                continue
            together = LaneLoop(lanes, task, batches, validation)
            single = [self._lane(shape, number) for number in (0, 1)]
            alone = [TrainingLoop(e.model, task, batches, validation, e.settings) for e in single]
            for _ in range(_EPOCHS):
                found = together.run_epoch()
                for number, loop in enumerate(alone):
                    one, other = found[number], loop.run_epoch()
                    assert isinstance(one, EpochResult), f"as a lane it diverges: {one}"
                    assert math.isclose(one.loss, other.loss, rel_tol=1e-3, abs_tol=1e-4), (
                        f"as lane {number} its loss is {one.loss:.6g}, alone {other.loss:.6g}"
                    )

    def _lane(self, shape: FeatureShape, number: int) -> NewLane:
        settings = TrainSettings(epochs=_EPOCHS, batch_size=40, seed=number)
        return NewLane(number, self._built(shape, 1, seed=number), settings)

    def _built(self, shape: FeatureShape, outputs: int, seed: int = 0) -> nn.Module:
        with seeded(seed, _CPU):
            model = self.make(shape, outputs)
            materialise(model, shape)
        # Of several outputs the probabilities are pooled one by one, which is no less a prediction.
        learn_pool(model, task_of("binary"))
        return model


def check_model(make: Callable[[FeatureShape, int], nn.Module]) -> None:
    """Check a model against the whole contract, where no test is collected.

    Args:
        make: makes the model of features and a number of outputs.

    Raises:
        AssertionError: it breaks the contract; the message says how.
    """
    tests = ModelTests()
    setattr(tests, "make", make)  # noqa: B010 - a method has another type than a function
    check_contract(tests)


def _batch(shape: FeatureShape, rows: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    codes = [torch.randint(n, (rows,), generator=generator) for n in shape.cardinalities]
    return (
        torch.randn(rows, shape.numeric, generator=generator),
        torch.stack(codes, 1) if codes else torch.zeros(rows, 0, dtype=torch.int64),
    )


@torch.no_grad()
def _run(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    found: Tensor = model(*(each.clone() for each in batch))
    return found
