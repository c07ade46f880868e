"""Runs batches and says of each case whether the promise was kept."""
from __future__ import annotations

import dataclasses
import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from tests.integration import invariants
from tests.integration.kill_matrix.actions import (
    ACTIONS,
    BY_NAME,
    TASK,
    Act,
    Things,
    ask_all,
    force_down,
    servers_for,
    sibling,
)
from tests.integration.kill_matrix.cases import Case, Point, cases_of, points_of, unwound
from tests.integration.kill_matrix.site import Site
from tests.integration.stack import StackError, wait_for

#: seconds from the restart until every server must be in a terminal state, by the project's promise
PROMISE = 15.0
#: seconds that are waited at most, so that what is late has a figure, too
PATIENCE = 60.0
#: seconds for all actions of a batch to arrive at their points
ARRIVAL = 45.0
#: seconds without another arrival after which nobody else is waited for
LAST = 12.0
LIVE = ('queued', 'running', 'unwinding')


@dataclasses.dataclass(slots=True)
class Result:
    """`verdict`: 'kept', 'broken', or 'not reached' when the action never came to its point. `state` is what became
    of the action, `seconds` how long after the restart."""

    key: str
    action: str
    executor: str
    place: str
    when: str
    verdict: str
    state: str = ''
    seconds: float = 0.0
    why: str = ''


class Runner:
    def __init__(self, site: Site, path: pathlib.Path | None = None, promise: float = PROMISE,
                 patience: float = PATIENCE) -> None:
        """`promise`, `patience`: others than those of a machine that does nothing else."""
        self.site, self.things = site, Things(site)
        self._promise, self._patience = promise, patience
        self._path = path
        self._known: set[tuple[str, str]] = set()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def _write(self, results: Sequence[Result]) -> None:
        if self._path is not None:
            with open(self._path, 'a') as file:
                file.writelines(json.dumps(dataclasses.asdict(result)) + '\n' for result in results)

    # -- what there is to kill -----------------------------------------------------

    def discover(self, acts: Sequence[Act] = ACTIONS) -> tuple[list[Case], dict[str, str]]:
        """Run each action once, and once more so that it unwinds. -> (cases, {action: why it is left out})"""
        cases: list[Case] = []
        left_out: dict[str, str] = {}
        for group in _groups(acts):
            forward, refused = self._traced(group, {})
            left_out |= refused
            for name, points in forward.items():
                cases += cases_of(name, points)
            places = {name: self._worth_failing(points) for name, points in forward.items()}
            fails = {name: f'{place}:after' for name, place in places.items() if place}
            backward = self._unwound(group, fails, cases)
            # What finds at its undo that it had happened goes forward again; what never happened goes all the way back.
            self._unwound(group, {name: f'{places[name]}:before' for name, points in backward.items()
                                  if not unwound(forward[name], points)}, cases, backward)
        return cases, left_out

    def _unwound(self, group: Sequence[Act], fails: dict[str, str], cases: list[Case],
                 known: dict[str, list[Point]] | None = None) -> dict[str, list[Point]]:
        """The actions again, each failing at its place. Adds the cases of what was not `known` before."""
        found, _ = self._traced([act for act in group if act.name in fails], fails)
        for name, points in found.items():
            cases += cases_of(name, points, fails[name], (known or {}).get(name, ()))
        return found

    def _worth_failing(self, points: Sequence[tuple[str, str, str]]) -> str:
        """The last step of a compute before there is no way back."""
        from minicompute.conductor import flows  # noqa: F401  (registers them)
        from minicompute.conductor.flow import Flow

        found = ''
        for role, place, when in points:
            flow, _, step = place.partition('.')
            if role == 'compute' and when == 'after' and not step.endswith('.undo') and flow in Flow.registry:
                if not Flow.registry[flow].past_pivot(step):
                    found = place
        return found

    def _traced(self, acts: Sequence[Act], fails: dict[str, str]) -> tuple[dict[str, list[Any]], dict[str, str]]:
        if not acts:
            return {}, {}
        wanted = {act.name: act for act in acts}
        uuids, refused = servers_for(self.things, wanted)
        ready = {name: act for name, act in wanted.items() if name not in refused}
        self.site.trace()
        self.site.arm(['trace', *(fail_word(fails[name], uuids.get(name, '*')) for name in ready if name in fails)])
        statuses = ask_all(self.things, ready, uuids)
        refused |= {name: f'HTTP {status}' for name, status in statuses.items() if status >= 300}
        self._until_ended([uuids[name] for name in ready if name in uuids], self._patience)
        self.site.disarm()
        trace = self.site.trace()
        flows = {name: self._newest(uuid) for name, uuid in uuids.items() if name in wanted and name not in refused}
        found = {name: points_of(trace, uuids[name], row.flow) for name, row in flows.items() if row is not None}
        self.bring_back(acts)
        self.things.clean(list(uuids.values()))
        return found, refused

    # -- one batch -----------------------------------------------------------------

    def run(self, batch: Sequence[Case]) -> list[Result]:
        cases = {case.key: case for case in batch}
        wanted = {key: BY_NAME[case.action] for key, case in cases.items()}
        uuids, refused = servers_for(self.things, wanted)
        ready = {key: act for key, act in wanted.items() if key not in refused}
        held = batch[0].executor != 'scheduler'
        words = {key: hold_word(cases[key], uuids.get(key, '*'), 'hold' if held else 'kill') for key in ready}
        fails = [fail_word(cases[key].fail, uuids.get(key, '*')) for key in ready if cases[key].fail]
        self.site.runs_twice.clear()
        self.site.arm([*words.values(), *fails])
        statuses = ask_all(self.things, ready, uuids)
        reached = self._kill(batch, words)
        took = self._until_ended(list(uuids.values()), self._patience, since=time.monotonic())
        self.site.disarm()
        self.bring_back(list(wanted.values()))
        problems = self._problems()
        results = [self._judge(case, _of_one(key, uuids) or [''], took, problems) if key in reached else
                   _result(case, 'not reached', why=refused.get(key) or f'HTTP {statuses.get(key)}')
                   for key, case in cases.items()]
        left = self._left_after(list(uuids.values()))
        for result in results:
            if left and result.verdict == 'kept':
                result.verdict, result.why = 'broken', f'left after the delete: {left}'[:2000]
        self._write(results)
        return results

    def _left_after(self, uuids: Sequence[str]) -> dict[str, Any]:
        """Delete the servers of a batch. -> what is left that was not left by an earlier one"""
        try:
            self.things.clean(uuids)
        except StackError as error:
            return {'deletes that do not end': str(error)}
        left = {name: value for name, value in self._problems().items() if (name, repr(value)) not in self._known}
        self._known |= {(name, repr(value)) for name, value in left.items()}
        return left

    def _kill(self, batch: Sequence[Case], words: dict[str, str]) -> set[str]:
        """When all have arrived, or no more come. -> those that had."""
        executor, but = batch[0].executor, 'compute2' if any(BY_NAME[c.action].alone for c in batch) else ''
        files = {name: word.replace('/', '_') for name, word in words.items()}
        if executor == 'scheduler':
            return self._kill_schedulers(files, but)
        end, last, count = time.monotonic() + ARRIVAL, time.monotonic(), 0
        while True:
            hits = self.site.hits()
            if len(hits) != count:
                count, last = len(hits), time.monotonic()
            arrived = {name for name, file in files.items() if file in hits}
            now = time.monotonic()
            if len(arrived) == len(files) or now > end or (arrived and now - last > LAST):
                break
            time.sleep(0.05)
        if executor in ('broker', 'database'):
            self.site.cut(executor)
        else:
            self.site.kill_pids({hits[files[name]] for name in arrived})
            self.site.disarm()
        self.site.revive(but)
        return arrived

    def _kill_schedulers(self, files: dict[str, str], but: str) -> set[str]:
        """Each dies at its own claim: it has one thread, so none can be held there together with others."""
        end, last, count = time.monotonic() + ARRIVAL + 5 * len(files), time.monotonic(), 0
        while True:
            hits = self.site.hits()
            if len(hits) != count:
                count, last = len(hits), time.monotonic()
            if all(file in hits for file in files.values()) or time.monotonic() > end or time.monotonic() - last > 20:
                break
            self.site.revive(but)
            time.sleep(0.1)
        self.site.revive(but)
        return {name for name, file in files.items() if file in hits}

    def bring_back(self, acts: Sequence[Act]) -> None:
        """The host that was lost for an evacuation comes back and removes what is no longer its own."""
        if any(act.alone for act in acts):
            self.site.revive()
            force_down_off(self.things)
            wait_for(lambda: not self._problems().get('domains without a server'), self._patience,
                     'the lost host to clean up')

    # -- reading -------------------------------------------------------------------

    def _until_ended(self, uuids: Sequence[str], seconds: float, since: float | None = None) -> dict[str, float]:
        """-> {server: seconds until nothing was under way for it}; who never got there is missing."""
        since = time.monotonic() if since is None else since
        took: dict[str, float] = {}
        while True:
            busy = {row.instance_uuid for row in self.site.rows(
                f'SELECT instance_uuid FROM instance_actions WHERE state IN {LIVE}')}
            now = time.monotonic() - since
            for uuid in uuids:
                if uuid in busy:
                    took.pop(uuid, None)
                else:
                    took.setdefault(uuid, round(now, 2))
            if len(took) == len(uuids) or now > seconds:
                return took
            time.sleep(0.1)

    def _newest(self, uuid: str) -> Any:
        found = self.site.rows(
            f"SELECT * FROM instance_actions WHERE instance_uuid = '{uuid}' ORDER BY id DESC LIMIT 1")
        return found[0] if found else None

    def _problems(self) -> dict[str, Any]:
        return all_problems(self.site)

    def _judge(self, case: Case, uuids: Sequence[str], took: dict[str, float], problems: dict[str, Any]) -> Result:
        """Of several servers of one request the first tells what became of it, and each must have kept the promise."""
        whys, states = zip(*(self._judge_one(case, uuid, took, problems) for uuid in uuids), strict=True)
        why = [line for lines in whys for line in lines]
        seconds = max(took.get(uuid, self._patience) for uuid in uuids)
        return _result(case, 'broken' if why else 'kept', state=states[0], seconds=seconds, why='; '.join(why)[:2000])

    def _judge_one(self, case: Case, uuid: str, took: dict[str, float],
                   problems: dict[str, Any]) -> tuple[list[str], str]:
        action = self._newest(uuid)
        seconds, state = took.get(uuid, self._patience), action.state if action is not None else 'none'
        why = [f'{name}: {value}' for name, value in problems.items() if uuid in repr(value)]
        if state not in ('done', 'failed'):
            why.append(f'the action is {state} at {action and action.step}')
        elif seconds > self._promise:
            why.append(f'it took {seconds} s')
        if uuid in self.site.runs_twice:
            why.append('it ran on two hosts at once')
        return why + self._lies(case, uuid, action), state

    def _lies(self, case: Case, uuid: str, action: Any) -> list[str]:
        """Where the action log and the server do not say the same."""
        if action is None or action.state not in ('done', 'failed'):
            return []
        act, found = BY_NAME[case.action], []
        status, body = self.things.api.request('GET', f'/servers/{uuid}')
        server = body['server'] if status == 200 else {'status': 'DELETED', TASK: None}
        allowed = act.done if action.state == 'done' else (*act.failed, 'ERROR')
        if server['status'] not in allowed or server[TASK]:
            found.append(f"the log says {action.state}, the server is {server['status']} ({server[TASK]})")
        if action.state == 'failed' and not action.message:
            found.append('it failed, and nobody says why')
        twice = self.site.rows(
            f"SELECT event FROM instance_actions_events WHERE action_id = {action.id} AND result = 'Success' "
            f'GROUP BY event HAVING COUNT(*) > 1')
        # A lost host that comes back says itself, once more, that it has cleaned up.
        twice = [row for row in twice if not (act.alone and row.event == 'clean_source')]
        if twice and not case.fail and 'tried' not in (action.data or ''):
            found.append(f'steps with two effects: {[row.event for row in twice]}')
        return found


def _groups(acts: Sequence[Act]) -> list[list[Act]]:
    """Those whose words hold no server's name would take each other's."""
    alone = [[act] for act in acts if act.alone or act.boots]
    return [[act for act in acts if not act.alone and not act.boots], *alone]


def _of_one(name: str, uuids: dict[str, str]) -> list[str]:
    return [uuids[found] for number in range(len(uuids)) if (found := sibling(name, number)) in uuids]


def hold_word(case: Case, uuid: str, does: str = 'hold') -> str:
    return f'{case.role}:{case.place}:{case.when}/{uuid}!{does}'


def fail_word(place: str, uuid: str) -> str:
    return f'compute:{place}/{uuid}!fail'


def _result(case: Case, verdict: str, **facts: Any) -> Result:
    return Result(case.key, case.action, case.executor, case.place, case.when, verdict, **facts)


def force_down_off(things: Things) -> None:
    try:
        force_down(things, False)
    except (OSError, AssertionError) as error:
        raise StackError(f'the lost host cannot be taken back: {error}') from None


def all_problems(site: Site) -> dict[str, Any]:
    """What `invariants` finds, and what only moves and resizes can get wrong."""
    found = invariants.problems(site.stack)
    moving = {row.uuid for row in site.rows("SELECT uuid FROM migrations WHERE status = 'finished'")}
    claims = site.rows('SELECT consumer_uuid, instance_uuid, vcpus, memory_mb FROM allocations')
    servers = {row.uuid: row for row in site.rows(
        'SELECT uuid, vcpus, memory_mb FROM instances WHERE deleted = 0 AND host IS NOT NULL')}
    more = {
        'claims of ended moves': [row.instance_uuid for row in claims
                                  if row.consumer_uuid != row.instance_uuid and row.consumer_uuid not in moving],
        'claims of a wrong size': [row.instance_uuid for row in claims if row.consumer_uuid in servers and (
            row.vcpus, row.memory_mb) != (servers[row.consumer_uuid].vcpus, servers[row.consumer_uuid].memory_mb)],
        'moves that go on': [row.uuid for row in site.rows(
            "SELECT uuid FROM migrations WHERE status IN ('queued', 'accepted', 'pre-migrating', 'preparing', "
            "'migrating', 'post-migrating', 'running', 'confirming', 'reverting')")],
        'images that nobody finishes': [row.uuid for row in site.rows(
            "SELECT uuid FROM images WHERE status NOT IN ('active', 'deleted', 'killed')")],
        'snapshots that nobody finishes': [row.uuid for row in site.rows(
            "SELECT uuid FROM volume_snapshots WHERE status <> 'available'")],
        'ran on two hosts': sorted(site.runs_twice), 'quota that is not the sum': _quota(site)}
    return {name: value for name, value in {**found, **more}.items() if value}


def _quota(site: Site) -> list[str]:
    """What the API says is used, against a count of the servers."""
    said = site.stack.api.ok('GET', '/limits')['limits']['absolute']
    row = site.rows('SELECT COUNT(*) AS servers, COALESCE(SUM(vcpus), 0) AS cores, COALESCE(SUM(memory_mb), 0) AS ram '
                    "FROM instances WHERE deleted = 0 AND project_id = 'admin'")[0]
    counted = {'totalInstancesUsed': row.servers, 'totalCoresUsed': row.cores, 'totalRAMUsed': row.ram}
    return [f'{name} is {said[name]}, not {int(value)}' for name, value in counted.items() if said[name] != int(value)]
