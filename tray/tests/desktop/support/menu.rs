//! A menu as programs of the desktop read it (com.canonical.dbusmenu).

use std::collections::HashMap;

use zbus::zvariant::OwnedValue;

/// One line of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) id: i32,
    /// As it is shown: an underscore that is no mnemonic is one underscore.
    pub(crate) label: String,
    pub(crate) enabled: bool,
    /// Of a line with a tick.
    pub(crate) ticked: Option<bool>,
    pub(crate) lines: Vec<Self>,
}

/// What `GetLayout` answers.
pub(super) type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

impl Line {
    pub(super) fn read((id, properties, lines): Layout) -> Self {
        let label = properties.get("label").and_then(|it| String::try_from(it.clone()).ok());
        let enabled = properties.get("enabled").and_then(|it| bool::try_from(it).ok());
        let tick = properties.get("toggle-state").and_then(|it| i32::try_from(it).ok());
        let ticked = properties.contains_key("toggle-type").then_some(tick == Some(1));
        let line = |value: OwnedValue| Self::read(Layout::try_from(value).unwrap());
        Self {
            id,
            label: unmarked(&label.unwrap_or_default()),
            enabled: enabled.unwrap_or(true),
            ticked,
            lines: lines.into_iter().map(line).collect(),
        }
    }

    /// The line that these labels lead to; `*` at the end of one stands for anything.
    pub(crate) fn find(&self, path: &[&str]) -> Option<&Self> {
        let (first, rest) = path.split_first()?;
        let is_it = |line: &&Self| match first.strip_suffix('*') {
            Some(beginning) => line.label.starts_with(beginning),
            None => line.label == *first,
        };
        let line = self.lines.iter().find(is_it)?;
        if rest.is_empty() { Some(line) } else { line.find(rest) }
    }

    /// Every label, in the order of the menu.
    pub(crate) fn labels(&self) -> Vec<&str> {
        let mut labels = Vec::new();
        for line in &self.lines {
            labels.push(line.label.as_str());
            labels.extend(line.labels());
        }
        labels
    }
}

/// Two underscores stand for one; a single one marks the next character and is not shown.
fn unmarked(label: &str) -> String {
    label.replace("__", "\0").replace('_', "").replace('\0', "_")
}
