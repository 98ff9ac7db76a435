#![allow(clippy::unwrap_used)]

use filefleet_ctl::proto::{Call, ControlError, ErrorCode, Offer, WirePath};
use filefleet_ctl::testing;

use super::*;

const SERVER: &str = ":1.7";

/// A board, and the screen that it has filled.
struct Screen {
    board: Board,
    now: Instant,
    notes: Vec<(Handle, Topic, Note)>,
    last_id: u32,
    server: &'static str,
}

impl Screen {
    fn new() -> Self {
        let (board, now) = (Board::default(), Instant::now());
        Self { board, now, notes: Vec::new(), last_id: 0, server: SERVER }
    }

    fn learn(&mut self, event: Event) {
        self.board.learn(&event, self.now);
        self.draw();
    }

    /// Something has come, and is all there.
    fn receive(&mut self, id: &str) {
        for event in received(id) {
            self.learn(event);
        }
    }

    /// Does what the board wants.
    fn draw(&mut self) {
        while let Some(change) = self.board.next(self.now) {
            match change {
                Change::Close(handle) => self.notes.retain(|(shown, _, _)| *shown != handle),
                Change::Show { topic, note, replaces } => {
                    self.notes.retain(|(shown, _, _)| Some(shown) != replaces.as_ref());
                    self.last_id += 1;
                    let fresh = Handle { server: self.server.to_owned(), id: self.last_id };
                    let handle = replaces.unwrap_or(fresh);
                    assert_eq!(self.board.shown(&topic, handle.clone()), []);
                    self.notes.push((handle, topic, note));
                }
            }
        }
    }

    fn later(&mut self, time: Duration) {
        self.now += time;
        self.draw();
    }

    fn summaries(&self) -> Vec<&str> {
        self.notes.iter().map(|(_, _, note)| note.summary.as_str()).collect()
    }

    fn handle_of(&self, id: &str) -> Handle {
        let is_it = |topic: &Topic| *topic == Topic::Request(id.to_owned());
        self.notes.iter().find(|(_, topic, _)| is_it(topic)).unwrap().0.clone()
    }

    fn close(&mut self, handle: &Handle) {
        self.notes.retain(|(shown, _, _)| shown != handle);
        self.board.closed(handle);
        self.draw();
    }

    /// The server is another one, which shows nothing yet.
    fn restart(&mut self, server: &'static str) {
        self.notes.clear();
        self.board.served_by("", self.now);
        self.draw();
        (self.server, self.last_id) = (server, 0);
        self.board.served_by(server, self.now);
        self.draw();
    }
}

fn request(id: &str) -> Event {
    Event::Request(RequestView { known: true, ..testing::request(id, "bob") })
}

fn gone(id: &str) -> Event {
    Event::RequestGone { id: id.to_owned() }
}

fn transfer(id: &str, state: TransferState) -> TransferView {
    TransferView { id: id.to_owned(), ..testing::transfer(state) }
}

fn received(id: &str) -> [Event; 2] {
    [TransferState::Active, TransferState::Done].map(|state| {
        let paths = vec![WirePath("/in/a".into())];
        let view = transfer(id, state);
        Event::Transfer(TransferView { direction: Direction::Incoming, paths, ..view })
    })
}

/// The key of the button that accepts the first state of a [`request`].
fn accept_key(id: &str) -> String {
    format!("accept:{id}:2:10:more")
}

fn accept(id: &str) -> Option<Click> {
    let seen = Some(Offer { files: 2, bytes: 10, total_known: false });
    Some(Click::Call(Call::Accept { id: id.to_owned(), to: None, always: false, seen }))
}

/// More is known of a request.
fn grown(id: &str, files: u64) -> Event {
    Event::Request(RequestView { known: true, files, ..testing::request(id, "bob") })
}

#[test]
fn a_request_is_shown_answered_and_gone() {
    let mut screen = Screen::new();
    screen.learn(request("a"));
    assert_eq!(screen.summaries(), ["bob wants to send at least 2 files, 10 B"]);
    let handle = screen.handle_of("a");
    assert_eq!(screen.board.clicked(&handle, &accept_key("a")), accept("a"));
    // A second click is none.
    assert_eq!(screen.board.clicked(&handle, &accept_key("a")), None);
    screen.learn(gone("a"));
    assert!(screen.notes.is_empty());
}

#[test]
fn a_click_counts_only_for_the_very_note_that_is_shown() {
    let mut screen = Screen::new();
    screen.learn(request("a"));
    let handle = screen.handle_of("a");
    let others = ["accept:a", "accept:b", "accept", "accept:", "default", ""].map(str::to_owned);
    for key in others.into_iter().chain([accept_key("b")]) {
        assert_eq!(screen.board.clicked(&handle, &key), None, "{key}");
    }
    let elsewhere = Handle { server: ":1.8".to_owned(), ..handle.clone() };
    assert_eq!(screen.board.clicked(&elsewhere, &accept_key("a")), None);
    let other = Handle { id: handle.id + 1, ..handle };
    assert_eq!(screen.board.clicked(&other, &accept_key("a")), None);
}

#[test]
fn a_click_may_overtake_the_word_that_its_note_is_shown() {
    let (mut board, now) = (Board::default(), Instant::now());
    board.learn(&request("a"), now);
    let Some(Change::Show { topic, .. }) = board.next(now) else { panic!("nothing to show") };
    let handle = |id| Handle { server: SERVER.to_owned(), id };
    assert_eq!(board.clicked(&handle(1), &accept_key("a")), None);
    board.closed(&handle(1));
    // And so may a lie about another one.
    for _ in 0..1_000 {
        assert_eq!(board.clicked(&handle(2), "decline:a"), None);
    }
    assert_eq!(board.early.len(), MAX_EARLY);
    assert_eq!(board.shown(&topic, handle(1)), [accept("a").unwrap()]);
    assert_eq!(board.next(now + PACE), None);
    assert_eq!(board.clicked(&handle(1), &accept_key("a")), None);
}

#[test]
fn closing_answers_nothing_and_is_not_undone() {
    let mut screen = Screen::new();
    screen.learn(request("a"));
    let handle = screen.handle_of("a");
    screen.close(&handle);
    assert_eq!(screen.board.clicked(&handle, &accept_key("a")), None);
    // More is known of it; that is no reason to come back.
    screen.later(PACE);
    screen.learn(grown("a", 99));
    screen.restart(":1.9");
    assert!(screen.notes.is_empty());
}

#[test]
fn an_answer_that_does_not_reach_the_sender_brings_the_request_back() {
    let mut screen = Screen::new();
    screen.learn(request("a"));
    let handle = screen.handle_of("a");
    screen.board.clicked(&handle, &accept_key("a")).unwrap();
    screen.close(&handle);
    screen.later(PACE);
    screen.learn(request("a"));
    let again = screen.handle_of("a");
    assert_ne!(again, handle);
    assert_eq!(screen.board.clicked(&again, &accept_key("a")), accept("a"));
}

#[test]
fn a_new_server_with_old_ids_accepts_nothing_by_itself() {
    let mut screen = Screen::new();
    screen.learn(request("a"));
    screen.learn(request("b"));
    let (a, b) = (screen.handle_of("a"), screen.handle_of("b"));
    screen.restart(":1.9");
    assert_eq!(screen.notes.len(), 2);
    for handle in [&a, &b] {
        assert_eq!(screen.board.clicked(handle, &accept_key("a")), None);
        assert_eq!(screen.board.clicked(handle, &accept_key("b")), None);
    }
    // The first to be shown has the first id again.
    let (first, second) = (screen.handle_of("a"), screen.handle_of("b"));
    assert_eq!((first.id, second.id), (1, 2));
    assert_eq!(screen.board.clicked(&first, &accept_key("b")), None);
    assert_eq!(screen.board.clicked(&first, &accept_key("a")), accept("a"));
}

#[test]
fn the_server_that_a_note_has_started_does_not_show_it_twice() {
    let mut screen = Screen::new();
    screen.learn(request("a"));
    screen.board.served_by(SERVER, screen.now);
    screen.draw();
    assert_eq!(screen.last_id, 1);
}

#[test]
fn an_answer_counts_for_what_was_shown_and_for_no_more() {
    let mut screen = Screen::new();
    screen.learn(request("a"));
    let handle = screen.handle_of("a");
    // The screen still says two files.
    screen.board.learn(&grown("a", 99), screen.now);
    assert_eq!(screen.board.clicked(&handle, &accept_key("a")), None);
    screen.close(&handle);
    // Now it says more, in a note of its own, at once.
    assert_eq!(screen.summaries(), ["bob wants to send at least 99 files, 10 B"]);
    let fresh = screen.handle_of("a");
    assert_ne!(fresh, handle);
    assert_eq!(screen.board.clicked(&fresh, &accept_key("a")), None);
    screen.draw();
    let fresh = screen.handle_of("a");
    let seen = Some(Offer { files: 99, bytes: 10, total_known: false });
    let call = Call::Accept { id: "a".to_owned(), to: None, always: false, seen };
    let key = "accept:a:99:10:more";
    assert_eq!(screen.board.clicked(&fresh, key), Some(Click::Call(call)));
    // To decline, nobody needs to know how much it is.
    screen.learn(request("b"));
    let handle = screen.handle_of("b");
    screen.board.learn(&grown("b", 99), screen.now);
    assert!(screen.board.clicked(&handle, "decline:b").is_some());
}

#[test]
fn without_a_server_requests_wait_and_are_tried_again_more_and_more_seldom() {
    let mut board = Board::default();
    let now = Instant::now();
    board.learn(&request("a"), now);
    for event in received("t") {
        board.learn(&event, now);
    }
    let Some(Change::Show { topic, .. }) = board.next(now) else { panic!("nothing to show") };
    board.not_shown(&topic, now);
    assert_eq!((board.next(now + PACE * 9), board.due()), (None, Some(now + FIRST_RETRY)));
    assert!(board.served_by(SERVER, now));
    assert!(matches!(board.next(now + PACE), Some(Change::Show { .. })));
    // How a transfer ended is old by now.
    assert_eq!(board.next(now + PACE), None);

    let mut then = now + PACE;
    let mut pauses = Vec::new();
    for _ in 0..40 {
        board.not_shown(&topic, then);
        let due = board.due().unwrap();
        pauses.push(due - then);
        then = due;
        assert!(matches!(board.next(then), Some(Change::Show { .. })));
    }
    assert_eq!(pauses[..3], [FIRST_RETRY, FIRST_RETRY * 2, FIRST_RETRY * 4]);
    assert_eq!(pauses.last(), Some(&LAST_RETRY));
    // Somebody shows it, and goes.
    board.shown(&topic, Handle { server: SERVER.to_owned(), id: 1 });
    board.served_by("", then);
    assert_eq!(board.due(), Some(then + FIRST_RETRY));
}

#[test]
fn a_sender_changes_a_note_no_more_than_once_a_second() {
    let mut screen = Screen::new();
    screen.learn(request("a"));
    for files in 0..10_000 {
        assert!(screen.board.learn(&grown("a", files), screen.now));
        assert_eq!(screen.board.next(screen.now), None);
    }
    assert_eq!(screen.board.due(), Some(screen.now + PACE));
    screen.later(PACE);
    assert_eq!(screen.summaries(), ["bob wants to send at least 9999 files, 10 B"]);
}

#[test]
fn a_stranger_who_asks_and_withdraws_for_ever_is_heard_a_few_times() {
    let mut screen = Screen::new();
    for n in 0..1_000 {
        let id = n.to_string();
        screen.learn(Event::Request(testing::request(&id, "mallory")));
        screen.learn(gone(&id));
    }
    assert!(screen.notes.is_empty());
    // Their own three, and three times that there are more.
    assert_eq!(screen.last_id, 6);
}

#[test]
fn requests_over_the_measure_are_one_note_and_not_lost() {
    let mut screen = Screen::new();
    for n in 0..40 {
        screen.learn(request(&n.to_string()));
    }
    screen.later(PACE);
    assert_eq!(screen.notes.len(), 31);
    assert!(screen.summaries().contains(&"10 more requests wait for your answer"));
    for n in 30..39 {
        screen.learn(gone(&n.to_string()));
    }
    screen.later(PACE);
    assert!(screen.summaries().contains(&"1 more request waits for your answer"));
    screen.learn(gone("39"));
    assert_eq!(screen.notes.len(), 30);
}

#[test]
fn what_waited_before_the_start_is_shown_in_few_notes() {
    let mut screen = Screen::new();
    let Event::State(mut state) = testing::state(Vec::new()) else { panic!("not the state") };
    state.requests = (0..50).map(|n| testing::request(&n.to_string(), "bob")).collect();
    screen.learn(Event::State(state));
    assert_eq!(screen.notes.len(), MAX_AT_START + 1);
    assert!(screen.summaries().contains(&"47 more requests wait for your answer"));
}

#[test]
fn what_arrived_can_be_opened_again_and_again() {
    let mut screen = Screen::new();
    screen.receive("t");
    assert_eq!(screen.summaries(), ["bob sent you 3 files, 2.9 KiB"]);
    let handle = screen.notes[0].0.clone();
    for _ in 0..2 {
        let open = Some(Click::Open("/in/a".into()));
        assert_eq!(screen.board.clicked(&handle, "open:t"), open);
        let show = Some(Click::Show(vec!["/in/a".into()]));
        assert_eq!(screen.board.clicked(&handle, "show:t"), show);
    }
}

#[test]
fn only_the_end_of_what_had_waited_or_failed_is_news_to_its_sender() {
    let mut screen = Screen::new();
    let done = || Event::Transfer(transfer("t", TransferState::Done));
    screen.learn(Event::Transfer(transfer("t", TransferState::Active)));
    screen.learn(done());
    // Seen for the first time when it had ended.
    screen.learn(Event::Transfer(transfer("u", TransferState::Failed)));
    assert!(screen.notes.is_empty());

    let reason = Some(ControlError::new(ErrorCode::Offline, "away"));
    let queued = TransferView { reason, ..transfer("t", TransferState::Queued) };
    screen.learn(Event::Transfer(queued));
    screen.learn(Event::Transfer(transfer("t", TransferState::Active)));
    screen.learn(done());
    assert_eq!(screen.summaries(), ["bob has got 3 files, 2.9 KiB that had waited"]);

    screen.learn(Event::Transfer(transfer("v", TransferState::Active)));
    let error = Some(ControlError::new(ErrorCode::DiskFull, "bob: no room <b>\x1b[1m"));
    let failed = TransferView { error, ..transfer("v", TransferState::Failed) };
    screen.learn(Event::Transfer(failed));
    let (handle, _, note) = &screen.notes[1];
    assert_eq!(note.body, "holiday\nbob: no room <b>\\u{1b}[1m");
    let retry = Some(Click::Call(Call::Retry { id: "v".to_owned() }));
    assert_eq!(screen.board.clicked(handle, "retry:v"), retry);
}

#[test]
fn a_trusted_sender_of_many_files_fills_neither_screen_nor_memory() {
    let mut screen = Screen::new();
    for n in 0..10_000 {
        screen.receive(&n.to_string());
        screen.later(Duration::from_millis(10));
    }
    assert!(screen.last_id <= 15, "{} notes", screen.last_id);
    for n in 0..100 {
        let peer = format!("bob{n}");
        for event in received(&format!("of {peer}")) {
            let Event::Transfer(view) = event else { continue };
            screen.learn(Event::Transfer(TransferView { peer: peer.clone(), ..view }));
        }
    }
    assert_eq!(screen.notes.len(), MAX_ENDS);
    assert!(screen.board.open.is_empty());
}

#[test]
fn of_several_troubles_the_last_is_shown() {
    let mut screen = Screen::new();
    for trouble in ["first", "second\nhint", "third"] {
        assert!(screen.board.add_trouble(trouble));
        screen.draw();
    }
    assert_eq!(screen.notes.len(), 1);
    assert_eq!(screen.notes[0].2.body, "third");
}

#[test]
fn the_user_says_what_is_shown() {
    let mut screen = Screen::new();
    let set = |value| Event::Setting(testing::setting("notifications", value));
    screen.learn(request("a"));
    screen.receive("t");
    assert_eq!(screen.notes.len(), 2);
    screen.learn(set("requests"));
    assert_eq!(screen.summaries(), ["bob wants to send at least 2 files, 10 B"]);
    screen.receive("u");
    assert_eq!(screen.notes.len(), 1);
    screen.learn(set("off"));
    screen.learn(request("b"));
    assert!(screen.notes.is_empty());
    screen.learn(set("all"));
    screen.learn(request("c"));
    screen.receive("v");
    assert_eq!(screen.notes.len(), 2);
}
