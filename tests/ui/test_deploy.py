"""From a folder in the file browser to an answer that is streamed, and from a bare server to a definition, by mouse."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .laboratory import SERVER, Laboratory, eventually
from .pictures import picture

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect


FUTURE = "from __future__ import annotations\n"  # it has to come first, where it is


def deploy_by_menu(page: Any, name: str) -> Any:
    """Right-click on an entry of the file browser; the form."""
    page.locator(".jp-DirListing-item").filter(has_text=name).first.click(button="right")
    page.get_by_role("menuitem", name="Deploy as Model Service…").click()
    form = page.locator(".jp-ModelService-deploy")
    form.wait_for()
    return form


def refresh_files(page: Any) -> None:
    page.evaluate("window.jupyterapp.commands.execute('filebrowser:refresh')")


def goes_nowhere_else(page: Any, console: Any) -> None:
    """A path that a browser would resolve to one of Jupyter's own addresses, with the user's rights."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    path = console.get_by_label("Path")
    console.get_by_label("Method").select_option("PUT")
    console.get_by_label("Body", exact=True).fill('{"type": "file", "format": "text", "content": "1"}')
    for way in ("/../../../../api/contents/sneaked.py", "/..\\..\\..\\../api/contents/sneaked.py", "/%2e%2e/%2e%2e/x"):
        path.fill(way)
        expect(console.get_by_role("button", name="Send")).to_be_disabled()
        expect(path).to_have_accessible_description(re.compile("no segments of dots"))
        path.press("Control+Enter")
    path.fill("/echo")

    # JupyterLab may put its own workspace away meanwhile.
    def calls(answer: Any) -> bool:
        return answer.request.method == "PUT" and "/lab/api/workspaces/" not in answer.url

    with page.expect_response(calls) as answered:
        path.press("Control+Enter")
    assert answered.value.url.endswith("/model-service/endpoints/ada/words/echo")
    assert not [url for url in asked if "sneaked" in url]


def test_a_folder_is_deployed_and_called(page: Any, laboratory: Laboratory) -> None:
    """A problem at its line, mended in the editor; a dry run; the service, ready; an answer as it comes; a kept call."""
    folder = laboratory.model_folder("words")
    definition = folder / "model-definition.yaml"
    good = definition.read_text()
    definition.write_text(good.replace("port: 8000", "port: 80000"))
    refresh_files(page)
    form = deploy_by_menu(page, "words")
    expect(form.get_by_role("alert")).to_contain_text("1 thing has to be mended")
    expect(form.get_by_role("button", name="Deploy")).to_be_disabled()
    form.get_by_role("button", name="Open model-definition.yaml, line 6").click()
    page.wait_for_function("() => getSelection().toString().trim() === 'port: 80000'")
    mark = page.locator(".jp-FileEditor .jp-ModelService-mark")
    expect(mark).to_contain_text("models[0].service.port must be a whole number")
    page.keyboard.type("    port: 8000")
    page.keyboard.press("Control+s")
    expect(form.get_by_role("alert")).to_have_count(0)
    expect(mark).to_have_count(0)

    form.get_by_role("button", name="Dry Run").click()
    expect(form).to_contain_text("Passed:", timeout=40_000)
    expect(form.get_by_role("log")).to_contain_text("listening")
    with laboratory.client() as client:
        assert client.list() == []

    expect(form.get_by_label("Name", exact=True)).to_have_value("words")
    expect(form.get_by_label("Image")).to_have_count(0)
    form.get_by_role("button", name="Deploy").click()
    view = page.locator(".jp-ModelService-view")
    expect(view).to_contain_text("1 of 1 ready", timeout=40_000)
    expect(form).to_have_count(0)

    view.get_by_role("tab", name="Try").click()
    console = view.get_by_role("tabpanel", name="Try")
    expect(console.get_by_label("Path")).to_have_value("/health")
    console.get_by_label("Path").fill("/stream?events=4&interval=0.5")
    console.get_by_role("button", name="Send").click()
    answer = console.get_by_label("Body of the answer")
    expect(answer).to_contain_text("data: 0")
    assert "data: done" not in answer.inner_text(), "it came whole"
    expect(answer).to_contain_text("data: done")
    expect(console).to_contain_text(re.compile(r"200 .*first byte after \d+ ms · whole after"))
    expect(console.get_by_label("The call", exact=True)).to_contain_text("Bearer $MODEL_SERVICE_TOKEN")
    console.get_by_role("button", name="Keep…").click()
    console.get_by_label("Name of the sample request").fill("stream")
    console.get_by_role("button", name="Keep", exact=True).click()
    expect(console.get_by_label("Sample request", exact=True)).to_have_value("stream")
    assert "/stream?events=4" in (folder / "model-requests.json").read_text()
    goes_nowhere_else(page, console)
    assert not (laboratory.root / "sneaked.py").exists()

    view.get_by_role("tab", name="Share").click()
    view.get_by_role("button", name="Make Public…").click()
    asked = page.get_by_role("dialog")
    expect(asked).to_contain_text("without a token")
    picture(page, "share")
    asked.get_by_role("button", name="Cancel").click()
    expect(view.get_by_role("tabpanel", name="Share")).to_contain_text("Private:")


def test_a_definition_in_the_making_is_judged_as_it_is_typed(page: Any, laboratory: Laboratory) -> None:
    """At its line and in the form, before it is saved, and in one form for the folder and its definition. One that names
    no port cannot be started here; nothing is deployed that is not what is seen."""
    folder = laboratory.model_folder("words")
    definition = folder / "model-definition.yaml"
    good = definition.read_text()
    definition.write_text(good.replace(', --port, "8000"', ""))
    refresh_files(page)
    form = deploy_by_menu(page, "words")
    expect(form.get_by_role("alert")).to_contain_text("1 thing has to be mended")
    expect(form).to_contain_text("says which port to listen on")
    expect(form).to_contain_text("an environment variable whose value is {port}")
    expect(form.get_by_role("button", name="Deploy")).to_be_disabled()
    page.get_by_role("listitem", name="words").dblclick()
    page.locator(".jp-DirListing-item").filter(has_text="model-definition").wait_for()
    deploy_by_menu(page, "model-definition.yaml")
    expect(page.locator(".jp-ModelService-deploy")).to_have_count(1)

    form.get_by_role("button", name="Open model-definition.yaml, line 5").click()
    mark = page.locator(".jp-FileEditor .jp-ModelService-mark")
    expect(mark).to_contain_text("says which port to listen on")
    page.wait_for_function("() => getSelection().toString().includes('start_command')")
    page.keyboard.type('    start_comand: [python, /models/server.py, --port, "8000"]')
    expect(mark.first).to_contain_text("start_comand")
    expect(form.get_by_role("alert")).to_be_visible()
    picture(page, "problems")
    expect(form).to_contain_text("The editor has unsaved changes of model-definition.yaml: save them to deploy them.")
    form.get_by_role("button", name="Open model-definition.yaml, line 5").click()
    page.wait_for_function("() => getSelection().toString().includes('start_comand')")
    page.keyboard.type('    start_command: [python, /models/server.py, --port, "8000"]')
    expect(mark).to_have_count(0)
    expect(form.get_by_role("alert")).to_have_count(0)
    expect(form.get_by_role("button", name="Deploy")).to_be_disabled()
    assert "--port" not in definition.read_text()
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form.get_by_role("button", name="Deploy")).to_be_enabled()
    assert "--port" in definition.read_text()


def form_closes(page: Any) -> None:
    """As it does when it has made a service."""
    page.evaluate("[...jupyterapp.shell.widgets('main')].find(each => each.id.includes(':deploy:')).close()")
    page.locator(".jp-ModelService-deploy").wait_for(state="detached")


def parts_of_the_page(page: Any) -> int:
    return int(page.locator("#jp-main-dock-panel > .lm-DockPanel-tabBar").count())


def test_the_page_is_divided_once_however_many_definitions_are_written(page: Any, laboratory: Laboratory) -> None:
    """What is written is opened beside what was opened before, also when that form has gone."""
    for name in ("one", "two", "three"):
        folder = laboratory.root / name
        folder.mkdir()
        (folder / "server.py").write_text(SERVER.read_text())
    refresh_files(page)
    for name in ("one", "two", "three"):
        page.locator(".jp-DirListing-item").filter(has_text=name).first.click(button="right")
        page.get_by_role("menuitem", name="Deploy as Model Service…").click()
        form = page.locator(".jp-ModelService-deploy").filter(has_text=f"/{name}")
        form.get_by_role("radio", name="A command").check()
        form.get_by_label("Command", exact=True).fill("python server.py --port {port}")
        form.get_by_role("button", name="Write the Files").click()
        expect(form.get_by_label("Name", exact=True)).to_have_value(name)
        editor = page.locator(".jp-FileEditor").filter(has_text=f"- name: {name}")
        expect(editor).to_be_visible()
        expect(form).to_be_visible()
        assert parts_of_the_page(page) == 2
        if name == "one":
            form_closes(page)


def test_a_refusal_is_a_notification_that_says_what_to_do(
    page: Any, laboratory: Laboratory, expected_errors: list[str]
) -> None:
    """Its end is not cut off, and all of it can be read."""
    expected_errors.append("409")
    reason = "The service words cannot be scaled, because " + "there is a long story behind it that nobody knows, " * 3
    advice = "ask Ada for more of them."
    laboratory.model_folder("words")
    with laboratory.client() as client:
        client.create(str(laboratory.root / "words"))
    answer = {"error": {"code": "conflict", "message": f"{reason}; {advice}"}}
    page.route(
        "**/model-service/api/v1/services/ada/words/scale",
        lambda route: route.fulfill(status=409, json=answer, headers={"X-Model-Service-Error": "conflict"}),
    )
    page.evaluate(
        "void window.jupyterapp.commands.execute('jupyter-model-service:scale', {key: 'ada/words', replicas: 2})"
    )
    toast = page.locator(".Toastify__toast")
    expect(toast).to_contain_text("The service words cannot be scaled")
    expect(toast).to_contain_text(advice)
    toast.get_by_role("button", name="Read It All").click()
    expect(page.get_by_role("dialog")).to_contain_text(f"{reason}; {advice}")
    page.get_by_role("dialog").get_by_role("button", name="Ok").click()


def test_a_definition_is_written_for_a_folder_that_has_none(page: Any, laboratory: Laboratory) -> None:
    """The wizard fills in what it finds, shows what it would write, and opens what it has written. A dry run of what
    cannot run says why."""
    folder = laboratory.root / "bare"
    folder.mkdir()
    (folder / "server.py").write_text(f"import sentence_splitter\n{SERVER.read_text()}".replace(FUTURE, ""))
    refresh_files(page)
    form = deploy_by_menu(page, "bare")
    form.get_by_role("radio", name="A command").check()
    form.get_by_label("Command", exact=True).fill("python server.py --port {port}")
    preview = form.get_by_role("region", name="model-definition.yaml")
    expect(preview).to_contain_text("python server.py --port {port}")
    expect(preview).to_contain_text("Starts the server; a shell runs it in this folder.")
    assert not (folder / "model-definition.yaml").exists()
    form.get_by_role("button", name="Write the Files").click()
    expect(form.get_by_label("Name", exact=True)).to_have_value("bare")
    expect(page.locator(".jp-FileEditor")).to_contain_text("python server.py --port {port}")
    expect(form).to_be_visible()
    assert eventually((folder / "model-definition.yaml").exists, "it is written")

    form.get_by_role("button", name="Dry Run").click()
    failed = form.get_by_role("alert").filter(has_text="Failed:")
    expect(failed).to_contain_text("No module named 'sentence_splitter'", timeout=40_000)
    expect(form.get_by_role("log")).to_contain_text("import sentence_splitter")
    picture(page, "dry-run-failed", lambda: failed.scroll_into_view_if_needed())
