"""Python at work a third of the time."""
import threading
import time


def price(basket):
    return sum(hash(str(item)) % 7 for item in range(basket))


def checkout():
    while True:
        price(10000)
        time.sleep(0.004)


threading.Thread(target=checkout, name="checkout", daemon=True).start()
while True:
    time.sleep(60)
