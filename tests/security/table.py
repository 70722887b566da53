"""Who is answered what: a row for each operation and each kind of endpoint, a column for each of ``people.COLUMNS``.

Written by hand, and not from what the code says of itself: a row is what was decided. In the rows of operations that
change something, 400 says that the caller may (see ``asking``), and in those of endpoints 503 does: no replica is there.
404 is for whom the service does not exist, 403 for who may know of it. Behind ``@`` stands the label of a service's own
host. ``NAV``: a browser opens it, and 303 is the way to sign in. Several methods of one row are answered the same.
"""

from __future__ import annotations

from jupyter_model_service.web.route import Access

from .people import COLUMNS, PRIVATE, PUBLIC, SHARED, VISITORS

_OPERATIONS = """
GET api/v1/                                                    401 200 200 200 200 200 200 200 200 403 401 401 403 403 401 403
GET api/v1/offer                                               401 200 403 200 200 200 200 200 200 403 401 401 403 403 401 403
POST api/v1/validate                                           401 400 403 400 400 400 400 400 400 403 401 401 403 403 401 403
GET api/v1/services                                            401 200 200 200 200 200 200 200 200 403 401 401 403 403 401 403
POST api/v1/services                                           401 400 403 400 400 400 400 400 400 403 401 401 403 403 401 403
GET api/v1/services/{owner}/{name}                             401 200 403 200 200 403 403 404 200 404 401 401 404 403 401 404
DELETE api/v1/services/{owner}/{name}                          401 400 403 403 403 403 403 404 400 404 401 401 404 403 401 404
POST api/v1/services/{owner}/{name}/update                     401 400 403 403 403 403 403 404 400 404 401 401 404 403 401 404
PUT api/v1/services/{owner}/{name}/scale                       401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
POST api/v1/services/{owner}/{name}/rollback                   401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
POST api/v1/services/{owner}/{name}/restart                    401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
POST api/v1/services/{owner}/{name}/stop                       401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
POST api/v1/services/{owner}/{name}/start                      401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
GET api/v1/services/{owner}/{name}/autoscaling                 401 400 403 400 400 403 403 404 400 404 401 401 404 403 401 404
PUT api/v1/services/{owner}/{name}/autoscaling                 401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
PATCH api/v1/services/{owner}/{name}/autoscaling               401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
DELETE api/v1/services/{owner}/{name}/autoscaling              401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
POST api/v1/services/{owner}/{name}/autoscaling/resume         401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
POST api/v1/services/{owner}/{name}/autoscaling/rules          401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
DELETE api/v1/services/{owner}/{name}/autoscaling/rules/{id}   401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
POST api/v1/services/{owner}/{name}/autoscaling/schedules      401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
DELETE api/v1/services/{owner}/{name}/autoscaling/schedules/{id} 401 400 403 400 403 403 403 404 400 404 401 401 404 403 401 404
GET api/v1/services/{owner}/{name}/decisions                   401 200 403 200 200 403 403 404 200 404 401 401 404 403 401 404
GET api/v1/services/{owner}/{name}/series                      401 200 403 200 200 403 403 404 200 404 401 401 404 403 401 404
GET api/v1/services/{owner}/{name}/events                      401 200 403 200 200 403 403 404 200 404 401 401 404 403 401 404
GET api/v1/services/{owner}/{name}/logs                        401 400 403 400 400 403 403 404 400 404 401 401 404 403 401 404
GET api/v1/services/{owner}/{name}/access                      401 200 403 403 403 403 403 404 200 404 401 401 404 403 401 404
PUT api/v1/services/{owner}/{name}/access/origins              401 400 403 403 403 403 403 404 400 404 401 401 404 403 401 404
PUT api/v1/services/{owner}/{name}/access/{kind}/{whom}        401 400 403 403 403 403 403 404 400 404 401 401 404 403 401 404
DELETE api/v1/services/{owner}/{name}/access/{kind}/{whom}     401 400 403 403 403 403 403 404 400 404 401 401 404 403 401 404
GET api/v1/services/{owner}/{name}/tokens                      401 200 403 403 403 403 403 404 200 404 401 401 404 403 401 404
POST api/v1/services/{owner}/{name}/tokens                     401 400 403 403 403 403 403 404 400 404 401 401 404 403 401 404
PATCH api/v1/services/{owner}/{name}/tokens/{id}               401 400 403 403 403 403 403 404 400 404 401 401 404 403 401 404
POST api/v1/services/{owner}/{name}/tokens/{id}/rotate         401 400 403 403 403 403 403 404 400 404 401 401 404 403 401 404
DELETE api/v1/services/{owner}/{name}/tokens/{id}              401 400 403 403 403 403 403 404 400 404 401 401 404 403 401 404
GET api/v1/services/{owner}/{name}/uses                        401 200 403 403 403 403 403 404 200 404 401 401 404 403 401 404
GET api/v1/series                                              401 200 200 200 200 200 200 200 200 403 401 401 403 403 401 403
GET api/v1/admin/overview                                      401 403 403 403 403 403 403 403 200 403 401 401 403 403 401 403
GET api/v1/admin/users/{user}/limits                           401 403 403 403 403 403 403 403 200 403 401 401 403 403 401 403
PUT api/v1/admin/users/{user}/limits                           401 403 403 403 403 403 403 403 400 403 401 401 403 403 401 403
DELETE api/v1/admin/users/{user}/limits                        401 403 403 403 403 403 403 403 400 403 401 401 403 403 401 403
PUT api/v1/admin/services/{owner}/{name}/notice                401 403 403 403 403 403 403 403 400 403 401 401 403 403 401 403
DELETE api/v1/admin/services/{owner}/{name}/notice             401 403 403 403 403 403 403 403 400 403 401 401 403 403 401 403
GET api/v1/admin/audit                                         401 403 403 403 403 403 403 403 200 403 401 401 403 403 401 200
GET api/v1/admin/audit.jsonl                                   401 403 403 403 403 403 403 403 200 403 401 401 403 403 401 200
GET api/v1/services/{owner}/{name}/audit                       401 200 403 403 403 403 403 404 200 404 401 401 404 403 401 404
GET api/v1/services/{owner}/{name}/audit.jsonl                 401 200 403 403 403 403 403 404 200 404 401 401 404 403 401 404
GET api/v1/events                                              401 200 200 200 200 200 200 200 200 403 401 401 403 403 401 403
GET api/v1/openapi.json                                        200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET api/v1/schemas/model-definition.json                       401 200 403 200 200 200 200 200 200 403 401 401 403 403 401 403
POST api/v1/gateway/attach                                     401 403 403 403 403 403 403 403 400 403 401 401 403 403 401 403
POST api/v1/gateway/shutdown                                   401 403 403 403 403 403 403 403 400 403 401 401 403 403 401 403
GET health/live                                                200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET health/ready                                               200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET metrics                                                    401 403 403 403 403 403 403 403 200 403 401 401 403 403 401 403
"""

_ENDPOINTS = """
GET endpoints/alice/own/                                       401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
POST endpoints/alice/own/                                      401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
WS endpoints/alice/own/                                        401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
GET v1/models/alice/own                                        401 200 200 404 404 404 404 404 200 404 401 401 404 404 401 404
POST v1/chat/completions#alice/own                             401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
WS v1/realtime?model=alice/own                                 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
GET @own--alice/                                               401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
POST @own--alice/                                              401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
WS @own--alice/                                                401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
NAV @own--alice/                                               303 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
NAV endpoints/alice/own/                                       303 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
GET endpoints/alice/chat/                                      401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
POST endpoints/alice/chat/                                     401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
WS endpoints/alice/chat/                                       401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
GET v1/models/alice/chat                                       401 200 200 200 200 200 200 404 200 404 401 401 404 200 401 404
POST v1/chat/completions#alice/chat                            401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
WS v1/realtime?model=alice/chat                                404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
GET @chat--alice/                                              401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
POST @chat--alice/                                             401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
WS @chat--alice/                                               401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
NAV @chat--alice/                                              303 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
NAV endpoints/alice/chat/                                      303 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
GET endpoints/alice/open/                                      503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
POST endpoints/alice/open/                                     503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
WS endpoints/alice/open/                                       503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
GET v1/models/alice/open                                       200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
POST v1/chat/completions#alice/open                            503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
WS v1/realtime?model=alice/open                                404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
GET @open--alice/                                              503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
POST @open--alice/                                             503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
WS @open--alice/                                               503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
NAV @open--alice/                                              503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
NAV endpoints/alice/open/                                      503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
GET @none--alice/                                              401 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
POST @none--alice/                                             401 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
WS @none--alice/                                               401 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
NAV @none--alice/                                              303 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
"""

# Other methods than those above; as far as it goes, whoever may call may call by any. 400: what no server here understands.
# PRE is what a browser asks before it lets a page at ORIGIN call, PRE! the same for a page of another origin; alice/chat
# lists ORIGIN. Its answer (204) is for the browser, and says no more than that.
_METHODS = """
HEAD,PUT,PATCH,DELETE,OPTIONS,PROPFIND endpoints/alice/own/    401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
HEAD,PUT,PATCH,DELETE,OPTIONS,PROPFIND @own--alice/            401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
HEAD,PUT,PATCH,DELETE,OPTIONS,PROPFIND endpoints/alice/chat/   401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
HEAD,PUT,PATCH,DELETE,OPTIONS,PROPFIND @chat--alice/           401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
HEAD,PUT,PATCH,DELETE,OPTIONS,PROPFIND endpoints/alice/open/   503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
HEAD,PUT,PATCH,DELETE,OPTIONS,PROPFIND @open--alice/           503 503 503 503 503 503 503 503 503 503 503 503 503 503 503 503
HEAD,PUT,PATCH,DELETE,OPTIONS,PROPFIND endpoints/alice/none/   401 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
HEAD,PUT,PATCH,DELETE,OPTIONS,PROPFIND @none--alice/           401 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
BREW,TRACE,CONNECT endpoints/alice/own/                        400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400
BREW,TRACE,CONNECT @own--alice/                                400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400
BREW,TRACE,CONNECT v1/models                                   400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400
BREW,TRACE,CONNECT api/v1/services                             400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400
PRE,PRE! endpoints/alice/own/                                  401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
PRE,PRE! @own--alice/                                          401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
PRE endpoints/alice/chat/                                      204 204 204 204 204 204 204 204 204 204 204 204 204 204 204 204
PRE @chat--alice/                                              204 204 204 204 204 204 204 204 204 204 204 204 204 204 204 204
PRE! endpoints/alice/chat/                                     401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
PRE! @chat--alice/                                             401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
PRE,PRE! endpoints/alice/none/                                 401 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
PRE,PRE!,OPTIONS v1/models                                     204 204 204 204 204 204 204 204 204 204 204 204 204 204 204 204
PRE,PRE!,OPTIONS v1/chat/completions                           204 204 204 204 204 204 204 204 204 204 204 204 204 204 204 204
PUT,PATCH,DELETE v1/models                                     404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
HEAD v1/models/alice/own                                       401 200 200 404 404 404 404 404 200 404 401 401 404 404 401 404
PUT,PATCH,DELETE v1/models/alice/own                           404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
PUT,PATCH,DELETE v1/chat/completions#alice/own                 401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
PUT,PATCH,DELETE v1/chat/completions#alice/chat                401 503 503 503 503 503 503 404 503 404 401 401 404 503 401 404
"""

# Whatever else is at the address: the list of models (``LISTED`` has what is in it), what is not there, and where a code
# is taken that signs somebody in, which is no matter of tokens.
_ELSEWHERE = """
GET,HEAD v1/models                                             200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
GET v1/models/alice/none                                       401 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
GET v1/models/own                                              401 200 200 404 404 404 404 404 200 404 401 401 404 404 401 404
POST v1/chat/completions#alice/none                            401 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
GET v1/chat/completions                                        404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
GET,POST,WS endpoints/alice/none/                              401 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
NAV endpoints/alice/none/                                      303 404 404 404 404 404 404 404 404 404 401 401 404 404 401 404
GET,POST endpoints/alice/own                                   308 308 308 308 308 308 308 308 308 308 308 308 308 308 308 308
GET,POST endpoints/alice/none                                  308 308 308 308 308 308 308 308 308 308 308 308 308 308 308 308
GET,POST endpoints/alice                                       404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
GET,POST nothing/here                                          404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
GET,POST @own--alice/api/v1/services                           401 503 503 404 404 404 404 404 503 404 401 401 404 404 401 404
GET,POST,NAV @own--alice/.model-service/enter?code=x           400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400
GET,POST,NAV @none--alice/.model-service/enter?code=x          400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400
GET,NAV .model-service/enter?code=x                            404 404 404 404 404 404 404 404 404 404 404 404 404 404 404 404
"""

# Which services each finds in a list, by their first letters: own, chat, open of alice's, and hers of mallory's.
_LISTED = """
GET v1/models                                                  p ocp ocp cp cp cp cp hp ocph p p p hp cp p p
GET api/v1/services                                            - ocp ocp c c c c h ocph - - - - - - -
"""

# By who comes with the cookie of a visit (``people.VISITORS``). Behind the method stands who asks: a page of the service's
# ``own`` host, of the host ``beside`` it, of an ``other`` site, ``nobody`` but the visitor, or what does not say it
# (``unsaid``). NAV: a window is opened, FRAME: a frame, FORM: a form is sent into a window of its own.
_VISITS = """
GET/own @chat--alice/                                          503 503 404 401 401 401 401 401
HEAD/own,POST/own,DELETE/own @chat--alice/                     503 503 404 401 401 401 401 401
WS/own,FRAME/own @chat--alice/                                 503 503 404 401 401 401 401 401
NAV/nobody,NAV/own,NAV/beside,NAV/other @chat--alice/          503 503 404 303 303 303 303 303
GET/beside,GET/other,GET/unsaid @chat--alice/                  401 401 401 401 401 401 401 401
POST/beside,POST/other,POST/unsaid,FORM/beside,FORM/other @chat--alice/ 401 401 401 401 401 401 401 401
WS/beside,WS/other,WS/unsaid,FRAME/beside,FRAME/other @chat--alice/ 401 401 401 401 401 401 401 401
PUT/other,DELETE/other,HEAD/other,OPTIONS/other @chat--alice/  401 401 401 401 401 401 401 401
NAV/nobody @own--alice/                                        303 303 303 303 303 303 303 303
GET/own,POST/own @own--alice/                                  401 401 401 401 401 401 401 401
GET/own,NAV/nobody @open--alice/                               503 503 503 503 503 503 503 503
NAV/other @chat--alice/.model-service/enter?code=x             303 303 303 400 303 400 400 400
GET/own,FRAME/own @chat--alice/.model-service/enter?code=x     400 400 400 400 400 400 400 400
GET/own,POST/own,WS/own endpoints/alice/chat/                  401 401 401 401 401 401 401 401
NAV/nobody endpoints/alice/chat/                               303 303 303 303 303 303 303 303
GET/own v1/models/alice/chat                                   401 401 401 401 401 401 401 401
GET/own,POST/own api/v1/services                               401 401 401 401 401 401 401 401
NAV/nobody .                                                   302 302 302 302 302 302 302 302
"""

# Pages, by people who have signed in with these tokens: 302 is the way to the Hub, for whom nobody knows. Whom a service
# is shared with is sent to its host (303); 403 says that a form did not come from a page of ours, and what it would have done for whom,
# ``people/test_pages.py`` tries. The page at "." shows to each what is hers.
_PAGES = """
GET oauth_callback                                             400 400 400 400 400 400 400 400 400 400 400 400 400 400 400 400
GET sign-in                                                    302 303 303 303 303 303 303 404 303 302 302 302 302 302 302 302
GET .                                                          302 200 200 200 200 200 200 200 200 302 302 302 302 302 302 302
GET audit                                                      302 302 302 302 302 302 302 302 200 302 302 302 302 302 302 302
GET audit.jsonl                                                302 302 302 302 302 302 302 302 200 302 302 302 302 302 302 302
GET page.css                                                   200 200 200 200 200 200 200 200 200 200 200 200 200 200 200 200
POST services/{owner}/{name}/stop                              401 403 403 403 403 403 403 403 403 401 401 401 401 401 401 401
POST services/{owner}/{name}/start                             401 403 403 403 403 403 403 403 403 401 401 401 401 401 401 401
POST services/{owner}/{name}/private                           401 403 403 403 403 403 403 403 403 401 401 401 401 401 401 401
POST services/{owner}/{name}/notice                            401 403 403 403 403 403 403 403 403 401 401 401 401 401 401 401
POST limits                                                    401 403 403 403 403 403 403 403 403 401 401 401 401 401 401 401
POST sign-out                                                  401 403 403 403 403 403 403 403 403 401 401 401 401 401 401 401
"""


def _cells(text: str, columns: tuple[str, ...]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in filter(None, text.splitlines()):
        methods, path, *cells = line.split()
        for method in methods.split(","):
            way = f"{method} {'' if path == '.' else path}"
            assert way not in found, f"two rows of {way}"
            assert len(cells) == len(columns), f"{way} has {len(cells)} cells for {len(columns)} columns"
            found[way] = dict(zip(columns, cells, strict=True))
    return found


def _rows(text: str, columns: tuple[str, ...] = COLUMNS) -> dict[str, dict[str, int]]:
    return {way: {who: int(cell) for who, cell in row.items()} for way, row in _cells(text, columns).items()}


OPERATIONS = _rows(_OPERATIONS)
ENDPOINTS = _rows(_ENDPOINTS)
METHODS = _rows(_METHODS)
ELSEWHERE = _rows(_ELSEWHERE)
VISITS = _rows(_VISITS, VISITORS)
LISTED = _cells(_LISTED, COLUMNS)
SHOWN = _rows(_PAGES)
#: Whose pages alice/chat may be called by.
ORIGIN = "https://app.example.org"

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
    Access.CALLER: "401 + + + + + + 404 + 404 401 401 404 + 401 404",
    Access.VIEWER: "401 + 403 + + 403 403 404 + 404 401 401 404 403 401 404",
    Access.OPERATOR: "401 + 403 + 403 403 403 404 + 404 401 401 404 403 401 404",
    Access.OWNER: "401 + 403 403 403 403 403 404 + 404 401 401 404 403 401 404",
}
_OF_THE_GATEWAY = {
    Access.ANYONE: "+ + + + + + + + + + + + + + + +",
    Access.PERSON: "401 + + + + + + + + 403 401 401 403 403 401 403",
    Access.MANAGER: "401 + 403 + + + + + + 403 401 401 403 403 401 403",
    Access.AUDITOR: "401 403 403 403 403 403 403 403 + 403 401 401 403 403 401 +",
    Access.ADMIN: "401 403 403 403 403 403 403 403 + 403 401 401 403 403 401 403",
}


def row_for(method: str, path: str, access: Access) -> str:
    """The row that an operation of this kind would have, to be looked at and put in."""
    cells = {**_OF_THE_GATEWAY, **_OF_A_SERVICE}[access].replace("+", "200" if method == "GET" else "400")
    return f"{method + ' ' + path:62} {cells}"
