"""The lines of the table, with the goals of the issue."""
from __future__ import annotations

from collections.abc import Iterator

from harness.figures import (
    Figure,
    Line,
    Results,
    at_least,
    at_most,
    both,
    dig,
    less,
    more,
    number,
    percentile,
    text,
)
from harness.load import Json

BURSTS = ((100, 8), (100, 32), (500, 8), (500, 32))
#: what "no slower" and "as with 4" leave to noise
NOISE = 1.15
DATABASES = ('mariadb', 'postgresql', 'sqlite')
HOSTS = (4, 1000, 10000)


def lines(results: Results) -> list[Line]:
    """All lines that there are figures for, in the order of the issue."""
    made: list[Line] = []
    for group in (_boots, _cpu, _post, _single, _multi, _delete, _list, _pages, _reads, _hosts, _decisions, _placement,
                  _memory, _hollow, _lifecycle, _curves):
        made += group(results)
    return made


def left_behind(rows: list[Json]) -> int:
    """Servers of bursts that were refused, failed or never built, and deletes that did not end."""
    return sum(row['refused'] + row['error'] + row['stuck'] + (dig(row, 'delete/left') or 0) for row in rows)


def _boots(results: Results) -> Iterator[Line]:
    for count, clients in BURSTS:
        part = f'boots-{count}-{clients}'
        if not (rows := results.all(part)):
            continue
        ours, nova = (results.figure(part, 'per_s', system) for system in ('ours', 'nova'))
        ratio, bad, theirs = more(ours, nova), left_behind(rows), left_behind(results.all(part, 'nova'))
        yield Line(f'boots/s, {count} servers, {clients} clients', '>= 20 times Nova, none left behind',
                   text(ours, '/s'), text(nova, '/s'), ratio, both(at_least(ratio, 20), bad == 0),
                   f'left behind: ours {bad}' + (f', Nova {theirs}' if nova else ''))


def _cpu(results: Results) -> Iterator[Line]:
    for count, clients in BURSTS:
        part = f'boots-{count}-{clients}'
        ours, nova = (results.computed(part, lambda row: row['cpu_total_s'] * 1e3, system)
                      for system in ('ours', 'nova'))
        if ours:
            ratio = less(ours, nova)
            yield Line(f'CPU per boot, {count} servers, {clients} clients', '<= 1/20 of Nova', text(ours, 'ms'),
                       text(nova, 'ms'), ratio, at_least(ratio, 20))


def _post(results: Results) -> Iterator[Line]:
    for count in (100, 500):
        part = f'boots-{count}-32'
        ours, nova = (results.figure(part, 'accept/p95_ms', system) for system in ('ours', 'nova'))
        if ours:
            yield Line(f'POST /servers, p95 under 32 clients, {count} servers', '<= 100 ms', text(ours, 'ms'),
                       text(nova, 'ms'), less(ours, nova), at_most(ours.median, 100))


def _single(results: Results) -> Iterator[Line]:
    ours, nova = (results.pooled('single', 'active_ms', system) for system in ('ours', 'nova'))
    for percent, bound in ((50, 80), (99, 300)):
        mine, theirs = percentile(ours, percent), percentile(nova, percent)
        if mine is not None:
            yield Line(f'one server, idle, POST to ACTIVE, p{percent}', f'<= {bound} ms', f'{number(mine)} ms',
                       '-' if theirs is None else f'{number(theirs)} ms', theirs / mine if theirs else None,
                       mine <= bound, f'{len(ours)} servers' + (f', Nova {len(nova)}' if nova else ''))


def _multi(results: Results) -> Iterator[Line]:
    for path, name, bound, unit in (('accept_ms', 'accepted', 100, 'ms'), ('all_built_s', 'all ACTIVE', 2, 's')):
        ours, nova = (results.figure('multi-100', path, system) for system in ('ours', 'nova'))
        if ours:
            yield Line(f'one POST for 100 servers, {name}', f'<= {bound} {unit}', text(ours, unit), text(nova, unit),
                       less(ours, nova), at_most(ours.median, bound))


def _delete(results: Results) -> Iterator[Line]:
    ours, nova = (results.figure('boots-100-8', 'delete/gone_s', system) for system in ('ours', 'nova'))
    if ours:
        yield Line('delete of 100, 8 clients, until gone', '<= 2 s', text(ours, 's'), text(nova, 's'),
                   less(ours, nova), at_most(ours.median, 2))


def _list(results: Results) -> Iterator[Line]:
    for path, name in (('alone/p50_ms', 'p50'), ('clients/cpu_ms', 'CPU per call, 8 clients')):
        ours, nova = (results.figure('reads', f'servers|detail/{path}', system) for system in ('ours', 'nova'))
        if ours:
            ratio = less(ours, nova)
            yield Line(f'GET /servers/detail, 1,000 servers, {name}', '>= 50 times faster', text(ours, 'ms'),
                       text(nova, 'ms'), ratio, at_least(ratio, 50))


def _pages(results: Results) -> Iterator[Line]:
    for database in DATABASES:
        part = f'pages-{database}'
        small = results.figure(part, '1000/first/alone/p50_ms')
        large = {name: results.figure(part, f'10000/{name}/alone/p50_ms') for name in ('first', 'middle', 'last')}
        if small and all(large.values()):
            worst = max(figure.median for figure in large.values() if figure)
            yield Line(f'1,000 of 10,000 servers, any page, {database}', 'no slower than the first of 1,000',
                       ', '.join(f'{name} {text(figure)}' for name, figure in large.items()) + ' ms',
                       remark=f'first of 1,000: {text(small)} ms', reached=worst <= small.median * NOISE)


def _reads(results: Results) -> Iterator[Line]:
    for path, bound in (('servers|{id}', 10), ('flavors|detail', 5), ('|', 2)):
        name = '/' + path.replace('|', '/').strip('/')
        for what, said, unit, compare in (('alone/p50_ms', 'p50', 'ms', less),
                                          ('clients/per_s', '8 clients', '/s', more)):
            ours, nova = (results.figure('reads', f'{path}/{what}', system) for system in ('ours', 'nova'))
            if ours:
                ratio = compare(ours, nova)
                yield Line(f'GET {name}, {said}', f'>= {bound} times Nova', text(ours, unit), text(nova, unit), ratio,
                           at_least(ratio, bound))


def best_burst(row: Json, path: str) -> float | None:
    """The median over the bursts of one run."""
    figure = Figure.of(dig(burst, path) for burst in row['bursts'])
    return figure.median if figure else None


def _hosts(results: Results) -> Iterator[Line]:
    rates = {count: results.computed(f'hosts-{count}', lambda row: best_burst(row, 'per_s')) for count in HOSTS}
    base = rates[4]
    for count in HOSTS[1:]:
        if (ours := rates[count]) and base:
            nova = results.computed(f'hosts-{count}', lambda row: best_burst(row, 'per_s'), 'nova')
            yield Line(f'boots/s with {count:,} hosts, 8 clients', f'as with 4 ({number(base.median)}/s)',
                       text(ours, '/s'), text(nova, '/s'), more(ours, nova), ours.median * NOISE >= base.median,
                       'of Nova\'s hosts all but 4 are rows in its database' if nova else '')


def _decisions(results: Results) -> Iterator[Line]:
    for kind, bound, name in (('decide', 4000, 'without the claim'), ('claim', 1000, 'with the claim')):
        found = {mixed: results.figure('scheduler', f'{kind}_{mixed}/per_second') for mixed in ('equal', 'mixed')}
        if all(found.values()):
            worst = min(figure.median for figure in found.values() if figure)
            yield Line(f'decisions/s of one scheduler, 10,000 hosts, {name}', f'>= {bound:,}',
                       ', '.join(f'{text(figure)} ({mixed} requests)' for mixed, figure in found.items()),
                       reached=worst >= bound)


def _placement(results: Results) -> Iterator[Line]:
    for result in results.all('placement'):
        for name, burst in result['bursts'].items():
            yield Line(f'placement of a burst of {burst["servers"]} over as many equal hosts, {name.replace("_", " ")}',
                       'as the weighers say: one each', f'at most {burst["most_on_one"]} on a host',
                       '-', reached=burst['most_on_one'] == 1)
        for run in result['runs']:
            yield _placed(run)


def _placed(run: Json) -> Line:
    phases = run['phases']
    over = sum(phase['over_committed_hosts'] + phase['answers_not_in_records'] for phase in phases)
    uneven = max(phase['spread']['stddev_by_mean'] - phase['spread']['ideal_stddev_by_mean'] for phase in phases)
    lost = ', '.join(f'{phase["lost_share"]:.1%} {phase["name"]}' for phase in phases)
    return Line(f'placement, {run["hosts"]:,} hosts, {run["schedulers"]} schedulers',
                'no over-commit; lost claims and spread reported',
                f'over-committed {over}; lost claims {lost}', reached=over == 0,
                remark=f'standard deviation over mean at most {uneven:.1%} above the ideal')


def daemons(row: Json) -> Json:
    """The most memory of each kind of daemon, MB, before or after the deletion."""
    most: Json = {}
    for snapshot in (row.get('memory') or {}, row.get('memory_after') or {}):
        for name, process in snapshot.items():
            kind = 'compute' if 'compute' in name else name.removeprefix('nova-')
            most[kind] = max(most.get(kind, 0.0), process['pss_mb'])
    return most


def _memory(results: Results) -> Iterator[Line]:
    for kind, bound in (('compute', 80), ('api', 110), ('conductor', 110), ('scheduler', 110)):
        ours, nova = (Figure.of(daemons(row).get(kind) for part in ('boots-500-8', 'boots-500-32')
                                for row in results.all(part, system))
                      for system in ('ours', 'nova'))
        if ours:
            yield Line(f'memory after 500 boots, {kind} (PSS, all its processes)', f'<= {bound} MB', text(ours, 'MB'),
                       text(nova, 'MB'), less(ours, nova), ours.most <= bound)


def _hollow(results: Results) -> Iterator[Line]:
    before = results.computed('hosts-4', _all_memory)
    for count in HOSTS[1:]:
        part = f'hosts-{count}'
        alone = results.computed(part, lambda row: _share(row, dig(row, 'memory/hollow/pss_mb')))
        if alone is None:
            continue
        # The broker's queues, the scheduler's rows and the database's pages are a host's, too.
        grown = results.computed(part, lambda row: _share(row, _all_memory(row) - before.median)) if before else None
        most = max(figure.median for figure in (alone, grown) if figure)
        yield Line(f'memory a hollow host, {count:,} hosts', '<= 0.2 MB',
                   f'{text(alone, "MB")}; growth of all processes {text(grown, "MB")}', reached=most <= 0.2)
        idle = results.computed(part, lambda row: row['idle']['total'] * 100)
        yield Line(f'an idle cloud of {count:,} hosts, all processes', '< 10 % of a core', text(idle, '%'),
                   reached=idle.median < 10 if idle else None)


def _share(row: Json, memory: float | None) -> float | None:
    return memory / row['hollow'] if memory and row['hollow'] else None


def _all_memory(row: Json) -> float:
    return float(sum(process['pss_mb'] for process in row['memory'].values()))


def _lifecycle(results: Results) -> Iterator[Line]:
    ours, nova = results.all('lifecycle'), results.all('lifecycle', 'nova')
    for name in ('api', 'conductor', 'scheduler', 'compute-1'):
        for what, said, bound in (('start_s', 'start until serving', 2), ('stop_s', 'SIGTERM until gone', 5)):
            mine, theirs = (Figure.of(value for row in rows for value in dig(row, f'{name}/{what}') or [])
                            for rows in (ours, nova))
            if mine is None:
                continue
            bursts = [row[name]['burst'] for row in ours]
            lost = sum(burst['lost'] for burst in bursts)
            stopped = what == 'stop_s'
            slowest = max([mine.most, *(burst['stop_s'] for burst in bursts)]) if stopped else mine.median
            yield Line(f'{name}: {said}', f'<= {bound} s' + (', nothing lost' if stopped else ''), text(mine, 's'),
                       text(theirs, 's'), less(mine, theirs), slowest <= bound and (not stopped or lost == 0),
                       f'in a burst {number(max(burst["stop_s"] for burst in bursts))} s, lost {lost} of '
                       f'{sum(burst["accepted"] for burst in bursts)}' if stopped else '')


def curve(results: Results, part: str, path: str) -> list[tuple[int, float]]:
    """(size, median over runs), by size."""
    sizes = {int(size) for result in results.all(part) for size in result if size.isdigit()}
    points = [(size, results.figure(part, f'{size}/{path}')) for size in sorted(sizes)]
    return [(size, figure.median) for size, figure in points if figure]


def _curves(results: Results) -> Iterator[Line]:
    for part, name in (('growth-servers', 'servers there already'), ('growth-projects', 'projects')):
        if len(points := curve(results, part, 'per_s')) > 1:
            best, last = max(rate for _, rate in points[:-1]), points[-1][1]
            yield Line(f'growth: boots/s by {name}', 'flat or logarithmic',
                       ', '.join(f'{size:,}: {number(rate)}/s' for size, rate in points), reached=last * 1.25 >= best,
                       remark='reached when the last point is within 25 % of the best before it')
    if points := curve(results, 'growth-clients', 'per_s'):
        yield Line('growth: boots/s by parallel clients', 'no fall',
                   ', '.join(f'{size}: {number(rate)}/s' for size, rate in points),
                   reached=points[-1][1] * 1.25 >= max(rate for _, rate in points))
