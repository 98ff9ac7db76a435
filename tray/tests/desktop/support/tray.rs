//! The tray on a desktop, as a panel and a person see it.

use std::time::Duration;

use zbus::zvariant::{OwnedObjectPath, OwnedValue, Structure, Value};

use super::menu::{Layout, Line};
use super::{Desktop, PATIENCE, Program, User};

const WATCHER: &str = "org.kde.StatusNotifierWatcher";
const ITEM: &str = "org.kde.StatusNotifierItem";
const MENU: &str = "com.canonical.dbusmenu";

/// A running tray.
pub(crate) struct Tray<'a> {
    desktop: &'a Desktop,
    pub(crate) program: Program,
}

impl<'a> Tray<'a> {
    /// Starts it and waits until the panel has it.
    #[track_caller]
    pub(crate) fn start(desktop: &'a Desktop, user: &User) -> Self {
        let tray = Self::start_unseen(desktop, user);
        tray.menu();
        tray
    }

    /// Starts it.
    #[track_caller]
    pub(crate) fn start_unseen(desktop: &'a Desktop, user: &User) -> Self {
        let mut command = user.command("filefleet-tray");
        Self { desktop, program: Program::start(desktop.command(&mut command)) }
    }

    /// One that was started already.
    pub(crate) fn of(desktop: &'a Desktop, program: Program) -> Self {
        Self { desktop, program }
    }

    /// Where its item is on the bus, once the panel knows of it.
    fn item(&self) -> Option<String> {
        let items = "RegisteredStatusNotifierItems";
        let items =
            self.desktop.bus().property(WATCHER, "/StatusNotifierWatcher", WATCHER, items)?;
        let items: Vec<String> = items.try_into().ok()?;
        let names = items.iter().filter_map(|item| item.split('/').next());
        names
            .map(str::to_owned)
            .find(|name| self.property(name, "Id").is_some_and(|id| is_ours(&id)))
    }

    fn property(&self, name: &str, property: &str) -> Option<OwnedValue> {
        self.desktop.bus().property(name, "/StatusNotifierItem", ITEM, property)
    }

    fn try_menu(&self) -> Option<Line> {
        let name = self.item()?;
        let path = OwnedObjectPath::try_from(self.property(&name, "Menu")?).ok()?;
        let arguments = (0_i32, -1_i32, Vec::<String>::new());
        let bus = self.desktop.bus();
        let (_, layout): (u32, Layout) =
            bus.call(&name, path.as_str(), MENU, "GetLayout", &arguments).ok()?;
        Some(Line::read(layout))
    }

    /// Its menu as it stands.
    #[track_caller]
    pub(crate) fn menu(&self) -> Line {
        self.desktop.bus().until("icon in the panel", || self.try_menu())
    }

    /// Waits for a line of its menu.
    #[track_caller]
    pub(crate) fn line(&self, path: &[&str]) -> Line {
        self.line_within(PATIENCE, path)
    }

    /// The same, when the product promises a time.
    #[track_caller]
    pub(crate) fn line_within(&self, time: Duration, path: &[&str]) -> Line {
        let look = || self.try_menu()?.find(path).cloned();
        self.desktop.bus().until_within(time, &format!("line {path:?}"), look)
    }

    /// Waits until there is no such line.
    #[track_caller]
    pub(crate) fn no_line(&self, path: &[&str]) {
        let look = || self.try_menu()?.find(path).is_none().then_some(());
        self.desktop.bus().until(&format!("end of line {path:?}"), look);
    }

    /// Waits until `wanted` holds of a line.
    #[track_caller]
    pub(crate) fn until(&self, path: &[&str], wanted: impl Fn(&Line) -> bool) -> Line {
        let look = || self.try_menu()?.find(path).filter(|line| wanted(line)).cloned();
        self.desktop.bus().until(&format!("change of {path:?}"), look)
    }

    /// Clicks a line as a panel does over the bus, once it is there.
    #[track_caller]
    pub(crate) fn choose(&self, path: &[&str]) {
        let line = self.line(path);
        assert!(line.enabled, "{path:?} cannot be clicked");
        let name = self.item().unwrap();
        let arguments = (line.id, "clicked", Value::from(0_i32), 0_u32);
        let bus = self.desktop.bus();
        bus.call::<_, ()>(&name, "/MenuBar", MENU, "Event", &arguments).unwrap();
    }

    /// What the panel is to show: `Active` or `NeedsAttention`.
    pub(crate) fn status(&self) -> Option<String> {
        self.property(&self.item()?, "Status")?.try_into().ok()
    }

    /// What is shown when the mouse rests on the icon.
    pub(crate) fn tooltip(&self) -> Option<String> {
        let tooltip = self.property(&self.item()?, "ToolTip")?;
        let fields = Structure::try_from(tooltip).ok()?.into_fields();
        String::try_from(fields.into_iter().nth(3)?).ok()
    }

    /// The widths of the icon's images.
    pub(crate) fn icon_sizes(&self) -> Option<Vec<i32>> {
        let images = self.property(&self.item()?, "IconPixmap")?;
        let images: Vec<(i32, i32, Vec<u8>)> = images.try_into().ok()?;
        Some(images.into_iter().map(|(width, _, _)| width).collect())
    }
}

fn is_ours(id: &OwnedValue) -> bool {
    <&str>::try_from(id).is_ok_and(|id| id == "filefleet")
}
