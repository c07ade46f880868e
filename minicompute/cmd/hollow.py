"""minicompute-manage hollow: thousands of computes with the fake driver, in a few processes.

The first process makes the others by fork, so that they share what was imported, and looks after them: one
that dies is made anew, and none outlives the first.  Like a compute it needs no database.
"""
from __future__ import annotations

import argparse
import dataclasses
import gc
import math
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from typing import Any

from minicompute import exception, rpc, servicegroup
from minicompute.compute.hollow.hosts import HollowHosts
from minicompute.conf import CONF
from minicompute.service import Service

#: hosts that one process has, unless told otherwise
SHARE = 2500
#: seconds until a process that died is made anew
PAUSE = 2.0


def names(prefix: str, count: int) -> list[str]:
    return [f'{prefix}-{number:05}' for number in range(1, count + 1)]


def shares(hosts: list[str], processes: int) -> list[list[str]]:
    """As even as can be, in order."""
    size, rest = divmod(len(hosts), processes)
    cuts = [number * size + min(number, rest) for number in range(processes + 1)]
    return [hosts[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]


def say(text: str) -> None:
    print(text, flush=True)


class Orphan(threading.Thread):
    """Ends this process, as SIGTERM does, when the one that made it is gone."""

    def __init__(self) -> None:
        super().__init__(name='orphan', daemon=True)
        self._parent = os.getppid()

    def run(self) -> None:
        while os.getppid() == self._parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)


def serve(hosts: list[str], pipe: Any) -> None:
    """The life of one of the processes; `pipe` is told how many of its hosts are up."""
    Orphan().start()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)    # not the parent's
    try:
        Service(servicegroup.COMPUTE, rpc.COMPUTE, HollowHosts(hosts, lambda: pipe.send(len(hosts))), database=False,
                host=f'{hosts[0]}..{hosts[-1]}').run()
    except exception.ConfigurationError as error:
        raise SystemExit(f'minicompute-manage: {error}') from None


@dataclasses.dataclass(slots=True)
class Child:
    hosts: list[str]
    process: Any = None
    pipe: Any = None
    up: bool = False

    def spawn(self) -> None:
        context = multiprocessing.get_context('fork')
        self.pipe, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=serve, args=(self.hosts, theirs))
        self.process.start()
        theirs.close()
        self.up = False

    def ended_early(self) -> bool:
        """Whether there is nothing to read but the end."""
        try:
            self.pipe.recv()
        except EOFError:
            return True
        return False


class Family:
    """All processes, from the first to the last host."""

    def __init__(self, hosts: list[str], processes: int) -> None:
        self._children = [Child(share) for share in shares(hosts, processes) if share]
        self._ended = False

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        # What is there now is never freed in a child: the collector would only unshare its pages.
        gc.collect()
        gc.freeze()
        began = time.monotonic()
        for child in self._children:
            child.spawn()
        while not self._ended:
            self._look(began)
        self._leave()

    def _end(self, *_: Any) -> None:
        self._ended = True

    def _look(self, began: float) -> None:
        """Wait a while for news."""
        pipes = [child.pipe for child in self._children if not child.up]
        multiprocessing.connection.wait([*pipes, *(child.process.sentinel for child in self._children)], 1.0)
        if self._ended:
            return
        for child in self._children:
            if not child.process.is_alive():
                say(f'Process {child.process.pid} of {child.hosts[0]} to {child.hosts[-1]} ended '
                    f'({child.process.exitcode}): its hosts start again')
                time.sleep(PAUSE)
                child.spawn()
            elif not child.up and child.pipe.poll() and not child.ended_early():
                child.up = True
                self._tell(child, began)

    def _tell(self, child: Child, began: float) -> None:
        up = sum(len(each.hosts) for each in self._children if each.up)
        total = sum(len(each.hosts) for each in self._children)
        say(f'{child.hosts[0]} to {child.hosts[-1]} are up (process {child.process.pid}): '
            f'{up} of {total} hosts after {time.monotonic() - began:.1f} s')

    def _leave(self) -> None:
        say('The hollow hosts leave; their domains stay')
        for child in self._children:
            child.process.terminate()
        until = time.monotonic() + CONF.graceful_shutdown_timeout + 2
        for child in self._children:
            child.process.join(max(0.1, until - time.monotonic()))
            if child.process.is_alive():
                child.process.kill()


def run(args: argparse.Namespace) -> None:
    hosts = names(args.prefix, args.hosts)
    processes = args.processes or math.ceil(len(hosts) / SHARE)
    say(f'{len(hosts)} computes with the fake driver, {hosts[0]} to {hosts[-1]}, in {processes} '
        f'{"process" if processes == 1 else "processes"}, each reporting every {CONF.report_interval} s. '
        'Ctrl-C ends them.')
    Family(hosts, processes).run()
