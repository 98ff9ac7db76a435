//! Pages of a waiting request's manifest: from its preview as far as that goes, then from the sender.

use std::time::Duration;

use filefleet_ctl::proto::{EntryKind, EntryView, Reply, RequestPage};

use super::Request;
use crate::control::{error, view};
use crate::daemon::{Answer, Daemon, Event};
use crate::peer::Session;
use crate::store::RequestRecord;
use crate::transfer::TransferId;
use crate::transfer::proto::{MAX_PREVIEW, Message, Preview};

/// The longest page of a manifest that a client may ask for at once.
const MAX_PAGE: u64 = 1_000;
/// Clients that may wait for pages of one request.
const MAX_PAGE_WAITERS: usize = 8;

/// How long a sender may take to find a page; it walks up to ten million files for the last one.
const PAGE_LIMIT: Duration = Duration::from_secs(20);

impl Request {
    /// Whether the preview that came with the request is the whole manifest.
    fn previews_all(&self) -> bool {
        let RequestRecord { view, entries, .. } = &self.record;
        let files = entries.iter().filter(|entry| entry.kind == EntryKind::File).count() as u64;
        view.total_known && files == view.files && entries.len() < usize::from(MAX_PREVIEW)
    }
}

impl Daemon {
    /// A page of a waiting request's manifest: from the preview as far as it goes, then from the
    /// sender.
    pub(crate) fn request_page(&mut self, id: &str, offset: u64, limit: u64, answer: Answer) {
        let request = error::request_id(id)
            .and_then(|id| self.requests.get_mut(&id).ok_or_else(error::no_such_request));
        let request = match request {
            Ok(request) => request,
            Err(error) => return drop(answer.send(Err(error))),
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let total = request.record.view.files;
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let known = request.record.entries.iter().skip(skip).take(limit as usize);
        let entries: Vec<_> = known.cloned().collect();
        let waiters = request.pages.values().map(Vec::len).sum::<usize>();
        let open = request.session.clone().filter(|session| session.close_reason().is_none());
        match open {
            Some(session) if entries.is_empty() && waiters < MAX_PAGE_WAITERS => {
                request.pages.entry(offset).or_default().push(answer);
                let limit = u16::try_from(limit).unwrap_or(u16::MAX);
                let transfer = request.record.id;
                self.reply(&session, transfer, Message::PageQuery { offset, limit });
                self.spawn(async move {
                    tokio::time::sleep(PAGE_LIMIT).await;
                    Some(Event::PageLate { id: transfer, offset })
                });
            }
            // Known, or not to be had now: the sender is away.
            _ => {
                let complete =
                    request.previews_all() && skip + entries.len() == request.record.entries.len();
                let page = RequestPage { entries, total, complete };
                let _ = answer.send(Ok(Reply::RequestPage(page)));
            }
        }
    }

    pub(super) fn on_page(
        &mut self,
        session: &Session,
        id: TransferId,
        offset: u64,
        last: bool,
        entries: &[Preview],
    ) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.record.identity != session.identity() {
            return;
        }
        let entries: Vec<EntryView> = entries.iter().map(view::entry).collect();
        let total = request.record.view.files;
        for answer in request.pages.remove(&offset).unwrap_or_default() {
            let page = RequestPage { entries: entries.clone(), total, complete: last };
            let _ = answer.send(Ok(Reply::RequestPage(page)));
        }
    }

    /// A sender that does not answer, or is gone, is not waited for.
    pub(in crate::daemon) fn on_page_late(&mut self, id: TransferId, offset: u64) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let total = request.record.view.files;
        for answer in request.pages.remove(&offset).unwrap_or_default() {
            let page = RequestPage { entries: Vec::new(), total, complete: false };
            let _ = answer.send(Ok(Reply::RequestPage(page)));
        }
    }
}
