"""Layouts of the tunnel diagram in the Status section, for wide and for narrow screens.

Positions and sizes are pixels at full size. A long list of subnets or translations ends with the
number of omitted entries. A text that is wider than its box is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vpnportal.domain.tunnel.spec import Translation

# The width of one character of the fixed-width font, the line height, and the padding of a box.
CHARACTER, LEADING, INSET = 7, 18, 10
# The maximum number of subnets and of translations, and the maximum length of a translation's name.
MAX_SUBNETS, MAX_TRANSLATIONS, MAX_NAME_CHARACTERS = 6, 6, 16
# The horizontal layout: the width of a box, the gap between two boxes, and the tunnel's length.
BOX_WIDTH, SMALL_GAP, LINK = 168, 16, 152
# The vertical layout: the width of a box, the tunnel's length, and the x of all lines, which
# leaves room for the state beside the tunnel.
COLUMN_WIDTH, COLUMN_LINK, COLUMN_LINE = 344, 56, 48
DOWN_TO_MIDDLE = 40


class Text(NamedTuple):
    """One line of text: left end `x`, baseline `y`."""

    x: int
    y: int
    text: str
    is_title: bool


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a title and lines of text."""

    x: int
    y: int
    width: int
    title: str
    lines: tuple[str, ...]

    @property
    def height(self) -> int:
        return LEADING * (1 + len(self.lines)) + INSET

    @property
    def bottom(self) -> int:
        return self.y + self.height

    @property
    def texts(self) -> list[Text]:
        """The title and the lines, each with its position, shortened to the width of the box."""
        limit = (self.width - 2 * INSET) // CHARACTER
        return [
            Text(self.x + INSET, self.y + LEADING * (row + 1), shortened(text, limit), row == 0)
            for row, text in enumerate((self.title, *self.lines))
        ]


class Stroke(NamedTuple):
    """A straight line from (`x1`, `y1`) to (`x2`, `y2`)."""

    x1: int
    y1: int
    x2: int
    y2: int


class Drawing(NamedTuple):
    """The positions of all boxes, lines and labels of one layout.

    `tunnel` is the line from the concentrator to the remote peer. `icon_at` and `label_at` are the
    (x, y) of the icon and the label of the tunnel's state. `strokes` are all other lines.
    """

    name: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    strokes: tuple[Stroke, ...]
    tunnel: Stroke
    icon_at: tuple[int, int]
    label_at: tuple[int, int]


class DiagramEnds(NamedTuple):
    """The complete texts of the diagram, from the hosted subnets to the remote subnets.

    A layout shows at most MAX_SUBNETS lines of each subnet list, and MAX_TRANSLATIONS lines of
    translations. The last line of a longer list is the number of omitted entries.
    """

    hosted: tuple[str, ...]
    concentrator: tuple[str, ...]
    peer: tuple[str, ...]
    remote: tuple[str, ...]
    translations: Sequence[Translation]

    @property
    def boxes(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(title, lines) of the four boxes, from the hosted subnets to the remote subnets."""
        return (
            ("Hosted subnets", folded(self.hosted, MAX_SUBNETS)),
            ("Concentrator", self.concentrator),
            ("Remote peer", self.peer),
            ("Remote subnets", folded(self.remote, MAX_SUBNETS)),
        )


def horizontal_layout(ends: DiagramEnds) -> Drawing:
    """Lay the boxes out from left to right, with the translations below the concentrator."""
    steps = (0, BOX_WIDTH + SMALL_GAP, 2 * BOX_WIDTH + SMALL_GAP + LINK)
    columns = (*steps, steps[-1] + BOX_WIDTH + SMALL_GAP)
    width = columns[-1] + BOX_WIDTH
    boxes = [
        Box(x + 1, 1, BOX_WIDTH, title, lines)
        for x, (title, lines) in zip(columns, ends.boxes, strict=True)
    ]
    hosted, concentrator, peer, remote = boxes
    middle = DOWN_TO_MIDDLE
    strokes = [
        Stroke(hosted.x + BOX_WIDTH, middle, concentrator.x, middle),
        Stroke(peer.x + BOX_WIDTH, middle, remote.x, middle),
    ]
    if ends.translations:
        top = max(concentrator.bottom, peer.bottom) + 2 * SMALL_GAP
        map_width = width - concentrator.x - BOX_WIDTH - SMALL_GAP
        x = concentrator.x + BOX_WIDTH // 2
        strokes.append(Stroke(x, concentrator.bottom, x, top))
        boxes.append(Box(concentrator.x, top, map_width, *_translation_box(ends)))
    label_y = middle + 2 * LEADING
    height = max(label_y + INSET, *(box.bottom for box in boxes))
    tunnel = Stroke(concentrator.x + BOX_WIDTH, middle, peer.x, middle)
    center = (tunnel.x1 + tunnel.x2) // 2
    return Drawing(
        *("beside", width + 2, height + 1, tuple(boxes), tuple(strokes), tunnel),
        *((center, middle), (center, label_y)),
    )


def vertical_layout(ends: DiagramEnds) -> Drawing:
    """Lay the boxes out from top to bottom, with the translations inside the concentrator's box."""
    boxes, strokes, y = [], [], 1
    contents = list(ends.boxes)
    if ends.translations:
        title, lines = _translation_box(ends)
        contents[1] = ("Concentrator", (*ends.concentrator, f"{title}:", *lines))
    for row, (title, lines) in enumerate(contents):
        box = Box(1, y, COLUMN_WIDTH, title, lines)
        gap = COLUMN_LINK if row == 1 else SMALL_GAP
        strokes.append(Stroke(COLUMN_LINE, box.bottom, COLUMN_LINE, box.bottom + gap))
        boxes.append(box)
        y = box.bottom + gap
    first, tunnel, last, _ = strokes
    middle = (tunnel.y1 + tunnel.y2) // 2
    return Drawing(
        *("column", COLUMN_WIDTH + 2, boxes[-1].bottom + 1, tuple(boxes), (first, last), tunnel),
        *((COLUMN_LINE, middle), (COLUMN_LINE + 20, middle + 5)),
    )


def folded(lines: Sequence[str], limit: int) -> tuple[str, ...]:
    """Return at most `limit` lines.

    The last line of a longer list is the number of omitted lines, such as "and 3 more".
    """
    if len(lines) <= limit:
        return tuple(lines)
    return (*lines[: limit - 1], f"and {len(lines) - limit + 1:,} more")


def shortened(text: str, limit: int) -> str:
    """Return the text, cut to `limit` characters with an ellipsis if it is longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def in_words(ends: DiagramEnds, state_label: str) -> str:
    """Describe the diagram in sentences, for screen readers."""
    sentences = [
        f"Hosted subnets: {', '.join(folded(ends.hosted, MAX_SUBNETS))}.",
        f"Concentrator: {', '.join(ends.concentrator)}.",
        f"Remote peer: {', '.join(ends.peer)}. Tunnel between them: {state_label}.",
        f"Remote subnets: {', '.join(folded(ends.remote, MAX_SUBNETS))}.",
    ]
    if ends.translations:
        sentences.append(f"Address translations: {'; '.join(_translation_box(ends)[1])}.")
    return " ".join(sentences)


def _translation_box(ends: DiagramEnds) -> tuple[str, tuple[str, ...]]:
    lines = [
        f"{row.internal} ↔ {row.customer} {shortened(row.name, MAX_NAME_CHARACTERS)}".rstrip()
        for row in ends.translations[:MAX_TRANSLATIONS]
    ]
    if hidden := len(ends.translations) - len(lines):
        lines[-1] = f"and {hidden + 1:,} more"
    return "Address translations", tuple(lines)
