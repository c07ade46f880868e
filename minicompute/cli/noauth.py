"""Talking to a deployment that has no Keystone (`auth_strategy = noauth2`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keystoneauth1 import noauth


class Identity(noauth.NoAuth):
    """keystoneauth's `none` plugin, saying who we are.

    noauth2 reads `user:project` from X-Auth-Token; a Nova behind a proxy that does the authentication
    believes the X-*
    headers. The service that reads neither takes no harm.
    """

    def __init__(self, endpoint: str | None, user: str, project: str, roles: str) -> None:
        super().__init__(endpoint=endpoint)
        self.user, self.project, self.roles = user, project, roles

    @classmethod
    def from_env(cls, endpoint: str | None, env: Mapping[str, str]) -> Identity:
        user = env.get('OS_USER_ID') or env.get('OS_USERNAME') or 'admin'
        project = env.get('OS_PROJECT_ID') or env.get('OS_PROJECT_NAME') or 'admin'
        default = 'admin,manager,member,reader' if user == 'admin' else 'member,reader'
        return cls(endpoint, user, project, env.get('OS_ROLES') or default)

    def get_token(self, session: Any) -> str:
        return f'{self.user}:{self.project}'

    def get_headers(self, session: Any) -> dict[str, str]:
        return {'X-Auth-Token': self.get_token(session), 'X-User-Id': self.user,
                'X-Project-Id': self.project, 'X-Roles': self.roles}

    def get_project_id(self, session: Any, **kwargs: Any) -> str:
        return self.project

    def get_user_id(self, session: Any, **kwargs: Any) -> str:
        return self.user
