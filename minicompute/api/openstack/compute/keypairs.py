"""/os-keypairs: the public keys of users."""
from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from minicompute import policy, quota
from minicompute.api import validation
from minicompute.api.openstack import common, wsgi
from minicompute.api.openstack.compute.schemas import keypairs as schema
from minicompute.api.openstack.wsgi import Request
from minicompute.db import session
from minicompute.db.api import keypairs as db
from minicompute.objects import KeyPair

RULE = 'os_compute_api:os-keypairs:%s'


class KeypairsController(wsgi.Controller):

    @wsgi.expected_errors(400)
    @validation.schema(query=schema.index_query, answer=schema.index_answer)
    def index(self, req: Request) -> dict[str, Any]:
        user_id = authorized_user(req, 'index')
        limit, marker = common.paging(req)
        with session.read() as conn:
            found = db.page(conn, user_id, limit=limit if req.since('2.35') else None, marker=marker)
        page: dict[str, Any] = {'keypairs': [{'keypair': brief(req, keypair)} for keypair in found]}
        if req.since('2.35'):
            links = common.next_links(req, 'os-keypairs', found, found[-1].name if found else None, limit)
            if links:
                page['keypairs_links'] = links
        return page

    @wsgi.expected_errors(404)
    @validation.schema(query=schema.show_query, answer=schema.show_answer)
    def show(self, req: Request, id: str) -> dict[str, Any]:
        user_id = authorized_user(req, 'show')
        with session.read() as conn:
            keypair = db.get(conn, user_id, id)
        return {'keypair': {
            **brief(req, keypair), 'id': keypair.id, 'user_id': keypair.user_id,
            'created_at': common.micro(keypair.created_at), 'updated_at': common.micro(keypair.updated_at),
            'deleted': False, 'deleted_at': None}}

    @wsgi.response(200, {'2.2': 201})
    @wsgi.expected_errors((400, 403, 409))
    @validation.schema(schema.create, answer=schema.create_answer)
    def create(self, req: Request, body: dict[str, Any]) -> dict[str, Any]:
        wanted = body['keypair']
        user_id = authorized_user(req, 'create', wanted.get('user_id'))
        with session.read() as conn:     # said before what is wrong with the key
            quota.check_keypairs(conn, req.context, user_id)
        from minicompute.api import crypto  # 3 MB, for whoever makes a key

        kind, private_key = wanted.get('type', crypto.SSH), None
        public_key = wanted.get('public_key')
        if public_key is None:
            public_key, private_key = crypto.generate(kind, user_id)
        fingerprint = crypto.check(kind, public_key)[1]     # the key stays as it was sent: clients compare it
        keypair = KeyPair(name=wanted['name'].strip(), user_id=user_id, public_key=public_key,
                          fingerprint=fingerprint, type=kind)

        def save(conn: sa.Connection) -> None:
            quota.reserve_keypair(conn, req.context, user_id)
            db.create(conn, keypair, imported=private_key is None)
        session.write(save)
        row = {**brief(req, keypair), 'user_id': user_id}
        if private_key is not None:
            row['private_key'] = private_key
        return {'keypair': row}

    @wsgi.response(202, {'2.2': 204})
    @wsgi.expected_errors(404)
    @validation.schema(query=schema.show_query)
    def delete(self, req: Request, id: str) -> None:
        user_id = authorized_user(req, 'delete')
        session.write(db.destroy, user_id, id)


ROUTES = (
    ('GET', '/os-keypairs', KeypairsController, 'index'),
    ('POST', '/os-keypairs', KeypairsController, 'create'),
    ('GET', '/os-keypairs/{id}', KeypairsController, 'show'),
    ('DELETE', '/os-keypairs/{id}', KeypairsController, 'delete'),
)


def authorized_user(req: Request, rule: str, asked: str | None = None) -> str:
    """Whose keys: the caller's, or (2.10, administrators) another user's."""
    user_id: str = asked or next(iter(req.query.get('user_id', ())), None) or req.context.user_id or ''
    policy.authorize(req.context, RULE % rule, {'user_id': user_id})
    return user_id


def brief(req: Request, keypair: KeyPair) -> dict[str, Any]:
    row = {'name': keypair.name, 'public_key': keypair.public_key, 'fingerprint': keypair.fingerprint}
    if req.since('2.2'):
        row['type'] = keypair.type
    return row
