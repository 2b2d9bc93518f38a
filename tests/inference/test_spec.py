from __future__ import annotations

import pytest

from detector.core.errors import ModelError
from detector.inference.spec import INPUT, InputSpec, from_metadata, to_metadata

USUAL = InputSpec(color="rgb", scale=1 / 255)


def test_a_part_of_it_may_be_said() -> None:
    assert from_metadata({}, USUAL) is None
    found = from_metadata({INPUT: '{"mean": [0.5, 0.4, 0.3], "placement": "stretch"}'}, USUAL)
    assert found == InputSpec(color="rgb", scale=1 / 255, mean=(0.5, 0.4, 0.3), placement="stretch")
    assert found is not None
    assert from_metadata({INPUT: to_metadata(found)}, InputSpec(color="bgr", scale=1)) == found


@pytest.mark.parametrize(
    "text",
    [
        "mean 3",
        "[1]",
        '{"colour": "rgb"}',
        '{"color": "grey"}',
        '{"scale": 0}',
        '{"scale": true}',
        '{"std": [1, 0, 1]}',
        '{"mean": [1, 2]}',
        '{"mean": ["a", 1, 1]}',
        '{"pad": 300}',
        '{"placement": "left"}',
        '{"mean": [NaN, 1, 1]}',
    ],
)
def test_nonsense_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ModelError, match=r'detector\.input.*"color": "rgb"') as caught:
        from_metadata({INPUT: text}, USUAL)
    assert "\n" not in str(caught.value)


def test_value_range() -> None:
    spec = InputSpec(color="rgb", scale=0.5, mean=(1, 2, 3), std=(2, 4, 5))
    factors, summands = spec.affine()
    assert factors == (0.25, 0.125, 0.1)
    assert summands == (-0.5, -0.5, -0.6)
    assert spec.normalised
    assert not USUAL.normalised
