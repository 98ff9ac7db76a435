use super::*;

fn taken(budget: &mut Budget, whom: &str, now: Instant) -> usize {
    let whom = || Whom::Sender(whom.to_owned());
    (0..9).filter(|_| budget.take(whom(), STRANGER, now)).count()
}

#[test]
fn a_burst_is_taken_and_then_one_at_a_time() {
    let (mut budget, start) = (Budget::default(), Instant::now());
    assert_eq!(taken(&mut budget, "a", start), 3);
    assert_eq!(taken(&mut budget, "b", start), 3);
    assert_eq!(taken(&mut budget, "a", start + STRANGER.every / 2), 0);
    assert_eq!(taken(&mut budget, "a", start + STRANGER.every), 1);
    assert_eq!(taken(&mut budget, "a", start + STRANGER.every * 100), 3);
}

#[test]
fn many_names_use_no_more_memory_than_few() {
    let (mut budget, start) = (Budget::default(), Instant::now());
    let people = (0..2_000).filter(|n| taken(&mut budget, &n.to_string(), start) > 0).count();
    assert_eq!((people, budget.used.len()), (MAX_PEOPLE, MAX_PEOPLE));
    assert_eq!(taken(&mut budget, "late", start + STRANGER.every * 3), 3);
    assert_eq!(budget.used.len(), 1);
}
