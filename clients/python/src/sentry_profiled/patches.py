"""What is replaced in sentry-sdk, and by what. Each replacement does as the original does unless the agent has this process.

Names, not behaviour: where the SDK looks a thing up at run time, that name is bound to ours. Leaves out the continuous
profiler, which needs no patch (`scheduler`).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Dict

import sentry_sdk
import sentry_sdk.client
import sentry_sdk.scope
from sentry_sdk.envelope import Envelope
from sentry_sdk.profiler import continuous_profiler
from sentry_sdk.tracing import Transaction

from sentry_profiled import functions, options
from sentry_profiled.attach import Attacher, Held
from sentry_profiled.log import logger
from sentry_profiled.session import Root
from sentry_profiled.transaction import NO_PROFILE, Pending, TransactionProfile

if TYPE_CHECKING:
    from sentry_profiled.sdk import Installed

# Other modules' names are theirs to export; these are looked up in these places by the SDK, exported or not.
_client: Any = sentry_sdk.client
_scope: Any = sentry_sdk.scope

#: What the code gave to the client that is being made in this thread.
_making = threading.local()


def apply(installed: "Installed") -> None:
    """Raises before anything is replaced, if this release of the SDK does not have it all."""
    for owner, name in (
        (_client, "DEFAULT_OPTIONS"),
        (_client, "setup_profiler"),
        (_client, "setup_continuous_profiler"),
        (_scope, "Profile"),
        (_scope, "try_profile_lifecycle_trace_start"),
        (continuous_profiler, "_scheduler"),
        (Envelope, "add_profile"),
        (Transaction, "finish"),
    ):
        getattr(owner, name)
    _patch_client(installed)
    _patch_profile(installed)
    _patch_envelope()
    _patch_finish()
    for name in ("profile", "start_profiling_span"):
        if not hasattr(sentry_sdk, name):  # an SDK's own would be better than ours
            setattr(sentry_sdk, name, getattr(functions, name))


def default_options() -> Dict[str, Any]:
    defaults: Dict[str, Any] = _client.DEFAULT_OPTIONS
    return defaults


def _patch_client(installed: "Installed") -> None:
    """A client that is made asks the agent where it would set up the SDK's own profiler."""
    make, setup_transactions, setup_continuous = _client._Client.__init__, _client.setup_profiler, _client.setup_continuous_profiler

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            given = options.given_to(args, kwargs)
        except (TypeError, ValueError):
            given = {}  # the SDK is about to raise what it has to say
        # Those that this release does not know must not reach it: it would raise.
        unknown = {key: kwargs.pop(key) for key in options.PROFILING if key in kwargs and key not in _client.DEFAULT_OPTIONS}
        outer = getattr(_making, "given", None)
        _making.given = given
        try:
            make(self, *args, **kwargs)
        finally:
            _making.given = outer
        for key, value in unknown.items():
            self.options.setdefault(key, value)
        if installed.adopted:
            hook_transport(installed.attacher, self.transport)

    def adopt(client_options: Dict[str, Any]) -> bool:
        given = getattr(_making, "given", None)
        if given is None:  # made by unpickling
            given = options.given_before(client_options, _client.DEFAULT_OPTIONS)
        return installed.adopt(given, client_options)

    def setup_profiler(client_options: Dict[str, Any]) -> Any:
        return adopt(client_options) or setup_transactions(client_options)

    def setup_continuous_profiler(client_options: Dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return adopt(client_options) or setup_continuous(client_options, *args, **kwargs)

    _client._Client.__init__ = init
    _client.setup_profiler = setup_profiler
    _client.setup_continuous_profiler = setup_continuous_profiler


def _patch_profile(installed: "Installed") -> None:
    """A sampled transaction makes itself a `Profile`, whatever the mode."""
    make_profile = _scope.Profile

    def profile_of(sampled: Any, *args: Any, **kwargs: Any) -> Any:
        session, link = installed.session, installed.link
        if not installed.adopted or session is None or link is None:
            return make_profile(sampled, *args, **kwargs)
        if session.mode != "transaction":
            return NO_PROFILE
        link.check_fork()
        return TransactionProfile(session, sampled, installed.sampler)

    _scope.Profile = profile_of


def _patch_envelope() -> None:
    """A profile that is yet to come is no item: whoever sees the envelope before the attacher does sees it without."""
    add_profile = Envelope.add_profile

    def add(self: Any, profile: Any) -> None:
        if type(profile) is Pending:
            self._sentry_profiled = profile
        else:
            add_profile(self, profile)

    setattr(Envelope, "add_profile", add)  # noqa: B010


def _patch_finish() -> None:
    """The SDK ends a root span's profiles at the end of its `with` only. A transaction that is finished has ended however it was."""
    finish = Transaction.finish

    def finish_transaction(self: Any, *args: Any, **kwargs: Any) -> Any:
        root = getattr(self, "_continuous_profile", None)
        if type(root) is Root:
            root.stop()
        profile = getattr(self, "_profile", None)
        if type(profile) is TransactionProfile:
            profile.stop()
        return finish(self, *args, **kwargs)

    setattr(Transaction, "finish", finish_transaction)  # noqa: B010


def hook_transport(attacher: Attacher, transport: Any) -> None:
    """Envelopes with a profile to come go by way of the attacher; a flush waits for them first."""
    if transport is None or getattr(transport, "_sentry_profiled", False):
        return
    send, flush = transport.capture_envelope, transport.flush

    def capture_envelope(envelope: Any) -> None:
        pending = getattr(envelope, "_sentry_profiled", None)
        if pending is None:
            send(envelope)
            return
        envelope._sentry_profiled = None
        attacher.hold(Held(transport, send, envelope, pending["event_id"], pending))

    def flush_held_first(timeout: float, callback: Any = None) -> Any:
        if not attacher.waiting():
            return flush(timeout, callback)
        loop = getattr(transport, "loop", None)
        if loop is None:
            return flush(attacher.drain(transport, timeout), callback)

        # A transport that runs in an event loop is flushed from it: nothing may wait there.
        async def flush_in_the_background() -> None:
            left = await loop.run_in_executor(None, attacher.drain, transport, timeout)
            task = flush(left, callback)
            if task is not None:
                await task

        return loop.create_task(flush_in_the_background())

    try:
        transport.capture_envelope = capture_envelope
        transport.flush = flush_held_first
        transport._sentry_profiled = True
    except AttributeError:
        logger.debug("%r cannot be hooked into; its transactions have no profiles.", transport)
