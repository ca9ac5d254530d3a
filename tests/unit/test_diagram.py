"""The tunnel diagram keeps every text inside its box and every box inside the frame."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.samples import translation
from vpnportal.web.tunnel.diagram import (
    CHARACTER,
    DiagramEnds,
    horizontal_layout,
    in_words,
    vertical_layout,
)

TEXTS = st.lists(st.text(max_size=60), min_size=1, max_size=12).map(tuple)
ROWS = st.lists(st.text(max_size=80), max_size=12).map(
    lambda names: [translation("10.1.255.92", "192.168.10.15", name) for name in names]
)


@given(
    st.builds(DiagramEnds, TEXTS, TEXTS, TEXTS, TEXTS, ROWS),
    st.sampled_from((horizontal_layout, vertical_layout)),
)
def test_texts_stay_in_their_boxes_and_boxes_never_overlap_or_leave_the_frame(ends, layout):
    drawing = layout(ends)

    assert drawing.label_at[1] + CHARACTER <= drawing.height
    for box in drawing.boxes:
        assert box.x >= 0
        assert box.x + box.width <= drawing.width
        assert box.bottom <= drawing.height
        for text in box.texts:
            assert box.x < text.x
            assert text.x + CHARACTER * len(text.text) <= box.x + box.width
            assert box.y < text.y < box.bottom
    for index, box in enumerate(drawing.boxes):
        for other in drawing.boxes[index + 1 :]:
            is_beside = box.x + box.width <= other.x or other.x + other.width <= box.x
            assert is_beside or box.bottom <= other.y or other.bottom <= box.y


@given(st.builds(DiagramEnds, TEXTS, TEXTS, TEXTS, TEXTS, ROWS))
def test_the_description_has_the_state_and_the_number_of_hidden_translations(ends):
    words = in_words(ends, "Degraded")

    assert "Tunnel between them: Degraded." in words
    hidden = len(ends.translations) - 5
    assert (f"; and {hidden} more." in words) == (hidden > 1)
