"""Names of components that earlier versions stored."""

from __future__ import annotations

import pytest

from rayml.config.components.build import check, locate
from rayml.config.components.moved import MOVED, current_name, stored_name
from rayml.config.components.registered import OWN
from rayml.config.components.stored_node import StoredNode
from rayml.config.components.trust import ONLY_OWN
from rayml.config.components.trusted import require_target


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_leads_to_a_component_that_is_registered(old: str) -> None:
    role = next(role for role, names in OWN.items() if MOVED[old] in names)
    require_target(StoredNode.of({"_target_": old}).target, role, ONLY_OWN)
    assert locate(MOVED[old])
    assert stored_name(current_name(old)) == old


def test_a_config_may_use_an_old_name() -> None:
    check({"_target_": "rayml.models.mlp.MLP", "width": 8}, "shape", "outputs")


def test_a_name_that_never_moved_stays() -> None:
    assert current_name("shop.nets.Net") == stored_name("shop.nets.Net") == "shop.nets.Net"
