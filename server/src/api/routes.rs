//! Which questions there are, with the parameters of each. The file `openapi.json` says the same for people and tools; a
//! test holds them together.

use store::query::Queries;

use super::{
    Turn, answers,
    error::ApiError,
    export,
    parameters::{Parameter, Parameters},
    reply::Reply,
};

/// A question.
pub(crate) struct Route {
    /// Below the prefix.
    pub(crate) path: &'static str,
    /// What may be said in its query.
    pub(crate) parameters: &'static [Parameter],
    /// Answers it, on a thread that may block. The turn is given back when the answer is complete.
    pub(crate) answer: fn(&Queries, &Parameters, Turn) -> Result<Reply, ApiError>,
}

const fn once(name: &'static str) -> Parameter {
    Parameter { name, repeats: false }
}

const fn many(name: &'static str) -> Parameter {
    Parameter { name, repeats: true }
}

const PROJECT: Parameter = once("project");
const FROM: Parameter = once("from");
const TO: Parameter = once("to");
const PROFILER: Parameter = many("profiler");
const ENVIRONMENT: Parameter = many("environment");
const RELEASE: Parameter = many("release");
const THREAD: Parameter = many("thread");
const MARK: Parameter = many("mark");
const STATES: Parameter = once("states");
const LINES: Parameter = once("lines");
const INVERTED: Parameter = once("inverted");
const LIMIT: Parameter = once("limit");
const SPLIT: Parameter = once("split");
const NAME: Parameter = once("name");
const MIN: Parameter = once("min_us");
const MAX: Parameter = once("max_us");
const STARTED: Parameter = once("started");
const PROFILED: Parameter = once("profiled");

/// All questions.
pub(crate) const ROUTES: &[Route] = &[
    Route { path: "/projects", parameters: &[], answer: answers::projects },
    Route { path: "/services", parameters: &[PROJECT, FROM, TO], answer: answers::services },
    Route {
        path: "/quality",
        parameters: &[PROJECT, FROM, TO, PROFILER, ENVIRONMENT, RELEASE],
        answer: answers::quality,
    },
    Route {
        path: "/profiles",
        parameters: &[PROJECT, FROM, TO, PROFILER, ENVIRONMENT, RELEASE, LIMIT],
        answer: answers::profiles,
    },
    Route { path: "/marks", parameters: &[PROJECT, FROM, TO, PROFILER, ENVIRONMENT, RELEASE], answer: answers::marks },
    Route {
        path: "/tree",
        parameters: &[PROJECT, FROM, TO, PROFILER, ENVIRONMENT, RELEASE, THREAD, MARK, STATES, LINES, INVERTED, SPLIT],
        answer: answers::tree,
    },
    Route {
        path: "/functions",
        parameters: &[PROJECT, FROM, TO, PROFILER, ENVIRONMENT, RELEASE, THREAD, MARK, STATES, LINES, LIMIT],
        answer: answers::functions,
    },
    Route {
        path: "/threads",
        parameters: &[PROJECT, FROM, TO, PROFILER, ENVIRONMENT, RELEASE, THREAD, MARK, STATES],
        answer: answers::threads,
    },
    Route {
        path: "/timeline",
        parameters: &[PROJECT, FROM, TO, PROFILER, ENVIRONMENT, RELEASE, THREAD, STATES, LINES],
        answer: answers::timeline,
    },
    Route {
        path: "/cpu",
        parameters: &[
            PROJECT,
            FROM,
            TO,
            PROFILER,
            ENVIRONMENT,
            RELEASE,
            THREAD,
            STATES,
            SPLIT,
            once("buckets"),
            once("series"),
        ],
        answer: answers::cpu,
    },
    Route {
        path: "/difference",
        parameters: &[
            PROJECT,
            FROM,
            TO,
            PROFILER,
            ENVIRONMENT,
            RELEASE,
            THREAD,
            STATES,
            LINES,
            LIMIT,
            once("base_from"),
            once("base_to"),
            many("base_profiler"),
            many("base_environment"),
            many("base_release"),
        ],
        answer: answers::difference,
    },
    Route { path: "/hours", parameters: &[PROJECT, FROM, TO], answer: answers::hours },
    Route { path: "/transactions", parameters: &[PROJECT, FROM, TO], answer: answers::transactions },
    Route {
        path: "/transactions/newest",
        parameters: &[PROJECT, FROM, TO, NAME, MIN, MAX, STARTED, PROFILED, once("order"), once("states"), LIMIT],
        answer: answers::transactions_newest,
    },
    Route {
        path: "/transactions/heat",
        parameters: &[PROJECT, FROM, TO, NAME, once("columns")],
        answer: answers::transactions_heat,
    },
    Route {
        path: "/transactions/tree",
        parameters: &[PROJECT, FROM, TO, NAME, MIN, MAX, STARTED, LINES, INVERTED, SPLIT],
        answer: answers::transactions_tree,
    },
    Route {
        path: "/transactions/difference",
        parameters: &[PROJECT, FROM, TO, NAME, LIMIT],
        answer: answers::transactions_difference,
    },
    Route { path: "/spans", parameters: &[PROJECT, FROM, TO, PROFILER, LIMIT], answer: answers::spans },
    Route {
        path: "/transactions/{event_id}/tree",
        parameters: &[PROJECT, LINES, INVERTED, SPLIT],
        answer: answers::transaction_tree,
    },
    Route { path: "/traces/{trace_id}", parameters: &[PROJECT], answer: answers::trace },
    Route { path: "/refused", parameters: &[PROJECT, LIMIT], answer: answers::refused },
    Route {
        path: "/export",
        parameters: &[
            PROJECT,
            FROM,
            TO,
            PROFILER,
            ENVIRONMENT,
            RELEASE,
            THREAD,
            STATES,
            LINES,
            once("format"),
            once("view"),
        ],
        answer: export::export,
    },
];
