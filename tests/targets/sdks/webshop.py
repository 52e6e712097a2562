"""A web shop on Flask, under sentry-sdk: webshop.py PORT RELEASE [DSN]. Prints `ready`. Without a DSN nothing is sent."""
import logging
import re
import sqlite3
import sys
import threading
import time

import sentry_sdk
from flask import Flask, jsonify
from werkzeug.serving import make_server

PORT, RELEASE, DSN = int(sys.argv[1]), sys.argv[2], (sys.argv[3:] or [None])[0]
# The second release checks each rule as many times again.
TIMES = 3 if RELEASE.endswith(".2") else 1
RULES = [re.compile(rf"(a|b)*c{number}") for number in range(20)]

sentry_sdk.init(
    dsn=DSN, traces_sample_rate=1.0, release=RELEASE, environment="production",
    profile_session_sample_rate=1.0 if DSN else 0.0, profile_lifecycle="trace",
)
app = Flask("webshop")
# Each request would be a line.
logging.disable(logging.CRITICAL)
stock = threading.local()


def database():
    if not hasattr(stock, "db"):
        stock.db = sqlite3.connect(":memory:")
        stock.db.execute("CREATE TABLE item (id INTEGER, name TEXT)")
        stock.db.executemany("INSERT INTO item VALUES (?, ?)", [(number, f"item {number}") for number in range(3000)])
    return stock.db


def matches(rule, line):
    return rule.search(line) is not None


def apply_rules(line):
    return sum(matches(rule, line) for _ in range(TIMES) for rule in RULES)


def price_cart(lines):
    with sentry_sdk.start_span(op="function", name="price_cart"):
        return sum(apply_rules("ab" * 12 + str(line)) for line in range(lines))


def reserve_stock():
    with sentry_sdk.start_span(op="db", name="SELECT name FROM item WHERE name LIKE ?"):
        return database().execute("SELECT name FROM item WHERE name LIKE '%99%'").fetchall()


def pay():
    with sentry_sdk.start_span(op="http.client", name="POST bank/pay"):
        time.sleep(0.03)


def tax(depth):
    return tax(depth - 1) + 1 if depth else len(reserve_stock())


@app.route("/checkout/<int:lines>")
def checkout(lines):
    total = price_cart(lines)
    reserve_stock()
    pay()
    if lines % 13 == 0:
        raise RuntimeError("the bank said no")
    return jsonify(total=total)


@app.route("/catalog/<slug>")
def catalog(slug):
    with sentry_sdk.start_span(op="template.render", name="catalog"):
        return jsonify(items=[name.upper() for (name,) in reserve_stock()], slug=slug, tax=tax(8))


@app.route("/health")
def health():
    return "ok"


server = make_server("127.0.0.1", PORT, app, threaded=True)
print("ready", flush=True)
server.serve_forever()
