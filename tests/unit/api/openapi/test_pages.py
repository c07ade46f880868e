"""/openapi and /docs, through the stack of api-paste.ini and without a token."""
from __future__ import annotations

import base64
import hashlib
import html.parser
import re
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from minicompute import conf as conf_module
from minicompute.api.openapi import html as markup
from minicompute.api.openstack import api_version_request as versions
from minicompute.api.openstack import router
from minicompute.api.openstack.wsgi import Request
from minicompute.wsgi import paste


@pytest.fixture
def get(conf):
    conf_module.setup([], 'tests', [])
    conf.set_override('auth_strategy', 'noauth2', 'api')
    router.the_router.cache_clear()
    app = paste.load()

    def ask(path, method='GET', **headers):
        return Request.blank(path, method=method, headers={
            name.replace('_', '-'): value for name, value in headers.items()}).get_response(app)
    return ask


class Page(html.parser.HTMLParser):
    """What a browser makes of it: links, ids, and what would be fetched or run."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.fetched, self.open, self.inline = [], set(), [], [], {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == 'a':
            self.links.append(found['href'])
        self.fetched += [found[name] for name in ('src', 'data', 'background') if name in found]
        self.fetched += [found['href']] if tag == 'link' else []
        assert not any(name.startswith('on') for name in found)
        if 'id' in found:
            assert found['id'] not in self.ids
            self.ids.add(found['id'])
        if tag not in markup.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ('script', 'style'):
            self.inline[self.open[-1]] = data


# -- /openapi ------------------------------------------------------------------

def test_documents(get):
    index = get('/openapi/').json
    assert len(index['versions']) == 104 and index['latest'].endswith('/openapi/latest.json')
    answer = get(index['versions']['2.60'])
    assert answer.status_int == 200 and answer.content_type == 'application/json'
    assert answer.json['info']['version'] == '2.60'
    assert get('/openapi/latest.json').json['info']['version'] == versions.MAX_API_VERSION


def test_what_stands_beside_nova(get):
    answer = get(get('/openapi/').json['minicompute-v1'])
    assert answer.json['info']['version'] == 'v1' and '/summary' in answer.json['paths']


def test_a_document_is_not_sent_twice(get):
    tag = get('/openapi/2.60.json').headers['ETag']
    again = get('/openapi/2.60.json', If_None_Match=tag)
    assert again.status_int == 304 and again.body == b''
    assert get('/openapi/2.61.json', If_None_Match=tag).status_int == 200


@pytest.mark.parametrize('path', ['/openapi/2.105.json', '/openapi/2.60', '/openapi/x.json', '/openapi/%ff.json',
                                  '/openapi/2.60.json/more', '/openapi/..%2f.json', '/docs/2.105/', '/docs/x/',
                                  '/docs/2.60/nothing', '/docs/2.60/servers/more', '/docs/%ff/'])
def test_what_is_not_there(get, path):
    answer = get(path)
    assert answer.status_int == 404 and answer.json['itemNotFound']['code'] == 404


@pytest.mark.parametrize('path', ['/openapi/latest.json', '/docs/'])
def test_it_is_only_read(get, path):
    assert get(path, method='POST').status_int == 404


# -- /docs -------------------------------------------------------------------

def test_the_newest_comes_first(get):
    for path, place in (('/docs', '/docs/2.104/'), ('/docs/', '/docs/2.104/'), ('/docs?version=2.60', '/docs/2.60/'),
                        ('/docs/2.53', '/docs/2.53/')):
        answer = get(path)
        assert answer.status_int == 302 and urljoin(path, answer.headers['Location']) == place, path


@pytest.mark.parametrize('version', ['2.1', '2.36', '2.104'])
def test_every_page_that_is_linked_is_there(get, version):
    """And each is whole, fetches nothing, and is found by its anchors."""
    start = f'/docs/{version}/'
    seen, left, anchors, ids = set(), [start], set(), {}
    while left:
        path = left.pop()
        seen.add(path)
        answer = get(path)
        assert answer.status_int == 200, path
        if answer.content_type != 'text/html':
            continue
        page = Page(answer.text)
        ids[path] = page.ids
        assert not page.fetched and not page.open
        for link in page.links:
            assert not urlsplit(link).netloc
            whole, _, anchor = urljoin(path, link).partition('#')
            if anchor:
                anchors.add((whole, anchor))
            if whole not in seen and whole not in left:
                left.append(whole)
    assert len(seen) > 20
    for path, anchor in anchors:
        assert unquote(anchor) in ids[path]


def test_the_search_needs_no_script(get):
    found = get('/docs/2.104/?q=crash+dump')
    assert 'trigger_crash_dump' in found.text and 'os-start' not in found.text
    assert 'class="verb' not in get('/docs/2.104/?q=nothingofthekind').text


@pytest.mark.parametrize('hostile', ['%3Cscript%3Ealert(1)%3C/script%3E', '%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E',
                                     '%27%22%3C!--', '%ff', '%00', '%E2%80%AE'])
def test_what_is_asked_for_is_text(get, hostile):
    for path in (f'/docs/2.104/?q={hostile}', f'/docs/2.104/changes?q={hostile}'):
        answer = get(path)
        assert answer.status_int == 200
        Page(answer.text)     # asserts that it is whole and without handlers
        assert 'alert(1)</script' not in answer.text and '<img' not in answer.text
    assert get(f'/docs/2.104/changes?since=2.5{hostile}').status_int == (200 if hostile == '%ff' else 404)


def test_nothing_else_may_run(get):
    answer = get('/docs/2.104/')
    policy = answer.headers['Content-Security-Policy']
    assert policy.startswith("default-src 'none'")
    page = Page(answer.text)
    for name in ('script', 'style'):
        digest = base64.b64encode(hashlib.sha256(page.inline[name].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


def test_what_changed(get):
    text = get('/docs/2.61/changes').text
    assert 'From 2.60 to 2.61' in text and 'flavor.extra_specs' in text
    assert 'Nothing of what requests' in get('/docs/2.60/changes').text
    assert re.search('GET /images</td>', get('/docs/2.36/changes?since=2.1').text)


def test_fields_codes_and_rules_of_an_operation(get):
    text = get('/docs/2.104/flavors').text
    for word in ('flavor.description', 'os_compute_api:os-flavor-manage:create', 'Create a flavor.', '409'):
        assert word in text


def test_markup_escapes():
    made = markup.tag('a', '<b>', markup.tag('i', 'x & y'), ['"', None], href='"><script>', hidden=True, title=None)
    assert made == '<a href="&quot;&gt;&lt;script&gt;" hidden>&lt;b&gt;<i>x &amp; y</i>&quot;</a>'
    assert markup.tag('input', value='x') == '<input value="x">'
