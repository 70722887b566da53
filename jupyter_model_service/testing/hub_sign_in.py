"""The pages of a fake Hub by which people sign in, there and at its services (OAuth): what JupyterHub does, without a
form. ``GET /hub/login?user=NAME&next=…`` signs NAME in. The Hub itself is :mod:`.hub`."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import tornado.web

from jupyter_model_service.core.hub_scopes import AUDIT

if TYPE_CHECKING:
    from .hub import FakeHub

__all__ = ["CALLBACK", "CLIENT", "Granted", "sign_in_rules"]

CLIENT = "service-model-service"
CALLBACK = "/services/model-service/oauth_callback"
_SESSION = "jupyterhub-session-id"
_ACCESS = "access:services!service=model-service"


@dataclass
class Granted:
    user: str
    session: str
    challenge: str
    scopes: tuple[str, ...] = ()


def sign_in_rules(hub: FakeHub) -> list[Any]:
    given = {"hub": hub}
    return [
        (r"/hub/login", _Login, given),
        (r"/hub/logout", _Logout, given),
        (r"/hub/api/oauth2/authorize", _Authorize, given),
        (r"/hub/api/oauth2/token", _Exchange, given),
    ]


class _Page(tornado.web.RequestHandler):
    hub: FakeHub

    def initialize(self, hub: FakeHub) -> None:
        self.hub = hub

    def prepare(self) -> None:
        for fault in self.hub.faults:
            if fault.matches(self.request.method or "", self.request.path):
                self.set_status(fault.status)
                self.finish("as the test says")
                return

    @property
    def session(self) -> str:
        return self.get_cookie(_SESSION) or ""


class _Login(_Page):
    def get(self) -> None:
        name = self.get_query_argument("user", "")
        if name not in self.hub.users:
            self.finish("<form>Who are you?</form>")
            return
        session = secrets.token_hex(8)
        self.hub.sessions[session] = name
        self.set_cookie(_SESSION, session, path="/", httponly=True)
        self.redirect(self.get_query_argument("next", "/hub/home"))


class _Logout(_Page):
    def get(self) -> None:
        self.hub.sign_out(self.session)
        self.clear_cookie(_SESSION, path="/")
        self.redirect("/hub/login")


class _Authorize(_Page):
    def get(self) -> None:
        said = self.get_query_argument
        if (said("client_id"), said("redirect_uri"), said("response_type")) != (CLIENT, CALLBACK, "code"):
            raise tornado.web.HTTPError(400, "no such client, or not its address")
        user = self.hub.sessions.get(self.session)
        if user is None:
            self.redirect("/hub/login?" + urlencode({"next": self.request.uri or ""}))
            return
        if user in self.hub.kept_out:
            raise tornado.web.HTTPError(403, "You do not have permission to access this service")
        # What the client may have and she has; of a client that asks for nothing in particular, all that it may have.
        asked = said("scope", AUDIT).split()
        if not {AUDIT, _ACCESS}.issuperset(asked):
            raise tornado.web.HTTPError(400, "a scope that this client may not have")
        held = tuple(each for each in asked if each == AUDIT and user in self.hub.auditors)
        code = secrets.token_hex(8)
        self.hub.codes[code] = Granted(user, self.session, said("code_challenge", ""), held)
        self.redirect(f"{CALLBACK}?" + urlencode({"code": code, "state": said("state")}))


class _Exchange(_Page):
    def check_xsrf_cookie(self) -> None:
        return None

    def post(self) -> None:
        said = self.get_body_argument
        self.set_header("Content-Type", "application/json")
        if (said("client_id"), said("client_secret")) != (CLIENT, self.hub.token):
            self._refuse(401, "invalid_client")
            return
        granted = self.hub.codes.pop(said("code", ""), None)
        right = said("grant_type") == "authorization_code" and said("redirect_uri") == CALLBACK
        if granted is None or not right or not (self.hub.line == 5 or _fits(granted, said("code_verifier", ""))):
            self._refuse(400, "invalid_grant")
            return
        scopes = [_ACCESS, *_who(granted.user), *granted.scopes]
        text = self.hub.add_token(granted.user, scopes, note="OAuth", session=granted.session)
        self.finish(json.dumps({"access_token": text, "token_type": "Bearer", "scope": " ".join(scopes)}))

    def _refuse(self, status: int, error: str) -> None:
        self.set_status(status)
        self.finish(json.dumps({"error": error}))


def _who(user: str) -> list[str]:
    return [f"read:users:name!user={user}", f"read:users:groups!user={user}"]


def _fits(granted: Granted, verifier: str) -> bool:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == granted.challenge
