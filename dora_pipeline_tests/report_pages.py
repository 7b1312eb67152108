"""A report page as a browser's parser sees it: elements, their attributes and text."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_BLOCKS = {"p", "h3", "td", "th", "small", "dt", "dd"}
_VOID = {"meta", "br", "input", "img", "link"}


@dataclass
class Element:
    """An element; `parts` are its texts and elements in order."""

    tag: str
    attributes: dict[str, str]
    parts: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text in it, with single spaces."""
        return " ".join(self._text().split())

    def all(self, tag: str, style: str | None = None) -> list["Element"]:
        """The elements below with this tag and class."""
        return [
            element
            for element in self.below()
            if element.tag == tag and (style is None or style in element.attributes.get("class", "").split())
        ]

    def below(self) -> Iterator["Element"]:
        """Every element below."""
        for part in self.parts:
            if isinstance(part, Element):
                yield part
                yield from part.below()

    def _text(self) -> str:
        told = "".join(part if isinstance(part, str) else part._text() for part in self.parts)
        return f" {told} " if self.tag in _BLOCKS else told


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].parts.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)


def page(text: str) -> Element:
    """The page; fails where elements are not nested well."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    (root,) = reader.open
    return root


def environment(root: Element, name: str) -> Element:
    """The section of an environment."""
    (section,) = (section for section in root.all("section") if section.attributes.get("data-env") == name)
    return section


def card(root: Element, env: str, title: str) -> tuple[float | None, str]:
    """The exact figure of a card, None for no data, and its whole text."""
    (found,) = (item for item in environment(root, env).all("article") if item.all("h3")[0].text == title)
    return _value(found), found.text


def rows(root: Element, caption: str) -> list[list[str]]:
    """The cells of the table whose caption begins so, as text."""
    return [[cell.text for cell in row.parts if isinstance(cell, Element)] for row in _body(root, caption)]


def values(root: Element, caption: str) -> list[list[float | None]]:
    """The exact figures of the cells of that table; None where there is none."""
    return [[_value(cell) for cell in row.parts if isinstance(cell, Element)] for row in _body(root, caption)]


def caption(root: Element, beginning: str) -> str:
    """The whole caption that begins so."""
    (found,) = (item.text for item in root.all("caption") if item.text.startswith(beginning))
    return found


def queries(root: Element) -> dict[str, str]:
    """The queries to copy, by title."""
    return {
        item.all("summary")[0].text: "".join(str(part) for part in item.all("code")[0].parts)
        for item in root.all("details")
        if item.all("pre")
    }


def _body(root: Element, caption: str) -> list[Element]:
    (table,) = (item for item in root.all("table") if item.all("caption")[0].text.startswith(caption))
    return table.all("tbody")[0].all("tr")


def _value(element: Element) -> float | None:
    found = element.all("data")
    return float(found[0].attributes["value"]) if found else None
