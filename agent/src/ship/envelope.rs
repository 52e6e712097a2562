//! The envelope around one chunk, compressed. One chunk each: servers refuse more. Unlike
//! `profile::wire::envelope::write`, without the DSN (the header authenticates) and straight into the compressor: a chunk may have 20 MiB, and
//! a copy of it would be a third of the memory that the agent may use.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};
use profile::wire::envelope::ClientReport;
use serde_json::json;

use super::spool::Held;

/// Gzip's default costs three times the CPU for a few percent on such JSON.
const LEVEL: Compression = Compression::new(3);

/// What goes into an envelope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    pub(super) chunk: Option<&'a Held>,
    /// The payload of a client report.
    pub(super) report: Option<&'a ClientReport>,
    /// `name/version`.
    pub(super) client: (&'a str, &'a str),
    /// RFC 3339.
    pub(super) sent_at: &'a str,
}

/// The compressed body. The DSN is not in it: the header authenticates, and one channel is the rule.
pub(super) fn compress(content: Content<'_>) -> io::Result<Vec<u8>> {
    let mut body = GzEncoder::new(Vec::new(), LEVEL);
    let (name, version) = content.client;
    writeln!(body, "{}", json!({"sent_at": content.sent_at, "sdk": {"name": name, "version": version}}))?;
    if let Some(chunk) = content.chunk {
        let platform = &chunk.header.platform;
        let header = json!({"type": "profile_chunk", "platform": platform, "content_type": "application/json", "length": chunk.payload.len()});
        writeln!(body, "{header}")?;
        body.write_all(&chunk.payload)?;
        body.write_all(b"\n")?;
    }
    if let Some(report) = content.report {
        let report = serde_json::to_string(report)?;
        writeln!(body, "{}\n{report}", json!({"type": "client_report", "length": report.len()}))?;
    }
    body.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use profile::wire::envelope;

    use super::*;
    use crate::ship::{
        ShipSettings,
        spool::{Arrival, Spool},
    };

    /// Check that parsing gives back what went in, byte for byte.
    #[test]
    fn parsed_back() {
        let folder = tempfile::tempdir().unwrap();
        let settings = ShipSettings::new("http://k@h/1".parse().unwrap(), folder.path().to_owned());
        let mut spool = Spool::open(folder.path(), settings.bounds).unwrap();
        let chunk_id = profile::id::ChunkId(uuid::Uuid::nil());
        let payload = b"{\"a\":\n1}";
        let chunk = Arrival { chunk_id, platform: "rust", span_unix_ns: (u64::MAX, u64::MAX), payload, journal: None };
        spool.put(chunk, &mut Vec::new()).unwrap();
        let held = spool.take().unwrap();
        let report = ClientReport { timestamp: 1.5, discarded_events: Vec::new() };
        let content = Content { chunk: Some(&held), report: Some(&report), client: ("acme", "1"), sent_at: "now" };
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(compress(content).unwrap().as_slice()).read_to_end(&mut bytes).unwrap();
        let parsed = envelope::parse(&bytes).unwrap();
        let show = |item: &envelope::Item| {
            format!("{} {:?} {}", item.kind(), item.header("platform"), String::from_utf8_lossy(item.payload(&bytes)))
        };
        assert_eq!(
            serde_json::to_string(&parsed.headers).unwrap(),
            r#"{"sdk":{"name":"acme","version":"1"},"sent_at":"now"}"#
        );
        let expected = [
            "profile_chunk Some(\"rust\") {\"a\":\n1}",
            "client_report None {\"timestamp\":1.5,\"discarded_events\":[]}",
        ];
        assert_eq!(parsed.items.iter().map(show).collect::<Vec<_>>(), expected);
    }
}
