"""What somebody may look for in the audit log: a slip is told, since what finds nothing looks as if nothing had
happened. Pure."""

from __future__ import annotations

import difflib
import re
from datetime import datetime, timezone

from ..errors import InvalidRequest

__all__ = ["ACTIONS", "WHERE_NAMED", "check_action", "check_target", "moment_of"]

WHERE_NAMED = "docs/operations.md#names-of-operations"

#: The names of operations, as :data:`WHERE_NAMED` has them: of the API, of our pages and of the gateway itself.
ACTIONS = frozenset((
    "create_service", "update_service", "scale_service", "rollback_service", "restart_service", "stop_service",
    "start_service", "delete_service", "validate",
    "list_services", "get_service", "list_events", "stream_events", "read_logs", "list_series", "read_series",
    "set_autoscaling", "adjust_autoscaling", "resume_autoscaling", "end_autoscaling", "add_rule", "remove_rule",
    "add_schedule", "remove_schedule", "get_autoscaling", "list_decisions",
    "share_service", "unshare_service", "set_origins", "get_access",
    "create_token", "change_token", "rotate_token", "revoke_token", "list_tokens", "list_uses",
    "set_limits", "remove_limits", "set_notice", "remove_notice", "get_limits", "overview",
    "list_audit", "export_audit", "read_audit", "export_service_audit", "save_audit",
    "attach", "shutdown", "gateway_info", "offer", "openapi", "definition_schema", "live", "ready", "metrics",
    "oauth_callback", "sign_in", "sign_out", "index", "styles",
    "start_gateway", "stop_gateway", "keep_services", "make_private", "take_back_revision", "give_up_service",
))  # fmt: skip

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?Z?)?", re.ASCII)


def check_action(text: str) -> str:
    """Raises ``InvalidRequest`` for what no operation is called; what was sent is not told."""
    if text in ACTIONS:
        return text
    found = sorted(name for name in ACTIONS if text and text in name.split("_"))
    near = found or difflib.get_close_matches(text, sorted(ACTIONS), n=3)
    hint = f"did you mean {' or '.join(near[:3])}?" if near else f"they are in {WHERE_NAMED}"
    raise InvalidRequest(f"no operation has this name ({hint})")


def check_target(text: str) -> str:
    """Raises ``InvalidRequest`` for what is neither ``owner/name`` nor ``user:alice``."""
    owner, _, name = text.partition("/")
    if (owner and name) or (text.startswith("user:") and text != "user:"):
        return text
    raise InvalidRequest("write a service as OWNER/NAME, or user:NAME for the limits of a user")


def moment_of(text: str) -> float:
    """The Unix time of ``2026-11-30`` (when that day begins), of ``2026-11-30T08:00`` or ``2026-11-30 08:00:00``, all
    of them UTC, or of a Unix time. Raises ``InvalidRequest``."""
    try:
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=timezone.utc).timestamp()
        if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII):
            return float(text)
    except ValueError:  # the 31st of June
        pass
    raise InvalidRequest("write a day such as 2026-11-30, a time such as 2026-11-30T08:00 (UTC), or a Unix time")
