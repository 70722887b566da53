"""What a definition becomes when it is run, as declared and as a process beside others."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jupyter_model_service.core.command import RunPlan, cannot_start, container_spec, resolve
from jupyter_model_service.core.definition import Action, Definition
from jupyter_model_service.core.revision import Revision
from jupyter_model_service.core.words import Place, Rewriter
from jupyter_model_service.errors import InvalidRequest

FREE = 21007
FOLDER = "/home/ann/models/koalpaca"
ODD = '/home/ann o\'neil/$my "models"'

ARTICLE = Definition(
    name="KoAlpaca-5.8B-model",
    model_path="/models/KoAlpaca-5.8B",
    port=8000,
    start_command=("uvicorn", "--app-dir", "/models", "chatbot-api:app", "--port", "8000", "--host", "0.0.0.0"),
    pre_start_actions=(Action("run_command", {"command": ["pip3", "install", "-r", "/models/requirements.txt"]}),),
)


def definition(command: Any, **fields: Any) -> Definition:
    values: dict[str, Any] = {"name": "m", "model_path": "/models", "port": 8000, "start_command": command}
    return Definition(**{**values, **fields})


def local(wanted: Definition, folder: str = FOLDER, **options: Any) -> RunPlan:
    return resolve(wanted, service="s", replica="s-abc123", port=FREE, folder=folder, **options)


def declared(wanted: Definition, **options: Any) -> RunPlan:
    return resolve(wanted, service="s", replica="s-abc123", **options)


def rewriter(folder: str = FOLDER) -> Rewriter:
    return Rewriter(Place(declared=8000, port=FREE, model_path=folder, folder=folder, host="127.0.0.1"))


def argument(text: str) -> str:
    return rewriter().arguments([text], serves=True)[0]


def test_the_article_runs_beside_others() -> None:
    plan = local(ARTICLE)
    assert plan.argv == (
        *("uvicorn", "--app-dir", FOLDER, "chatbot-api:app", "--port", str(FREE), "--host", "127.0.0.1"),
    )
    assert plan.actions[0].args["command"] == ["pip3", "install", "-r", f"{FOLDER}/requirements.txt"]
    assert plan.cwd == plan.environment["BACKEND_MODEL_PATH"] == f"{FOLDER}/KoAlpaca-5.8B"
    assert plan.environment["PORT"] == plan.environment["MODEL_SERVICE_PORT"] == str(FREE)
    assert plan.environment["MODEL_SERVICE_REPLICA"] == "s-abc123"


def test_in_a_container_the_article_stays_as_written() -> None:
    plan = declared(ARTICLE)
    assert plan.argv == ARTICLE.start_command
    assert plan.actions == ARTICLE.pre_start_actions
    assert plan.cwd == "/models/KoAlpaca-5.8B"
    assert plan.environment["PORT"] == "8000"


def test_a_container_gets_the_runners_specification_for_the_declared_port_and_path() -> None:
    revision = Revision(3, "/home/ann/m", ARTICLE, 0.0, environment=(("MODE", "fast"), ("JUPYTERHUB_USER", "me")))
    spec = container_spec(revision, service="s", replica="s-abc123", abandon_after=60.0)
    assert spec["command"] == list(ARTICLE.start_command or ())
    assert (spec["cwd"], spec["overlay"], spec["directory"]) == ("/models/KoAlpaca-5.8B", "/tmp/ms-env", None)
    assert spec["environment"] == {**declared(ARTICLE).environment, "MODE": "fast", "JUPYTERHUB_USER": "me"}
    assert spec["actions"] == [
        {"action": a.kind, "args": dict(a.args), "ref": a.ref} for a in ARTICLE.pre_start_actions
    ]
    assert (spec["stop_grace"], spec["abandon_after"]) == (10.0, 60.0)
    assert {"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"} <= set(spec["unset"])
    assert "JUPYTERHUB_USER" not in spec["unset"]
    assert not {"replica", "secret", "control"} & set(spec)
    assert json.loads(json.dumps(spec)) == spec


def test_a_relative_model_path_is_below_the_folder_in_a_container() -> None:
    assert declared(replace(ARTICLE, model_path="weights/7b")).cwd == "/models/weights/7b"
    assert declared(replace(ARTICLE, model_path="/opt/m")).cwd == "/opt/m"


def test_a_container_without_start_command_is_refused() -> None:
    revision = Revision(1, "/m", replace(ARTICLE, start_command=None), 0.0)
    with pytest.raises(InvalidRequest, match="add a start_command"):
        container_spec(revision, service="s", replica="s-abc123", abandon_after=None)


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("8000", "21007"),
        ("--port=8000", "--port=21007"),
        ("--bind=127.0.0.1:8000", "--bind=127.0.0.1:21007"),
        ("localhost:8000", "localhost:21007"),
        ("tcp:8000", "tcp:21007"),
        ("http://localhost:8000/", "http://localhost:21007/"),
        ("{port}", "21007"),
        ("--x=a{port}b", "--x=a21007b"),
        ('{"port":{port}}', '{"port":21007}'),
        # only the whole number, and only at the end
        *((same, same) for same in ("18000", "80001", "--n=80000", "8000x", "a8000", "--ports=8000,8001", "8000:80")),
        # somebody else's port of the same number
        *((same, same) for same in ("http://10.0.0.7:8000", "db.example:8000", "http://db:8000/", "--to=a.b:8000")),
        # braces of others
        *((same, same) for same in ("{{port}}", "${port}", '{"port": 8000}', "{ports}", "{ port }", "{}")),
    ],
)
def test_the_port_in_an_argument(written: str, becomes: str) -> None:
    assert argument(written) == becomes


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "127.0.0.1"),
        ("[::]", "127.0.0.1"),
        ("--host=0.0.0.0", "--host=127.0.0.1"),
        ("--host=::", "--host=127.0.0.1"),
        ("0.0.0.0:8000", "127.0.0.1:21007"),
        ("[::]:8000", "127.0.0.1:21007"),
        ("http://0.0.0.0:8000", "http://127.0.0.1:21007"),
        ("--bind=0.0.0.0:{port}", "--bind=127.0.0.1:21007"),
        ("--metrics=0.0.0.0:9090", "--metrics=127.0.0.1:9090"),
        # no host is every address
        (":8000", "127.0.0.1:21007"),
        ("--listen=*:8000", "--listen=127.0.0.1:21007"),
        *((same, same) for same in ("10.0.0.0", "0.0.0.0/0", "a::", "ns::name", "--x=0.0.0.01", "*", "", "127.0.0.1")),
    ],
)
def test_the_address_in_an_argument(written: str, becomes: str) -> None:
    assert argument(written) == becomes


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("/models", FOLDER),
        ("/models/", f"{FOLDER}/"),
        ("/models/a b/c.py", f"{FOLDER}/a b/c.py"),
        ("--app-dir=/models/x", f"--app-dir={FOLDER}/x"),
        ("a=/models/a,b=/models/b", f"a={FOLDER}/a,b={FOLDER}/b"),
        ("/opt/lib:/models", f"/opt/lib:{FOLDER}"),
        ('{"model": "/models/draft"}', f'{{"model": "{FOLDER}/draft"}}'),
        ("{model_path}/w.bin", f"{FOLDER}/w.bin"),
        *((s, s) for s in ("/models2", "/models-x", "/srv/models", "models", "x/models", "http://h/models/y")),
    ],
)
def test_the_folder_in_an_argument(written: str, becomes: str) -> None:
    assert argument(written) == becomes


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("uvicorn app:app --port 8000 --host 0.0.0.0", f"uvicorn app:app --port {FREE} --host 127.0.0.1"),
        ("cd /models && exec run --port=8000;true", f"cd {FOLDER} && exec run --port={FREE};true"),
        ("run '/models/x' \"/models/y\"", f"run '{FOLDER}/x' \"{FOLDER}/y\""),
        ("A=/models/a run --bind '0.0.0.0:8000'", f"A={FOLDER}/a run --bind '127.0.0.1:{FREE}'"),
        ('run "0.0.0.0":8000', f'run "127.0.0.1":{FREE}'),
        ('run --at="$HOST":8000', f'run --at="$HOST":{FREE}'),
        ('bash -c "cd /models; run --port 8000"', f'bash -c "cd {FOLDER}; run --port {FREE}"'),
        ('X="$(cat "/models/x y")" run {port}', f'X="$(cat "{FOLDER}/x y")" run {FREE}'),
        ("run ${DIR:-/models/x} {port}", f"run ${{DIR:-{FOLDER}/x}} {FREE}"),
        ("run -p 8000\\\n --host 0.0.0.0", f"run -p {FREE}\\\n --host 127.0.0.1"),
        ("run -p 8000 \\\n --dir /models\n", f"run -p {FREE} \\\n --dir {FOLDER}\n"),
        ("run 8000 # don't touch /models\nls /models", f"run {FREE} # don't touch /models\nls {FOLDER}"),
        ("""run --json '{"a": {"b": 1}}' "{x}" {port}""", f"""run --json '{{"a": {{"b": 1}}}}' "{{x}}" {FREE}"""),
        ("(cd /models; run 8000) & x=`ls /models`", f"(cd {FOLDER}; run {FREE}) & x=`ls {FOLDER}`"),
        ('x=`echo "` run /models', f'x=`echo "` run {FOLDER}'),  # a quote that is never closed
        ("wget http://db:8000", None),
        # not a start of a word, not the folder, not the port
        ('run $(pwd)/models `pwd`/models/x "$(pwd)/models" "$(echo "$(pwd)")/models"', None),
        ('run "$ROOT"/models/x $ROOT/models ${port} /models2 80"00"', None),
        ("echo 'it costs $8000' a8000 8000a", None),
    ],
)
def test_a_script_is_rewritten_word_by_word(written: str, becomes: str | None) -> None:
    assert rewriter().script(written, serves=True) == (written if becomes is None else becomes)


@pytest.mark.parametrize(
    "script",
    [
        "printf '%s\\n' /models/x",
        "printf '%s\\n' '/models/x'",
        "printf '%s\\n' \"/models/x\"",
        "printf '%s\\n' \"{model_path}\"/x",
        "printf '%s\\n' {model_path}'/x'",
        "printf '%s\\n' \"$(printf '%s' \"/models/x\")\"",
        "printf '%s\\n' $'/models/x'",
        'printf \'%s%s\\n\' "$(true)" "/models/x"',
        "printf '%s%s\\n' \"`true`\" '/models/x'",
        "(printf '%s\\n' \"$( (true) )\"'' /models/x) | tail -n 1",
    ],
)
def test_a_folder_with_odd_characters_stays_one_word_between_any_quotes(script: str) -> None:
    """The shell itself is the judge."""
    written = rewriter(ODD).script(script, serves=True)
    shown = subprocess.run(["bash", "-c", written], capture_output=True, text=True, check=True, timeout=30)
    assert shown.stdout == f"{ODD}/x\n"


@pytest.mark.parametrize(
    "argv",
    [
        ["bash", "-c", "cd /models && run --port 8000"],
        ["/bin/sh", "-ec", "cd /models && run --port 8000"],
        ["env", "A=1", "bash", "-eu", "-o", "pipefail", "-c", "cd /models && run --port 8000"],
    ],
)
def test_the_script_of_a_listed_shell_is_a_script(argv: list[str]) -> None:
    assert local(definition(tuple(argv))).argv[-1] == f"cd {FOLDER} && run --port {FREE}"


def test_an_argument_of_a_shell_program_is_no_script() -> None:
    assert local(definition(("bash", "-x", "-l", "8000"))).argv == ("bash", "-x", "-l", str(FREE))
    argv = ("bash", "serve.sh", "-c", "cd /models", "8000")
    assert local(definition(argv)).argv == ("bash", "serve.sh", "-c", "cd /models", str(FREE))


def test_a_text_runs_in_its_shell_or_is_split() -> None:
    text = "run --name 'a b' --port 8000"
    assert local(definition(text)).argv == ("/bin/bash", "-c", f"run --name 'a b' --port {FREE}")
    for none in (None, ""):
        assert local(definition(text, shell=none)).argv == ("run", "--name", "a b", "--port", str(FREE))
    assert declared(definition("vllm serve {model_path} --port {port}")).argv[2] == "vllm serve /models --port 8000"
    with pytest.raises(InvalidRequest, match="close the quote"):
        local(definition("run 'a --port 8000", shell=None))


@pytest.mark.parametrize("command", [None, "", "  ", ()])
def test_no_start_command_is_the_images_own_and_nothing_to_run_here(command: Any) -> None:
    assert declared(definition(command)).argv == ()
    with pytest.raises(InvalidRequest, match="no start_command"):
        local(definition(command))


def test_a_command_that_does_not_name_its_port_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidRequest, match=r"write \{port\} where the port \(8000\)"):
        local(definition(("python", "app.py")))
    assert declared(definition(("python", "app.py"))).argv == ("python", "app.py")


@pytest.mark.parametrize(
    "name", ["$PORT", "${PORT}", "${PORT:-8000}", '"$MODEL_SERVICE_PORT"', "${MODEL_SERVICE_PORT}"]
)
def test_the_variables_name_the_port_in_a_script_only(name: str) -> None:
    assert local(definition(f"run --port {name}")).argv[2] == f"run --port {name}"
    with pytest.raises(InvalidRequest):
        local(definition(("run", name)))


def test_other_variables_do_not_name_the_port() -> None:
    for name in ("$PORTS", "$MY_PORT", "\\$PORT", "PORT"):
        with pytest.raises(InvalidRequest):
            local(definition(f"run {name}"))


def test_the_port_may_come_by_a_variable_or_a_written_file() -> None:
    plan = local(definition(("run",)), environment=(("APP_PORT", "{port}"), ("HOME_DIR", "/models/h"), ("N", "8000")))
    assert (plan.environment["APP_PORT"], plan.environment["N"]) == (str(FREE), "8000")
    assert plan.environment["HOME_DIR"] == f"{FOLDER}/h"
    body = ["listen {port};", "root /models; # { }", "8000"]
    file = Action("write_file", {"filename": "/models/x.conf", "body": body, "append": False})
    plan = local(definition(("run",), pre_start_actions=(file,)))
    assert plan.actions[0].args == {
        "filename": f"{FOLDER}/x.conf",
        "body": [f"listen {FREE};", "root /models; # { }", "8000"],
        "append": False,
    }


def test_actions_map_paths_but_no_ports_nor_addresses() -> None:
    actions = (
        Action("mkdir", {"path": "/models/cache"}),
        Action("run_command", {"command": ["sh", "-c", "ls '/models/a'", "8000", "0.0.0.0"], "echo": True}, ref="r"),
        Action("log", {"message": "in /models on {port}"}),
    )
    plan = local(definition(("run", "8000"), pre_start_actions=actions))
    assert plan.actions[0].args == {"path": f"{FOLDER}/cache"}
    assert plan.actions[1] == Action(
        "run_command", {"command": ["sh", "-c", f"ls '{FOLDER}/a'", "8000", "0.0.0.0"], "echo": True}, ref="r"
    )
    assert plan.actions[2].args == {"message": f"in /models on {FREE}"}


def test_a_value_that_grows_beyond_what_a_program_can_be_given_is_refused() -> None:
    """A path of the container is shorter than what it stands for."""
    own = (("PATHS", ":".join(["/models/x"] * 13_000)),)
    assert declared(ARTICLE, environment=own).environment["PATHS"] == own[0][1]
    with pytest.raises(InvalidRequest, match=r"The environment variable PATHS has .* bytes with its name"):
        local(ARTICLE, environment=own)


def test_the_users_values_win_but_not_over_what_must_be_true() -> None:
    own = (("BACKEND_MODEL_NAME", "mine"), ("BACKEND_MODEL_PATH", "/x"), ("PORT", "9"), ("MODEL_SERVICE_PORT", "9"))
    values = local(ARTICLE, environment=own).environment
    assert values["BACKEND_MODEL_NAME"] == "mine"
    assert values["BACKEND_MODEL_PATH"] == f"{FOLDER}/KoAlpaca-5.8B"
    assert values["PORT"] == values["MODEL_SERVICE_PORT"] == str(FREE)
    assert declared(ARTICLE, environment=own).environment["PORT"] == "9"
    assert declared(ARTICLE).environment["BACKEND_MODEL_NAME"] == "s"


@pytest.mark.parametrize(
    ("model_path", "cwd"),
    [
        ("/models", FOLDER),
        ("/models/", FOLDER),
        ("/models/a", f"{FOLDER}/a"),
        ("a", f"{FOLDER}/a"),
        ("/opt/m", "/opt/m"),
    ],
)
def test_the_model_path_on_this_machine(model_path: str, cwd: str) -> None:
    assert local(definition(("run", "8000"), model_path=model_path), FOLDER + "/").cwd == cwd


# --- properties ----------------------------------------------------------------------------------------

NAMING = [
    "8000",
    "/models",
    "/models/x",
    "0.0.0.0",
    "::",
    "--port=",
    "--host=",
    ":",
    "{port}",
    "{model_path}",
    "{",
    "}",
]
parts = st.sampled_from([*NAMING, "run", "-", "$", "\\", "a.b", "http://", ",", "/", "80", "x y", "'", '"', "é"])
pieces = st.lists(parts, max_size=5).map("".join)


naming_nothing = st.text().filter(lambda t: not any(w in t for w in ("8000", "models", "0.0.0", "::", "port", "path")))


@given(st.lists(naming_nothing))
def test_words_that_name_nothing_stay_as_they_are(argv: list[str]) -> None:
    subject = rewriter()
    assert list(subject.arguments(argv, serves=True)) == argv
    assert not subject.names_port


@given(naming_nothing)
def test_any_text_can_be_a_script_and_one_that_names_nothing_stays(script: str) -> None:
    assert rewriter().script(script, serves=True) == script


@given(pieces)
def test_rewriting_twice_is_rewriting_once(text: str) -> None:
    """But for a folder that is glued to another one: what comes of it first reads as a file below /models then."""
    assume("/models{model_path}" not in text)
    once = argument(text)
    assert argument(once) == once
    script = rewriter().script(text, serves=True)
    assert rewriter().script(script, serves=True) == script


@given(st.lists(pieces.filter(lambda p: "\\" not in p), max_size=4), st.sampled_from([shlex.quote, "plain"]))
def test_a_script_of_quoted_words_becomes_those_words_rewritten(words: list[str], quote: Any) -> None:
    """shlex is the judge: quoting, rewriting and splitting is the same as rewriting each word."""
    plain = [w for w in words if not set(w) & set("'\" \\$;&|<>()`#")]
    kept = plain if quote == "plain" else [w for w in words if not set(w) & set("'\" ")]
    written = " ".join(kept) if quote == "plain" else " ".join(shlex.quote(w) for w in kept)
    for folder in (FOLDER, ODD):
        subject = rewriter(folder)
        expected = [a for a in subject.arguments(kept, serves=True) if quote != "plain" or a]
        assert shlex.split(rewriter(folder).script(written, serves=True)) == expected


@given(
    st.recursive(
        st.none() | st.integers(0, 99) | st.text("abc é"), lambda v: st.lists(v) | st.dictionaries(st.text("ab"), v)
    )
)
def test_json_in_an_argument_stays_as_written(value: Any) -> None:
    text = json.dumps(value)
    assert argument(text) == text
    assert rewriter().script(f"run {shlex.quote(text)} {{port}}", serves=True) == f"run {shlex.quote(text)} {FREE}"


def test_a_replica_has_the_names_that_a_backend_ai_session_has() -> None:
    environment = local(ARTICLE).environment
    assert {name: value for name, value in environment.items() if name.startswith("BACKEND")} == {
        "BACKEND_MODEL_NAME": "s",
        "BACKEND_MODEL_PATH": f"{FOLDER}/KoAlpaca-5.8B",
        "BACKENDAI_SESSION_ID": "s-abc123",
        "BACKENDAI_SESSION_NAME": "s-abc123",
        "BACKENDAI_KERNEL_ID": "s-abc123",
        "BACKENDAI_SERVICE_PORTS": f"KoAlpaca-5.8B-model-8000:inference:{FREE}",
        "BACKENDAI_CLUSTER_SIZE": "1",
        "BACKENDAI_CLUSTER_ROLE": "main",
        "BACKENDAI_CLUSTER_IDX": "1",
        "BACKENDAI_CLUSTER_LOCAL_RANK": "0",
    }


@pytest.mark.parametrize(
    ("command", "environment", "said"),
    [
        (("run", "8000"), (), None),
        ("serve --port $PORT", (), None),
        (
            ("run",),
            (),
            "write {port} where the port (8000) belongs, or set an environment variable whose value is {port}",
        ),
        (("run",), (("WHERE", "{port}"),), None),
        (None, (("WHERE", "{port}"),), "add a start_command"),
        ("run 'open", (), "cannot be split into words"),
    ],
)
def test_what_cannot_be_started_here_is_known_without_a_folder(
    command: Any, environment: Any, said: str | None
) -> None:
    """In the very words in which the start of a replica refuses it."""
    wanted = definition(command, shell="/bin/sh" if command == "serve --port $PORT" else None)
    reason = cannot_start(wanted, here=True, environment=environment)
    if said is None:
        assert reason is None
        assert local(wanted, environment=environment).argv
    else:
        assert reason is not None
        assert said in reason
        with pytest.raises(InvalidRequest) as refused:
            local(wanted, environment=environment)
        assert refused.value.message == reason


def test_a_container_keeps_the_declared_port() -> None:
    """Nothing need name it there; the image's own command does not run there, either."""
    assert cannot_start(definition(("run",)), here=False) is None
    reason = cannot_start(definition(None), here=False)
    assert reason is not None
    with pytest.raises(InvalidRequest) as refused:
        container_spec(Revision(1, "/f", definition(None), 0.0), service="s", replica="s-1", abandon_after=None)
    assert refused.value.message == reason
