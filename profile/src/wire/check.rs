//! What a receiver would say of a chunk of ours: the reader's own judgement, as a list. Used before a chunk is trusted to the
//! wire in debug builds, and by the receivers of the tests.

use super::{
    read::{Note, chunk_noting},
    refusal::Refusal,
};

/// What Relay, and Sentry after it, would refuse of this payload. `platform` is what the item header says, if it does.
/// A refusal of the whole ends the list, as it ends Relay's reading.
pub fn check(payload: &[u8], platform: Option<&str>) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let read = chunk_noting(payload, platform, &mut |note| {
        refusals.push(match note {
            Note::DeprecatedSdk => Refusal::DeprecatedSdk,
            Note::ThreadDropped(thread) => Refusal::ThreadDropped(thread.to_owned()),
        });
    });
    refusals.extend(read.err());
    refusals
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"version":"2","profiler_id":"5f0c1a7e9b3d4c62a81e7d40b6f2937c",
        "chunk_id":"c3a94e17d0b84f5e9a6b2c81f7e05d34","platform":"rust","client_sdk":{"name":"acme","version":"0.1.0"},
        "profile":{"frames":[{"function":"parse_row","in_app":true}],"stacks":[[0],[]],
        "samples":[{"timestamp":1790000000.0,"stack_id":0,"thread_id":"4711"},
        {"timestamp":1790000000.0099,"stack_id":0,"thread_id":"4711"},
        {"timestamp":1790000000.0198,"stack_id":1,"thread_id":"4711"}],"thread_metadata":{"4711":{"name":"w"}}}}"#;

    fn refusals(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        let found = check(GOOD.replacen(from, to, 1).as_bytes(), Some("rust"));
        found.iter().map(|refusal| refusal.outcome().unwrap_or("thread dropped")).collect::<Vec<_>>().join(", ")
    }

    /// Check each rule by one change to a chunk that is taken.
    #[test]
    fn rules() {
        let rows = [
            ("", "", ""),
            (r#""2""#, "2", "profiling_invalid_json"),
            (r#""2""#, r#""3""#, "profiling_invalid_json"),
            (r#""2""#, r#""1""#, "profiling_platform_not_supported"),
            (r#""version":"2","#, "", "profiling_platform_not_supported"),
            (r#""platform":"rust""#, r#""platform":"native""#, "profiling_invalid_profile_type"),
            (r#""client_sdk":{"name":"acme","version":"0.1.0"},"#, "", "profiling_invalid_json"),
            (r#""name":"acme","#, "", "profiling_invalid_json"),
            (r#","version":"0.1.0""#, "", "deprecated sdk"),
            ("5f0c1a7e9b3d4c62a81e7d40b6f2937c", "5f0c", "profiling_invalid_json"),
            (r#""thread_id":"4711""#, r#""thread_id":4711"#, "profiling_invalid_json"),
            (r#""lineno""#, "", ""),
            (r#""in_app":true"#, r#""lineno":-1"#, "profiling_invalid_json"),
            (r#""in_app":true"#, r#""instruction_addr":"7fabc""#, "profiling_invalid_json"),
            (r#""name":"w""#, r#""priority":-1"#, "profiling_invalid_json"),
            (r#"0099,"stack_id":0"#, r#"0099,"stack_id":1"#, "thread dropped, profiling_not_enough_samples"),
            (r#"0198,"stack_id":1"#, r#"0198,"stack_id":7"#, "profiling_malformed_samples"),
            ("[[0],[]]", "[[0],[1]]", "profiling_malformed_stacks"),
            ("1790000000.0198", "1790000066.0198", "profiling_duration_is_too_long"),
            ("1790000000.0198", "1e999", "profiling_invalid_json"),
            (r#""profile""#, r#""debug_meta":{},"profile""#, "profiling_invalid_json"),
            (r#""profile""#, r#""debug_meta":{"images":[{"type":"elf"}]},"profile""#, "profiling_invalid_json"),
            (r#""profile""#, r#""measurements":{"x":{"unit":"kg","values":[]}},"profile""#, "profiling_invalid_json"),
            (r#""profile""#, r#""measurements":{"x":{"unit":"byte","values":{}}},"profile""#, "profiling_invalid_json"),
        ];
        for (from, to, expected) in rows.iter().filter(|(from, ..)| GOOD.contains(from)) {
            assert_eq!(refusals(from, to), *expected, "{from} -> {to}");
        }
        assert_eq!(check(b"\xff", None).len(), 1);
    }
}
