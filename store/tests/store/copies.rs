//! Copies of a store that runs, and stores made of them.

use std::path::Path;

use converge_protocol::{NodePage, Page, RevisionView};
use converge_store::{Access, Store, StoreOptions, Upkeep, backup, restore};
use reqwest::{Method, StatusCode};

use crate::running::{Running, TestClock, options};

fn modes_are_private(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o007, 0, "{}: {mode:o}", entry.path().display());
        if entry.file_type().unwrap().is_dir() {
            modes_are_private(&entry.path());
        }
    }
}

fn is_closed(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", directory.display());
}

#[tokio::test]
async fn a_copy_of_a_running_store_is_a_store_that_its_nodes_and_operators_know() {
    let mut store = Running::start().await;
    store.publish(b"graph 1").await;
    store.assign(1).await;
    let (_, node) = store.enroll("web-1", 1).await;
    let to = store.data().join("copy");
    // Others write meanwhile.
    let writing = async {
        for number in 2..40 {
            store.publish_policy("web", number, format!("graph {number}").as_bytes()).await;
        }
    };
    let (from, target) = (store.data().join("store"), to.clone());
    let copying = tokio::task::spawn_blocking(move || backup(&from, &target, &TestClock::default()));
    let (copied, ()) = tokio::join!(copying, writing);
    let copied = copied.unwrap().unwrap();
    let newest = copied.policies["web"];
    assert_eq!((copied.nodes, copied.blobs, copied.lost.len()), (1, usize::try_from(newest).unwrap(), 0), "{copied:?}");
    modes_are_private(&to);
    is_closed(&to);
    let again = backup(&store.data().join("store"), &to, &TestClock::default()).unwrap_err();
    assert!(again.to_string().contains("there already"), "{again}");

    // As a service manager has it: a link to where the data is.
    let (data, behind) = (store.data().join("other"), store.data().join("behind"));
    std::fs::create_dir(&behind).unwrap();
    std::os::unix::fs::symlink(&behind, &data).unwrap();
    assert_eq!(restore(&to, &data).unwrap().policies, copied.policies);
    assert!(data.is_symlink() && behind.join("store.db").is_file());
    modes_are_private(&data);
    is_closed(&data);
    let restored = Store::open(&StoreOptions { upkeep: Upkeep::default(), ..options(&data) }).await.unwrap();
    let access: Access = serde_json::from_slice(&std::fs::read(restored.access_file()).unwrap()).unwrap();
    assert_eq!((access.token, restored.pin()), (store.operator.clone(), access.authority));
    store.base = restored.address().to_owned();
    tokio::spawn(restored.serve(std::future::pending()));
    let nodes = store.ask(Method::GET, "/v1/nodes", &store.operator).send().await.unwrap();
    assert_eq!(nodes.json::<NodePage>().await.unwrap().items.len(), 1);
    // A request that was made before it started could be a repetition: it says what time it has.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let answer = store.ask(Method::GET, "/v1/node", &node).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "the node is who it was: {}", answer.text().await.unwrap());
    let revisions = store.ask(Method::GET, "/v1/policies/web/revisions", &store.operator).send().await.unwrap();
    for revision in revisions.json::<Page<RevisionView>>().await.unwrap().items {
        let path = format!("/v1/blobs/{}", revision.manifest.graph.digest);
        let graph = store.ask(Method::GET, &path, &node).send().await.unwrap().bytes().await.unwrap();
        assert_eq!(graph, format!("graph {}", revision.serial).as_bytes());
    }
}

#[tokio::test]
async fn a_copy_that_was_damaged_or_cut_makes_no_store() {
    let store = Running::start().await;
    let graph = store.publish(b"graph 1").await.manifest.graph;
    let from = store.data().join("store");
    let to = store.data().join("copy");
    // What a killed process left is no obstacle, and no copy.
    std::fs::create_dir(store.data().join(".copy.partial")).unwrap();
    std::fs::write(store.data().join(".copy.partial/store.db"), "half").unwrap();
    assert!(restore(&store.data().join(".copy.partial"), &store.data().join("x")).is_err());
    backup(&from, &to, &TestClock::default()).unwrap();
    let digest = graph.digest.to_string();
    let blob = format!("blobs/{}/{}", &digest[..2], &digest[2..]);
    for (file, said) in [
        ("store.db", "store.db is not what it was"),
        ("tls/authority.pem", "tls/authority.pem is not what it was"),
        (blob.as_str(), "is not what its digest says"),
        ("contents.json", "contents.json"),
    ] {
        let path = to.join(file);
        let whole = std::fs::read(&path).unwrap();
        let mut altered = whole.clone();
        altered[whole.len() / 2] ^= 1;
        for wrong in [&altered, &whole[..whole.len() - 1].to_vec()] {
            std::fs::write(&path, wrong).unwrap();
            let data = store.data().join("other");
            let error = restore(&to, &data).unwrap_err();
            assert!(error.to_string().contains(said) || file == "contents.json", "{file}: {error}");
            assert!(!data.exists() && !store.data().join(".other.partial").exists(), "{file}: something is left");
        }
        std::fs::write(&path, whole).unwrap();
    }
    let occupied = restore(&to, &from).unwrap_err();
    assert!(occupied.to_string().contains("not empty"), "{occupied}");
    // A store that lost a blob is copied all the same, and says so.
    std::fs::write(from.join(&blob), "damaged").unwrap();
    let second = backup(&from, &store.data().join("second"), &TestClock::default()).unwrap();
    assert_eq!(second.lost, [graph.digest]);
    restore(&store.data().join("second"), &store.data().join("other")).unwrap();
}
