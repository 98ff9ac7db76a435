//! The journal against a database in a temporary folder.
#![allow(clippy::unwrap_used)]

use super::super::testing;
use super::*;

const ALICE: IdentityKey = IdentityKey::from_bytes([7; 32]);
const ONE: TransferId = TransferId([1; 16]);
const TWO: TransferId = TransferId([2; 16]);

fn delivery(path: &str, inode: u64) -> Delivery {
    Delivery {
        path: path.into(),
        final_path: format!("{path} (2)").into(),
        is_link: false,
        size: 10,
        mtime: (-5, 6),
        hash: [inode.to_le_bytes()[0]; 32],
        id: Some((u64::MAX, inode)),
    }
}

fn scene() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _thread) = testing::open(dir.path());
    (dir, store)
}

fn journal(store: &Store, transfer: TransferId) -> Journal {
    store.journal(&ALICE, Path::new("/dest"), transfer).unwrap()
}

#[test]
fn what_this_transfer_delivered_is_preferred_to_what_came_last() {
    let (_dir, store) = scene();
    let (one, two) = (journal(&store, ONE), journal(&store, TWO));
    let first = one.intend(None, vec![delivery("a/b", 1)], None, None, 9).unwrap();
    assert_eq!(one.intend(Some(first), vec![delivery("c", 2)], None, None, 9).unwrap(), first);
    two.intend(None, vec![delivery("a/b", 3)], Some((first, (8, 7))), None, 9).unwrap();
    let known = |journal: &Journal, path: &str| {
        let found = journal.look_up(vec![path.into(), b"unknown".to_vec()]).unwrap();
        assert_eq!(found[1], None);
        found[0].clone().unwrap()
    };
    let expected = Known { delivery: delivery("a/b", 1), by_this: true, ended: Some((8, 7)) };
    assert_eq!(known(&one, "a/b"), expected);
    let expected = Known { delivery: delivery("a/b", 3), by_this: true, ended: None };
    assert_eq!(known(&two, "a/b"), expected);
    let expected = Known { delivery: delivery("c", 2), by_this: false, ended: Some((8, 7)) };
    assert_eq!(known(&two, "c"), expected);
    let elsewhere = store.journal(&ALICE, Path::new("/other"), ONE).unwrap();
    assert_eq!(elsewhere.look_up(vec![b"a/b".to_vec()]).unwrap(), [None]);
    assert_eq!((one.delivered_bytes().unwrap(), two.delivered_bytes().unwrap()), (20, 10));
}

#[test]
fn a_commit_that_was_cut_short_is_settled_once() {
    let (_dir, store) = scene();
    let one = journal(&store, ONE);
    let done = one.intend(None, vec![delivery("done", 1)], None, None, 9).unwrap();
    let files = vec![delivery("delivered", 2), delivery("not", 3)];
    let cut = one.intend(None, files.clone(), Some((done, (1, 1))), None, 9).unwrap();
    assert_eq!(journal(&store, TWO).unsettled().unwrap(), [0_i64; 0]);
    assert_eq!(one.unsettled().unwrap(), [cut]);
    assert_eq!(one.files_of(cut).unwrap(), files);
    one.settle(cut, (2, 2), vec![b"not".to_vec()]).unwrap();
    assert_eq!(one.unsettled().unwrap(), [0_i64; 0]);
    let found = one.look_up(vec![b"delivered".to_vec(), b"not".to_vec()]).unwrap();
    assert!(found[0].is_some() && found[1].is_none());
}

#[test]
fn something_is_held_of_a_transfer_that_goes_on_and_of_top_names_that_came_before() {
    let (_dir, store) = scene();
    let (one, two) = (journal(&store, ONE), journal(&store, TWO));
    assert!(!one.holds(None).unwrap());
    one.intend(None, vec![delivery("a/b", 1), delivery("c", 2)], None, None, 9).unwrap();
    assert!(one.holds(Some(vec![])).unwrap());
    assert!(two.holds(None).unwrap());
    for (top, held) in [("a", true), ("c", true), ("a/b", true), ("b", false), ("ab", false)] {
        assert_eq!(two.holds(Some(vec![top.into()])).unwrap(), held, "{top}");
    }
}

#[test]
fn a_top_folder_keeps_its_name_and_a_later_one_takes_its_place() {
    let (_dir, store) = scene();
    let one = journal(&store, ONE);
    assert_eq!(one.top(b"a").unwrap(), None);
    one.put_top(b"a", (b"a (2)".to_vec(), None)).unwrap();
    assert_eq!(one.top(b"a").unwrap(), Some((b"a (2)".to_vec(), None)));
    one.put_top(b"a", (b"a (3)".to_vec(), Some((1, u64::MAX)))).unwrap();
    let top = journal(&store, TWO).top(b"a").unwrap();
    assert_eq!(top, Some((b"a (3)".to_vec(), Some((1, u64::MAX)))));
}

#[tokio::test]
async fn what_is_old_is_forgotten_with_its_place_and_nothing_else() {
    let (_dir, store) = scene();
    let fill = store.clone();
    tokio::task::spawn_blocking(move || {
        let one = journal(&fill, ONE);
        one.put_top(b"a", (b"a".to_vec(), None)).unwrap();
        one.intend(None, vec![delivery("a/old", 1)], None, None, 1_000).unwrap();
        one.intend(None, vec![delivery("a/new", 2)], None, None, 2_000).unwrap();
    })
    .await
    .unwrap();
    let known = |store: Store| {
        let look = move || {
            let one = journal(&store, ONE);
            let paths = vec![b"a/old".to_vec(), b"a/new".to_vec()];
            let found = one.look_up(paths).unwrap().iter().map(Option::is_some).collect::<Vec<_>>();
            (found, one.top(b"a").unwrap().is_some())
        };
        tokio::task::spawn_blocking(look)
    };
    store.forget_old_deliveries(KEEP_SECONDS + 1_001).await.unwrap();
    assert_eq!(known(store.clone()).await.unwrap(), (vec![false, true], true));
    store.forget_old_deliveries(KEEP_SECONDS + 2_001).await.unwrap();
    assert_eq!(known(store).await.unwrap(), (vec![false, false], false));
}
