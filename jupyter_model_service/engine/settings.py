"""The engine's own figures; all times in seconds. What a user may set per service is in the definition."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.bounds import MOST_REPLICAS


@dataclass(frozen=True)
class EngineSettings:
    """``strict``: an event that is illegal in a replica's phase is a fault of ours and raises (tests);
    otherwise it is logged, and the world is looked at again."""

    launch_timeout: float = 60.0  # until the launcher knows the control address
    find_timeout: float = 30.0  # one look at all replicas
    first_look: float | None = None  # for so long the first one is waited for, before what is stored is believed
    first_contact: float = 15.0  # until a started or adopted runner answers for the first time
    contact_patience: float = 3.0  # a replica out of contact for longer is replaced
    port_timeout: float = 2.0  # one look at a port
    exposure_first: float = 2.0  # from the start command to the first look at where a replica listens
    exposure_loading: float = 5.0  # between two looks while it loads, which may take half an hour
    exposure_interval: float = 30.0  # and after that
    exit_patience: float = 5.0  # beyond stop_timeout, until force is used
    delete_drain: float = 5.0  # open calls of a deleted service
    shutdown_drain: float = 2.0  # open calls when gateway and replicas end together
    shutdown_limit: float = 15.0  # the whole of that
    store_retry: float = 5.0  # between two attempts to write what could not be written
    log_timeout: float = 10.0
    departed_kept: int = 5  # failed replicas per service that are still shown
    max_replicas: int = MOST_REPLICAS
    keep_limit: float = 6 * 3600.0  # reading and copying a folder; whoever waits for it waits longer
    keep_silence: float = 60.0  # without a word about the copy, which is then given up
    look_limit: float = 0.5  # that a look at what changed in a folder may delay an answer
    look_kept: float = 3.0  # what a look found is told for so long, while the next one takes longer than that
    look_share: float = 0.2  # of the time may be spent looking, however often it is asked for
    copies_beside_store: bool = False  # on one disk: to remove some of the ones makes room for the other
    revisions_kept: int = 10  # per service, besides the active, the stable and those that replicas run
    hint_models: str = ""  # said of a replica whose last lines name files below /models, where no such folder is
    stopped_where: str = "from outside"  # said of a replica whose runner was told to stop, but not by us
    audit_kept: float | None = 365 * 86400.0  # of the audit log; None: for ever
    strict: bool = False
