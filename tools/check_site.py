"""Check that the pages of the built site fetch nothing from another host.

    python tools/check_site.py site

Links that a reader follows may lead anywhere; what a browser loads by itself may not.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

_LOADED_RELATIONS = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
    "manifest",
}
_CSS_REQUEST = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


class _Requests(HTMLParser):
    """Collects the addresses on other hosts that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        loaded = [values.get(name, "") for name in ("src", "srcset", "data", "poster")]
        if tag == "link" and _LOADED_RELATIONS & set(values.get("rel", "").split()):
            loaded.append(values.get("href", ""))
        if tag in ("image", "use"):
            loaded += [values.get("href", ""), values.get("xlink:href", "")]
        self.found += [address for address in loaded if _is_outside(address)]
        self.found += _CSS_REQUEST.findall(values.get("style", ""))
        self._in_style = tag == "style"
        if "mermaid" in values.get("class", "").split():
            self.found.append(
                "https://unpkg.com/mermaid (the theme fetches it for an element of class mermaid)"
            )

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found += _CSS_REQUEST.findall(data)


def _is_outside(address: str) -> bool:
    return bool(re.match(r"\s*(https?:)?//", address, re.IGNORECASE))


def outside_requests(site: Path) -> list[str]:
    """`PAGE: ADDRESS` for everything that a page or style sheet of the site loads from another host."""
    found = []
    for page in sorted(site.rglob("*.html")):
        parser = _Requests()
        parser.feed(page.read_text())
        found += [f"{page.relative_to(site)}: {address}" for address in parser.found]
    for sheet in sorted(site.rglob("*.css")):
        found += [f"{sheet.relative_to(site)}: {a}" for a in _CSS_REQUEST.findall(sheet.read_text())]
    return found


def main(site: Path) -> int:
    """Print what is fetched from elsewhere; 1 if there is anything, or if there are no pages."""
    num_pages = len(list(site.rglob("*.html")))
    found = outside_requests(site)
    print("\n".join(found) or f"{num_pages} pages, which fetch nothing from other hosts")
    return 1 if found or not num_pages else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
