//! Somebody who offers more after a person has looked.

use filefleet_ctl::proto::{Call, ErrorCode, Offer};

use super::{
    speaker::{Speaker, file, request},
    support::Scene,
};
use crate::transfer::proto::{Answer, Message, Totals};

#[tokio::test]
async fn what_grew_after_it_was_shown_is_not_accepted() {
    let mut scene = Scene::start().await;
    let mut mallory = Speaker::call(&mut scene.mallory).await;
    mallory.say(request(1)).await;
    assert_eq!(mallory.hear().await, Message::Answer(Answer::Waiting));
    let id = mallory.id.to_string();
    let accept = |seen| Call::Accept { id: id.clone(), to: None, always: true, seen: Some(seen) };
    let shown = Offer { files: 1, bytes: 1, total_known: true };
    assert_eq!(scene.bob.requests().await[0].offer(), shown);

    for totals in [
        Totals { files: 1, bytes: 1 << 40, exact: true },
        Totals { files: 1_000_000, bytes: 1, exact: true },
        Totals { files: 1, bytes: 1, exact: false },
    ] {
        mallory.say(Message::Totals(totals)).await;
        // Answered in order: the totals are known.
        mallory.say(request(1)).await;
        assert_eq!(mallory.hear().await, Message::Answer(Answer::Waiting));
        assert_eq!(scene.bob.refused(accept(shown)).await, ErrorCode::RequestChanged);
        assert_eq!(scene.bob.requests().await.len(), 1, "{totals:?}");
    }
    // Who has seen how it stands accepts that, and less.
    mallory.say(Message::Totals(Totals { files: 1, bytes: 3, exact: true })).await;
    mallory.say(request(1)).await;
    assert_eq!(mallory.hear().await, Message::Answer(Answer::Waiting));
    scene.bob.done(accept(Offer { bytes: 4, ..shown })).await;
    let Message::Answer(Answer::Accept { instance, .. }) = mallory.hear().await else {
        panic!("not accepted");
    };
    mallory.begin(instance).await;
    mallory.pack(0, &[file(0, "abc", b"abc")]).await;
    mallory.finish(1).await;
    mallory.complete().await;
    scene.expect("abc", "abc");
    scene.finish().await;
}
