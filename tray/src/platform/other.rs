//! macOS and Windows: the system's own tray, in an event loop on the main thread; the daemon's link
//! has a thread of its own. A menu that changed is changed line by line.

use std::time::Instant;

use filefleet_ctl::Home;
use tao::event::{Event as TaoEvent, StartCause};
use tao::event_loop::{ControlFlow, EventLoop, EventLoopBuilder, EventLoopProxy};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tray_icon::menu::{
    CheckMenuItem, IsMenuItem, Menu, MenuEvent, MenuId, MenuItem, MenuItemKind, PredefinedMenuItem,
    Submenu,
};
use tray_icon::{TrayIcon, TrayIconBuilder};

use super::pace::Pace;
use super::{Outside, click};
use crate::action::Action;
use crate::app::{App, Effect};
use crate::artwork;
use crate::event::{EVENTS, Event};
use crate::menu::Item;
use crate::menu::diff::{self, Change};
use crate::view::{Icon, View};

/// The size of the artwork that is handed to the system, which scales it.
const ICON_SIZE: u32 = if cfg!(target_os = "macos") { 48 } else { 32 };

/// Shows the tray until a person ends it.
///
/// # Errors
///
/// When the system has no tray for this program.
pub(crate) fn run(home: Home) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let event_loop = event_loop();
    let (sender, events) = mpsc::channel(EVENTS);
    runtime.spawn(forward(events, event_loop.create_proxy()));
    let clicks = event_loop.create_proxy();
    MenuEvent::set_event_handler(Some(move |event: MenuEvent| {
        // A loop that has ended needs no clicks.
        let _ = clicks.send_event(Wake::Clicked(event.id));
    }));
    let mut app = App::new(home.clone());
    let outside = Outside::new(home, runtime.handle().clone(), sender.clone());
    let mut shown: Option<Shown> = None;
    let mut pace = Pace::default();
    event_loop.run(move |event, _, flow| {
        // The link lives as long as the loop.
        let _: &Runtime = &runtime;
        match event {
            TaoEvent::NewEvents(StartCause::Init) => match Shown::new(app.view()) {
                Ok(tray) => {
                    shown = Some(tray);
                    outside.follow_daemon();
                }
                Err(error) => {
                    crate::say(&format!("cannot use the system's tray: {error}"));
                    return *flow = ControlFlow::ExitWithCode(1);
                }
            },
            TaoEvent::UserEvent(Wake::Clicked(id)) => {
                if let Some(line) = shown.as_ref().and_then(|tray| find(&tray.lines, &id)) {
                    line.clicked(&sender);
                }
            }
            TaoEvent::UserEvent(Wake::Event(event)) => {
                match app.handle(event) {
                    Some(Effect::End(_)) => {
                        drop(shown.take());
                        return *flow = ControlFlow::Exit;
                    }
                    Some(effect) => begin(&outside, &sender, effect),
                    None => {}
                }
                pace.changed();
            }
            _ => {}
        }
        let now = Instant::now();
        if pace.due(now).is_some_and(|due| due <= now) {
            pace.shown(now);
            if let Some(tray) = &mut shown {
                tray.show(app.view());
            }
        }
        *flow = pace.due(now).map_or(ControlFlow::Wait, ControlFlow::WaitUntil);
    })
}

/// What wakes the loop.
#[derive(Debug)]
enum Wake {
    Event(Event),
    Clicked(MenuId),
}

fn event_loop() -> EventLoop<Wake> {
    #[cfg_attr(not(target_os = "macos"), allow(unused_mut))]
    let mut event_loop = EventLoopBuilder::<Wake>::with_user_event().build();
    #[cfg(target_os = "macos")]
    {
        use tao::platform::macos::{ActivationPolicy, EventLoopExtMacOS};
        // In the menu bar only: no icon in the dock.
        event_loop.set_activation_policy(ActivationPolicy::Accessory);
    }
    event_loop
}

async fn forward(mut events: mpsc::Receiver<Event>, proxy: EventLoopProxy<Wake>) {
    while let Some(event) = events.recv().await {
        if proxy.send_event(Wake::Event(event)).is_err() {
            return;
        }
    }
}

/// macOS shows dialogs on the main thread only, where they run a loop of their own.
fn begin(outside: &Outside, events: &mpsc::Sender<Event>, effect: Effect) {
    match effect {
        Effect::Pick { what, to } if cfg!(target_os = "macos") => {
            let paths = crate::dialog::pick(what, to.as_deref());
            // Full: the loop is far behind, and the person will ask again.
            let _ = events.try_send(Event::Picked { to, paths });
        }
        effect => outside.begin(effect),
    }
}

/// What the system shows, and what it was made of.
struct Shown {
    tray: TrayIcon,
    menu: Menu,
    lines: Vec<Line>,
    view: View,
}

/// One line of the menu as the system has it.
struct Line {
    item: MenuItemKind,
    action: Option<Action>,
    lines: Vec<Self>,
}

impl Shown {
    fn new(view: View) -> anyhow::Result<Self> {
        let menu = Menu::new();
        let mut lines = Vec::new();
        for item in &view.menu {
            let line = line(item);
            menu.append(as_item(&line.item))?;
            lines.push(line);
        }
        let mut builder = TrayIconBuilder::new()
            .with_menu(Box::new(menu.clone()))
            .with_menu_on_left_click(true)
            .with_tooltip(tooltip(&view));
        if let Some(icon) = system_icon(view.icon) {
            builder = builder.with_icon(icon);
        }
        Ok(Self { tray: builder.build()?, menu, lines, view })
    }

    /// Changes what differs from what is shown. What the system refuses is tried again with the
    /// next change.
    fn show(&mut self, view: View) {
        if view.icon != self.view.icon {
            let _ = self.tray.set_icon(system_icon(view.icon));
        }
        if view.tooltip != self.view.tooltip {
            let _ = self.tray.set_tooltip(Some(tooltip(&view)));
        }
        let changes = diff::changes(&self.view.menu, &view.menu);
        apply(&Parent::Menu(&self.menu), &mut self.lines, changes);
        self.view = view;
    }
}

impl Line {
    fn clicked(&self, events: &mpsc::Sender<Event>) {
        if let MenuItemKind::Check(item) = &self.item {
            // The system has changed the tick already; that is the daemon's to say.
            item.set_checked(!item.is_checked());
        }
        if let Some(action) = &self.action {
            click(events, action);
        }
    }
}

fn find<'a>(lines: &'a [Line], id: &MenuId) -> Option<&'a Line> {
    lines.iter().find_map(|line| match line.item.id() == id {
        true => Some(line),
        false => find(&line.lines, id),
    })
}

/// What holds lines.
enum Parent<'a> {
    Menu(&'a Menu),
    Submenu(&'a Submenu),
}

impl Parent<'_> {
    fn insert(&self, item: &dyn IsMenuItem, index: usize) {
        let _ = match self {
            Self::Menu(menu) => menu.insert(item, index),
            Self::Submenu(menu) => menu.insert(item, index),
        };
    }

    fn remove(&self, index: usize) {
        match self {
            Self::Menu(menu) => menu.remove_at(index),
            Self::Submenu(menu) => menu.remove_at(index),
        };
    }
}

fn apply(parent: &Parent<'_>, lines: &mut Vec<Line>, changes: Vec<Change<'_>>) {
    for change in changes {
        match change {
            Change::Relabel { index, item } => relabel(&mut lines[index], item),
            Change::Within { index, changes } => {
                let line = &mut lines[index];
                if let MenuItemKind::Submenu(menu) = &line.item {
                    apply(&Parent::Submenu(menu), &mut line.lines, changes);
                }
            }
            Change::Remove { index } => {
                parent.remove(index);
                lines.remove(index);
            }
            Change::Insert { index, item } => {
                let line = line(item);
                parent.insert(as_item(&line.item), index);
                lines.insert(index, line);
            }
        }
    }
}

fn relabel(line: &mut Line, item: &Item) {
    match (&line.item, item) {
        (MenuItemKind::MenuItem(shown), Item::Text(label)) => shown.set_text(plain(label)),
        (MenuItemKind::MenuItem(shown), Item::Button { label, action }) => {
            shown.set_text(plain(label));
            line.action = Some(action.clone());
        }
        (MenuItemKind::Check(shown), Item::Tick { label, ticked, action }) => {
            shown.set_text(plain(label));
            shown.set_checked(*ticked);
            line.action = Some(action.clone());
        }
        (MenuItemKind::Submenu(shown), Item::Menu { label, .. }) => shown.set_text(plain(label)),
        _ => {}
    }
}

fn line(item: &Item) -> Line {
    let mut lines = Vec::new();
    let (item, action) = match item {
        Item::Separator => (MenuItemKind::Predefined(PredefinedMenuItem::separator()), None),
        Item::Text(label) => {
            (MenuItemKind::MenuItem(MenuItem::new(plain(label), false, None)), None)
        }
        Item::Button { label, action } => {
            (MenuItemKind::MenuItem(MenuItem::new(plain(label), true, None)), Some(action.clone()))
        }
        Item::Tick { label, ticked, action } => {
            let shown = CheckMenuItem::new(plain(label), true, *ticked, None);
            (MenuItemKind::Check(shown), Some(action.clone()))
        }
        Item::Menu { label, items } => {
            let menu = Submenu::new(plain(label), true);
            lines = items.iter().map(line).collect();
            for line in &lines {
                // What the system refuses is missing from the menu and nothing else.
                let _ = menu.append(as_item(&line.item));
            }
            (MenuItemKind::Submenu(menu), None)
        }
    };
    Line { item, action, lines }
}

fn as_item(item: &MenuItemKind) -> &dyn IsMenuItem {
    match item {
        MenuItemKind::MenuItem(item) => item,
        MenuItemKind::Submenu(item) => item,
        MenuItemKind::Predefined(item) => item,
        MenuItemKind::Check(item) => item,
        MenuItemKind::Icon(item) => item,
    }
}

/// A label without mnemonics: an ampersand would mark one.
fn plain(label: &str) -> String {
    label.replace('&', "&&")
}

fn tooltip(view: &View) -> String {
    format!("FileFleet: {}", view.tooltip)
}

fn system_icon(icon: Icon) -> Option<tray_icon::Icon> {
    let image = artwork::images(icon).into_iter().find(|image| image.size == ICON_SIZE)?;
    let rgba = image.pixels.into_iter().flatten().collect();
    tray_icon::Icon::from_rgba(rgba, image.size, image.size).ok()
}
