"""The plots, as SVG. Only they want matplotlib (benchmarks/requirements.txt); without it there are none."""
from __future__ import annotations

import pathlib
from typing import Any

from harness.figures import Line, Results
from harness.goals import HOSTS, best_burst, curve
from harness.store import progress

Points = list[tuple[int, float]]


def draw(results: Results, lines: list[Line], directory: pathlib.Path) -> list[pathlib.Path]:
    """-> the files that were written"""
    try:
        import matplotlib
    except ImportError:
        progress('no plots: pip install -r benchmarks/requirements.txt')
        return []
    matplotlib.use('svg')
    # The same results make the same file.
    matplotlib.rcParams.update({'svg.hashsalt': 'minicompute', 'svg.fonttype': 'none', 'font.size': 9,
                                'axes.grid': True, 'grid.alpha': 0.3, 'axes.spines.top': False,
                                'axes.spines.right': False})
    return [path for path in (_growth(results, directory), _ratios(lines, directory)) if path]


def panels(results: Results) -> list[tuple[str, str, str, Points]]:
    """(title, x, y, points) of each curve that there are figures for."""
    def over_hosts(path: str) -> Points:
        figures = [(count, results.computed(f'hosts-{count}', lambda row: best_burst(row, path))) for count in HOSTS]
        return [(count, figure.median) for count, figure in figures if figure]
    found = [
        ('boots by servers there already', 'servers', 'boots/s', curve(results, 'growth-servers', 'per_s')),
        ('boots by hosts', 'hosts', 'boots/s', over_hosts('per_s')),
        ('CPU of a boot by hosts', 'hosts', 'CPU s a boot', over_hosts('cpu_total_s')),
        ('boots by projects', 'projects', 'boots/s', curve(results, 'growth-projects', 'per_s')),
        ('boots by parallel clients', 'clients', 'boots/s', curve(results, 'growth-clients', 'per_s')),
        ('POST p95 by parallel clients', 'clients', 'ms', curve(results, 'growth-clients', 'accept/p95_ms')),
        ('GET /servers/{id} by parallel clients', 'clients', 'requests/s',
         curve(results, 'growth-clients', 'reads/per_s'))]
    found += [(f'first page of the list, {database}', 'servers', 'ms',
               curve(results, f'pages-{database}', 'first/alone/p50_ms'))
              for database in ('mariadb', 'postgresql', 'sqlite')]
    return [panel for panel in found if len(panel[3]) > 1]


def _growth(results: Results, directory: pathlib.Path) -> pathlib.Path | None:
    from matplotlib import pyplot

    found = panels(results)
    if not found:
        return None
    columns = 3
    height = -(-len(found) // columns)
    figure, axes = pyplot.subplots(height, columns, figsize=(10, 2.6 * height), squeeze=False)
    for axis in axes.flat[len(found):]:
        axis.set_visible(False)
    for axis, (title, across, up, points) in zip(axes.flat, found, strict=False):
        axis.plot([x for x, _ in points], [y for _, y in points], marker='o', color='#1f5fa8')
        axis.set(title=title, xlabel=across, ylabel=up, xscale='log')
        axis.set_ylim(bottom=0)
        axis.set_xticks([x for x, _ in points], [f'{x:,}' for x, _ in points], minor=False)
        axis.minorticks_off()
    return _save(figure, directory / 'growth.svg')


def _ratios(lines: list[Line], directory: pathlib.Path) -> pathlib.Path | None:
    from matplotlib import pyplot

    found = [(line.name, line.ratio) for line in lines if line.ratio]
    if not found:
        return None
    figure, axis = pyplot.subplots(figsize=(10, 0.28 * len(found) + 1))
    bars = axis.barh([name for name, _ in found], [ratio for _, ratio in found], color='#1f5fa8')
    axis.bar_label(bars, [f'{ratio:.3g}' for _, ratio in found], padding=3)
    axis.set(xscale='log', xlabel='times better than Nova')
    axis.axvline(1, color='black', linewidth=0.8)
    axis.axvline(20, color='#b03030', linewidth=0.8, linestyle='--')
    axis.invert_yaxis()
    return _save(figure, directory / 'ratios.svg')


def _save(figure: Any, path: pathlib.Path) -> pathlib.Path:
    from matplotlib import pyplot

    figure.tight_layout()
    figure.savefig(path, metadata={'Date': None}, bbox_inches='tight')
    pyplot.close(figure)
    # matplotlib leaves blanks at the ends of lines
    path.write_text('\n'.join(line.rstrip() for line in path.read_text().splitlines()) + '\n')
    return path
