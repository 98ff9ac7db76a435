//! Linux: a StatusNotifierItem and its menu over the session bus, with no graphical library. Panels
//! come and go; ksni registers with whichever is there.
//!
//! Everything runs on the main thread, in one runtime: the loop, the bus, the daemon's link.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::Context;
use filefleet_ctl::{Home, open};
use futures_core::Stream;
use ksni::menu::{CheckmarkItem, StandardItem, SubMenu};
use ksni::{MenuItem, OfflineReason, Status, ToolTip, Tray, TrayMethods};
use tokio::sync::mpsc;

use super::pace::Pace;
use super::{Outside, click};
use crate::action::Action;
use crate::app::{App, Effect};
use crate::artwork;
use crate::event::{EVENTS, Event};
use crate::menu::Item;
use crate::view::{Badge, Icon, View};

/// How long the answer to the click on "Quit tray" has to leave before the bus is closed.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Shows the tray until a person or the session ends it.
///
/// # Errors
///
/// When there is no session bus, or it ends.
pub(crate) fn run(home: Home) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(show(home, runtime.handle().clone()));
    // A dialog that is still open must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn show(home: Home, runtime: tokio::runtime::Handle) -> anyhow::Result<()> {
    let (sender, mut events) = mpsc::channel(EVENTS);
    let mut app = App::new(home.clone());
    let outside = Outside::new(home, runtime, sender.clone());
    let bus = zbus::Connection::session().await.context(NO_BUS)?;
    tokio::spawn(watch_session(bus, sender.clone()));
    let notifier = Notifier::new(app.view(), sender);
    let tray = notifier.assume_sni_available(true).spawn().await.context(NO_BUS)?;
    outside.follow_daemon();
    let mut pace = Pace::default();
    let mut view = app.view();
    loop {
        let due = pace.due(Instant::now());
        let event = tokio::select! {
            biased;
            () = sleep_until(due) => {
                pace.shown(Instant::now());
                let now = app.view();
                if now != view {
                    view = now;
                    tray.update(|notifier| notifier.show(view.clone())).await;
                }
                continue;
            }
            event = events.recv() => event,
        };
        // The loop's own tray holds a sender, so there is always another event.
        let Some(event) = event else { return Ok(()) };
        match app.handle(event) {
            Some(Effect::End(Some(reason))) => anyhow::bail!(reason),
            Some(Effect::End(None)) => {
                tokio::time::sleep(LAST_WORDS).await;
                tray.shutdown().await;
                return Ok(());
            }
            Some(effect) => outside.begin(effect),
            None => {}
        }
        pace.changed();
    }
}

const NO_BUS: &str = "there is no desktop session here (no D-Bus session bus)";

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// Tells when the session's bus has ended: whoever stays behind holds up the next login.
async fn watch_session(bus: zbus::Connection, events: mpsc::Sender<Event>) {
    let mut messages = zbus::MessageStream::from(bus);
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut messages).poll_next(cx)).await {}
    let _ = events.send(Event::SessionEnded).await;
}

/// Asks the file manager to show a file marked in its folder.
pub(super) async fn mark_in_file_manager(file_path: &Path) -> zbus::Result<()> {
    const NAME: &str = "org.freedesktop.FileManager1";
    let bus = zbus::Connection::session().await?;
    let files = [open::uri(file_path)];
    let path = "/org/freedesktop/FileManager1";
    bus.call_method(Some(NAME), path, Some(NAME), "ShowItems", &(files.as_slice(), "")).await?;
    Ok(())
}

/// The icon as panels ask for it.
struct Notifier {
    view: View,
    /// The icon of `view`: ksni asks for it again and again, to see whether it has changed.
    pixmaps: Vec<ksni::Icon>,
    events: mpsc::Sender<Event>,
}

impl Tray for Notifier {
    /// A left click opens the menu, too, where the panel agrees.
    const MENU_ON_ACTIVATE: bool = true;

    fn id(&self) -> String {
        "filefleet".to_owned()
    }

    fn title(&self) -> String {
        "FileFleet".to_owned()
    }

    fn category(&self) -> ksni::Category {
        ksni::Category::Communications
    }

    fn status(&self) -> Status {
        match self.view.icon.badge {
            Badge::Waiting => Status::NeedsAttention,
            Badge::Connected | Badge::Unregistered | Badge::Gone => Status::Active,
        }
    }

    fn icon_pixmap(&self) -> Vec<ksni::Icon> {
        self.pixmaps.clone()
    }

    fn attention_icon_pixmap(&self) -> Vec<ksni::Icon> {
        self.pixmaps.clone()
    }

    fn tool_tip(&self) -> ToolTip {
        let (title, description) = ("FileFleet".to_owned(), self.view.tooltip.clone());
        ToolTip { title, description, ..ToolTip::default() }
    }

    fn menu(&self) -> Vec<MenuItem<Self>> {
        self.items(&self.view.menu)
    }

    fn watcher_online(&self) {
        self.tell(true);
    }

    fn watcher_offline(&self, _: OfflineReason) -> bool {
        self.tell(false);
        true
    }
}

impl Notifier {
    fn new(view: View, events: mpsc::Sender<Event>) -> Self {
        Self { pixmaps: pixmaps(view.icon), view, events }
    }

    fn show(&mut self, view: View) {
        if view.icon != self.view.icon {
            self.pixmaps = pixmaps(view.icon);
        }
        self.view = view;
    }

    fn tell(&self, shown: bool) {
        // Full: the loop is about to hear of much more than this.
        let _ = self.events.try_send(Event::Panel { shown });
    }

    fn items(&self, items: &[Item]) -> Vec<MenuItem<Self>> {
        items.iter().map(|item| self.item(item)).collect()
    }

    fn item(&self, item: &Item) -> MenuItem<Self> {
        match item {
            Item::Separator => MenuItem::Separator,
            Item::Text(label) => {
                StandardItem { label: plain(label), enabled: false, ..Default::default() }.into()
            }
            Item::Button { label, action } => StandardItem {
                label: plain(label),
                activate: self.clicked(action),
                ..Default::default()
            }
            .into(),
            Item::Tick { label, ticked, action } => CheckmarkItem {
                label: plain(label),
                checked: *ticked,
                activate: self.clicked(action),
                ..Default::default()
            }
            .into(),
            Item::Menu { label, items } => {
                SubMenu { label: plain(label), submenu: self.items(items), ..Default::default() }
                    .into()
            }
        }
    }

    fn clicked(&self, action: &Action) -> Box<dyn Fn(&mut Self) + Send> {
        let (events, action) = (self.events.clone(), action.clone());
        Box::new(move |_| click(&events, &action))
    }
}

/// A label without mnemonics: an underscore would mark one (com.canonical.dbusmenu, "label").
fn plain(label: &str) -> String {
    label.replace('_', "__")
}

/// ARGB in network byte order.
fn pixmaps(icon: Icon) -> Vec<ksni::Icon> {
    let images = artwork::images(icon).into_iter();
    images
        .filter_map(|image| {
            let size = i32::try_from(image.size).ok()?;
            let argb = |[r, g, b, a]: [u8; 4]| [a, r, g, b];
            let data = image.pixels.into_iter().flat_map(argb).collect();
            Some(ksni::Icon { width: size, height: size, data })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_underscore_marks_no_mnemonic() {
        assert_eq!(plain("my_file_&&<b>"), "my__file__&&<b>");
    }
}
