//! A receiver who has the last word: what becomes of a cancel that comes when all has been sent.

use super::{
    speaker::{Speaker, all_there},
    support::Scene,
};
use crate::{
    peer::tests::support::soon,
    transfer::{
        Running,
        progress::State,
        proto::{Answer, Message},
    },
};

/// Mallory has been sent everything and has not said so; Alice cancels.
async fn cancelled(scene: &mut Scene) -> (Running, Speaker) {
    let running = scene.send("mallory", &[("letter", b"hello")]);
    let mut mallory = Speaker::asked(&mut scene.mallory).await;
    mallory.say(Message::Answer(Answer::Accept { instance: 1, compares: false })).await;
    mallory.hear_until(|message| matches!(message, Message::Finish { .. })).await;
    running.cancel.cancel();
    mallory.hear_until(|message| matches!(message, Message::Cancel { .. })).await;
    (running, mallory)
}

async fn ended(mut running: Running) -> State {
    soon(running.progress.wait_for(|progress| progress.state.is_over())).await.unwrap().state
}

#[tokio::test]
async fn what_had_arrived_before_the_cancel_is_delivered() {
    let mut scene = Scene::start().await;
    let (running, mallory) = cancelled(&mut scene).await;
    mallory.say(all_there(1, 5)).await;
    assert_eq!(ended(running).await, State::Done);
    scene.finish().await;
}

#[tokio::test]
async fn who_says_anything_else_or_nothing_does_not_hold_up_a_cancel() {
    let mut scene = Scene::start().await;
    let (running, mallory) = cancelled(&mut scene).await;
    mallory.say(Message::Delivered { files: 1, bytes: 5 }).await;
    assert_eq!(ended(running).await, State::Cancelled);
    scene.finish().await;
}
