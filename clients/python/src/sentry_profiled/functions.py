"""`sentry_sdk.profile()` and `sentry_sdk.start_profiling_span()`: one function, one block.

Both do nothing but call through while nothing is profiled here. What runs in between but does not belong to it is left
out: other tasks while a coroutine waits, the consumer of a generator.
"""

from __future__ import annotations

import functools
import inspect
import types
from typing import Any, Callable, Dict, Generator, List, Optional

from sentry_profiled import board as boards
from sentry_profiled import native, sdk
from sentry_profiled.log import logger, warn_once
from sentry_profiled.session import Call


def profile(func: Any = None, *, name: Optional[str] = None) -> Any:
    """Profiles each call of the function: `@sentry_sdk.profile`, `@sentry_sdk.profile()` or `@sentry_sdk.profile(name="…")`.

    For functions, coroutine functions, generator functions, and methods of any kind. Without `name`, samples are marked with the
    function's module and qualified name.
    """
    if func is None:
        return functools.partial(profile, name=name)
    if isinstance(func, (classmethod, staticmethod)):
        return type(func)(profile(func.__func__, name=name))
    if inspect.isclass(func) or not callable(func):
        warn_once("profile of", "sentry_sdk.profile() is for functions; %r is left as it is.", func)
        return func
    marked = str(name or _name_of(func))
    if inspect.iscoroutinefunction(func):
        return _coroutine_function(func, marked)
    if inspect.isasyncgenfunction(func):
        return _async_generator_function(func, marked)
    if inspect.isgeneratorfunction(func):
        return _generator_function(func, marked)
    return _function(func, marked)


class start_profiling_span:  # noqa: N801 - used as a function
    """Profiles a block: `with sentry_sdk.start_profiling_span(description="…"):`. In a transaction it is a span of that, too."""

    def __init__(self, description: Optional[str] = None, *, name: Optional[str] = None) -> None:
        self._name = str(name or description or "block")
        self._call: Optional[Call] = None
        self._span: Any = None

    def __enter__(self) -> "start_profiling_span":
        self._call = _open(boards.BLOCK, self._name)
        if self._call is not None:
            self._span = _enter_span(self._name)
        return self

    def __exit__(self, ty: Any, value: Any, tb: Any) -> None:
        span, self._span = self._span, None
        if span is not None:
            try:
                span.__exit__(ty, value, tb)
            except Exception:
                logger.debug("The span of a profiled block cannot be ended.", exc_info=True)
        call, self._call = self._call, None
        if call is not None:
            call.close()


def _open(kind: int, name: str, runs: bool = True) -> Optional[Call]:
    session = sdk.current()
    return session.open_call(kind, name, runs) if session is not None else None


def _name_of(func: Any) -> str:
    qualified = getattr(func, "__qualname__", None) or type(func).__qualname__
    module = getattr(func, "__module__", None)
    return "{}.{}".format(module, qualified) if module else qualified


def _enter_span(name: str) -> Any:
    """A child of the span that is open here; None if none is."""
    import sentry_sdk

    try:
        traces = sdk.streaming_traces()
        if traces is not None:
            if traces.get_current_span() is None:
                return None
            span = traces.start_span(name, attributes={"sentry.op": "profile.block"})
        else:
            if sentry_sdk.get_current_span() is None:
                return None
            span = sentry_sdk.start_span(op="profile.block", name=name)
        return span.__enter__()
    except Exception:
        logger.debug("A profiled block has no span.", exc_info=True)
        return None


def _function(func: Callable[..., Any], name: str) -> Callable[..., Any]:
    #: Threads that are in it: how deep, and the outermost call, which is the one that is noted. (A recursion would else fill the board.)
    inside: Dict[int, List[Any]] = {}

    @functools.wraps(func)
    def profiled(*args: Any, **kwargs: Any) -> Any:
        if sdk.current() is None:
            return func(*args, **kwargs)
        thread = native.get_ident()
        entry = inside.get(thread)
        if entry is None:
            entry = inside[thread] = [0, _open(boards.FUNCTION, name)]
        entry[0] += 1
        try:
            return func(*args, **kwargs)
        finally:
            entry[0] -= 1
            if entry[0] == 0:
                # Not `del`: a forked child, or greenlets, may have made another of it.
                if inside.get(thread) is entry:
                    inside.pop(thread, None)
                if entry[1] is not None:
                    entry[1].close()

    return profiled


def _coroutine_function(func: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(func)
    async def profiled(*args: Any, **kwargs: Any) -> Any:
        call = _open(boards.FUNCTION, name, runs=False)
        if call is None:
            return await func(*args, **kwargs)
        try:
            return await _awaited(func(*args, **kwargs), call)
        finally:
            call.close()

    return profiled


def _generator_function(func: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(func)
    def profiled(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = _open(boards.FUNCTION, name, runs=False)
        if call is None:
            return (yield from func(*args, **kwargs))
        try:
            return (yield from _steps(func(*args, **kwargs), call))
        finally:
            call.close()

    return profiled


def _async_generator_function(func: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(func)
    async def profiled(*args: Any, **kwargs: Any) -> Any:
        call = _open(boards.FUNCTION, name, runs=False)
        generator = func(*args, **kwargs)
        step = generator.asend(None)
        try:
            while True:
                try:
                    item = await (step if call is None else _awaited(step, call))
                except StopAsyncIteration:
                    return
                try:
                    step = generator.asend((yield item))
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as error:
                    step = generator.athrow(error)
        finally:
            if call is not None:
                call.close()

    return profiled


def _steps(inner: Any, call: Call) -> Generator[Any, Any, Any]:
    """`yield from inner`, with the call open only while `inner` itself runs."""
    step, argument = inner.send, None
    while True:
        call.resume()
        try:
            yielded = step(argument)
        except StopIteration as stop:
            return stop.value
        finally:
            call.suspend()
        try:
            argument = yield yielded
            step = inner.send
        except GeneratorExit:
            call.resume()
            try:
                inner.close()
            finally:
                call.suspend()
            raise
        except BaseException as error:
            step, argument = inner.throw, error


_awaited = types.coroutine(_steps)
