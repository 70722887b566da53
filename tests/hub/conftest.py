"""Fixtures for tests with a real Docker engine and a real JupyterHub; skipped by name where a part is missing.

``hub``           one Hub for the tests of a module: JupyterHub 6.1, managed gateway, ``install()`` with its defaults;
                  another one by ``@pytest.mark.parametrize("hub", [Setup(line=5), …], indirect=True, ids=str)``.
                  Modules that want the same one after the other (``TOGETHER``) share it, if it is as it was
``borrow_hub``    ``borrow_hub(Setup(…))``: the same for a second one, in fixtures of a module
``deploy_hub``    ``deploy_hub(Setup(…))`` starts one for a single test, with everything removed after it;
                  ``wait=False``: does not wait for it (one that must not start)
``docker_engine`` the engine's client (docker.DockerClient); ``network`` the session's docker network;
``notebook_image``  ``notebook_image(6)`` names the image with the package from the working tree; ``base_image`` Debian with python3;
``site_image`` the one with JupyterHub, DockerSpawner and the proxy, of `deploy/compose`
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from .deployment import PROXY, PYTHONS, ROOT, Deployment, Network, Setup, make_network, remove_session
from .own_engine import OwnEngine

HERE = Path(__file__).parent
LIMIT = 300  # seconds for one test: a Hub takes 10 to start and 3 to end, a notebook 5 to 9 (2 cores)
# Modules that have a Hub in common, in the order in which they take it over: it is not started for each anew.
TOGETHER = (
    ("test_service", "test_survival_replicas", "test_service_apart", "test_survival_hub"),
    ("test_launcher_contract", "test_spawner"),
)
running: list[Deployment] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT))
    place = {name: (names[0], at) for names in TOGETHER for at, name in enumerate(names)}
    in_order = iter(sorted(ours, key=lambda item: place.get(item.path.stem, (item.path.stem, 0))))
    items[:] = [next(in_order) if HERE in item.path.parents else item for item in items]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for hub in running:
            hub.trusted = False
            report.sections += [(f"{hub.setup}: {name}", text) for name, text in hub.logs().items()]


@functools.cache
def no_engine() -> str | None:
    """Why there is no engine to test with, or None."""
    told = subprocess.run([str(ROOT / "deploy" / "engine.sh"), "--check"], capture_output=True, text=True, timeout=30)
    return (told.stderr.strip() or "deploy/engine.sh failed") if told.returncode else None


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Any]:
    if (why := no_engine()) is not None:
        pytest.skip(why)
    client = docker.from_env(timeout=120)
    yield client
    client.close()


@pytest.fixture(scope="session")
def network(docker_engine: Any) -> Iterator[Network]:
    made = make_network(docker_engine)
    yield made
    remove_session(docker_engine, made)


@pytest.fixture(scope="session")
def base_image(docker_engine: Any) -> str:
    name = "jupyter-model-service/base:dev"
    if not docker_engine.images.list(name=name) and (os.geteuid() != 0 or shutil.which("debootstrap") is None):
        pytest.skip(f"the image {name} is not built, which needs root and debootstrap: deploy/images/build.sh")
    return name


@pytest.fixture(scope="session")
def notebook_image(base_image: str) -> Callable[[int], str]:
    """Built for the first test that asks; two seconds when only the package changed, nothing when nothing did."""

    @functools.cache
    def build(line: int) -> str:
        command = [str(ROOT / "deploy" / "images" / "build.sh"), f"hub{line}"]
        built = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert built.returncode == 0, built.stderr
        return built.stdout.split()[-1]

    return build


@pytest.fixture(scope="session")
def site_image(base_image: str) -> str:
    """Built for the first test that asks, as the notebooks' is."""
    if not PROXY.exists():
        pytest.skip("JupyterHub's proxy is not installed in .hub: make .hub/.installed-proxy")
    command = [str(ROOT / "deploy" / "images" / "build.sh"), "site"]
    built = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert built.returncode == 0, built.stderr
    return built.stdout.split()[-1]


@pytest.fixture(scope="session")
def make_deployment(
    docker_engine: Any, network: Network, notebook_image: Callable[[int], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Deployment]:
    """A Hub that is not started yet; skips by name what this machine lacks for it."""

    def make(setup: Setup, on: OwnEngine | None = None) -> Deployment:
        if not PROXY.exists():
            pytest.skip("JupyterHub's proxy is not installed in .hub: make .hub/.installed-proxy")
        if not PYTHONS[setup.line].exists():
            pytest.skip("JupyterHub 5.5 is not installed in .venv-hub5: make .venv-hub5/.installed")
        image = notebook_image(setup.line)
        folder = tmp_path_factory.mktemp(f"hub{setup.line}-")
        if on is None:
            return Deployment(setup, folder, network, docker_engine, image)
        on.load(image)
        return Deployment(setup, folder, make_network(on.client, on.next_subnet), on.client, image, on.socket)

    return make


def _started(deployment: Deployment, *, wait: bool = True) -> Iterator[Deployment]:
    running.append(deployment)
    try:
        deployment.start(wait=wait)
        yield deployment
    finally:
        deployment.close()
        running.remove(deployment)


class Hubs:
    """Hubs that were given back as they were, for the next module that wants such a one: not more than two run at once
    for that."""

    def __init__(self, make: Callable[..., Deployment]) -> None:
        self._make = make
        self._idle: dict[Setup, tuple[Deployment, Iterator[Deployment]]] = {}
        self._lent = 0

    @contextlib.contextmanager
    def lend(self, setup: Setup) -> Iterator[Deployment]:
        found = self._idle.pop(setup, None)
        while found is None and self._idle and len(self._idle) + self._lent >= 2:
            self._end(self._idle.pop(next(iter(self._idle))))
        if found is None:
            life = _started(self._make(setup))
            found = next(life), life
        self._lent += 1
        try:
            yield found[0]
        finally:
            self._lent -= 1
            if found[0].setup == setup and found[0].as_it_was():
                self._idle[setup] = found
            else:
                self._end(found)

    @staticmethod
    def _end(found: tuple[Deployment, Iterator[Deployment]]) -> None:
        found[1].close()  # type: ignore[attr-defined]

    def close(self) -> None:
        for found in self._idle.values():
            self._end(found)


@pytest.fixture(scope="session")
def hubs(make_deployment: Callable[..., Deployment]) -> Iterator[Hubs]:
    made = Hubs(make_deployment)
    yield made
    made.close()


@pytest.fixture(scope="module")
def hub(request: pytest.FixtureRequest, hubs: Hubs) -> Iterator[Deployment]:
    with hubs.lend(getattr(request, "param", Setup())) as lent:
        yield lent


@pytest.fixture(scope="module")
def borrow_hub(hubs: Hubs) -> Iterator[Callable[[Setup], Deployment]]:
    with contextlib.ExitStack() as lent:
        yield lambda setup: lent.enter_context(hubs.lend(setup))


@pytest.fixture
def deploy_hub(make_deployment: Callable[..., Deployment]) -> Iterator[Callable[..., Deployment]]:
    open_ones: list[Iterator[Deployment]] = []

    def deploy(setup: Setup, *, wait: bool = True) -> Deployment:
        life = _started(make_deployment(setup), wait=wait)
        open_ones.append(life)
        return next(life)

    yield deploy
    for life in reversed(open_ones):
        life.close()  # type: ignore[attr-defined]
