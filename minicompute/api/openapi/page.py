"""/docs: the contract to be read, made here of the same documents that /openapi serves. It works without scripts.

    GET /docs                          the newest microversion (?version=2.60 another)
    GET /docs/2.60/                    all its operations, by resource (?q=words those that have the words)
    GET /docs/2.60/flavors             one resource, field by field
    GET /docs/2.60/changes?since=2.53  what is different
"""
from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from minicompute import exception
from minicompute.api.openapi import app, diff, fields, look
from minicompute.api.openapi import document as documents
from minicompute.api.openapi.html import Markup, raw, tag
from minicompute.api.openapi.parts import Json
from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack import faults, router, wsgi
from minicompute.api.openstack.answer import Answer
from minicompute.api.openstack.api_version_request import APIVersionRequest

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CHANGES = 'changes'
SIGNS = {'+': 'plus', '-': 'minus', '~': 'wave'}
WHOLE = {'+': 'new', '-': 'no longer there'}


class Pages:

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        req = wsgi.Request(environ)
        try:
            answer = self.answer(req)
        except exception.ComputeException as error:
            answer = faults.from_exception(error)
        return answer(environ, start_response)

    def answer(self, req: wsgi.Request) -> Answer:
        """Links within the pages are relative: a proxy may show them anywhere."""
        if req.method not in ('GET', 'HEAD'):
            return router.NOT_FOUND
        parts = app.path_of(req).split('/')
        if len(parts) < 3:
            version = app.wanted(parts[1] if parts[1:] and parts[1] else _asked(req, 'version', 'latest'))
            step = 'docs/' if len(parts) == 1 else ''
            return Answer(None, code=302, headers=[('Location', f'{step}{version}/')])
        version = app.wanted(parts[1])
        found = self.page(req, version, '/'.join(parts[2:]))
        text = b'<!DOCTYPE html>\n' + found.encode()
        answer = app.unless_known(req, text, app.etag(text), 'text/html; charset=utf-8')
        answer.headers += [('Content-Security-Policy', look.POLICY), ('X-Content-Type-Options', 'nosniff'),
                           ('Referrer-Policy', 'no-referrer')]
        return answer

    def page(self, req: wsgi.Request, version: APIVersionRequest, name: str) -> Markup:
        """Raises NotFound."""
        document = app.document(version)
        names = [one['name'] for one in document['tags']]
        words = _asked(req, 'q', '')
        if not name:
            shown = all_resources(document, words)
        elif name == CHANGES:
            since = app.wanted(_asked(req, 'since', str(before(version))))
            shown = changed(app.document(since), document)
        elif name in names:
            shown = one_resource(document, name)
        else:
            raise exception.NotFound(f'Microversion {version} has no resource {name[:64]}.')
        return framed(version, names, name, words, shown)


def _asked(req: wsgi.Request, name: str, default: str) -> str:
    try:
        return str(req.GET.get(name) or default)
    except UnicodeDecodeError:
        return default


def before(version: APIVersionRequest) -> APIVersionRequest:
    return max(versions.MIN, version._replace(minor=version.minor - 1))


# -- what all pages have ---------------------------------------------------------

def framed(version: APIVersionRequest, names: list[str], here: str, words: str, shown: Iterable[Markup]) -> Markup:
    title = f'Compute API {version}'
    choice = tag('form', tag('select', *[
        tag('option', str(one), value=str(one), selected=one == version)
        for one in reversed(documents.microversions())], name='version', id='version', aria_label='Microversion'),
        tag('button', 'Show'), method='get', action='../')
    search = tag('form', tag('input', type='search', name='q', id='q', value=words, placeholder='Search',
                             aria_label='Search'), tag('button', 'Find'), method='get', action='./')
    links = [tag('li', tag('a', text, href=href, class_='here' if name == here else None))
             for name, text, href in (('', 'All resources', './'), (CHANGES, 'What changed', f'./{CHANGES}'),
                                      *((one, one.replace('_', ' '), f'./{quote(one)}') for one in names))]
    return tag('html', tag('head', tag('meta', charset='utf-8'),
                           tag('meta', name='viewport', content='width=device-width, initial-scale=1'),
                           tag('title', title), tag('style', raw(look.STYLE))),
               tag('body', tag('header', tag('h1', title), search, choice,
                               tag('a', 'OpenAPI 3.1', href=f'../../openapi/{version}.json')),
                   tag('div', tag('nav', tag('ul', links)), tag('main', shown), class_='columns'),
                   tag('script', raw(look.SCRIPT))), lang='en')


# -- resources -------------------------------------------------------------------

class Row:
    """One operation or action, as the pages show it."""

    def __init__(self, method: str, path: str, action: str, described: Json, tags: list[str]) -> None:
        self.method, self.path, self.action, self.described, self.tags = method, path, action, described, tags
        self.name = f'{method} {path}{" " + action if action else ""}'
        self.anchor = self.name.replace(' ', '-')

    @property
    def words(self) -> str:
        """What a search looks into."""
        return f'{self.name} {self.described["summary"]} {" ".join(self.tags)}'.lower()

    def headline(self) -> list[Markup]:
        return [tag('span', self.method, class_=f'verb {self.method.lower()}'), tag('span', self.path, class_='path'),
                tag('code', self.action) if self.action else Markup(''),
                tag('span', self.described['summary'], class_='what')]

    @property
    def gone(self) -> str | None:
        return 'gone' if self.described.get('deprecated') else None


def rows(document: Json) -> list[Row]:
    found = []
    for path, methods in document['paths'].items():
        for method, operation in methods.items():
            if method == 'parameters':
                continue
            actions = operation.get('x-actions')
            if actions is None:
                found.append(Row(method.upper(), path, '', operation, operation['tags']))
            else:
                found += [Row(method.upper(), path, name, one, [one['tag']]) for name, one in actions.items()]
    return found


def all_resources(document: Json, words: str) -> Iterable[Markup]:
    wanted = words.lower().split()
    found = [row for row in rows(document) if all(word in row.words for word in wanted)]
    yield tag('p', f'{len(found)} operations' + (f' with “{words}”.' if words else '.'))
    for one in document['tags']:
        mine = [row for row in found if one['name'] in row.tags]
        if mine:
            yield tag('section', *_heading(one), [
                tag('details', tag('summary', row.headline()), tag('div', _to_the_whole(one, row), class_='inside'),
                    data_words=row.words, class_=row.gone) for row in mine])


def _to_the_whole(resource: Json, row: Row) -> Markup:
    return tag('a', 'Fields, codes and rules', href=f'./{quote(resource["name"])}#{quote(row.anchor)}')


def _heading(described: Json) -> tuple[Markup, Markup]:
    link = tag('a', described['name'].replace('_', ' '), href=f'./{quote(described["name"])}')
    return tag('h2', link), tag('p', described['description'])


def one_resource(document: Json, name: str) -> Iterable[Markup]:
    shapes = fields.shapes(document)
    described = next(one for one in document['tags'] if one['name'] == name)
    yield tag('section', *_heading(described), [
        tag('details', tag('summary', row.headline()), tag('div', _inside(row, shapes[row.name]), class_='inside'),
            id=row.anchor, data_words=row.words, class_=row.gone) for row in rows(document) if name in row.tags])


def _inside(row: Row, shape: fields.Shape) -> Iterable[Markup]:
    for title, found in (('Query', shape.query), ('Request', shape.request), ('Answer', shape.answer)):
        if found:
            yield tag('h3', title)
            yield tag('table', [tag('tr', tag('td', tag('code', name)), tag('td', text, class_='sig'))
                                for name, text in found.items()])
    yield tag('h3', 'Codes')
    yield tag('p', ', '.join(sorted(shape.codes)))
    rules = row.described.get('x-policy', ())
    if rules:
        yield tag('h3', 'Policy')
        yield tag('table', [tag('tr', tag('td', tag('code', rule['rule'])), tag('td', tag('code', rule['default'])),
                                tag('td', rule['allows'])) for rule in rules])


# -- what changed ------------------------------------------------------------------

def changed(old: Json, new: Json) -> Iterable[Markup]:
    since, until = old['info']['version'], new['info']['version']
    yield tag('h2', f'From {since} to {until}')
    yield tag('form', tag('label', 'since ', tag('select', *[
        tag('option', str(one), value=str(one), selected=str(one) == since)
        for one in reversed(documents.microversions())], name='since')), tag('button', 'Compare'), method='get')
    found = diff.changes(old, new)
    if not found:
        yield tag('p', 'Nothing of what requests and answers look like; what they mean may have changed.')
    yield tag('table', [
        tag('tr', tag('td', one.operation, class_='path'), tag('td', one.sign, class_=SIGNS[one.sign]),
            tag('td', one.text or WHOLE[one.sign], class_='sig'), data_words=one.operation.lower()) for one in found])


@functools.cache
def _pages() -> Pages:
    return Pages()


def pages_factory(_global_conf: dict[str, Any], **_local_conf: Any) -> WSGIApplication:
    return _pages()
