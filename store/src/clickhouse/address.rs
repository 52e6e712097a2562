//! `clickhouse://user:password@host:port/database?secure=true`: where the database is. Shows its password to nobody.

use std::fmt;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::Url;

/// ClickHouse's own ports of its HTTP interface.
const PORT: u16 = 8123;
const PORT_SECURE: u16 = 8443;
/// Used where the address names none.
const DATABASE: &str = "sentry_profiled";
/// Names of databases are this long at most: they become names of folders.
const NAME_MAX: usize = 63;
/// A hundred years; a row's retention is 16 bits wide.
pub(super) const RETENTION_DAYS_MAX: u16 = 36_500;

/// A parsed address.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// `http://host:port`, without anything secret.
    pub endpoint: String,
    /// Checked: letters, digits, underscores.
    pub database: String,
    /// Who asks.
    pub user: String,
    /// Empty: none.
    pub password: String,
    /// Whether what goes over the network is compressed.
    pub compress: bool,
    /// After how many days ClickHouse itself removes what is inserted. 0: after as many as `retain` is called with.
    pub retention_days: u16,
}

/// What is wrong with an address. Says nothing of user and password.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AddressError {
    /// It is none.
    #[error("the address of the store is no URL: {0}")]
    NoUrl(url::ParseError),
    /// `https://` ...
    #[error("the address of the store begins with {0}://, not with clickhouse:// or clickhouse+https://")]
    Scheme(String),
    /// `clickhouse:///database`.
    #[error("the address of the store names no host")]
    NoHost,
    /// Not letters, digits and underscores.
    #[error("{0:?} is no name for a database: a letter or underscore, then up to 62 letters, digits and underscores")]
    Database(String),
    /// User or password are not text.
    #[error("user or password in the address of the store are not UTF-8")]
    NotText,
    /// A parameter that nobody knows.
    #[error("the address of the store has a parameter {0:?}; known are secure, compression, retention_days")]
    Unknown(String),
    /// `secure=maybe`.
    #[error("{name}={value:?} in the address of the store: {wanted} is wanted")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        wanted: &'static str,
    },
}

impl Address {
    /// Whether `text` is meant to be one.
    pub fn is_one(text: &str) -> bool {
        text.starts_with("clickhouse:") || text.starts_with("clickhouse+https:")
    }

    /// Of what stands in the settings.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text).map_err(AddressError::NoUrl)?;
        let mut secure = match url.scheme() {
            "clickhouse" => false,
            "clickhouse+https" => true,
            other => return Err(AddressError::Scheme(other.to_owned())),
        };
        let mut address = Self {
            endpoint: String::new(),
            database: database(url.path())?,
            user: decoded(url.username())?,
            password: decoded(url.password().unwrap_or_default())?,
            compress: true,
            retention_days: 0,
        };
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "secure" => secure = flag("secure", &value)?,
                "compression" => address.compress = compression(&value)?,
                "retention_days" => address.retention_days = retention_days(&value)?,
                other => return Err(AddressError::Unknown(other.to_owned())),
            }
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(AddressError::NoHost)?;
        let port = url.port().unwrap_or(if secure { PORT_SECURE } else { PORT });
        address.endpoint = format!("http{}://{host}:{port}", if secure { "s" } else { "" });
        Ok(address)
    }
}

/// Never the password.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.endpoint, self.database)
    }
}

fn database(path: &str) -> Result<String, AddressError> {
    let name = match path.trim_start_matches('/') {
        "" => DATABASE,
        name => name,
    };
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && name.len() <= NAME_MAX && letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(name.to_owned());
    }
    Err(AddressError::Database(name.chars().take(NAME_MAX + 1).collect()))
}

fn decoded(text: &str) -> Result<String, AddressError> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| AddressError::NotText)
}

fn flag(name: &'static str, value: &str) -> Result<bool, AddressError> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(AddressError::Value { name, value: value.to_owned(), wanted: "true or false" }),
    }
}

fn compression(value: &str) -> Result<bool, AddressError> {
    match value {
        "lz4" => Ok(true),
        "none" => Ok(false),
        _ => Err(AddressError::Value { name: "compression", value: value.to_owned(), wanted: "lz4 or none" }),
    }
}

fn retention_days(value: &str) -> Result<u16, AddressError> {
    let days = value.parse().ok().filter(|days| *days <= RETENTION_DAYS_MAX);
    days.ok_or(AddressError::Value {
        name: "retention_days",
        value: value.to_owned(),
        wanted: "a number of days up to 36500, or 0",
    })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    /// All of an address as text, or what is wrong with it.
    fn parsed(text: &str) -> String {
        match Address::parse(text) {
            Ok(it) => format!(
                "{} {} {:?} {:?} compress={} days={}",
                it.endpoint, it.database, it.user, it.password, it.compress, it.retention_days
            ),
            Err(error) => error.to_string(),
        }
    }

    /// Check that every part of an address arrives, and that what is left out has ClickHouse's own defaults.
    #[test]
    fn parts() {
        assert_snapshot!(parsed("clickhouse://me:s%40cr%2Fet@db.example:9123/profiles?compression=none&retention_days=30"),
            @r#"http://db.example:9123 profiles "me" "s@cr/et" compress=false days=30"#);
        assert_snapshot!(parsed("clickhouse://localhost"), @r#"http://localhost:8123 sentry_profiled "" "" compress=true days=0"#);
        assert_snapshot!(parsed("clickhouse+https://[::1]/x"), @r#"https://[::1]:8443 x "" "" compress=true days=0"#);
        assert_snapshot!(parsed("clickhouse://db:80/x?secure=true"), @r#"https://db:80 x "" "" compress=true days=0"#);
    }

    /// Check that a wrong address is refused with the reason.
    #[test]
    fn refused() {
        assert_snapshot!(parsed("https://db/x"), @"the address of the store begins with https://, not with clickhouse:// or clickhouse+https://");
        assert_snapshot!(parsed("clickhouse:///x"), @"the address of the store names no host");
        assert_snapshot!(parsed("clickhouse://db/x`; DROP"), @r#""x%60;%20DROP" is no name for a database: a letter or underscore, then up to 62 letters, digits and underscores"#);
        assert_snapshot!(parsed("clickhouse://db/x?secret=1"), @r#"the address of the store has a parameter "secret"; known are secure, compression, retention_days"#);
        assert_snapshot!(parsed("clickhouse://db/x?secure=maybe"), @r#"secure="maybe" in the address of the store: true or false is wanted"#);
        assert_snapshot!(parsed("clickhouse://db:port/x"), @"the address of the store is no URL: invalid port number");
    }

    /// Check that the password is not shown.
    #[test]
    fn secret() {
        let address = Address::parse("clickhouse://me:hunter2@db/x").unwrap();
        assert_snapshot!(format!("{address:?}"), @"http://db:8123/x");
    }
}
