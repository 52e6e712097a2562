//! What is asked of the store for each question, and its JSON: times are whole microseconds, trees are columns, depth
//! first, since a tree of objects takes a browser ten times as long to read.

use profile::received::Transaction;
use serde::{Serialize, Serializer};
use serde_json::json;
use store::{
    item::{StateGroup, Window},
    query::{Covers, CpuShape, Difference, DifferenceNode, Interval, Queries, Timeline, TransactionFilter},
    tree::{Function, Node, Tree},
};

use super::{
    Turn,
    error::ApiError,
    parameters::Parameters,
    reply::Reply,
    spans::{SpanJson, TransactionJson, TransactionOf, TransactionsJson},
};

type Answered = Result<Reply, ApiError>;

/// Rows of a list that is asked for without a limit.
const ROWS: usize = 1000;
/// Rows at most.
const ROWS_MAX: u64 = 100_000;
/// Buckets of a chart that is asked for without a number.
const BUCKETS: usize = 200;
/// Transactions whose states are told if no limit is given, and at most: each is a look into a profile.
const STATES: usize = 100;
const STATES_MAX: u64 = 500;
/// Columns of a heat map that is asked for without a number, and at most.
const COLUMNS: usize = 60;
const COLUMNS_MAX: u64 = 1000;
/// Buckets at most.
const BUCKETS_MAX: u64 = 10_000;
/// A window if the profiled hours of none are asked for: days since 1970 are few, and each is one row a platform.
const REFUSED: usize = 100;

/// `/projects`
pub(crate) fn projects(queries: &Queries, _: &Parameters, _turn: Turn) -> Answered {
    Reply::json(&json!({ "projects": queries.store.projects()? }))
}

/// `/services`
pub(crate) fn services(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (project, window) = (parameters.project()?, parameters.window()?);
    let answer = queries.services(project, window)?;
    Reply::json(&Windowed { window, of: &answer.of, covers: Some(&answer.covers) })
}

/// `/quality`
pub(crate) fn quality(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let selection = parameters.selection()?;
    let answer = queries.quality(&selection)?;
    Reply::json(&Windowed { window: selection.window(), of: &answer.of, covers: Some(&answer.covers) })
}

/// Names of functions and blocks in an answer: those with most time.
const MARKS_MAX: usize = 10_000;

/// `/marks`
pub(crate) fn marks(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let selection = parameters.selection()?;
    let answer = queries.marks(&selection)?;
    let of = json!({ "marks": answer.of.get(..MARKS_MAX).unwrap_or(&answer.of) });
    Reply::json(&Windowed { window: selection.window(), of: &of, covers: Some(&answer.covers) })
}

/// `/profiles`
pub(crate) fn profiles(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (selection, limit) = (parameters.selection()?, parameters.length("limit", ROWS_MAX, ROWS)?);
    let profiles = queries.store.profiles(&selection)?;
    let shown = profiles.get(..limit).unwrap_or(&profiles);
    let of = json!({ "profiles": shown, "count": profiles.len() });
    Reply::json(&Windowed { window: selection.window(), of: &of, covers: None })
}

/// `/tree`
pub(crate) fn tree(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (selection, shape) = (parameters.selection()?, parameters.shape()?);
    let answer = queries.tree(&selection, shape)?;
    let of = TreeJson::of(&answer.of);
    Reply::json(&Windowed { window: selection.window(), of: &of, covers: Some(&answer.covers) })
}

/// `/functions`
pub(crate) fn functions(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (selection, lines) = (parameters.selection()?, parameters.flag("lines")?);
    let limit = parameters.length("limit", ROWS_MAX, usize::MAX)?;
    let answer = queries.functions(&selection, lines)?;
    let total_us: u64 = answer.of.iter().map(|row| row.own.us).sum();
    let samples: u64 = answer.of.iter().map(|row| row.own.samples).sum();
    let shown = answer.of.get(..limit).unwrap_or(&answer.of);
    let of = json!({ "functions": shown, "count": answer.of.len(), "total_us": total_us, "samples": samples });
    Reply::json(&Windowed { window: selection.window(), of: &of, covers: Some(&answer.covers) })
}

/// `/threads`
pub(crate) fn threads(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let selection = parameters.selection()?;
    let answer = queries.threads(&selection)?;
    let of = json!({ "threads": answer.of });
    Reply::json(&Windowed { window: selection.window(), of: &of, covers: Some(&answer.covers) })
}

/// `/timeline`
pub(crate) fn timeline(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (selection, lines) = (parameters.selection()?, parameters.flag("lines")?);
    let answer = queries.timeline(&selection, lines)?;
    let of = TimelineJson::of(&answer.of, selection.from_us);
    Reply::json(&Windowed { window: selection.window(), of: &of, covers: Some(&answer.covers) })
}

/// `/cpu`
pub(crate) fn cpu(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let selection = parameters.selection()?;
    let shape = CpuShape {
        buckets: parameters.length("buckets", BUCKETS_MAX, BUCKETS)?,
        series: parameters.flag_or("series", true)?,
        threads: parameters.is_split("threads")?,
    };
    let answer = queries.cpu(&selection, shape)?;
    Reply::json(&Windowed { window: selection.window(), of: &answer.of, covers: Some(&answer.covers) })
}

/// `/difference`
pub(crate) fn difference(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (base, selection) = (parameters.base()?, parameters.selection()?);
    let (lines, limit) = (parameters.flag("lines")?, parameters.length("limit", ROWS_MAX, usize::MAX)?);
    let answer = queries.difference(&base, &selection, lines)?;
    let of = DifferenceJson::of(&answer.of, base.window(), limit);
    Reply::json(&Windowed { window: selection.window(), of: &of, covers: Some(&answer.covers) })
}

/// `/hours`
pub(crate) fn hours(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let window = parameters.window()?;
    let of = json!({ "hours": queries.hours(parameters.some_project()?, window)? });
    Reply::json(&Windowed { window, of: &of, covers: None })
}

/// `/transactions`
pub(crate) fn transactions(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (project, window) = (parameters.project()?, parameters.window()?);
    let of = json!({ "transactions": queries.transactions(project, window)? });
    Reply::json(&Windowed { window, of: &of, covers: None })
}

/// `/transactions/newest`
pub(crate) fn transactions_newest(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (project, window) = (parameters.project()?, parameters.window()?);
    let with_states = parameters.flag("states")?;
    let (rows_max, rows) = if with_states { (STATES_MAX, STATES) } else { (ROWS_MAX, ROWS) };
    let limit = parameters.length("limit", rows_max, rows)?;
    let found = queries.transaction_list(project, window, &parameters.transactions()?, limit)?;
    let mut rows: Vec<TransactionJson> = found.transactions.iter().map(TransactionJson::of).collect();
    if with_states {
        let all: Vec<Transaction> = found.transactions.iter().map(|(of, _)| of.clone()).collect();
        for (row, states) in rows.iter_mut().zip(queries.transaction_states(project, &all)?) {
            (row.states_us, row.samples) = states.unzip();
        }
    }
    Reply::json(&Windowed { window, of: &TransactionsJson { transactions: rows, more: found.more }, covers: None })
}

/// `/transactions/heat`
pub(crate) fn transactions_heat(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (project, window) = (parameters.project()?, parameters.window()?);
    let columns = parameters.length("columns", COLUMNS_MAX, COLUMNS)?;
    let of = queries.transaction_heat(project, window, parameters.get("name"), columns)?;
    Reply::json(&Windowed { window, of: &of, covers: None })
}

/// `/transactions/tree`
pub(crate) fn transactions_tree(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (project, window, shape) = (parameters.project()?, parameters.window()?, parameters.shape()?);
    let filter = TransactionFilter { profiled: true, ..parameters.transactions()? };
    let answer = queries.transactions_tree(project, window, &filter, shape)?;
    let of = Counted { transactions: answer.of.transactions, of: TreeJson::of(&answer.of.tree) };
    Reply::json(&Windowed { window, of: &of, covers: Some(&answer.covers) })
}

/// `/transactions/difference`
pub(crate) fn transactions_difference(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (project, window) = (parameters.project()?, parameters.window()?);
    let limit = parameters.length("limit", ROWS_MAX, ROWS)?;
    let name = parameters.get("name").ok_or_else(|| {
        ApiError::parameter("name", "is missing", "give the name of transactions, as /transactions has it")
    })?;
    let answer = queries.transactions_difference(project, window, name)?;
    let of = Compared {
        base_transactions: answer.of.base_transactions,
        transactions: answer.of.transactions,
        of: DifferenceJson::of(&answer.of.difference, window, limit),
    };
    Reply::json(&Windowed { window, of: &of, covers: Some(&answer.covers) })
}

/// `/spans`
pub(crate) fn spans(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (project, window) = (parameters.project()?, parameters.window()?);
    let limit = parameters.length("limit", ROWS_MAX, ROWS)?;
    let found = queries.spans(project, window, &parameters.ids("profiler")?, limit)?;
    let spans: Vec<SpanJson> = found.spans.iter().map(SpanJson::of).collect();
    Reply::json(&Windowed { window, of: &json!({ "spans": spans, "more": found.more }), covers: None })
}

/// `/transactions/{event_id}/tree`
pub(crate) fn transaction_tree(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let (project, event_id, shape) = (parameters.project()?, parameters.id("event_id")?, parameters.shape()?);
    let found = queries.transaction_tree(project, event_id, shape)?;
    let answer = found.ok_or_else(|| ApiError::NotKept(format!("transaction {}", event_id.simple())))?;
    Reply::json(&TransactionTreeJson {
        transaction: TransactionOf::of(&answer.of.transaction),
        of_its_thread: answer.of.of_its_thread,
        tree: TreeJson::of(&answer.of.tree),
        covers: &answer.covers,
    })
}

/// `/traces/{trace_id}`
pub(crate) fn trace(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let trace = queries.trace(parameters.project()?, parameters.id("trace_id")?)?;
    let spans: Vec<SpanJson> = trace.spans.iter().map(SpanJson::of).collect();
    let transactions: Vec<TransactionJson> = trace.transactions.iter().map(TransactionJson::of).collect();
    Reply::json(&json!({ "spans": spans, "transactions": transactions }))
}

/// `/refused`
pub(crate) fn refused(queries: &Queries, parameters: &Parameters, _turn: Turn) -> Answered {
    let limit = parameters.length("limit", ROWS_MAX, REFUSED)?;
    Reply::json(&json!({ "refused": queries.store.refused(parameters.project()?, limit)? }))
}

/// An answer of a window, and what it rests on.
#[derive(Serialize)]
struct Windowed<'a, T> {
    #[serde(flatten)]
    window: Window,
    #[serde(flatten)]
    of: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    covers: Option<&'a Covers>,
}

/// A list that is written as it is made.
struct Column<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Column<I> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.clone())
    }
}

/// The values that `get` takes from each of `rows`.
fn column<'a, R, T: Serialize>(rows: &'a [R], get: impl Fn(&'a R) -> T + Clone + 'a) -> impl Serialize + 'a {
    Column(rows.iter().map(get))
}

/// `[name, module, package, file, path, line, in_app]`
type Row<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<u32>, bool);

fn row(function: &Function) -> Row<'_> {
    let Function { name, module, package, file, path, line, in_app } = function;
    (name, module.as_deref(), package.as_deref(), file.as_deref(), path.as_deref(), *line, *in_app)
}

/// A tree in columns.
pub(crate) struct TreeJson<'a>(&'a Tree);

impl<'a> TreeJson<'a> {
    pub(crate) fn of(tree: &'a Tree) -> Self {
        Self(tree)
    }
}

impl Serialize for TreeJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<F, N> {
            functions: F,
            nodes: N,
            total_us: u64,
            samples: u64,
            idle_us: u64,
        }
        let tree = self.0;
        let shown = Shown {
            functions: column(&tree.functions, row),
            nodes: NodesJson(tree),
            total_us: tree.total.us,
            samples: tree.total.samples,
            idle_us: tree.idle.us,
        };
        shown.serialize(to)
    }
}

struct NodesJson<'a>(&'a Tree);

impl Serialize for NodesJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let nodes: &[Node] = &self.0.nodes;
        let mut columns = to.serialize_struct("Nodes", 7)?;
        columns.serialize_field("function", &column(nodes, |node| node.function))?;
        columns.serialize_field("depth", &column(nodes, |node| node.depth))?;
        columns.serialize_field("total_us", &column(nodes, |node| node.total.us))?;
        columns.serialize_field("own_us", &column(nodes, |node| node.own.us))?;
        columns.serialize_field("samples", &column(nodes, |node| node.total.samples))?;
        columns.serialize_field("own_samples", &column(nodes, |node| node.own.samples))?;
        if !self.0.states.is_empty() {
            columns.serialize_field("states", &ByStateJson(self.0))?;
        }
        columns.end()
    }
}

/// Own time by state: of each state the nodes that have any, and how much. States that nobody was in are left out.
struct ByStateJson<'a>(&'a Tree);

impl Serialize for ByStateJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<N, U> {
            node: N,
            us: U,
        }
        let states = &self.0.states;
        let present = StateGroup::ALL.into_iter().filter(|group| states.iter().any(|of| of.of(*group) > 0));
        to.collect_map(present.map(|group| {
            let those = states.iter().enumerate().filter(move |(_, of)| of.of(group) > 0);
            let node = Column(those.clone().map(|(node, _)| node));
            (group, Shown { node, us: Column(those.map(move |(_, of)| of.of(group))) })
        }))
    }
}

/// With the number of transactions that it is of.
#[derive(Serialize)]
struct Counted<T> {
    transactions: usize,
    #[serde(flatten)]
    of: T,
}

/// With the numbers of transactions on both sides.
#[derive(Serialize)]
struct Compared<T> {
    base_transactions: usize,
    transactions: usize,
    #[serde(flatten)]
    of: T,
}

#[derive(Serialize)]
struct TransactionTreeJson<'a> {
    transaction: TransactionOf<'a>,
    of_its_thread: bool,
    #[serde(flatten)]
    tree: TreeJson<'a>,
    covers: &'a Covers,
}

/// A timeline in columns; its times count from `origin_us`, which keeps them short.
struct TimelineJson<'a> {
    timeline: &'a Timeline,
    origin_us: u64,
}

impl<'a> TimelineJson<'a> {
    fn of(timeline: &'a Timeline, origin_us: u64) -> Self {
        Self { timeline, origin_us }
    }
}

impl Serialize for TimelineJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a, F, I> {
            origin_us: u64,
            functions: F,
            stacks: &'a [Vec<u32>],
            threads: &'a [store::query::TimelineThread],
            intervals: I,
            cut_at_us: Option<u64>,
        }
        let Timeline { functions, stacks, threads, intervals, cut_at_us } = self.timeline;
        let shown = Shown {
            origin_us: self.origin_us,
            functions: column(functions, row),
            stacks,
            threads,
            intervals: IntervalsJson { intervals, origin_us: self.origin_us },
            cut_at_us: *cut_at_us,
        };
        shown.serialize(to)
    }
}

struct IntervalsJson<'a> {
    intervals: &'a [Interval],
    origin_us: u64,
}

impl Serialize for IntervalsJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let (list, origin_us) = (self.intervals, self.origin_us);
        let mut columns = to.serialize_struct("Intervals", 5)?;
        columns.serialize_field("thread", &column(list, |one| one.thread))?;
        columns.serialize_field("stack", &column(list, |one| one.stack))?;
        columns.serialize_field("start_us", &column(list, move |one| one.start_us.saturating_sub(origin_us)))?;
        columns.serialize_field("length_us", &column(list, |one| one.end_us.saturating_sub(one.start_us)))?;
        columns.serialize_field("state", &column(list, |one| one.state))?;
        columns.end()
    }
}

/// Both trees laid over each other, in columns, and the functions.
struct DifferenceJson<'a> {
    difference: &'a Difference,
    base: Window,
    limit: usize,
}

impl<'a> DifferenceJson<'a> {
    fn of(difference: &'a Difference, base: Window, limit: usize) -> Self {
        Self { difference, base, limit }
    }
}

impl Serialize for DifferenceJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a, F, N> {
            base_from_us: u64,
            base_to_us: u64,
            base_total_us: u64,
            total_us: u64,
            base_ticks: f64,
            ticks: f64,
            functions: &'a [store::query::DifferenceRow],
            count: usize,
            tree_functions: F,
            nodes: N,
        }
        let difference = self.difference;
        let shown = Shown {
            base_from_us: self.base.from_us,
            base_to_us: self.base.to_us,
            base_total_us: difference.a.us,
            total_us: difference.b.us,
            base_ticks: difference.ticks_a,
            ticks: difference.ticks_b,
            functions: difference.functions.get(..self.limit).unwrap_or(&difference.functions),
            count: difference.functions.len(),
            tree_functions: column(&difference.tree_functions, row),
            nodes: DifferenceNodesJson(&difference.nodes),
        };
        shown.serialize(to)
    }
}

struct DifferenceNodesJson<'a>(&'a [DifferenceNode]);

impl Serialize for DifferenceNodesJson<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut columns = to.serialize_struct("Nodes", 7)?;
        columns.serialize_field("function", &column(self.0, |one| one.node.function))?;
        columns.serialize_field("depth", &column(self.0, |one| one.node.depth))?;
        columns.serialize_field("base_total_us", &column(self.0, |one| one.total.a_us))?;
        columns.serialize_field("total_us", &column(self.0, |one| one.total.b_us))?;
        columns.serialize_field("base_own_us", &column(self.0, |one| one.own.a_us))?;
        columns.serialize_field("own_us", &column(self.0, |one| one.own.b_us))?;
        columns.serialize_field("error_95", &column(self.0, |one| one.total.error_95))?;
        columns.end()
    }
}
