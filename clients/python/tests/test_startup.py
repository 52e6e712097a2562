"""The `.pth` file, and the import hook behind it."""

import os

import pytest
from conftest import SOURCE

PTH = os.path.join(os.path.dirname(SOURCE), "sentry_profiled.pth")

#: Runs the file's line as `site` does.
AS_SITE_DOES = """
import json, os, sys, time
for line in open({!r}):
    exec(line)
""".format(PTH)


@pytest.mark.parametrize("value", ["1", "true", "YES", "on "])
def test_set_it_installs_when_the_program_imports_the_sdk(run, agent, value):
    ran = run(
        """
        at_start = [name in sys.modules for name in ("sentry_sdk", "sentry_profiled.sdk", "logging", "ctypes")]
        import sentry_sdk
        sys.modules["sentry_profiled.sdk"]._installed.timeout = 20
        sentry_sdk.init(os.environ["SENTRY_DSN"], auto_enabling_integrations=False, profile_session_sample_rate=1.0)
        sentry_sdk.profiler.start_profiler()
        print(json.dumps([at_start, callable(sentry_sdk.profile), len(sys.meta_path)]))
        """,
        prelude=AS_SITE_DOES,
        SENTRY_PROFILED=value,
    )
    assert ran.result[:2] == [[False, False, False, False], True]
    assert [w["kind"] for w in agent.windows()] == ["run"]
    assert ran.stderr == ""


@pytest.mark.parametrize("value", ["", "0", "false", "no", "off", "2"])
def test_unset_it_imports_nothing(run, value):
    ran = run(
        """
        print(json.dumps([name for name in sys.modules if name.startswith("sentry")] + [type(f).__module__ for f in sys.meta_path]))
        """,
        prelude=AS_SITE_DOES,
        SENTRY_PROFILED=value,
    )
    assert not any("sentry" in name for name in ran.result)


def test_the_package_looks_as_if_nobody_had_touched_its_import(run):
    ran = run(
        """
        import sentry_sdk, importlib.util, inspect, pkgutil
        print(json.dumps([
            type(sentry_sdk.__loader__).__name__, type(sentry_sdk.__spec__.loader).__name__, sentry_sdk.__file__.endswith("__init__.py"),
            inspect.getsource(sentry_sdk)[:4] != "", pkgutil.get_data("sentry_sdk", "py.typed") is not None,
            any("sentry_profiled" in type(f).__module__ for f in sys.meta_path),
        ]))
        """,
        prelude=AS_SITE_DOES,
        SENTRY_PROFILED="1",
    )
    assert ran.result == ["SourceFileLoader", "SourceFileLoader", True, True, True, False]


def test_a_program_without_the_sdk(run):
    ran = run("import json; print(json.dumps(1))", prelude=AS_SITE_DOES, SENTRY_PROFILED="1")
    assert (ran.result, ran.stderr) == (1, "")


def test_an_sdk_that_cannot_be_imported(run, tmp_path):
    (tmp_path / "sentry_sdk.py").write_text("raise ImportError('broken')")
    ran = run(
        """
        try:
            import sentry_sdk
        except ImportError as error:
            print(json.dumps(str(error)))
        """,
        prelude=AS_SITE_DOES,
        SENTRY_PROFILED="1",
        PYTHONPATH="{}:{}".format(tmp_path, SOURCE),
    )
    assert (ran.result, ran.stderr) == ("broken", "")


def test_a_stranger_named_like_the_sdk(run, tmp_path):
    (tmp_path / "sentry_sdk.py").write_text("x = 5")
    ran = run(
        "import sentry_sdk; print(json.dumps(sentry_sdk.x))",
        prelude=AS_SITE_DOES,
        SENTRY_PROFILED="1",
        PYTHONPATH="{}:{}".format(tmp_path, SOURCE),
    )
    assert (ran.result, ran.stderr) == (5, "")


def test_a_package_that_is_half_removed(run):
    ran = run("print(json.dumps(1))", prelude=AS_SITE_DOES, SENTRY_PROFILED="1", PYTHONPATH="/nowhere")
    assert (ran.result, ran.stderr) == (1, "")


def test_together_with_install(run, agent):
    ran = run(
        """
        import sentry_profiled
        sentry_profiled.install()
        import sentry_sdk
        sys.modules["sentry_profiled.sdk"]._installed.timeout = 20
        sentry_sdk.init(auto_enabling_integrations=False, profile_session_sample_rate=1.0)
        print(json.dumps(0))
        """,
        prelude=AS_SITE_DOES,
        SENTRY_PROFILED="1",
    )
    assert len(agent.registered) == 1
    assert ran.stderr == ""
