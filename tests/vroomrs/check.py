#!/usr/bin/env python3
"""Check that Sentry's own processing arrives at our durations.

    pip install vroomrs
    check.py CHUNKS... [--expected TOTALS.json]

CHUNKS are files with one chunk payload a line (as `record --format sentry` writes them). Each goes through vroomrs as
in Sentry: parse, normalize, call trees, function metrics. For every function that it reports, each of its nodes in the
call trees must be as long as ours within a microsecond, and so must be their sum; ours come straight from the samples
by the rule that a sample lasts until its thread's next one. TOTALS.json (microseconds by "module:function", over all
chunks) is what the profiler itself counted, and must be equal to the microsecond.

vroomrs turns seconds into nanoseconds in floating point, which is off by up to 0.25 us a timestamp. The sum of a
function that was entered 5,000 times would be off by several microseconds for that alone; hence nodes one by one, and
the sum with the same rounding.
"""

import argparse
import collections
import decimal
import json
import sys

import vroomrs

TOLERANCE_NS = 1000
# SDKs send times that are no whole microseconds; each end of a node is then off by half of one more.
TOLERANCE_OF_SDKS_NS = 1500


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chunks", nargs="+")
    parser.add_argument("--expected")
    options = parser.parse_args()
    totals_us = collections.Counter()
    reported = failures = count = 0
    for path in options.chunks:
        with open(path, encoding="utf-8") as lines:
            for line in filter(str.strip, lines):
                count += 1
                found, wrong = check_chunk(json.loads(line), totals_us)
                reported, failures = reported + found, failures + wrong
    if options.expected:
        failures += check_totals(totals_us, options.expected)
    print(f"{count} chunks, {reported} functions reported by vroomrs, {failures} differ")
    sys.exit(1 if failures or not reported else 0)


def check_chunk(payload, totals_us):
    nodes = our_nodes(payload)
    for key, durations in nodes.items():
        totals_us[f"{key[0]}:{key[1]}"] += sum(us for us, _ in durations)
    # What Sentry adds between Relay and vroomrs.
    sentry = dict(payload, organization_id=1, project_id=1, received=0.0, retention_days=30)
    chunk = vroomrs.profile_chunk_from_json_str(json.dumps(sentry), payload["platform"])
    chunk.normalize()
    # As Sentry asks: no roots, no system frames. Then everything.
    as_sentry = metrics(chunk, 1, True)
    everything = metrics(chunk, 0, False)
    times = [sample["timestamp"] for sample in payload["profile"]["samples"]]
    whole = all(abs(at * 1e6 - round(at * 1e6)) < 0.3 for at in times)
    tolerance = TOLERANCE_NS if whole else TOLERANCE_OF_SDKS_NS
    wrong = sum(compare(function, nodes, tolerance) for function in everything)
    known = {name(function) for function in everything}
    lost = [function for function in as_sentry if name(function) not in known]
    frames = payload["profile"]["frames"]
    sent = {key_of(frame) + (frame["in_app"],) for frame in frames if "in_app" in frame}
    # SDKs leave it to the receiver for some.
    undecided = {key_of(frame) for frame in frames if "in_app" not in frame}
    decided = (function for function in everything if name(function) not in undecided)
    flipped = [function for function in decided if name(function) + (function.get_in_app(),) not in sent]
    for function in flipped + lost:
        print(f"{name(function)}: in_app {function.get_in_app()} differs, or is lost")
    print(f"chunk {payload['chunk_id']}: {len(as_sentry)} functions as Sentry reports them, {len(everything)} in all")
    return len(everything), wrong + len(flipped) + len(lost)


def metrics(chunk, min_depth, filter_system_frames):
    return chunk.extract_functions_metrics(
        min_depth=min_depth,
        filter_system_frames=filter_system_frames,
        max_unique_functions=None,
        filter_non_leaf_functions=False,
    )


def name(function):
    return function.get_package(), function.get_function()


def compare(function, nodes, tolerance):
    """1 if a function's times are not ours."""
    ours, theirs = nodes.get(name(function), []), sorted(function.get_total_times_ns())
    if len(ours) != len(theirs):
        print(f"{name(function)}: {len(theirs)} nodes, ours {len(ours)}")
        return 1
    worst = max(abs(us * 1000 - ns) for us, ns in zip(sorted(us for us, _ in ours), theirs))
    total = abs(sum(ns for _, ns in ours) - sum(theirs))
    if worst > tolerance or total > TOLERANCE_NS:
        print(f"{name(function)}: a node differs by {worst} ns, the sum by {total} ns")
        return 1
    return 0


def our_nodes(payload):
    """The nodes of the call trees by (module, function): lists of (exact microseconds, nanoseconds rounded as vroomrs does)."""
    profile = payload["profile"]
    threads = collections.defaultdict(list)
    for sample in profile["samples"]:
        threads[sample["thread_id"]].append((sample["timestamp"], sample["stack_id"]))
    nodes = collections.defaultdict(list)
    for samples in threads.values():
        samples.sort(key=lambda sample: sample[0])
        open_path = []  # (key, start): the functions that run now, root first
        for (at, stack), (_, before) in zip(samples, [(0, None)] + samples):
            # The last sample has no width: whatever runs ends there.
            is_last = at == samples[-1][0]
            path = [] if is_last else path_of(profile, stack)
            same = 0
            while same < min(len(path), len(open_path)) and path[same] == open_path[same][0]:
                same += 1
            for key, start in open_path[same:]:
                nodes[key[1:]].append((micros(at) - micros(start), int(at * 1e9) - int(start * 1e9)))
            open_path = open_path[:same] + [(key, at) for key in path[same:]]
    return nodes


def path_of(profile, stack):
    """Root first: (address, module, function) of each frame."""
    frames = (profile["frames"][place] for place in reversed(profile["stacks"][stack]))
    return [(frame.get("instruction_addr"),) + key_of(frame) for frame in frames]


def key_of(frame):
    """(module, function) as vroomrs groups functions: without module, the name of the package's file."""
    package = frame.get("package", "").rsplit("/", 1)[-1]
    for suffix in (".so", ".dylib", ".a", ".dll", ".exe"):
        package = package.removesuffix(suffix)
    return frame.get("module") or package, frame.get("function")


def micros(seconds):
    # By the digits that were sent: floating point has quarters of a microsecond at this time of history, so halves are common.
    return int((decimal.Decimal(repr(seconds)) * 1_000_000).to_integral_value(decimal.ROUND_HALF_UP))


def check_totals(totals_us, path):
    with open(path, encoding="utf-8") as file:
        expected = json.load(file)
    # Frames that say why a stack was cut are made for the wire.
    ours = {key: us for key, us in totals_us.items() if not key.startswith(":[truncated")}
    wrong = [key for key in expected.keys() | ours.keys() if expected.get(key, 0) != ours.get(key, 0)]
    for key in sorted(wrong):
        print(f"{key}: {ours.get(key, 0)} us in the chunks, {expected.get(key, 0)} us expected")
    return len(wrong)


if __name__ == "__main__":
    main()
