//! A process made of words, and what selectors say of it.

use std::cell::RefCell;

use insta::assert_snapshot;

use super::*;

/// A process, and what was asked of it.
#[derive(Default)]
pub(crate) struct Process {
    pub(crate) comm: &'static str,
    pub(crate) exe: &'static str,
    pub(crate) cmdline: &'static str,
    pub(crate) cgroup: &'static str,
    pub(crate) environ: &'static [(&'static str, &'static str)],
    pub(crate) has_client: bool,
    pub(crate) asked: RefCell<Vec<&'static str>>,
}

impl Process {
    fn text(&self, what: &'static str, text: &'static str) -> Option<Cow<'_, str>> {
        self.asked.borrow_mut().push(what);
        (!text.is_empty()).then_some(Cow::Borrowed(text))
    }
}

impl Facts for Process {
    fn pid(&self) -> i32 {
        4242
    }

    fn has_client(&self) -> bool {
        self.has_client
    }

    fn comm(&self) -> Option<Cow<'_, str>> {
        self.text("comm", self.comm)
    }

    fn exe(&self) -> Option<Cow<'_, str>> {
        self.text("exe", self.exe)
    }

    fn cmdline(&self) -> Option<Cow<'_, str>> {
        self.text("cmdline", self.cmdline)
    }

    fn cgroup(&self) -> Option<Cow<'_, str>> {
        self.text("cgroup", self.cgroup)
    }

    fn uid(&self) -> Option<u32> {
        self.text("uid", "33").map(|_| 33)
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        self.text("user", "www-data")
    }

    fn label(&self, name: &str) -> Option<Cow<'_, str>> {
        self.text("label", if name == "app" { "shop" } else { "" })
    }

    fn annotation(&self, name: &str) -> Option<Cow<'_, str>> {
        self.text("annotation", if name == "example.com/profile" { "yes" } else { "" })
    }

    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        self.text("environ", self.environ.iter().find(|(of, _)| *of == name).map_or("", |(_, value)| value))
    }
}

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn shop() -> Process {
    Process {
        comm: "gunicorn: maste",
        exe: "/usr/bin/python3.11 (deleted)",
        cmdline: "/usr/bin/python3 /srv/shop/bin/gunicorn shop.wsgi:app -w 4",
        cgroup: "/system.slice/shop.service",
        environ: &[("SENTRY_PROFILED", "1"), ("HOME", "/srv/shop")],
        has_client: false,
        asked: RefCell::default(),
    }
}

fn selector(text: &str) -> Result<Selector, String> {
    toml::from_str(text).map_err(|error| error.message().to_owned())
}

fn matches(text: &str, process: &Process) -> bool {
    selector(text).unwrap().matches(process)
}

/// Check each key by what fits the process and what does not.
#[test]
fn each_key() {
    for (fits, other) in [
        ("pid = 4242", "pid = 4243"),
        ("pid = [1, '4242']", "pid = [1, 2]"),
        ("exe = '/usr/bin/python*'", "exe = 'python*'"),
        ("exe = '/usr/bin/python3.11'", "exe = '/usr/bin/python3'"),
        ("comm = 'gunicorn*'", "comm = 'gunicorn'"),
        ("comm = ['celery', 'gunicorn*']", "comm = ['celery', 'uwsgi']"),
        (r"cmdline = 'shop\.wsgi'", r"cmdline = '^shop\.wsgi'"),
        (r"cmdline = '-w \d+$'", r"cmdline = '-w \d{2}'"),
        ("user = 33", "user = 0"),
        ("user = 'www-data'", "user = 'root'"),
        ("user = ['root', '33']", "user = '34'"),
        ("cgroup = '/system.slice/*'", "cgroup = '/system.slice'"),
        ("unit = 'shop.service'", "unit = 'shop'"),
        ("unit = 'shop*'", "unit = ['*.scope']"),
        ("env.SENTRY_PROFILED = '1'", "env.SENTRY_PROFILED = '0'"),
        ("env = {SENTRY_PROFILED = true, HOME = ['/root', '/srv/*']}", "env = {SENTRY_PROFILED = true, PORT = true}"),
        ("label.app = 'shop'", "label.tier = true"),
        ("annotation = {'example.com/profile' = true}", "annotation = {'example.com/profile' = 'no'}"),
        ("unit = 'shop.service'\nuser = 33", "unit = 'shop.service'\nuser = 0"),
    ] {
        assert!(matches(fits, &shop()), "{fits}");
        assert!(!matches(other, &shop()), "{other}");
    }
    assert!(!matches("client = true", &shop()) && matches("client = true", &Process { has_client: true, ..shop() }));
    let path: &'static str = Box::leak(format!("/kubepods/burstable/pod1/{ID}").into_boxed_str());
    let pod = Process { cgroup: path, ..shop() };
    assert!(matches("container = '01234567'", &pod) && matches(&format!("container = '{ID}'"), &pod));
    assert!(!matches("container = '01234568'", &pod) && !matches("container = '0123'", &shop()));
}

/// Check that a process without what is asked for is not meant, even where anything would do.
#[test]
fn what_is_not_there() {
    for any in [
        "comm = '*'",
        "exe = '*'",
        "cmdline = ''' '''",
        "cgroup = '*'",
        "unit = '*'",
        "container = '0'",
        "env.A = true",
    ] {
        assert!(!matches(any, &Process::default()), "{any}");
    }
}

/// Check that cheap questions come first, that an answer ends the asking, and that a control group is asked for once.
#[test]
fn questions() {
    let asked = |text: &str| {
        let process = shop();
        matches(text, &process);
        process.asked.into_inner().join(" ")
    };
    let all = "pid = 4242\ncomm = '*'\nexe = '*'\ncmdline = ' '\ncgroup = '*'\nunit = '*'\nuser = 'www-data'\nlabel.app = true\n\
               annotation.'example.com/profile' = true\nenv.HOME = true\n";
    assert_snapshot!(asked(all), @"comm exe cmdline cgroup user label annotation environ");
    assert_snapshot!(asked("pid = 1\nenv.HOME = true"), @"");
    assert_snapshot!(asked("comm = 'celery'\ncmdline = 'x'\nenv.HOME = true"), @"comm");
    assert_snapshot!(asked("user = 33"), @"uid");
    assert_snapshot!(asked("env.HOME = true"), @"environ");
}

/// Check what is said of a match that cannot be.
#[test]
fn wrong_matches() {
    let said = |text: &str| selector(text).unwrap_err();
    assert_snapshot!(said(""),
        @"an empty match, which would be for every process; give at least one key, as exe or unit");
    assert_snapshot!(said("env = {}"),
        @"an empty match, which would be for every process; give at least one key, as exe or unit");
    assert_snapshot!(said("pid = []"), @"an empty list, which nothing matches");
    assert_snapshot!(said("pid = 0"), @"expected a process id, above 0");
    assert_snapshot!(said("pid = 'init'"), @"expected a process id, above 0");
    assert_snapshot!(said("exe = 5"), @"expected a pattern, in quotes");
    assert_snapshot!(said("exe = ''"), @"no pattern: give 1 to 1024 bytes; * stands for any text");
    assert_snapshot!(said("exe = {a = 1}"), @"invalid type: map, expected a pattern, in quotes, or a list of them");
    assert_snapshot!(said("comm = 'a-name-of-16-byt'"),
        @"no process has such a comm: the kernel cuts it to 15 bytes; use exe, or a *");
    assert_snapshot!(said("cmdline = '('"), @r"no regular expression: a bracket, a repetition or a \ is wrong");
    assert_snapshot!(said(r"cmdline = '\w{1000}{1000}'"), @"a regular expression that needs too much memory");
    assert_snapshot!(said("user = -1"), @"expected the name or number of a user");
    assert_snapshot!(said("container = 'shop'"), @"expected a container's id or its beginning, in hexadecimal digits");
    assert_snapshot!(said("env.A = false"), @"expected a pattern, in quotes, or true for any value");
    assert_snapshot!(said("env = 'A'"), @r#"invalid type: string "A", expected a map"#);
    assert_snapshot!(said("client = false"), @"expected true; leave the key out for any process");
    assert_snapshot!(said(&format!("pid = [{}]", "1, ".repeat(257))), @"more than 256 of them");
    assert_snapshot!(said("commm = 'x'"),
        @"unknown field `commm`, expected one of `pid`, `exe`, `comm`, `cmdline`, `user`, `cgroup`, `unit`, `container`, `env`, `label`, `annotation`, `client`");
}

/// Check what an entry without a name is called.
#[test]
fn names() {
    let name = |text: &str| selector(text).unwrap().default_name();
    assert_eq!(name("unit = 'shop.service'\nexe = '/bin/x'"), "shop");
    assert_eq!(name("exe = '/srv/shop/bin/*'"), "bin");
    assert_eq!(name("exe = '*'"), "*");
    assert_eq!(name("cgroup = '/system.slice/shop'\nenv.A = true"), "shop");
    assert_eq!(name("env.A = 'secret'"), "A");
    assert_eq!(name("user = 33"), "33");
    assert_eq!(name("pid = [7, 8]"), "7");
    assert_eq!(name("client = true"), "client");
}

/// Check which match leaves nothing to which.
#[test]
fn covering() {
    let covers = |wide: &str, narrow: &str| selector(wide).unwrap().covers(&selector(narrow).unwrap());
    for (wide, narrow) in [
        ("comm = 'a'", "comm = 'a'"),
        ("comm = '*'", "comm = 'a'\nuser = 33"),
        ("exe = ['/srv/*', '/opt/*']", "exe = ['/opt/a', '/srv/b']"),
        ("env.A = true", "env = {A = '1', B = '2'}"),
        ("container = '01'", "container = '0123'"),
        ("cmdline = 'a'", "cmdline = 'a'\nclient = true"),
    ] {
        assert!(covers(wide, narrow), "{wide} over {narrow}");
    }
    for (wide, narrow) in [
        ("comm = 'a'", "exe = 'a'"),
        ("comm = 'a'\nuser = 33", "comm = 'a'"),
        ("exe = '/srv/*'", "exe = ['/opt/a', '/srv/b']"),
        ("env.A = '1'", "env.A = true"),
        ("client = true", "comm = 'a'"),
        ("cmdline = 'a'", "cmdline = 'ab'"),
    ] {
        assert!(!covers(wide, narrow), "{wide} over {narrow}");
    }
}
