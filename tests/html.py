"""Pages as elements, so that tests compare values and not pieces of HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree.ElementTree import Element, SubElement

VOID = {"meta", "link", "input", "br", "img", "hr"}


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("root")
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        element = SubElement(self.open[-1], tag, {key: value or "" for key, value in attrs})
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        SubElement(self.open[-1], tag, {key: value or "" for key, value in attrs})

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag, f"the page closes <{tag}> where it should not"

    def handle_data(self, data):
        parent = self.open[-1]
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + data
        else:
            parent.text = (parent.text or "") + data


def read(response) -> Element:
    """Return the elements of a response, below one root."""
    builder = _Builder()
    builder.feed(response.content.decode())
    builder.close()
    assert builder.open == [builder.root], "the page leaves an element open"
    return builder.root


def part(response, id: str) -> Element:
    """Return the only element with this id."""
    elements = [element for element in read(response).iter() if element.get("id") == id]
    assert len(elements) == 1, f"{len(elements)} elements have the id {id}"
    return elements[0]


def words(response, id: str) -> str:
    """Return the text of the element with this id."""
    return " ".join("".join(part(response, id).itertext()).split())


def typed(response, name: str) -> str | None:
    """Return the value of an input, or of the chosen option of a list."""
    for element in read(response).iter():
        if element.get("name") == name and element.tag == "input":
            return element.get("value")
        if element.get("name") == name and element.tag == "select":
            return next(option.get("value") for option in element if "selected" in option.attrib)
    raise AssertionError(f"there is no control named {name}")


def focused(response) -> list[str]:
    """Return the names of the controls with `autofocus`; a browser focuses the first."""
    elements = read(response).iter()
    return [element.get("name", "") for element in elements if "autofocus" in element.attrib]


def form(response, id: str) -> dict[str, list[str]]:
    """Return the values that a browser would send for the inputs of a form."""
    values: dict[str, list[str]] = {}
    for element in part(response, id).iter("input"):
        is_sent = element.get("name") and "disabled" not in element.attrib
        if is_sent and element.get("type") not in ("checkbox", "file"):
            values.setdefault(element.get("name"), []).append(element.get("value", ""))
    return values
