"""How gateway and runner prove to each other that they know a replica's secret, which never crosses the wire.

``runner/PROTOCOL.md`` is the rule; the runner has its own copy of this, since it imports nothing of ours. The
role comes first in what is signed, so that neither side's proof can be sent back to it as the other's.
"""

from __future__ import annotations

import hmac


def runner_proof(secret: str, replica: str, gateway_nonce: str, runner_nonce: str) -> str:
    """What the runner must answer to the gateway's nonce. Hex."""
    return _sign(secret, "runner", replica, gateway_nonce, runner_nonce)


def gateway_proof(secret: str, replica: str, gateway_nonce: str, runner_nonce: str) -> str:
    """What the gateway must answer to the runner's nonce. Hex."""
    return _sign(secret, "gateway", replica, runner_nonce, gateway_nonce)


def proofs_match(given: str, expected: str) -> bool:
    """In a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("ascii"))


def _sign(secret: str, *words: str) -> str:
    return hmac.digest(secret.encode("utf-8"), "|".join(words).encode("utf-8"), "sha256").hex()
