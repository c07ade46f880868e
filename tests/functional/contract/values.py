"""Values for the formats that are our own, and things that are really there for the variables of paths."""
from __future__ import annotations

import base64
import uuid as uuidlib
from typing import Any

from hypothesis import strategies as st

from minicompute.api.validation.formats import FORMATS
from tests.functional.cloud import Cloud

WORDS = st.text(st.characters(codec='utf-8', categories=('L', 'N', 'P')), min_size=1, max_size=20)
DIGITS = st.integers(1, 2 ** 31 - 1).map(str)

STRATEGIES: dict[str, st.SearchStrategy[str]] = {
    'name': WORDS,
    'name_with_spaces': WORDS,
    'printable': WORDS,
    'text': st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=20),
    'keypair_name': st.from_regex(r'\A[a-zA-Z0-9_-]{1,20}\Z'),
    'keypair_name_2_92': st.from_regex(r'\A[a-zA-Z0-9@._-]{1,20}\Z'),
    'uuid': st.uuids().map(str),
    'ipv4': st.ip_addresses(v=4).map(str),
    'ipv6': st.ip_addresses(v=6).map(str),
    'cidr': st.ip_addresses(v=4).map(lambda address: f'{address}/32'),
    'date-time': st.datetimes().map(lambda moment: f'{moment.isoformat()}Z'),
    'iso-8601': st.datetimes().map(lambda moment: moment.isoformat()),
    'regex': st.sampled_from(('^vm', 'a|b', '[0-9]+', '.*')),
    'base64': st.binary(max_size=20).map(lambda data: base64.b64encode(data).decode()),
    'non_negative_int': DIGITS,
    'positive_int': DIGITS,
    'positive_number': DIGITS,
    'limit_int': DIGITS,
    'uri': WORDS.map(lambda word: f'http://{word.encode().hex()}.example/'),
}
assert set(FORMATS) <= set(STRATEGIES), f'say what values are of the format {set(FORMATS) - set(STRATEGIES)}'

KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEpNRNWhbTZYwmdLyhQ7UI6hoVUPrWM1uBFJ0OFZtq1W story'


class There:
    """What is there, by the collection that it is in; made again when a request has taken it away."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.flavor = cloud.flavor(disk=1)
        self._found: dict[str, str] = {}

    @property
    def image(self) -> str:
        """Made again when there is none: up to 2.35 a request may have deleted the one before."""
        return self.cloud.image()

    def of(self, path: str) -> dict[str, str]:
        """{variable: id} for '/servers/{server_id}/tags/{id}', as far as it is one of these."""
        segments = path.split('/')
        for place, segment in enumerate(segments):
            if segment.startswith('{'):
                make = getattr(self, 'make_' + segments[place - 1].replace('-', '_'), None)
                return {segment.strip('{}'): self._get(segments[place - 1], make)} if make else {}
        return {}

    def _get(self, collection: str, make: Any) -> str:
        found = self._found.get(collection)
        if found is None or self.cloud.request('GET', f'/{collection}/{found}', version='2.1').status_int != 200:
            found = self._found[collection] = make()
        return found

    def make_servers(self) -> str:
        made = self.cloud.boot(flavorRef=self.flavor, imageRef=self.image)
        return str(self.cloud.wait(made['id'])['id'])

    def make_flavors(self) -> str:
        return self.cloud.flavor()

    def make_images(self) -> str:
        return self.image

    def make_os_aggregates(self) -> str:
        body = {'aggregate': {'name': uuidlib.uuid4().hex}}
        return str(self.cloud.api('POST', '/os-aggregates', body)['aggregate']['id'])

    def make_os_keypairs(self) -> str:
        name = uuidlib.uuid4().hex
        self.cloud.api('POST', '/os-keypairs', {'keypair': {'name': name, 'public_key': KEY}})
        return name

    def make_os_server_groups(self) -> str:
        body = {'server_group': {'name': 'there', 'policy': 'soft-affinity'}}
        return str(self.cloud.api('POST', '/os-server-groups', body)['server_group']['id'])
