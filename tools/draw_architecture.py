"""Draw the packages and what imports what, from the import graph of the code.

    python tools/draw_architecture.py          # write architecture.svg and the Mermaid block of the page
    python tools/draw_architecture.py --check  # exit 1 if they are not those of the code as it is

Nodes are what lies directly in `tune`, `serve`, `cluster`, `dgad`. An arrow that follows from others is left
out (where a imports b and b imports c, the arrow from a to c): the picture shows the order, not every import.
An import that closes a circle is drawn on its own, as what it is: a fault.
"""

import functools
import html
import sys
from collections.abc import Mapping
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = ROOT / "docs" / "architecture.md", ROOT / "docs" / "architecture.svg"
BEGIN, END = "<!-- made by tools/draw_architecture.py -->", "<!-- end -->"
GROUPS = ("tune", "serve", "cluster", "dgad")

Edges = Mapping[str, set[str]]

_NODE_HEIGHT, _ROW_HEIGHT, _GAP, _MARGIN = 24, 52, 14, 18
_LETTER_WIDTH = 7


def imports() -> tuple[dict[str, set[str]], set[tuple[str, str]]]:
    """What each node imports within its group, and which group imports which other."""
    graph = grimp.build_graph(*GROUPS, cache_dir=None)
    nodes = sorted(child for group in GROUPS for child in graph.find_children(group))
    inside: dict[str, set[str]] = {node: set() for node in nodes}
    across: set[tuple[str, str]] = set()
    for module in sorted(graph.modules):
        for imported in graph.find_modules_directly_imported_by(module):
            source, target = _node_of(module), _node_of(imported)
            if _group_of(source) != _group_of(target):
                across.add((_group_of(source), _group_of(target)))
            elif source != target and source in inside and target in inside:
                inside[source].add(target)
    return inside, across


def _node_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def _group_of(node: str) -> str:
    return node.split(".")[0]


def circles(edges: Edges) -> set[tuple[str, str]]:
    """The imports that close a circle, as a walk from the top in the order of names meets them."""
    found: set[tuple[str, str]] = set()
    done: set[str] = set()

    def walk(node: str, path: tuple[str, ...]) -> None:
        for target in sorted(edges[node]):
            if target in path:
                found.add((node, target))
            elif target not in done:
                walk(target, (*path, target))
        done.add(node)

    imported = set().union(*edges.values())
    for node in [*sorted(set(edges) - imported), *sorted(imported)]:
        if node not in done:
            walk(node, (node,))
    return found


def depths(edges: Edges) -> dict[str, int]:
    """Rows from the top: a package stands below all that import it; `edges` have no circle."""

    @functools.cache
    def depth(node: str) -> int:
        return max((depth(source) + 1 for source, targets in edges.items() if node in targets), default=0)

    return {node: depth(node) for node in edges}


def without_implied(edges: Edges) -> dict[str, set[str]]:
    """The edges that no longer path replaces (the transitive reduction of a graph without circles)."""

    @functools.cache
    def reach(node: str) -> frozenset[str]:
        return frozenset(edges[node]).union(*(reach(target) for target in edges[node]))

    return {
        node: {t for t in targets if not any(t in reach(o) for o in targets - {t})}
        for node, targets in edges.items()
    }


def mermaid(inside: Edges, across: set[tuple[str, str]], back: set[tuple[str, str]]) -> str:
    """The graph as a Mermaid flow chart: one subgraph for each group."""
    lines = ["```mermaid", "flowchart TB"]
    for group in GROUPS:
        own = {node: targets for node, targets in inside.items() if _group_of(node) == group}
        lines.append(f"  subgraph {group}")
        lines += [f"    {_id(node)}[{node.split('.')[1]}]" for node in sorted(own)]
        lines += [f"    {_id(s)} --> {_id(t)}" for s in sorted(own) for t in sorted(own[s])]
        lines.append("  end")
    lines += [f"  {source} ==> {target}" for source, target in sorted(across)]
    lines += [f"  {_id(source)} -. circle .-> {_id(target)}" for source, target in sorted(back)]
    return "\n".join([*lines, "```"])


def _id(node: str) -> str:
    return node.replace(".", "__")


def svg(inside: Edges, across: set[tuple[str, str]], back: set[tuple[str, str]]) -> str:
    """The graph as SVG: `tune` and `serve` side by side, `cluster` and then `dgad` below them."""
    rows = {group: _rows(inside, group) for group in GROUPS}
    widths = {group: max(map(_row_width, rows[group])) + 2 * _MARGIN for group in GROUPS}
    heights = {group: len(rows[group]) * _ROW_HEIGHT + 2 * _MARGIN for group in GROUPS}
    whole = max(widths["tune"] + widths["serve"] + 2 * _MARGIN, widths["cluster"], widths["dgad"])
    top = max(heights["tune"], heights["serve"])
    x = {"tune": 0, "serve": widths["tune"] + 2 * _MARGIN, "cluster": 0, "dgad": 0}
    y = {"tune": 0, "serve": 0, "cluster": top + 2 * _MARGIN, "dgad": top + heights["cluster"] + 4 * _MARGIN}
    widths |= {"serve": whole - x["serve"], "cluster": whole, "dgad": whole}
    heights |= {"tune": top, "serve": top}
    parts = [
        f'<svg class="architecture" viewBox="-2 -2 {whole + 4} {y["dgad"] + heights["dgad"] + 4}" role="img"'
        ' aria-label="Packages and what they import" xmlns="http://www.w3.org/2000/svg">'
    ]
    for group in GROUPS:
        box = f'x="{x[group]}" y="{y[group]}" width="{widths[group]}" height="{heights[group]}"'
        parts.append(f'<rect class="box" rx="6" {box}/>')
        parts.append(f'<text class="group" x="{x[group] + 8}" y="{y[group] + 14}">{group}</text>')
    parts += [_across(x, y, widths, heights, source, target) for source, target in sorted(across)]
    places = {}
    for group in GROUPS:
        for index, row in enumerate(rows[group]):
            left = x[group] + (widths[group] - _row_width(row)) // 2
            for node in row:
                places[node] = (left, y[group] + _MARGIN + 10 + index * _ROW_HEIGHT, _node_width(node))
                left += _node_width(node) + _GAP
    parts += [_package(node, sorted(inside[node]), places) for node in sorted(inside)]
    parts += [_arrow(places[target], places[source], "circle") for source, target in sorted(back)]
    return "\n".join([*parts, "</svg>", ""])


def _rows(inside: Edges, group: str) -> list[list[str]]:
    depth = depths(inside)
    own = sorted(node for node in inside if _group_of(node) == group)
    return [[n for n in own if depth[n] == row] for row in range(max(depth[n] for n in own) + 1)]


def _node_width(node: str) -> int:
    return len(node.split(".")[1]) * _LETTER_WIDTH + 16


def _row_width(row: list[str]) -> int:
    return sum(map(_node_width, row)) + _GAP * (len(row) - 1)


def _package(node: str, targets: list[str], places: Mapping[str, tuple[int, int, int]]) -> str:
    left, top, width = places[node]
    arrows = "".join(_arrow(places[node], places[target]) for target in targets)
    name = html.escape(node.split(".")[1])
    return (
        f'<g class="package">{arrows}<rect class="node" rx="4" x="{left}" y="{top}" width="{width}"'
        f' height="{_NODE_HEIGHT}"/>'
        f'<text x="{left + width // 2}" y="{top + _NODE_HEIGHT // 2}">{name}</text></g>'
    )


def _arrow(source: tuple[int, int, int], target: tuple[int, int, int], kind: str = "arrow") -> str:
    x0, y0 = source[0] + source[2] // 2, source[1] + _NODE_HEIGHT
    x1, y1 = target[0] + target[2] // 2, target[1]
    bend = (y1 - y0) // 2
    return f'<path class="{kind}" d="M{x0} {y0}C{x0} {y0 + bend} {x1} {y1 - bend} {x1} {y1}m-3 -5l3 5l3 -5"/>'


def _across(
    x: Mapping[str, int],
    y: Mapping[str, int],
    widths: Mapping[str, int],
    heights: Mapping[str, int],
    source: str,
    target: str,
) -> str:
    middle = x[source] + widths[source] // 2 + (0 if target == "cluster" else widths[source] // 2 - 10)
    start, end = y[source] + heights[source], y[target]
    return f'<path class="across" d="M{middle} {start}V{end}m-5 -7l5 7l5 -7"/>'


def page_with(block: str) -> str:
    """The page with the block in place of the one it has."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the picture, or with `--check` say whether it is current."""
    every, across = imports()
    back = circles(every)
    inside = without_implied({s: {t for t in ts if (s, t) not in back} for s, ts in every.items()})
    wanted = {PAGE: page_with(mermaid(inside, across, back)), PICTURE: svg(inside, across, back)}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(
                f"{path.relative_to(ROOT)} is not what the code imports now; run tools/draw_architecture.py"
            )
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
