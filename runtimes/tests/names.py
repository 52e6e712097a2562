# Threads with every kind of name; what the interpreter says of them is what the tests expect.
import _thread, sys, threading, time


class Slotted(threading.Thread):
    __slots__ = ("one", "two")


class Slow(threading.Thread):
    """With so many attributes that they are in a dictionary of their own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for index in range(100):
            setattr(self, f"attribute_{index}", index)


class Viewed(threading.Thread):
    """An attribute dictionary that somebody has asked for."""

    def run(self):
        self.__dict__["asked"] = True
        super().run()


def stand():
    ready.release()
    time.sleep(1000)


def stand_nameless():
    threading.current_thread()
    stand()


ready = threading.Semaphore(0)
count = int(sys.argv[1])
made = [
    threading.Thread(target=stand, name="größe 猫 🐍"),
    Slotted(target=stand, name="slotted"),
    Slow(target=stand, name="slow"),
    Viewed(target=stand, name="viewed"),
    threading.Thread(target=stand),
    threading.Thread(target=stand, name="a name that is longer than what the kernel has room for"),
    threading.Thread(target=stand, name=""),
]
ended = [threading.Thread(target=time.sleep, args=(0,), name=f"ended {index}") for index in range(20)]
made += [threading.Thread(target=stand, name=f"worker {index}") for index in range(count)]
for thread in ended + made:
    thread.daemon = True
    thread.start()
_thread.start_new_thread(stand_nameless, ())
_thread.start_new_thread(stand, ())
for _ in range(len(made) + 2):
    ready.acquire()
made[4].name = "named late"
threading.main_thread().name = "the main one"
for thread in ended:
    thread.join()
for thread in threading.enumerate():
    sys.stdout.buffer.write(f"{thread.ident} {thread.name}\n".encode())
sys.stdout.flush()
print("ready", flush=True)
while True:
    time.sleep(1000)
