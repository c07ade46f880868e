"""How the pages look, and the little that they do by themselves: all of it is in the page, nothing is fetched."""
from __future__ import annotations

import base64
import hashlib

STYLE = '''
:root { --ink: #1c2733; --soft: #5c6b7a; --line: #d9e0e7; --paper: #fff; --tint: #f4f7fa; --link: #0b5cad;
  --get: #1a7f4b; --post: #0b5cad; --put: #9a6200; --delete: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe6ee; --soft: #93a1b0; --line: #33404d; --paper: #12181f;
  --tint: #1a232c; --link: #6cb1ff; --get: #55c98c; --post: #6cb1ff; --put: #e0a94a; --delete: #ff8a80; } }
* { box-sizing: border-box }
body { margin: 0; color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
code, .path, .sig { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .92em }
header { position: sticky; top: 0; background: var(--tint); border-bottom: 1px solid var(--line); padding: .5rem 1rem;
  display: flex; flex-wrap: wrap; gap: .5rem 1.2rem; align-items: center; z-index: 1 }
header h1 { font-size: 1.05rem; margin: 0 auto 0 0 } header form { display: flex; gap: .4rem }
input, select, button { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line);
  border-radius: 4px; padding: .15rem .5rem }
.columns { display: grid; grid-template-columns: 15rem minmax(0, 1fr) }
nav { padding: 1rem; border-right: 1px solid var(--line) }
nav ul { list-style: none; margin: 0; padding: 0; position: sticky; top: 4rem; max-height: calc(100vh - 5rem);
  overflow: auto } nav .here { font-weight: 600; color: var(--ink) }
main { padding: 1rem 1.5rem; max-width: 70rem } main > p { color: var(--soft) }
h2 { font-size: 1.25rem; margin: 1.6rem 0 .2rem } h2 + p { margin-top: 0; color: var(--soft) }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0 }
summary { padding: .35rem .7rem; cursor: pointer; display: flex; flex-wrap: wrap; gap: .2rem .8rem }
details[open] > summary { border-bottom: 1px solid var(--line); background: var(--tint) }
.inside { padding: .3rem .9rem .8rem } .inside h3 { font-size: .95rem; margin: .9rem 0 .2rem }
.verb { font-weight: 700; width: 4.2rem } .get { color: var(--get) } .post { color: var(--post) }
.put { color: var(--put) } .delete { color: var(--delete) } .what { color: var(--soft) }
.gone .path { text-decoration: line-through }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top;
  padding: .15rem .9rem .15rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
th { color: var(--soft); font-weight: 500 } td:first-child { white-space: nowrap } .plus { color: var(--get) }
.minus { color: var(--delete) } .wave { color: var(--put) } [hidden] { display: none !important }
@media (max-width: 50rem) { .columns { display: block } nav { border: 0 } nav ul { max-height: none;
  columns: 2; position: static } td:first-child { white-space: normal } }
'''

# Without it: the search is a request to us, and an operation that a link names is not opened by itself.
SCRIPT = '''
(function () {
  var box = document.getElementById('q');
  var rows = Array.prototype.slice.call(document.querySelectorAll('[data-words]'));
  var parts = Array.prototype.slice.call(document.querySelectorAll('section'));
  function filter() {
    var words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
    rows.forEach(function (row) {
      var text = row.getAttribute('data-words');
      row.hidden = !words.every(function (word) { return text.indexOf(word) >= 0; });
    });
    parts.forEach(function (part) {
      part.hidden = !part.querySelector('[data-words]:not([hidden])');
    });
  }
  function open() {
    var found = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (found && found.tagName === 'DETAILS') { found.open = true; found.scrollIntoView(); }
  }
  if (box) { box.addEventListener('input', filter); if (box.value) { filter(); } }
  var choice = document.getElementById('version');
  if (choice) { choice.addEventListener('change', function () { choice.form.submit(); }); }
  window.addEventListener('hashchange', open);
  open();
})();
'''


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


#: nothing but what is above runs or is fetched, whatever gets into a page
POLICY = (f"default-src 'none'; style-src {_source(STYLE)}; script-src {_source(SCRIPT)}; form-action 'self'; "
          "base-uri 'none'; frame-ancestors 'none'")
