//! One question asked in several ways has one answer.

use std::collections::BTreeMap;

use super::*;

fn sum(column: &Value) -> u64 {
    column.as_array().unwrap().iter().map(|one| one.as_u64().unwrap()).sum()
}

/// Check that tree, functions, threads and their sums agree, and that the answer says what it covers.
#[tokio::test]
async fn sums() {
    let (_dir, queries) = kept();
    let router = router(queries, Settings::default());
    let tree = json(&router, &format!("/tree?{WINDOW}")).await;
    assert_eq!(tree["covers"]["profiles"], 3);
    assert!(tree["covers"]["damaged"].as_array().unwrap().is_empty());
    let total = tree["total_us"].as_u64().unwrap();
    assert!(total > 0);
    assert_eq!(sum(&tree["nodes"]["own_us"]), total);

    let functions = json(&router, &format!("/functions?{WINDOW}")).await;
    assert_eq!(functions["total_us"], total);
    let mut own: BTreeMap<String, u64> = BTreeMap::new();
    for (function, us) in
        tree["nodes"]["function"].as_array().unwrap().iter().zip(tree["nodes"]["own_us"].as_array().unwrap())
    {
        let row = &tree["functions"][usize::try_from(function.as_u64().unwrap()).unwrap()];
        *own.entry(row[0].as_str().unwrap().to_owned()).or_default() += us.as_u64().unwrap();
    }
    let mut told: BTreeMap<String, u64> = BTreeMap::new();
    for row in functions["functions"].as_array().unwrap() {
        *told.entry(row["function"]["name"].as_str().unwrap().to_owned()).or_default() +=
            row["own"]["us"].as_u64().unwrap();
    }
    assert_eq!(own, told);

    let inverted = json(&router, &format!("/tree?{WINDOW}&inverted=true")).await;
    assert_eq!(inverted["total_us"], total);
    let threads = json(&router, &format!("/threads?{WINDOW}")).await;
    let threads: u64 = threads["threads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|thread| thread["weight"]["us"].as_u64().unwrap() - thread["idle_us"].as_u64().unwrap())
        .sum();
    assert_eq!(threads, total);
    let limited = json(&router, &format!("/functions?{WINDOW}&limit=1")).await;
    assert_eq!((limited["functions"].as_array().unwrap().len(), &limited["total_us"]), (1, &functions["total_us"]));
}

/// Check that a window is split without loss: what two halves say adds up to the whole.
#[tokio::test]
async fn halves() {
    let (_dir, queries) = kept();
    let router = router(queries, Settings::default());
    let mut parts = 0;
    for window in ["from=1795770000&to=1795770001.123456", "from=1795770001.123456&to=1795773600"] {
        parts += json(&router, &format!("/tree?{window}")).await["total_us"].as_u64().unwrap();
    }
    assert_eq!(json(&router, &format!("/tree?{WINDOW}")).await["total_us"], parts);
}

/// Check that a folder is asked in this process as it is asked over the network.
#[tokio::test]
async fn local() {
    let (_dir, queries) = kept();
    let path = format!("/functions?{WINDOW}");
    let over_http = get(&router(queries.clone(), Settings::default()), &path).await.bytes;
    let mut taken = Taken::default();
    Local::new(queries).get(&format!("{PREFIX}{path}"), &mut taken).await.unwrap();
    assert_eq!(taken, Taken { status: 200, bytes: over_http });
}

#[derive(Default, PartialEq, Debug)]
struct Taken {
    status: u16,
    bytes: Vec<u8>,
}

impl Taker for Taken {
    fn status(&mut self, status: u16) {
        self.status = status;
    }

    fn piece(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}
