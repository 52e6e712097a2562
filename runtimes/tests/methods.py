# Every way to be a method: what the interpreter, and where it is installed sentry-sdk, names them is what the tests expect.
import collections, enum, sys, threading, time


def named(frame):
    """As sentry-sdk does: the qualified name, else the first class in order that has the function's name."""
    code = frame.f_code
    first = code.co_varnames[:1]
    if hasattr(code, "co_qualname") or first not in (("self",), ("cls",)) or first[0] not in frame.f_locals:
        return getattr(code, "co_qualname", code.co_name)
    receiver = frame.f_locals[first[0]]
    classes = getattr(receiver if first == ("cls",) else type(receiver), "__mro__", ())
    owners = [owner.__name__ for owner in classes if code.co_name in owner.__dict__]
    return ".".join(owners[:1] + [code.co_name])


by_sdk = False
try:
    if sys.version_info < (3, 11):
        from sentry_sdk.profiler.utils import get_frame_name as named
        by_sdk = True
except ImportError:
    pass


def go():
    next(steps)()


class Meta(type):
    def of_meta(cls):
        go()

    def of_both(cls):
        go()


class Base(metaclass=Meta):
    def inherited(self):
        go()

    def overridden(self):
        go()

    @classmethod
    def made(cls):
        go()

    def of_both(self):
        go()


class Derived(Base):
    def overridden(self):
        super().overridden()

    def closes(self):
        run = lambda: (self.inherited, go())
        run()

    def comprehends(self):
        [(self, value, go()) for value in [1]]

    def shares_later(self, other=None):
        other = 1
        def run():
            return other, self, go()
        run()

    def generates(self):
        yield go()

    async def awaits(self):
        go()

    def rebinds(self):
        self = Slotted()
        go()

    def rebinds_shared(self):
        self = Slotted()
        run = lambda: (self, go())
        run()

    def deletes(self):
        del self
        go()

    def deletes_shared(self):
        def run():
            return self
        del self
        go()

    @staticmethod
    def static(this):
        go()

    @staticmethod
    def static_self(self):
        go()

    @property
    def read(self):
        go()

    def __call__(self):
        go()

    def __private(self):
        go()

    def private(self):
        self.__private()

    class Inner:
        def of_inner(self):
            go()


class Slotted:
    __slots__ = ("value",)

    def rebinds(self):
        go()

    def rebinds_shared(self):
        go()

    def slotted(self):
        go()


class Fails(ValueError):
    def __init__(self):
        go()


class Number(int):
    def counted(self):
        go()


class Point(collections.namedtuple("Point", "x y")):
    def measured(self):
        go()


class Colour(enum.Enum):
    RED = 1

    def mixed(self):
        go()

    @classmethod
    def _missing_(cls, value):
        go()


class Größe猫:
    def misst(self):
        go()


def borrowed(self):
    go()


def loose(self):
    go()


def __init__(self):
    go()


def odd(cls):
    go()


def keyword(then, *, cls=Base):
    go()


Derived.other_name = borrowed
Derived.borrowed = property()
Derived.constructs = __init__
Dotted = type("a.b", (), {"dotted": None})
big = {f"method_{index}": None for index in range(2000)}
big["last"] = None
Big = type("Big", (), big)


def last(self):
    go()


def dotted(self):
    go()


derived = Derived()


def stand():
    ready.release()
    time.sleep(1000)


steps = iter([
    derived.inherited, derived.overridden, Derived.made, Base.made, Derived.of_meta, derived.of_both, derived.closes,
    lambda: Meta.of_both(Derived), derived.comprehends, derived.shares_later, lambda: list(derived.generates()),
    lambda: derived.awaits().send(None), derived.rebinds, derived.rebinds_shared, derived.deletes, derived.deletes_shared,
    lambda: derived.static(1), lambda: derived.static_self(derived), lambda: derived.read, derived, derived.private,
    Derived.Inner().of_inner, Slotted().slotted, Fails, Number(1 << 100).counted, Point(1, 2).measured, Colour.RED.mixed,
    lambda: Colour(7), Größe猫().misst, derived.other_name, lambda: loose(derived), lambda: loose(1), derived.constructs,
    lambda: odd(1), lambda: odd(Base), lambda: keyword(1), lambda: dotted(Dotted()), lambda: last(Big()), stand,
])
ready = threading.Semaphore(0)
thread = threading.Thread(target=go, daemon=True)
thread.start()
ready.acquire()
time.sleep(0.1)  # Until it sleeps, too.
print("by", "sentry-sdk" if by_sdk else "rule")
frame = sys._current_frames()[thread.ident]
while frame:
    code = frame.f_code
    text = f"{thread.ident} {frame.f_globals['__name__']}.{named(frame)} {code.co_filename}:{frame.f_lineno}\n"
    sys.stdout.buffer.write(text.encode())
    frame = frame.f_back
sys.stdout.flush()
print("ready", flush=True)
while True:
    time.sleep(1000)
