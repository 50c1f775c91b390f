"""Reads the report's HTML as a browser would, as far as a test needs it: elements, attributes, texts."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "wbr"}


class Page(HTMLParser):
    """A parsed page: its elements in order as (name, attributes, text), and what should never be in it."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.comments, self.declarations, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        element = {"name": tag, "attributes": dict(attrs), "text": "", "path": [one["name"] for one in self.open]}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1]["name"] == tag, "</%s> ends nothing that is open" % tag
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def handle_comment(self, data):
        self.comments.append(data)

    def handle_decl(self, decl):
        self.declarations.append(decl)

    def unknown_decl(self, data):
        self.declarations.append(data)

    def handle_pi(self, data):
        self.declarations.append(data)

    def all(self, name, kind=None):
        """Return the elements of a name, and of a class where one is given."""
        return [element for element in self.elements if element["name"] == name and (
            kind is None or kind in (element["attributes"].get("class") or "").split())]

    def texts(self, name, kind=None):
        return [" ".join(element["text"].split()) for element in self.all(name, kind)]

    def of_id(self, address):
        (element,) = [one for one in self.elements if one["attributes"].get("id") == address]
        return element
