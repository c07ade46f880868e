"""A few words for SVG, enough for the pictures of this folder. No dependency."""
from __future__ import annotations

import html
import pathlib
from collections.abc import Sequence

FONT = 'DejaVu Sans, Verdana, Arial, sans-serif'
INK, GREY, RED, BLUE, GREEN = '#222222', '#777777', '#b3261e', '#1f5fa8', '#2e7d32'
#: one colour a role, the same in all pictures
API, CONDUCTOR, SCHEDULER, COMPUTE, DATABASE, PLAIN = (
    '#dbe9f6', '#e2f1dc', '#fdf0d0', '#f8dfda', '#e7e2f4', '#f4f4f4')


class Picture:
    """Boxes, lines and words on white paper; y grows downwards."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = width, height
        self._out = [f'<title>{html.escape(title)}</title>',
                     f'<rect width="{width}" height="{height}" fill="#ffffff"/>']

    def box(self, x: float, y: float, w: float, h: float, head: str, lines: Sequence[str] = (), *,
            fill: str = PLAIN, dashed: bool = False) -> None:
        style = ' stroke-dasharray="5 4"' if dashed else ''
        self._out.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6" fill="{fill}" '
                         f'stroke="{INK}" stroke-width="1.2"{style}/>')
        top = y + h / 2 - 8 * len(lines) + 5
        self.text(x + w / 2, top, head, bold=True, anchor='middle')
        for number, line in enumerate(lines, 1):
            self.text(x + w / 2, top + 17 * number, line, size=12, anchor='middle')

    def text(self, x: float, y: float, words: str, *, size: float = 13, bold: bool = False, anchor: str = 'start',
             colour: str = INK, back: bool = False) -> None:
        """`back`: white paper behind the words, so that a line may pass there."""
        if back:
            wide = len(words) * size * 0.58
            left = {'start': x, 'middle': x - wide / 2, 'end': x - wide}[anchor]
            self._out.append(f'<rect x="{left - 2}" y="{y - size}" width="{wide + 4}" height="{size + 4}" '
                             'fill="#ffffff"/>')
        weight = ' font-weight="bold"' if bold else ''
        self._out.append(f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}>'
                         f'{html.escape(words)}</text>')

    def line(self, points: Sequence[tuple[float, float]], *, colour: str = INK, dashed: bool = False,
             start: bool = False, end: bool = True, width: float = 1.5) -> None:
        """`start` and `end`: arrow heads."""
        marks = (f' marker-end="url(#{_mark(colour)})"' if end else '') + (
            f' marker-start="url(#{_mark(colour)})"' if start else '')
        style = ' stroke-dasharray="6 4"' if dashed else ''
        path = ' '.join(f'{x},{y}' for x, y in points)
        self._out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" '
                         f'stroke-width="{width}"{style}{marks}/>')

    def shape(self, points: Sequence[tuple[float, float]], fill: str) -> None:
        path = ' '.join(f'{x},{y}' for x, y in points)
        self._out.append(f'<polygon points="{path}" fill="{fill}" stroke="{INK}" stroke-width="1"/>')

    def save(self, path: pathlib.Path) -> None:
        width, height = self._size
        heads = ''.join(
            f'<marker id="{_mark(colour)}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="11" markerHeight="11" '
            'markerUnits="userSpaceOnUse" orient="auto-start-reverse">'
            f'<path d="M0,0 L10,5 L0,10 z" fill="{colour}"/></marker>'
            for colour in (INK, GREY, RED, BLUE, GREEN))
        body = '\n'.join(self._out)
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
                        f'height="{height}" font-family="{FONT}">\n<defs>{heads}</defs>\n{body}\n</svg>\n')


def _mark(colour: str) -> str:
    return 'head' + colour.strip('#')
