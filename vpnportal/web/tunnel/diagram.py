"""The tunnel as a drawing: boxes with their lines and places, beside each other or in a column.

Units are pixels at full size. What would be too much is folded in words; no text is wider than its
box, whoever chose it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vpnportal.domain.tunnel.spec import Translation

# At this size of the text a character of the fixed-width font is so wide.
CHARACTER, LEADING, INSET = 7, 18, 10
SUBNETS, MAPPINGS, NAME = 6, 6, 16
# Beside each other: what is drawn at one end is so wide, and the line between the two ends.
BESIDE, SMALL_GAP, LINK = 168, 16, 152
# In a column: boxes so wide, and lines so far from their left ends that a word has room beside.
COLUMN, COLUMN_LINK, COLUMN_LINE = 344, 56, 48
DOWN_TO_MIDDLE = 40


class Text(NamedTuple):
    """One line of text, at its left end and its baseline."""

    x: int
    y: int
    words: str
    title: bool


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a title and lines."""

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
        """Where each line stands."""
        widest = (self.width - 2 * INSET) // CHARACTER
        return [
            Text(self.x + INSET, self.y + LEADING * (at + 1), shortened(words, widest), at == 0)
            for at, words in enumerate((self.title, *self.lines))
        ]


class Stroke(NamedTuple):
    """A straight line."""

    x1: int
    y1: int
    x2: int
    y2: int


class Drawing(NamedTuple):
    """`tunnel` is the line whose state is told, with a mark at (x, y) and a word below or beside.

    `strokes` are the other lines, to the subnets of each end.
    """

    name: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    strokes: tuple[Stroke, ...]
    tunnel: Stroke
    mark: tuple[int, int]
    word: tuple[int, int]


class DiagramEnds(NamedTuple):
    """What is drawn, as text; `translations` are folded here."""

    hosted: tuple[str, ...]
    concentrator: tuple[str, ...]
    peer: tuple[str, ...]
    remote: tuple[str, ...]
    translations: Sequence[Translation]

    @property
    def titles(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Title and lines of the four boxes, from the servers to the customer's network."""
        return (
            ("Hosted subnets", folded(self.hosted, SUBNETS)),
            ("Concentrator", self.concentrator),
            ("Remote peer", self.peer),
            ("Remote subnets", folded(self.remote, SUBNETS)),
        )


def horizontal_layout(ends: DiagramEnds) -> Drawing:
    """From left to right, with the translations below the concentrator that makes them."""
    steps = (0, BESIDE + SMALL_GAP, 2 * BESIDE + SMALL_GAP + LINK)
    places = (*steps, steps[-1] + BESIDE + SMALL_GAP)
    width = places[-1] + BESIDE
    boxes = [
        Box(x + 1, 1, BESIDE, title, lines)
        for x, (title, lines) in zip(places, ends.titles, strict=True)
    ]
    hosted, concentrator, peer, remote = boxes
    middle = DOWN_TO_MIDDLE
    strokes = [
        Stroke(hosted.x + BESIDE, middle, concentrator.x, middle),
        Stroke(peer.x + BESIDE, middle, remote.x, middle),
    ]
    if ends.translations:
        top = max(concentrator.bottom, peer.bottom) + 2 * SMALL_GAP
        below = Box(concentrator.x, top, width - concentrator.x - BESIDE - SMALL_GAP, *_map(ends))
        x = concentrator.x + BESIDE // 2
        strokes.append(Stroke(x, concentrator.bottom, x, top))
        boxes.append(below)
    word = middle + 2 * LEADING
    height = max(word + INSET, *(box.bottom for box in boxes))
    link = Stroke(concentrator.x + BESIDE, middle, peer.x, middle)
    at = (link.x1 + link.x2) // 2
    return Drawing(
        *("beside", width + 2, height + 1, tuple(boxes), tuple(strokes), link),
        *((at, middle), (at, word)),
    )


def vertical_layout(ends: DiagramEnds) -> Drawing:
    """From top to bottom, for a narrow screen."""
    boxes, strokes, y = [], [], 1
    titles = list(ends.titles)
    if ends.translations:
        title, lines = _map(ends)
        titles[1] = ("Concentrator", (*ends.concentrator, f"{title}:", *lines))
    for at, (title, lines) in enumerate(titles):
        box = Box(1, y, COLUMN, title, lines)
        gap = COLUMN_LINK if at == 1 else SMALL_GAP
        strokes.append(Stroke(COLUMN_LINE, box.bottom, COLUMN_LINE, box.bottom + gap))
        boxes.append(box)
        y = box.bottom + gap
    first, tunnel, last, _ = strokes
    middle = (tunnel.y1 + tunnel.y2) // 2
    return Drawing(
        *("column", COLUMN + 2, boxes[-1].bottom + 1, tuple(boxes), (first, last), tunnel),
        *((COLUMN_LINE, middle), (COLUMN_LINE + 20, middle + 5)),
    )


def folded(lines: Sequence[str], most: int) -> tuple[str, ...]:
    """The first of these, and in words how many there are beyond."""
    if len(lines) <= most:
        return tuple(lines)
    return (*lines[: most - 1], f"and {len(lines) - most + 1:,} more")


def shortened(text: str, most: int) -> str:
    """The text if it is not too long, and else its beginning."""
    return text if len(text) <= most else text[: most - 1] + "…"


def in_words(ends: DiagramEnds, word: str) -> str:
    """What the drawing shows, for people who do not see it."""
    told = [
        f"Hosted subnets: {', '.join(folded(ends.hosted, SUBNETS))}.",
        f"Concentrator: {', '.join(ends.concentrator)}.",
        f"Remote peer: {', '.join(ends.peer)}. The tunnel between them is {word}.",
        f"Remote subnets: {', '.join(folded(ends.remote, SUBNETS))}.",
    ]
    if ends.translations:
        told.append(f"Address translations: {'; '.join(_map(ends)[1])}.")
    return " ".join(told)


def _map(ends: DiagramEnds) -> tuple[str, tuple[str, ...]]:
    lines = [
        f"{row.internal} ↔ {row.customer} {shortened(row.name, NAME)}".rstrip()
        for row in ends.translations[:MAPPINGS]
    ]
    if beyond := len(ends.translations) - len(lines):
        lines[-1] = f"and {beyond + 1:,} more"
    return "Address translations", tuple(lines)
