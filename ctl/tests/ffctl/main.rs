//! The real `ffctl`, against a daemon that plays a script.
#![allow(clippy::unwrap_used)]

#[cfg(target_os = "linux")]
mod choose;
mod commands;
#[cfg(unix)]
mod daemon;
mod doctor;
mod links;
mod people;
mod send;
mod support;
#[cfg(target_os = "linux")]
mod terminal;
