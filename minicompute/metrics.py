"""What a daemon measures, for Prometheus: `count` and `observe` cost one comparison while nobody is to be told.

    metrics.count('rejected_hosts', 3, 'ComputeFilter')
    metrics.observe('step_seconds', 0.2, 'build', 'spawn', 'Success')

`start(port)` switches it on and serves /metrics and /healthcheck in a thread of this process; the API daemon, which is
several processes behind one socket, calls `enable` and serves them by itself (cmd/api.py).
"""
from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from oslo_log import log as logging

from minicompute.conf import CONF

LOG = logging.getLogger(__name__)

PREFIX = 'minicompute_'
QUICK = (.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10)
SLOW = (.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


@dataclasses.dataclass(slots=True, frozen=True)
class Metric:
    text: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] | None = None    # None: a counter


METRICS = {
    'requests': Metric('Requests of the API.', ('route', 'code')),
    'request_seconds': Metric('Time of a request until its answer begins.', ('route',), QUICK),
    'rpc_seconds': Metric('Time of a call to another daemon until its answer.', ('topic', 'method'), QUICK),
    'step_seconds': Metric('Time of a step of a flow, its host included.', ('flow', 'step', 'result'), SLOW),
    'rejected_hosts': Metric('Hosts that a filter refused of requests that found no host.', ('filter',)),
    'placements': Metric('Requests for hosts, by what came of them.', ('result',)),
    'drift': Metric('Differences between records and hosts.', ('kind', 'result')),
    'notifications': Metric('Notifications, by what became of them.', ('result',)),
    'verb_seconds': Metric('Time of what a compute was asked for.', ('verb', 'result'), SLOW),
}

#: (name, what it is, its labels, the values by their labels), asked for when somebody looks
Gauges = Iterable[tuple[str, str, tuple[str, ...], dict[tuple[str, ...], float]]]

_made: dict[str, Any] = {}
_gauges: list[Callable[[], Gauges]] = []


def count(name: str, by: float = 1, *labels: str) -> None:
    if _made:
        _made[name].labels(*labels).inc(by)


def observe(name: str, seconds: float, *labels: str) -> None:
    if _made:
        _made[name].labels(*labels).observe(seconds)


def on() -> bool:
    return bool(_made)


def enable() -> None:
    """From now on it is counted. Several processes share what they count when PROMETHEUS_MULTIPROC_DIR is set, which
    has to be before this."""
    import prometheus_client  # for those alone who want it

    if _made:
        return
    for name, metric in METRICS.items():
        if metric.buckets is None:
            _made[name] = prometheus_client.Counter(PREFIX + name, metric.text, metric.labels)
        else:
            _made[name] = prometheus_client.Histogram(PREFIX + name, metric.text, metric.labels, buckets=metric.buckets)


def gauges(ask: Callable[[], Gauges]) -> None:
    """`ask` is called each time that somebody looks."""
    if _made:
        _gauges.append(ask)


class _Gauges:
    """A collector of prometheus_client's."""

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import GaugeMetricFamily
        for ask in _gauges:
            try:
                found = list(ask())
            except Exception as error:
                LOG.warning('Some figures cannot be told: %s', ' '.join(str(error).split())[:300])
                continue
            for name, text, labels, values in found:
                family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
                for key, value in sorted(values.items()):
                    family.add_metric(key, value)
                yield family


def application(doctor: Any, registry: Callable[[], Any]) -> Callable[..., Iterable[bytes]]:
    """WSGI: /metrics, and /healthcheck by a `health.Doctor`."""
    import orjson
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        path = environ.get('PATH_INFO', '').rstrip('/')
        if path == '/metrics':
            status, kind, body = '200 OK', CONTENT_TYPE_LATEST, generate_latest(registry())
        elif path == '/healthcheck':
            health = doctor.look()
            status = '200 OK' if health.good else '503 Service Unavailable'
            kind, body = 'application/json', orjson.dumps(health.to_dict())
        else:
            status, kind, body = '404 Not Found', 'text/plain', b'/metrics or /healthcheck\n'
        start_response(status, [('Content-Type', kind), ('Content-Length', str(len(body))),
                                ('Cache-Control', 'no-store')])
        return [body]
    return app


def own_registry() -> Any:
    """What this process has."""
    from prometheus_client import REGISTRY
    return REGISTRY


def start(port: int, doctor: Any) -> Callable[[], None]:
    """Serve this daemon's figures, if `port` is one. -> how to stop it"""
    if not port:
        return lambda: None
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        timeout = 10    # a client that says nothing holds the one thread no longer

        def log_message(self, *_: Any) -> None:
            pass

    enable()
    registry = own_registry()
    if not _registered:
        registry.register(_Gauges())
        _registered.append(True)
    try:
        server = make_server(CONF.metrics.listen, port, application(doctor, own_registry),
                             handler_class=Quiet)
    except OSError as error:
        # Figures are not what the daemon is there for.
        LOG.error('[metrics]: port %d of %s cannot be served: %s', port, CONF.metrics.listen, error)
        return lambda: None
    threading.Thread(target=server.serve_forever, name='metrics', daemon=True).start()
    LOG.info('/metrics and /healthcheck are served on %s port %d', CONF.metrics.listen, port)

    def stop() -> None:
        server.shutdown()
        server.server_close()
    return stop


_registered: list[bool] = []


def family(rows: Sequence[tuple[tuple[str, ...], float]]) -> dict[tuple[str, ...], float]:
    """Values by their labels; those of equal labels are added up."""
    found: dict[tuple[str, ...], float] = {}
    for labels, value in rows:
        found[labels] = found.get(labels, 0.0) + value
    return found
