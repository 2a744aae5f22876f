"""A concept's graph as a page that a browser shows without a network: one SVG, tooltips with scores, and a table.

After Yamashita et al. (arXiv 2509.15621); procedure reconstructed, not checked against the paper.
"""

from html import escape

import numpy as np

from lit_unlearn.concepts.drawing import (
    COLOURS,
    DASHES,
    LABEL_AT,
    MOST_DRAWN,
    UPRIGHT,
    Drawing,
    Edge,
    angle,
    bends,
    drawn,
    positions,
    shortened,
    strength,
)
from lit_unlearn.concepts.files import PROCEDURE
from lit_unlearn.concepts.triplets import Triplet

SCALE = 230
"""Pixels of the innermost ring's radius."""
MARGIN_X, MARGIN_Y = 250, 60
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 70rem; padding: 0 1rem; color: #222;
  background: #fff }
h1 { font-size: 1.4rem; margin: 0 0 .2rem }
svg { width: 100%; max-height: 85vh } svg text { paint-order: stroke; stroke: #fff; stroke-width: 4px }
.node { font-size: 15px } .concept { font-size: 18px; font-weight: 700 } .relation { font-size: 12px; opacity: .95 }
g.edge:hover path { stroke-width: 6 } g.edge:hover .relation { font-weight: 700 }
.legend span { margin-right: 1.4rem; white-space: nowrap }
.legend svg { width: 44px; height: 10px; margin-right: .4rem }
table { border-collapse: collapse; width: 100%; margin-top: 1rem; font-size: 14px }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #ddd } td.number { text-align: right }
footer { color: #666; font-size: 13px; margin-top: 1rem }
"""


def page(drawing: Drawing) -> str:
    """The whole page as HTML; every text of the model is escaped."""
    title = escape(drawing.name)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n<p>{_counts(drawing)} Point at an edge for its "
        f"scores.</p>\n{_legend(drawing)}\n{_svg(drawing)}\n{_table(drawing)}\n"
        f"<footer>Procedure {escape(PROCEDURE)}.</footer></body></html>\n"
    )


def _counts(drawing: Drawing) -> str:
    hidden = len(drawing.edges) - MOST_DRAWN
    more = f" The {hidden} least supported ones are in the table only." if hidden > 0 else ""
    if not drawing.looked_again:
        return f"{len(drawing.edges)} edges that the model itself validated.{more}"
    counts = ", ".join(f"{drawing.count(state)} {state}" for state in COLOURS if drawing.count(state))
    return f"Edges before and after unlearning: {counts or 'none'}.{more}"


def _legend(drawing: Drawing) -> str:
    if not drawing.looked_again:
        return ""
    parts = [
        f'<span><svg viewBox="0 0 44 10"><path d="M0 5H44" {_stroke(state, 3)}/></svg>{state}</span>'  # type: ignore[arg-type]
        for state in COLOURS
        if drawing.count(state)
    ]
    return f'<p class="legend">{"".join(parts)}</p>'


def _stroke(state, width: float) -> str:
    dashes = f' stroke-dasharray="{" ".join(map(str, DASHES[state]))}"' if DASHES[state] else ""
    return f'fill="none" stroke="{COLOURS[state]}" stroke-width="{width:.1f}"{dashes}'


def _svg(drawing: Drawing) -> str:
    shown = drawn(drawing)
    place = {node: (SCALE * x, -SCALE * y) for node, (x, y) in positions(shown).items()}
    reach = max(float(np.hypot(*xy)) for xy in place.values())
    margin_y = MARGIN_X if len(place) > UPRIGHT + 1 else MARGIN_Y  # labels point upwards too
    width, height = 2 * (reach + MARGIN_X), 2 * (reach + margin_y)
    edges = [_edge(shown, edge, place, bend) for edge, bend in zip(shown.edges, bends(shown), strict=True)]
    heads = [
        f'<marker id="{state}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="11" markerHeight="11" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L10 5L0 10z" fill="{colour}"/></marker>'
        for state, colour in COLOURS.items()
    ]
    nodes = [_node(shown, node, place) for node in place]
    return (
        f'<svg viewBox="{-width / 2:.0f} {-height / 2:.0f} {width:.0f} {height:.0f}" role="img">'
        f"<defs>{''.join(heads)}</defs>\n" + "\n".join(edges + nodes) + "\n</svg>"
    )


def _edge(drawing: Drawing, edge: Edge, place: dict[str, tuple[float, float]], bend: float) -> str:
    (x0, y0), (x1, y1) = (np.array(place[side]) for side in (edge.triplet.subject, edge.triplet.object))
    length = max(float(np.hypot(x1 - x0, y1 - y0)), 1.0)
    outward = edge.triplet.subject == drawing.name
    bend = bend if outward else -bend
    near, far = (16, 10) if outward else (10, 16)
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    a, b = (x0 + near * ux, y0 + near * uy), (x1 - far * ux, y1 - far * uy)
    control = ((x0 + x1) / 2 + bend * (y1 - y0), (y0 + y1) / 2 - bend * (x1 - x0))
    along = LABEL_AT if outward else 1 - LABEL_AT
    t, s = along, 1 - along
    lx, ly = (s * s * p + 2 * s * t * q + t * t * r for p, q, r in zip(a, control, b, strict=True))
    path = f"M{a[0]:.1f} {a[1]:.1f}Q{control[0]:.1f} {control[1]:.1f} {b[0]:.1f} {b[1]:.1f}"
    width = 1.2 + 2.3 * strength(edge.triplet)
    ox, oy = place[edge.triplet.other_side(drawing.name)]
    turn = f' transform="rotate({-angle(ox, -oy)[0]:.1f} {lx:.1f} {ly:.1f})"' if len(place) > UPRIGHT + 1 else ""
    return (
        f'<g class="edge"><title>{escape(_tooltip(edge, drawing.looked_again))}</title>'
        f'<path d="{path}" stroke="transparent" stroke-width="14" fill="none"/>'
        f'<path d="{path}" {_stroke(edge.state, width)} marker-end="url(#{edge.state})"/>'
        f'<text class="relation" x="{lx:.1f}" y="{ly + 4:.1f}" text-anchor="middle" fill="{COLOURS[edge.state]}"{turn}>'
        f"{escape(shortened(edge.triplet.relation))}</text></g>"
    )


def _tooltip(edge: Edge, looked_again: bool) -> str:
    lines = [edge.triplet.line, f"family: {edge.triplet.family}"]
    if edge.state != "new":
        lines.append(f"before: {_scores(edge.triplet)}")
    if looked_again:
        lines.append(f"after: {_scores(edge.after) if edge.after else 'not claimed any more'} ({edge.state})")
    return "\n".join(lines)


def _scores(triplet: Triplet) -> str:
    named = {"yes/no": triplet.yes_no, "edge cloze": triplet.cloze_edge, "node cloze": triplet.cloze_node}
    known = [f"{name} {value:.2f}" for name, value in named.items() if value is not None]
    return ", ".join([f"support {triplet.support}", *known])


def _node(drawing: Drawing, node: str, place: dict[str, tuple[float, float]]) -> str:
    x, y = place[node]
    label, title = escape(shortened(node)), f"<title>{escape(node)}</title>"
    if node == drawing.name:
        text = _text("concept", x, y - 18, "middle", "", label)
        return f'<g>{title}<circle cx="{x:.1f}" cy="{y:.1f}" r="11"/>{text}</g>'
    if len(place) > UPRIGHT + 1:
        turned, ends_there = angle(x, -y)
        away = 1 + 14 / float(np.hypot(x, y))
        turn = f' transform="rotate({-turned:.1f} {away * x:.1f} {away * y:.1f}) translate(0 5)"'
        text = _text("node", away * x, away * y, "end" if ends_there else "start", turn, label)
    elif abs(x) < SCALE / 4:
        text = _text("node", x, y + (24 if y > 0 else -14), "middle", "", label)
    else:
        text = _text("node", x + (12 if x > 0 else -12), y + 5, "start" if x > 0 else "end", "", label)
    return f'<g>{title}<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="#444"/>{text}</g>'


def _text(kind: str, x: float, y: float, anchor: str, turn: str, label: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turn}>{label}</text>'


def _table(drawing: Drawing) -> str:
    head = ["family", "subject", "relation", "object", "support", "yes/no", "edge cloze", "node cloze"]
    head += ["after"] if drawing.looked_again else []
    rows = []
    for edge in drawing.edges:
        t = edge.triplet
        texts = "".join(f"<td>{escape(text)}</td>" for text in (t.family, t.subject, t.relation, t.object))
        scores = (None if value is None else f"{value:.2f}" for value in (t.yes_no, t.cloze_edge, t.cloze_node))
        numbers = "".join(f'<td class="number">{value or ""}</td>' for value in (str(t.support), *scores))
        after = f'<td style="color:{COLOURS[edge.state]}">{edge.state}</td>' if drawing.looked_again else ""
        rows.append(f"<tr>{texts}{numbers}{after}</tr>")
    names = "".join(f"<th>{name}</th>" for name in head)
    return f"<table><thead><tr>{names}</tr></thead><tbody>\n" + "\n".join(rows) + "\n</tbody></table>"
