"""Who is answered what: a row for each operation and each kind of endpoint, a column for each of ``people.COLUMNS``.

Written by hand, and not from what the code says of itself: a row is what was decided. In the rows of operations that
change something, 400 says that the caller may (see ``asking``), and in those of endpoints 503 does: no replica is there.
404 is for whom the service does not exist, 403 for who may know of it. Behind ``@`` stands the label of a service's own
host. ``NAV``: a browser opens it, and 303 is the way to sign in.
"""

from __future__ import annotations

from jupyter_model_service.web.route import Access

from .people import COLUMNS, PRIVATE, PUBLIC, SHARED

_OPERATIONS = """
GET api/v1/                                                    401 200 200 200 200 200 200 200 200 403 401 401 403 403 401
GET api/v1/offer                                               401 200 403 200 200 200 200 200 200 403 401 401 403 403 401
POST api/v1/validate                                           401 400 403 400 400 400 400 400 400 403 401 401 403 403 401
GET api/v1/services                                            401 200 200 200 200 200 200 200 200 403 401 401 403 403 401
POST api/v1/services                                           401 400 403 400 400 400 400 400 400 403 401 401 403 403 401
GET api/v1/services/{owner}/{name}                             401 200 403 200 200 403 403 404 200 404 401 401 404 403 401
DELETE api/v1/services/{owner}/{name}                          401 400 403 403 403 403 403 404 400 404 401 401 404 403 401
POST api/v1/services/{owner}/{name}/update                     401 400 403 403 403 403 403 404 400 404 401 401 404 403 401
PUT api/v1/services/{owner}/{name}/scale                       401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
POST api/v1/services/{owner}/{name}/rollback                   401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
POST api/v1/services/{owner}/{name}/restart                    401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
POST api/v1/services/{owner}/{name}/stop                       401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
POST api/v1/services/{owner}/{name}/start                      401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
GET api/v1/services/{owner}/{name}/autoscaling                 401 400 403 400 400 403 403 404 400 404 401 401 404 403 401
PUT api/v1/services/{owner}/{name}/autoscaling                 401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
PATCH api/v1/services/{owner}/{name}/autoscaling               401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
DELETE api/v1/services/{owner}/{name}/autoscaling              401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
POST api/v1/services/{owner}/{name}/autoscaling/resume         401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
POST api/v1/services/{owner}/{name}/autoscaling/rules          401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
DELETE api/v1/services/{owner}/{name}/autoscaling/rules/{id}   401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
POST api/v1/services/{owner}/{name}/autoscaling/schedules      401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
DELETE api/v1/services/{owner}/{name}/autoscaling/schedules/{id} 401 400 403 400 403 403 403 404 400 404 401 401 404 403 401
GET api/v1/services/{owner}/{name}/decisions                   401 200 403 200 200 403 403 404 200 404 401 401 404 403 401
GET api/v1/services/{owner}/{name}/series                      401 200 403 200 200 403 403 404 200 404 401 401 404 403 401
GET api/v1/services/{owner}/{name}/events                      401 200 403 200 200 403 403 404 200 404 401 401 404 403 401
GET api/v1/services/{owner}/{name}/logs                        401 400 403 400 400 403 403 404 400 404 401 401 404 403 401
GET api/v1/services/{owner}/{name}/access                      401 200 403 403 403 403 403 404 200 404 401 401 404 403 401
PUT api/v1/services/{owner}/{name}/access/origins              401 400 403 403 403 403 403 404 400 404 401 401 404 403 401
PUT api/v1/services/{owner}/{name}/access/{kind}/{whom}        401 400 403 403 403 403 403 404 400 404 401 401 404 403 401
DELETE api/v1/services/{owner}/{name}/access/{kind}/{whom}     401 400 403 403 403 403 403 404 400 404 401 401 404 403 401
GET api/v1/services/{owner}/{name}/tokens                      401 200 403 403 403 403 403 404 200 404 401 401 404 403 401
POST api/v1/services/{owner}/{name}/tokens                     401 400 403 403 403 403 403 404 400 404 401 401 404 403 401
PATCH api/v1/services/{owner}/{name}/tokens/{id}               401 400 403 403 403 403 403 404 400 404 401 401 404 403 401
POST api/v1/services/{owner}/{name}/tokens/{id}/rotate         401 400 403 403 403 403 403 404 400 404 401 401 404 403 401
DELETE api/v1/services/{owner}/{name}/tokens/{id}              401 400 403 403 403 403 403 404 400 404 401 401 404 403 401
GET api/v1/services/{owner}/{name}/uses                        401 200 403 403 403 403 403 404 200 404 401 401 404 403 401
GET api/v1/series                                              401 200 200 200 200 200 200 200 200 403 401 401 403 403 401
GET api/v1/admin/overview                                      401 403 403 403 403 403 403 403 200 403 401 401 403 403 401
GET api/v1/admin/users/{user}/limits                           401 403 403 403 403 403 403 403 200 403 401 401 403 403 401
PUT api/v1/admin/users/{user}/limits                           401 403 403 403 403 403 403 403 400 403 401 401 403 403 401
DELETE api/v1/admin/users/{user}/limits                        401 403 403 403 403 403 403 403 400 403 401 401 403 403 401
PUT api/v1/admin/services/{owner}/{name}/notice                401 403 403 403 403 403 403 403 400 403 401 401 403 403 401
DELETE api/v1/admin/services/{owner}/{name}/notice             401 403 403 403 403 403 403 403 400 403 401 401 403 403 401
GET api/v1/admin/audit                                         401 403 403 403 403 403 403 403 200 403 401 401 403 403 401
GET api/v1/services/{owner}/{name}/audit                       401 200 403 403 403 403 403 404 200 404 401 401 404 403 401
GET api/v1/events                                              401 200 200 200 200 200 200 200 200 403 401 401 403 403 401
GET api/v1/openapi.json                                        200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET api/v1/schemas/model-definition.json                       401 200 403 200 200 200 200 200 200 403 401 401 403 403 401
POST api/v1/gateway/attach                                     401 403 403 403 403 403 403 403 400 403 401 401 403 403 401
POST api/v1/gateway/shutdown                                   401 403 403 403 403 403 403 403 400 403 401 401 403 403 401
GET health/live                                                200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET health/ready                                               200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET metrics                                                    401 403 403 403 403 403 403 403 200 403 401 401 403 403 401
"""

_ENDPOINTS = """
GET endpoints/alice/own/                                       401 503 503 404 404 404 404 404 503 404 401 401 404 404 401
POST endpoints/alice/own/                                      401 503 503 404 404 404 404 404 503 404 401 401 404 404 401
WS endpoints/alice/own/                                        401 503 503 404 404 404 404 404 503 404 401 401 404 404 401
GET v1/models/alice/own                                        401 200 200 404 404 404 404 404 200 404 401 401 404 404 401
POST v1/chat/completions#alice/own                             401 503 503 404 404 404 404 404 503 404 401 401 404 404 401
WS v1/realtime?model=alice/own                                 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
GET @own--alice/                                               401 503 503 404 404 404 404 404 503 404 401 401 404 404 401
POST @own--alice/                                              401 503 503 404 404 404 404 404 503 404 401 401 404 404 401
WS @own--alice/                                                401 503 503 404 404 404 404 404 503 404 401 401 404 404 401
NAV @own--alice/                                               303 503 503 404 404 404 404 404 503 404 401 401 404 404 401
NAV endpoints/alice/own/                                       303 503 503 404 404 404 404 404 503 404 401 401 404 404 401
GET endpoints/alice/chat/                                      401 503 503 503 503 503 503 404 503 404 401 401 404 503 401
POST endpoints/alice/chat/                                     401 503 503 503 503 503 503 404 503 404 401 401 404 503 401
WS endpoints/alice/chat/                                       401 503 503 503 503 503 503 404 503 404 401 401 404 503 401
GET v1/models/alice/chat                                       401 200 200 200 200 200 200 404 200 404 401 401 404 200 401
POST v1/chat/completions#alice/chat                            401 503 503 503 503 503 503 404 503 404 401 401 404 503 401
WS v1/realtime?model=alice/chat                                404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
GET @chat--alice/                                              401 503 503 503 503 503 503 404 503 404 401 401 404 503 401
POST @chat--alice/                                             401 503 503 503 503 503 503 404 503 404 401 401 404 503 401
WS @chat--alice/                                               401 503 503 503 503 503 503 404 503 404 401 401 404 503 401
NAV @chat--alice/                                              303 503 503 503 503 503 503 404 503 404 401 401 404 503 401
NAV endpoints/alice/chat/                                      303 503 503 503 503 503 503 404 503 404 401 401 404 503 401
GET endpoints/alice/open/                                      503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
POST endpoints/alice/open/                                     503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
WS endpoints/alice/open/                                       503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
GET v1/models/alice/open                                       200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
POST v1/chat/completions#alice/open                            503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
WS v1/realtime?model=alice/open                                404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
GET @open--alice/                                              503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
POST @open--alice/                                             503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
WS @open--alice/                                               503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
NAV @open--alice/                                              503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
NAV endpoints/alice/open/                                      503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
GET @none--alice/                                              401 404 404 404 404 404 404 404 404 404 401 401 404 404 401
POST @none--alice/                                             401 404 404 404 404 404 404 404 404 404 401 401 404 404 401
WS @none--alice/                                               401 404 404 404 404 404 404 404 404 404 401 401 404 404 401
NAV @none--alice/                                              303 404 404 404 404 404 404 404 404 404 401 401 404 404 401
"""

# Pages, by people who have signed in with these tokens: 302 is the way to the Hub, for whom nobody knows. Whom a service
# is shared with is sent to its host (303); 403 says that a form did not come from a page of ours, and what it would have done for whom,
# ``people/test_pages.py`` tries. The page at "." shows to each what is hers.
_PAGES = """
GET oauth_callback                                             400 400 400 400 400 400 400 400 400 400 400 400 400 400 400
GET sign-in                                                    302 303 303 303 303 303 303 404 303 302 302 302 302 302 302
GET .                                                          302 200 200 200 200 200 200 200 200 302 302 302 302 302 302
GET page.css                                                   200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
POST services/{owner}/{name}/stop                              401 403 403 403 403 403 403 403 403 401 401 401 401 401 401
POST services/{owner}/{name}/start                             401 403 403 403 403 403 403 403 403 401 401 401 401 401 401
POST services/{owner}/{name}/notice                            401 403 403 403 403 403 403 403 403 401 401 401 401 401 401
POST limits                                                    401 403 403 403 403 403 403 403 403 401 401 401 401 401 401
POST sign-out                                                  401 403 403 403 403 403 403 403 403 401 401 401 401 401 401
"""


def _rows(text: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for line in filter(None, text.splitlines()):
        method, path, *cells = line.split()
        way = f"{method} {'' if path == '.' else path}"
        assert way not in found, f"two rows of {way}"
        assert len(cells) == len(COLUMNS), f"{way} has {len(cells)} cells for {len(COLUMNS)} columns"
        found[way] = dict(zip(COLUMNS, map(int, cells), strict=True))
    return found


OPERATIONS = _rows(_OPERATIONS)
ENDPOINTS = _rows(_ENDPOINTS)
SHOWN = _rows(_PAGES)

#: The ways by which each of the three services is reached.
WAYS = (
    "GET endpoints/alice/{}/",
    "POST endpoints/alice/{}/",
    "WS endpoints/alice/{}/",
    "GET v1/models/alice/{}",
    "POST v1/chat/completions#alice/{}",
    "WS v1/realtime?model=alice/{}",
    "GET @{}--alice/",
    "POST @{}--alice/",
    "WS @{}--alice/",
    "NAV @{}--alice/",
    "NAV endpoints/alice/{}/",
)
#: A host below the name for services, of none.
NOWHERE = tuple(way.format("none") for way in WAYS if "@" in way)
KINDS = (PRIVATE, SHARED, PUBLIC)

_OF_A_SERVICE = {
    Access.CALLER: "401 + + + + + + 404 + 404 401 401 404 + 401",
    Access.VIEWER: "401 + 403 + + 403 403 404 + 404 401 401 404 403 401",
    Access.OPERATOR: "401 + 403 + 403 403 403 404 + 404 401 401 404 403 401",
    Access.OWNER: "401 + 403 403 403 403 403 404 + 404 401 401 404 403 401",
}
_OF_THE_GATEWAY = {
    Access.ANYONE: "+ + + + + + + + + + + + + + +",
    Access.PERSON: "401 + + + + + + + + 403 401 401 403 403 401",
    Access.MANAGER: "401 + 403 + + + + + + 403 401 401 403 403 401",
    Access.ADMIN: "401 403 403 403 403 403 403 403 + 403 401 401 403 403 401",
}


def row_for(method: str, path: str, access: Access) -> str:
    """The row that an operation of this kind would have, to be looked at and put in."""
    cells = {**_OF_THE_GATEWAY, **_OF_A_SERVICE}[access].replace("+", "200" if method == "GET" else "400")
    return f"{method + ' ' + path:62} {cells}"
