"""Where a server listens instead of where it should: the clause that a person reads."""

from __future__ import annotations

import pytest

from jupyter_model_service.core.listening import unreached

HERE, THERE = ("127.0.0.1", 8000), ("172.18.0.5", 8000)


@pytest.mark.parametrize(
    ("address", "listens", "said"),
    [
        (HERE, (), "nothing listens on its port 8000 yet"),
        (HERE, (("127.0.0.1", 9000),), "nothing listens on its port 8000 yet; it listens on port 9000"),
        (
            HERE,
            (("0.0.0.0", 9000), ("::", 9000), ("127.0.0.1", 7)),
            "nothing listens on its port 8000 yet; it listens on the ports 7, 9000",
        ),
        (
            THERE,
            tuple(("0.0.0.0", port) for port in (5, 4, 3, 2, 1)),
            "nothing listens on its port 8000 yet; it listens on the ports 1, 2, 3 and 2 more",
        ),
        (
            THERE,
            (("127.0.0.1", 8000), ("0.0.0.0", 9)),
            "its port 8000 cannot be reached: it listens there on 127.0.0.1 only; let it listen on 0.0.0.0",
        ),
        (
            HERE,
            (("::1", 8000),),
            "its port 8000 cannot be reached: it listens there on ::1 only; let it listen on 127.0.0.1",
        ),
        (THERE, (("::", 8000),), "nothing listens on its port 8000 yet"),
        (THERE, (("::ffff:172.18.0.5", 8000),), "nothing listens on its port 8000 yet"),
    ],
    ids=["nowhere", "another", "others", "many", "loopback", "of the other family", "by now", "by now, mapped"],
)
def test_where_it_listens(address: tuple[str, int], listens: tuple[tuple[str, int], ...], said: str) -> None:
    """In a container loopback is nobody's address but its own. What listens by now will be met at the next look."""
    assert unreached(address, listens) == said
