"""Customers of the web shop: customers.py PORT SECONDS. Prints how many requests were answered."""
import random
import sys
import threading
import time
import urllib.error
import urllib.request

PORT, END = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
answered = []


def customer(seed):
    chance = random.Random(seed)
    while time.monotonic() < END:
        path = chance.choice(["health", "catalog/shoes", "catalog/hats", f"checkout/{chance.randint(1, 30)}"])
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/{path}", timeout=20).read()
        except urllib.error.HTTPError:
            pass
        answered.append(path)
        time.sleep(chance.random() * 0.2)


customers = [threading.Thread(target=customer, args=(seed,)) for seed in range(4)]
for thread in customers:
    thread.start()
for thread in customers:
    thread.join()
print(len(answered))
