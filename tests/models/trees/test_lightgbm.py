"""LightGBM keeps the contract of estimators, and what is its own."""

from __future__ import annotations

from rayml.models.estimators.estimator import Estimator
from rayml.models.trees.lightgbm import LightGBM
from rayml.testing.estimators import EstimatorTests
from rayml.types import FeatureShape


class TestLightGBM(EstimatorTests):
    tolerance = 1e-5

    def make(self, shape: FeatureShape, outputs: int) -> Estimator:
        return LightGBM(shape, outputs, min_data_in_leaf=5, min_data_per_group=5)
