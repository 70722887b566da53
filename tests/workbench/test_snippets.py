"""What the console offers to paste: run as it stands, it says the request that is in the form, and runs nothing else.

The snippets are the panel's (TypeScript): node writes them, a shell and IPython run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

HERE = Path(__file__).resolve().parent
PANEL = HERE.parent.parent / "labextension"
ENDPOINT = "http://127.0.0.1:1/endpoints/ann/words/"
NAMES = ("curl", "python", "openai", "magic")

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (PANEL / "node_modules" / "typescript").is_dir(),
    reason="the panel's snippets need node and the panel's packages",
)

NASTY = [
    "{canary()}",
    "${canary()}",
    "$count",
    "{count}",
    "$$count",
    "{{count}}",
    "{0.__class__}",
    "$(canary)",
    "`canary`",
    "'; canary; '",
    '"; canary(); "',
    "'''",
    '"""+canary()+"""',
    "\\",
    "\\'",
    "\\\\n",
    "%sx",
    "!canary",
    "?canary",
    "canary?",
    ";canary",
    "--data-dir=/tmp/evil",
    "-X",
    "@/etc/passwd",
    "a b",
    "[1-3]",
    "{a,b}",
    "#x",
    "*",
    "~",
    "&canary()",
    "|canary",
    "é😀",
    "\u2028!canary",
    "\x85!canary",
    "\u200b\ufeff",
    "%20%7B",
    "1e999",
    "12345678901234567890",
    "\t!canary",
    ">>> canary()",
    "... canary()",
    "In [1]: canary()",
    "\n%canary\n!canary\n",
    "x=canary(), y",
    "EOF",
]


def form(**given: Any) -> dict[str, Any]:
    return {"method": "GET", "path": "/predict", "headers": "", "kind": "text", "body": "", "public": False, **given}


def table() -> list[dict[str, Any]]:
    """Each in every place of a form; what cannot stand there is refused by the form itself."""
    forms = []
    for nasty in NASTY:
        encoded = re.sub(r"[\s#\x85]", "", nasty)
        keyed = json.dumps({nasty: nasty, "model": {nasty: [nasty]}, "stream": True, "class": 1, "timeout": 2})
        forms += [
            form(path=f"/{encoded}"),
            form(path=f"/a?b={encoded}&c", public=True),
            form(method="PUT", headers=f"X-A: {nasty}", body="{}", kind="json"),
            form(method="POST", body=nasty),
            form(method="PATCH", body=json.dumps([nasty, 1.0, -0.5e-3, None, True], ensure_ascii=False), kind="json"),
            form(method="POST", body=keyed, kind="json", path="/v1/chat/completions"),
            form(method="POST", body=keyed, kind="json", path="/v1/embeddings", headers=f"X-B: {nasty}"),
        ]
    return [
        *forms,
        form(headers="X-Empty:"),
        form(headers="Authorization: Bearer typed\nCookie: a=typed"),
        form(method="HEAD", path="/"),
        form(method="DELETE", path="/x/"),
        form(method="POST", body="null", kind="json"),
        form(method="POST", body='{"b": 12345678901234567890, "1": 1, "0": 2}', kind="json"),
        form(method="POST", body="[" * 150 + "]" * 150, kind="json"),
        form(method="POST", body="[1e999]", kind="json"),
        form(method="POST", body="{}", headers="content-type: application/json; charset=utf-8", kind="json"),
        form(method="POST", body="{}", headers="Content-Type: application/json-patch+json"),
        form(method="POST", body="\ufeff"),
        form(method="POST", body="\x1c"),
    ]


def shown(forms: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Requests with the cells that node wrote of them; those that the form refuses are left out."""
    asked = json.dumps({"endpoint": ENDPOINT, "forms": forms})
    done = subprocess.run(
        ["node", str(HERE / "snippets_writer.js"), str(PANEL)],
        input=asked,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [each for each in json.loads(done.stdout) if each is not None]


def run(cells: list[str], folder: Path) -> list[dict[str, Any]]:
    """In the shell that people type into, with stubs of what would send something."""
    done = subprocess.run(
        [sys.executable, str(HERE / "snippets_runner.py")],
        input=json.dumps(cells),
        capture_output=True,
        text=True,
        timeout=240,
        cwd=folder,
        env={**os.environ, "IPYTHONDIR": str(folder), "MODEL_SERVICE_TOKEN": "t0ken"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(json.loads(done.stdout))


def meant(request: dict[str, Any]) -> dict[str, Any]:
    """What the server of the endpoint has of a request: the token that is typed never comes there."""
    headers = {
        name.lower(): value
        for name, value in (request.get("headers") or {}).items()
        if name.lower() not in ("authorization", "cookie")
    }
    path = unquote(request["path"].removeprefix("/"))
    return {"method": request["method"], "path": path, "headers": headers, "body": request.get("body")}


def path_of(url: str) -> str:
    assert url.startswith(ENDPOINT)
    assert set(url) <= set(map(chr, range(0x21, 0x7F))) - set('{}[]`\\"<>^|'), "curl makes several addresses of it"
    assert not urlsplit(url).fragment
    return unquote(url.removeprefix(ENDPOINT))


def of_curl(cell: str) -> dict[str, Any]:
    assert cell.startswith("%%bash\n")
    stub = "curl() { for each; do printf '%s\\0' \"$each\"; done; }\nMODEL_SERVICE_TOKEN=t0ken\n"
    program = (stub + cell.removeprefix("%%bash\n")).encode()
    done = subprocess.run(["sh"], input=program, capture_output=True, timeout=30)
    assert done.returncode == 0
    assert not done.stderr
    said: dict[str, Any] = {"method": "GET", "headers": {}, "body": None}
    left = iter(done.stdout.decode().split("\0")[:-1])
    for word in left:
        if word == "-X":
            said["method"] = next(left)
        elif word == "--head":
            said["method"] = "HEAD"
        elif word == "-H":
            header = next(left)  # "X-A;" is how curl is told of an empty one
            name, _, value = header.partition(": ") if ":" in header else (header.removesuffix(";"), "", "")
            said["headers"][name.lower()] = value
        elif word == "--data-raw":
            said["body"] = next(left)
        elif word != "-N":
            assert "path" not in said
            said["path"] = path_of(word)
    return said


def of_requests(told: dict[str, Any]) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in told.get("headers", {}).items()}
    body = told.get("data", "").encode("latin-1").decode() if "data" in told else None
    if "json" in told:
        headers.setdefault("content-type", "application/json")
        body = json.dumps(told["json"])
    return {"method": told["method"], "path": path_of(told["url"]), "headers": headers, "body": body}


def of_magic(told: dict[str, Any]) -> dict[str, Any]:
    assert told["name"] == "words"
    assert told["data_dir"] is None
    cell = told["cell"]
    headers = {name.lower(): value for name, value in told["headers"]}
    if cell.strip():
        assert cell.endswith("\n")
        try:
            json.loads(cell)
            headers.setdefault("content-type", "application/json")
        except ValueError:
            headers.setdefault("content-type", "text/plain; charset=utf-8")
    method = told["method"] or ("POST" if cell.strip() else "GET")
    body = cell[:-1] if cell.strip() else None
    return {"method": method, "path": unquote(told["path"].removeprefix("/")), "headers": headers, "body": body}


def same(said: dict[str, Any], wanted: dict[str, Any]) -> bool:
    said = {**said, "headers": {name: v for name, v in said["headers"].items() if name != "authorization"}}
    if said == wanted:
        return True
    kind = wanted["headers"].get("content-type", "")
    if not kind.startswith("application/json") or said["body"] is None or wanted["body"] is None:
        return False
    equal = json.loads(said["body"]) == json.loads(wanted["body"])
    return equal and {**said, "body": ""} == {**wanted, "body": ""}


def is_chat(request: dict[str, Any]) -> bool:
    known = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
    kind = (request.get("headers") or {}).get("Content-Type", "")
    if request["path"].split("?")[0] not in known or not kind.startswith("application/json"):
        return False
    return isinstance(json.loads(request.get("body") or "null"), dict)


def check(found: list[dict[str, Any]], folder: Path) -> None:
    """Every snippet of each, run."""
    cells = [each["cells"][name] for each in found for name in NAMES]
    for at, (ran, cell) in enumerate(zip(run(cells, folder), cells, strict=True)):
        request, name = found[at // len(NAMES)]["request"], NAMES[at % len(NAMES)]
        context = f"{name} of {request!r}:\n{cell}\n{ran}"
        assert ran["canaries"] == [], context
        assert ran["error"] is None, context
        assert len(ran["told"]) == 1, context
        (told,) = ran["told"]
        wanted = meant(request)
        if name == "curl":
            assert same(of_curl(cell), wanted), context
        elif name == "openai":
            if is_chat(request):
                given = told["given"]
                extra = given.pop("extra_body", {})
                headers = {key.lower(): value for key, value in given.pop("extra_headers", {}).items()}
                assert {**given, **extra} == json.loads(request["body"]), context
                assert {"content-type": "application/json", **headers} == wanted["headers"], context
        elif "url" in told:
            assert name == "python" or cell.startswith("# A magic cannot send this: "), context
            assert same(of_requests(told), wanted), context
        else:
            assert name == "magic", context
            assert same(of_magic(told), wanted), context
    assert [each.name for each in folder.iterdir() if "canary" in each.name] == []


def test_what_is_pasted_says_what_is_in_the_form_and_runs_nothing_else(tmp_path: Path) -> None:
    found = shown(table())
    assert len(found) > 250
    magics = [each["cells"]["magic"] for each in found]
    assert sum(cell.startswith("%%") for cell in magics) > len(magics) / 2
    check(found, tmp_path)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
PIECE = st.one_of(st.sampled_from(NASTY), TEXT)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | PIECE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PIECE, inner, max_size=3),
    max_leaves=8,
)
FORMS = st.builds(
    form,
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
    path=st.one_of(
        st.sampled_from(["/", "/v1/chat/completions", "/v1/embeddings"]),
        st.lists(PIECE, max_size=3).map(lambda pieces: "/" + "".join(pieces)),
    ),
    headers=st.dictionaries(st.sampled_from(["X-A", "X-B", "Accept"]), PIECE.filter(str.isascii), max_size=2).map(
        lambda found: "\n".join(f"{name}: {value}" for name, value in found.items())
    ),
    body=PIECE,
    public=st.booleans(),
) | st.builds(
    form,
    method=st.sampled_from(["POST", "PUT"]),
    path=st.sampled_from(["/predict", "/v1/chat/completions"]),
    kind=st.just("json"),
    body=st.one_of(JSON, st.dictionaries(PIECE, JSON, max_size=4)).map(json.dumps),
)


@settings(
    max_examples=1, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.lists(FORMS, min_size=80, max_size=80))
def test_so_does_what_is_made_of_any_form(
    tmp_path_factory: pytest.TempPathFactory, forms: list[dict[str, Any]]
) -> None:
    check(shown(forms), tmp_path_factory.mktemp("snippets"))
