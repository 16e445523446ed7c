"""What changes a mask changes the digest."""

import pytest

from nnunet_assets.core.model.model_digest import model_digest


@pytest.mark.parametrize(
    ("members", "steps"), [(["a"], []), (["b", "a"], []), (["a", "b"], [(1,)]), (["a", "b"], [(2,), (1,)])]
)
def test_another_member_order_or_step_is_another_model(members: list[str], steps: list[tuple[int, ...]]) -> None:
    assert model_digest(members, steps) != model_digest(["a", "b"], [(1,), (2,)])
    assert model_digest(members, steps) == model_digest(tuple(members), tuple(steps))
