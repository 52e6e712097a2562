"""`profiles_sampler` as rules of the agent's file."""

import pytest

from sentry_profiled.rules import rate_of

RULES = [
    {"op": "http.server", "name": "*/api/*", "rate": 1.0},
    {"parent_sampled": True, "rate": 0.5},
    {"wsgi_environ.REQUEST_METHOD": "POST", "rate": 0.4},
    {"celery_job": {"task": "shop.*"}, "rate": 0.3},
    {"custom.number": 1, "rate": 0.2},
    {"source": "route", "rate": 0.1},
]


def context(op="task", name="x", source="custom", parent_sampled=None, **more):
    return dict({"transaction_context": {"op": op, "name": name, "source": source}, "parent_sampled": parent_sampled}, **more)


@pytest.mark.parametrize(
    "given, rate",
    [
        (context("http.server", "/v1/api/orders"), 1.0),
        (context("http.server", "/v1/API/orders"), 0.0),  # case counts
        (context("http.server", "/api"), 0.0),  # the whole text is meant
        (context("http.server", "/api/\nx"), 1.0),
        (context(parent_sampled=True), 0.5),
        (context(parent_sampled=1), 0.0),  # a number is no boolean
        (context(wsgi_environ={"REQUEST_METHOD": "POST"}), 0.4),
        (context(wsgi_environ={"REQUEST_METHOD": ["POST"]}), 0.0),
        (context(**{"wsgi_environ.REQUEST_METHOD": "POST"}), 0.4),
        (context(celery_job={"task": "shop.pay"}), 0.3),
        (context(celery_job="shop.pay"), 0.0),
        (context(custom={"number": 1.0}), 0.2),
        (context(custom={"number": True}), 0.0),
        (context(source="route"), 0.1),
        (context(), 0.0),
        ({}, 0.0),
    ],
)
def test_the_first_rule_whose_every_key_matches(given, rate):
    assert rate_of(RULES, given) == rate


def test_a_rule_of_a_rate_alone_is_for_all_the_rest():
    assert rate_of([{"op": "a", "rate": 1}, {"rate": 0.25}], context()) == 0.25


def test_special_characters_are_themselves():
    assert rate_of([{"name": "a.[b]*", "rate": 1}], context(name="a.[b]c")) == 1
    assert rate_of([{"name": "a.[b]*", "rate": 1}], context(name="axbc")) == 0.0
