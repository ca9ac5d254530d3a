"""The drawing keeps everything inside of its frame, whatever people called their translations."""

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
def test_no_text_leaves_its_box_and_no_box_lies_on_another_or_outside(ends, layout):
    drawing = layout(ends)

    assert drawing.word[1] + CHARACTER <= drawing.height
    for box in drawing.boxes:
        assert box.x >= 0
        assert box.x + box.width <= drawing.width
        assert box.bottom <= drawing.height
        for text in box.texts:
            assert box.x < text.x
            assert text.x + CHARACTER * len(text.words) <= box.x + box.width
            assert box.y < text.y < box.bottom
    for at, one in enumerate(drawing.boxes):
        for other in drawing.boxes[at + 1 :]:
            beside_it = one.x + one.width <= other.x or other.x + other.width <= one.x
            assert beside_it or one.bottom <= other.y or other.bottom <= one.y


@given(st.builds(DiagramEnds, TEXTS, TEXTS, TEXTS, TEXTS, ROWS))
def test_the_words_tell_the_state_and_how_many_translations_are_left_out(ends):
    words = in_words(ends, "partly up")

    assert "The tunnel between them is partly up." in words
    beyond = len(ends.translations) - 5
    assert (f"; and {beyond} more." in words) == (beyond > 1)
