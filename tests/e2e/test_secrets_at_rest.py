"""What is sealed in the database of a running gateway: over a kill, an upgrade, and the loss of the key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jupyter_model_service.adapters.at_rest import own_at_rest
from jupyter_model_service.client import Client
from tests.adapters.store.samples import as_before

from .conftest import Gateway, eventually

Model = Callable[..., Path]
VALUE = "a-password-of-the-owners"


def pids(client: Client, name: str) -> dict[str, int | None]:
    return {each.id: each.pid for each in client.get(name).replica_list if each.phase == "ready"}


def ready(client: Client, name: str, count: int) -> dict[str, int | None]:
    eventually(lambda: len(pids(client, name)) == count, f"{count} of {name} are ready")
    return pids(client, name)


def secrets_of(gateway: Gateway) -> list[bytes]:
    """As its replicas have them: each in a file of its own, for this user alone."""
    found = [path.read_text() for path in gateway.data_dir.rglob("spec.json")]
    assert all(VALUE in text for text in found)
    return [text.partition('"secret": "')[2][:64].encode() for text in found]


def database_of(gateway: Gateway) -> bytes:
    return b"".join((gateway.data_dir / f"state.db{end}").read_bytes() for end in ("", "-wal"))


def test_a_gateway_that_is_brought_up_to_date_adopts_what_the_former_one_started(
    gateway: Gateway, model: Model
) -> None:
    """The former one stored secrets as they are. What is left of that in the database is written over."""
    client = gateway.client()
    client.create(str(model()), name="m", replicas=2, environment={"PASSWORD": VALUE})
    before = ready(client, "m", 2)
    kept = [VALUE.encode(), *secrets_of(gateway)]
    assert len(kept) == 3
    assert [each for each in kept if each in database_of(gateway)] == []
    gateway.kill()
    key = gateway.data_dir / "state.key"
    as_before(gateway.data_dir / "state.db", own_at_rest(key))
    key.unlink()
    assert [each for each in kept if each in (gateway.data_dir / "state.db").read_bytes()] == kept
    for _ in range(2):
        gateway.start()
        client = gateway.client()
        assert ready(client, "m", 2) == before
        assert client.get("m").restarts == 0
        assert [each for each in kept if each in database_of(gateway)] == []
        gateway.kill()
    gateway.start()


def test_a_lost_key_is_told_and_costs_the_replicas_and_the_values_alone(gateway: Gateway, model: Model) -> None:
    client = gateway.client()
    client.create(str(model("one")), name="one", environment={"PASSWORD": VALUE})
    client.create(str(model("two")), name="two")
    token = client.generate_token("two", token_name="t")
    before = {**ready(client, "one", 1), **ready(client, "two", 1)}
    gateway.kill()
    (gateway.data_dir / "state.key").unlink()
    gateway.start()
    client = gateway.client()
    assert not ready(client, "two", 1).keys() & before.keys(), "another one in its place"
    assert [each.id for each in client.tokens("two")] == [token.id]
    eventually(lambda: "PASSWORD cannot be read any more" in (client.get("one").reason or ""), "why it is not started")
    assert pids(client, "one") == {}
    assert "state.key is not the one that the database was sealed with" in gateway.log.read_text()
    client.update("one", environment={"PASSWORD": VALUE})
    ready(client, "one", 1)
    servers = [process for process in gateway.processes() if "server.py" in " ".join(process.cmdline())]
    assert len(servers) == 2, "the former ones are gone"
