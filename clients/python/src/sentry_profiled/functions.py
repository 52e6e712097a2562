"""`sentry_sdk.profile()` and `sentry_sdk.start_profiling_span()`: one function, one block.

Both do nothing but call through while nothing is profiled here. What runs in between but does not belong to it is left
out: other tasks while a coroutine waits, the consumer of a generator.
"""

from __future__ import annotations

import functools
import inspect
import types
import weakref
from contextvars import ContextVar
from typing import Any, Callable, Dict, Generator, List, Optional, Tuple

from sentry_profiled import board as boards
from sentry_profiled import native, sdk
from sentry_profiled.log import logger, warn_once
from sentry_profiled.session import Call

#: Of one `start_profiling_span` object, blocks that are noted at once: one that is entered and never left must not fill the board.
BLOCKS_MAX = 64


def profile(func: Any = None, *, name: Optional[str] = None) -> Any:
    """Profiles each call of the function: `@sentry_sdk.profile`, `@sentry_sdk.profile()` or `@sentry_sdk.profile(name="…")`.

    For functions, coroutine functions, generator functions, and methods of any kind. Without `name`, samples are marked with the
    function's module and qualified name.
    """
    if func is None:
        return functools.partial(profile, name=name)
    try:
        return _profiled(func, name)
    except Exception:  # a proxy that stands for nothing yet, say; the program is to go on
        warn_once("profile of", "sentry_sdk.profile() cannot take %s; it is left as it is.", type(func))
        logger.debug("Cannot be profiled.", exc_info=True)
        return func


def _profiled(func: Any, name: Optional[str]) -> Any:
    if isinstance(func, (classmethod, staticmethod)):
        return type(func)(profile(func.__func__, name=name))
    if inspect.isclass(func) or not callable(func):
        warn_once("profile of", "sentry_sdk.profile() is for functions; %r is left as it is.", func)
        return func
    marked = str(name or _name_of(func))
    flags = _flags_of(func)
    if flags & inspect.CO_COROUTINE:
        return _coroutine_function(func, marked)
    if flags & inspect.CO_ASYNC_GENERATOR:
        return _async_generator_function(func, marked)
    if flags & inspect.CO_GENERATOR:
        generator_function = _generator_function(func, marked)
        # What `types.coroutine` made awaitable must stay so.
        return types.coroutine(generator_function) if flags & inspect.CO_ITERABLE_COROUTINE else generator_function
    if inspect.iscoroutinefunction(func):
        return _marked_function(func, marked)
    return _function(func, marked)


class start_profiling_span:  # noqa: N801 - used as a function
    """Profiles a block: `with sentry_sdk.start_profiling_span(description="…"):`. In a transaction it is a span of that, too.

    One object may be entered again, also while it is entered: by the same code, other threads, other tasks.
    """

    def __init__(self, description: Optional[str] = None, *, name: Optional[str] = None) -> None:
        self._name = str(name or description or "block")
        #: The blocks that are open, the last one last. (A dict, as taking one out is one step, whatever other threads do.)
        self._blocks: Dict[_Block, None] = {}

    def __enter__(self) -> "start_profiling_span":
        call = _open(boards.BLOCK, self._name) if len(self._blocks) < BLOCKS_MAX else None
        block = _Block(call, _enter_span(self._name) if call is not None else None)
        _entered.set((weakref.ref(block), _still_open(_entered.get())))
        self._blocks[block] = None
        return self

    def __exit__(self, ty: Any, value: Any, tb: Any) -> None:
        block = self._leave()
        if block is None:
            return
        try:
            if block.span is not None:
                block.span.__exit__(ty, value, tb)
        except Exception:
            logger.debug("The span of a profiled block cannot be ended.", exc_info=True)
        finally:
            if block.call is not None:
                block.call.close()

    def _leave(self) -> Optional["_Block"]:
        """The block that was entered last here, in this thread or task, and is not left yet."""
        entered = innermost = _still_open(_entered.get())
        while entered is not None:
            block = entered[0]()
            if block is not None and block in self._blocks:
                if entered is innermost:
                    _entered.set(entered[1])
                self._blocks.pop(block, None)
                return block
            entered = entered[1]
        try:  # it was entered in another context, as happens with asynchronous generators
            return self._blocks.popitem()[0]
        except KeyError:
            return None


class _Block:
    """From one `__enter__` to its `__exit__`."""

    __slots__ = ("call", "span", "__weakref__")

    def __init__(self, call: Optional[Call], span: Any) -> None:
        self.call = call
        self.span = span


#: The blocks that were entered in this context, the last one first, each with those before it. Their objects alone hold them, so that
#: those that are left, or thrown away, go.
_Entered = Optional[Tuple["weakref.ReferenceType[_Block]", Any]]
_entered: "ContextVar[_Entered]" = ContextVar("sentry_profiled_blocks", default=None)


def _still_open(entered: _Entered) -> _Entered:
    while entered is not None and entered[0]() is None:
        entered = entered[1]
    return entered


def _open(kind: int, name: str, runs: bool = True) -> Optional[Call]:
    session = sdk.current()
    return session.open_call(kind, name, runs) if session is not None else None


def _flags_of(func: Any) -> int:
    """Those of the code that a call of it runs. Not of what it wraps: that says nothing about how it is called itself."""
    try:
        func = _inner(func)
        if not hasattr(func, "__code__"):
            func = _inner(type(func).__call__)
        flags = func.__code__.co_flags
    except AttributeError:  # C code
        return 0
    return flags if isinstance(flags, int) else 0


def _inner(func: Any) -> Any:
    while isinstance(func, (functools.partial, types.MethodType)):
        func = func.func if isinstance(func, functools.partial) else func.__func__
    return func


def _name_of(func: Any) -> str:
    func = _inner(func)
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
    #: Threads that are in it: how deep, the outermost call, which is the one that is noted, and on which board of this process's line
    #: of forks. (A recursion would else fill the board.)
    inside: Dict[int, List[Any]] = {}

    @functools.wraps(func)
    def profiled(*args: Any, **kwargs: Any) -> Any:
        session = sdk.current()
        if session is None:
            return func(*args, **kwargs)
        thread = native.get_ident()
        entry = inside.get(thread)
        if entry is None or entry[2] != session.board.generation:  # (else: a thread of the parent's, whose number another has now)
            entry = inside[thread] = [0, session.open_call(boards.FUNCTION, name), session.board.generation]
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


def _marked_function(func: Callable[..., Any], name: str) -> Callable[..., Any]:
    """One that `inspect.markcoroutinefunction` was told of: it does something at once, and most likely returns a coroutine."""
    at_once = _function(func, name)

    async def later(coroutine: Any) -> Any:
        call = _open(boards.FUNCTION, name, runs=False)
        if call is None:
            return await coroutine
        try:
            return await _awaited(coroutine, call)
        finally:
            call.close()

    @functools.wraps(func)
    def profiled(*args: Any, **kwargs: Any) -> Any:
        result = at_once(*args, **kwargs)
        return later(result) if sdk.current() is not None and inspect.iscoroutine(result) else result

    mark: Any = getattr(inspect, "markcoroutinefunction", lambda function: function)
    marked: Callable[..., Any] = mark(profiled)
    return marked


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
                    close = generator.aclose()
                    await (close if call is None else _awaited(close, call))
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
            argument = None  # an exception that was thrown in would hold this frame, and this frame it
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
