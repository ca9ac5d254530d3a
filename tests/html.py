"""Reads pages as elements, so that tests compare values and not pieces of HTML."""

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
    """The elements of a response, below one root."""
    builder = _Builder()
    builder.feed(response.content.decode())
    builder.close()
    assert builder.open == [builder.root], "the page leaves an element open"
    return builder.root


def part(response, id: str) -> Element:
    """The one element with this id."""
    found = [element for element in read(response).iter() if element.get("id") == id]
    assert len(found) == 1, f"{len(found)} elements have the id {id}"
    return found[0]


def words(response, id: str) -> str:
    """What a person reads in the element with this id."""
    return " ".join("".join(part(response, id).itertext()).split())


def typed(response, name: str) -> str | None:
    """What the control of this name holds: an input's value, or a list's chosen option."""
    for element in read(response).iter():
        if element.get("name") == name and element.tag == "input":
            return element.get("value")
        if element.get("name") == name and element.tag == "select":
            return next(o.get("value") for o in element if "selected" in o.attrib)
    raise AssertionError(f"there is no control named {name}")


def focused(response) -> list[str]:
    """The controls that want the focus, in order; a browser gives it to the first."""
    return [e.get("name", "") for e in read(response).iter() if "autofocus" in e.attrib]


def form(response, id: str) -> dict[str, list[str]]:
    """What a browser would send of this form's inputs, without its buttons."""
    found: dict[str, list[str]] = {}
    for element in part(response, id).iter("input"):
        named = element.get("name") and "disabled" not in element.attrib
        if named and element.get("type") not in ("checkbox", "file"):
            found.setdefault(element.get("name"), []).append(element.get("value", ""))
    return found
