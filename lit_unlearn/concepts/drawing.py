"""A concept's graph, before and after unlearning, as a picture: what is kept, weakened, removed.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lit_unlearn.concepts.triplets import Concept, Triplet
from lit_unlearn.report import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, PICTURE = "concept.html", "concept.png"
State = Literal["kept", "weakened", "removed", "new"]
COLOURS: dict[State, str] = {"kept": "#0072B2", "weakened": "#E69F00", "removed": "#777777", "new": "#D55E00"}
"""Okabe & Ito: safe for the colour-blind; dashes tell the states apart as well."""
DASHES: dict[State, tuple[float, ...]] = {"kept": (), "weakened": (6, 3), "removed": (1, 3), "new": (8, 2, 2, 2)}
WEAKER = 0.2
"""An edge whose cloze share fell by more than this is weakened."""
UPRIGHT = 12
"""With more nodes than this, labels are turned to point away from the concept."""
PER_RADIUS = 28
"""Nodes for which a ring of radius 1 has room; with more it grows."""
MOST_DRAWN = 60
"""Edges that are drawn, the most supported ones."""
LONGEST_LABEL = 28
LABEL_AT = 0.62
"""Where on an edge its relation stands, from the concept on."""


@dataclass(frozen=True)
class Edge:
    """A triplet before and after.

    Attributes:
        triplet: before; where it is new, after.
        after: None where nobody looked again, or where it is not claimed any more.
        state: what became of it; `kept` where nobody looked again.
    """

    triplet: Triplet
    after: Triplet | None
    state: State


@dataclass(frozen=True)
class Drawing:
    """What is drawn.

    Attributes:
        name: of the concept.
        edges: in the order of their families.
        looked_again: whether there is an after.
    """

    name: str
    edges: tuple[Edge, ...]
    looked_again: bool

    def count(self, state: State) -> int:
        """Edges in this state."""
        return sum(edge.state == state for edge in self.edges)


def strength(triplet: Triplet) -> float:
    """Share of the clozes that gave the edge; 1 where none was asked."""
    return 1.0 if triplet.cloze_edge is None else triplet.cloze_edge


def compared(before: Concept, after: Concept | None = None) -> Drawing:
    """What became of each edge of a concept's graph.

    Kept: still validated, its cloze share within `WEAKER`. Weakened: validated with less, or still claimed by the model
    but not validated. Removed: claimed no more. New: validated only after.

    Args:
        before, after: what the model knew, and what it knows now; None where nobody looked again.
    """
    edges = []
    valid = {} if after is None else {triplet.key: triplet for triplet in after.triplets}
    claimed = {} if after is None else {r.triplet.key: r.triplet for r in after.rejected if r.triplet is not None}
    for triplet in before.triplets:
        now = valid.get(triplet.key) or claimed.get(triplet.key)
        state: State = "kept"
        if after is not None and now is None:
            state = "removed"
        elif after is not None and (triplet.key not in valid or strength(now or triplet) < strength(triplet) - WEAKER):
            state = "weakened"
        edges.append(Edge(triplet, now, state))
    known = {triplet.key for triplet in before.triplets}
    edges += [Edge(triplet, triplet, "new") for key, triplet in valid.items() if key not in known]
    edges.sort(key=lambda edge: (edge.triplet.family, edge.triplet.key))
    return Drawing(before.name, tuple(edges), after is not None)


def positions(drawing: Drawing) -> dict[str, tuple[float, float]]:
    """Where each node stands: the concept in the middle at (0, 0), the others on a ring of radius 1 or more."""
    import networkx

    others = list(dict.fromkeys(edge.triplet.other_side(drawing.name) for edge in drawing.edges))
    ring = networkx.circular_layout(others, scale=max(1.0, len(others) / PER_RADIUS)) if len(others) > 1 else {}
    placed = {node: (float(-y), float(x)) for node, (x, y) in ring.items()}  # a quarter turn: the first is at the top
    return {drawing.name: (0.0, 0.0)} | (placed or dict.fromkeys(others, (0.0, 1.0)))


def angle(x: float, y: float) -> tuple[float, bool]:
    """Degrees by which text along the line from the middle to a point is turned, and whether it ends at the point."""
    turned = float(np.degrees(np.arctan2(y, x)))
    ends_there = abs(turned) > 90.001  # on the left, so that nothing stands on its head
    return (turned - 180 if turned > 0 else turned + 180) if ends_there else turned, ends_there


def drawn(drawing: Drawing) -> Drawing:
    """As much of it as a picture has room for."""
    supported = sorted(range(len(drawing.edges)), key=lambda i: (-drawing.edges[i].triplet.support, i))[:MOST_DRAWN]
    return replace(drawing, edges=tuple(drawing.edges[i] for i in sorted(supported)))


def bends(drawing: Drawing) -> list[float]:
    """How much each edge is bent, so that several to the same node are seen apart; 0 for one by itself."""
    seen: dict[str, int] = {}
    ends = [edge.triplet.other_side(drawing.name) for edge in drawing.edges]
    found = []
    for end in ends:
        number = seen[end] = seen.get(end, -1) + 1
        found.append(0.25 * (number - (ends.count(end) - 1) / 2))
    return found


def shortened(label: str) -> str:
    """A label that fits beside a node."""
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 3]}..."


def figure(drawing: Drawing) -> "Figure":
    """The graph before and, where somebody looked again, after; made as an object, without pyplot."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    hidden = len(drawing.edges) - MOST_DRAWN
    shown = drawn(drawing)
    place = positions(shown)
    reach = max(float(np.hypot(*xy)) for xy in place.values())
    panels = ["before", "after"] if drawing.looked_again else ["before"]
    around = 1.9 if len(place) > UPRIGHT + 1 else 0.5  # room for labels, which then point upwards too
    width, height = reach + 1.9, reach + around
    made = Figure(figsize=(2.2 * width * len(panels), 2.2 * height + 0.8), layout="constrained")
    for axes, panel in zip(made.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        edges = [edge for edge in shown.edges if panel == "after" or edge.state != "new"]
        for edge, bend in zip(edges, bends(replace(shown, edges=tuple(edges))), strict=True):
            _draw_edge(axes, shown, edge, "kept" if panel == "before" else edge.state, place, bend)
        reached = {edge.triplet.other_side(shown.name) for edge in edges}
        _draw_nodes(axes, shown, {node: xy for node, xy in place.items() if node == shown.name or node in reached})
        axes.set(xlim=(-width, width), ylim=(-height, height), aspect="equal")
        axes.set_axis_off()
        more = f" ({hidden} less supported edges not shown)" if hidden > 0 else ""
        axes.set_title(f"{drawing.name}, {panel}{more}" if drawing.looked_again else f"{drawing.name}{more}")
    if drawing.looked_again:
        handles = [
            Line2D([], [], color=colour, linestyle=_dashes(state), label=f"{state}: {drawing.count(state)}")
            for state, colour in COLOURS.items()
            if drawing.count(state)
        ]
        made.legend(handles=handles, loc="outside lower center", ncols=4)
    return made


def _dashes(state: State):
    return (0, DASHES[state]) if DASHES[state] else "-"


def _draw_edge(axes, drawing: Drawing, edge: Edge, state: State, place, bend: float) -> None:
    from matplotlib.patches import FancyArrowPatch

    start, end = place[edge.triplet.subject], place[edge.triplet.object]
    outward = edge.triplet.subject == drawing.name
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=12, shrinkA=16 if outward else 7, shrinkB=7 if outward else 16,
            connectionstyle=f"arc3,rad={bend if outward else -bend}", color=COLOURS[state], linestyle=_dashes(state),
            linewidth=0.8 + 1.7 * strength(edge.triplet),
        )
    )  # fmt: skip
    x, y = place[edge.triplet.other_side(drawing.name)]
    axes.text(
        LABEL_AT * x + 0.5 * bend * y, LABEL_AT * y - 0.5 * bend * x, shortened(edge.triplet.relation), fontsize=7.5,
        ha="center", va="center", color=COLOURS[state], rotation=angle(x, y)[0] if len(place) > UPRIGHT + 1 else 0,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip


def _draw_nodes(axes, drawing: Drawing, place) -> None:
    plain = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    for node, (x, y) in place.items():
        label = shortened(node)
        if node == drawing.name:
            axes.plot(x, y, "o", color="black", markersize=11)
            axes.annotate(node, (x, y), (0, 12), textcoords="offset points", ha="center", fontweight="bold", bbox=plain)
            continue
        axes.plot(x, y, "o", color="#444444", markersize=6)
        if len(place) > UPRIGHT + 1:
            turned, ends_there = angle(x, y)
            away, side = 1 + 0.1 / np.hypot(x, y), "right" if ends_there else "left"
            where = {"rotation": turned, "rotation_mode": "anchor", "va": "center_baseline", "ha": side}
            axes.text(away * x, away * y, label, fontsize=8.5, **where)
            continue
        side = "center" if abs(x) < 0.25 else ("left" if x > 0 else "right")
        shift = (0, 9 if y > 0 else -15) if side == "center" else (7 if x > 0 else -7, -3)
        axes.annotate(label, (x, y), shift, textcoords="offset points", ha=side, fontsize=9)


def write(folder: Path, drawing: Drawing) -> None:
    """Writes concept.png and concept.html."""
    from lit_unlearn.concepts.page import page

    folder.mkdir(parents=True, exist_ok=True)
    figure(drawing).savefig(folder / PICTURE, dpi=110, metadata={"Software": None})
    write_atomically(folder / PAGE, page(drawing))
