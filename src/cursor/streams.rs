//! The list of streams.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;

use crate::cursor::{Cursor, Source};
use crate::error::Result;
use crate::types::Revision;

/// How many names are looked up at once.
const PAGE_COUNT: usize = 256;

/// A stream that has events. From [`Streams`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    name: String,
    end: Revision,
}

impl StreamInfo {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The revision after that of its last event, which is the number of its events.
    #[must_use]
    pub fn end(&self) -> Revision {
        self.end
    }
}

/// Lists the streams of a store in the byte order of their names, some hundred at a time, so
/// that any number of them takes little memory. From [`Store::streams`](crate::Store::streams).
#[derive(Debug)]
pub struct Streams {
    source: Arc<Source>,
    store: Arc<dyn Debug + Send + Sync>,
    prefix: String,
    page: VecDeque<StreamInfo>,
    /// The last name of the page; `None` before the first one.
    after: Option<String>,
    ended: bool,
}

impl Streams {
    pub(crate) fn new(source: Arc<Source>, store: Arc<dyn Debug + Send + Sync>) -> Self {
        Self {
            source,
            store,
            prefix: String::new(),
            page: VecDeque::new(),
            after: None,
            ended: false,
        }
    }

    /// Lists only streams whose names begin with `prefix`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::new(self.source, self.store) }
    }

    fn next_page(&self) -> Result<VecDeque<StreamInfo>> {
        self.source.check_open()?;
        let (prefix, after) = (self.prefix.as_str(), self.after.as_deref());
        let found = self.source.streams(prefix, after, PAGE_COUNT);
        let named = |(name, end)| StreamInfo { name, end };
        match found {
            Some(streams) => Ok(streams.into_iter().map(named).collect()),
            None => Ok(self.scan_page()?.into_iter().map(named).collect()),
        }
    }

    /// Finds the next names without the index, by reading everything.
    fn scan_page(&self) -> Result<BTreeMap<String, Revision>> {
        let mut page = BTreeMap::new();
        for event in Cursor::new(Arc::clone(&self.source), Arc::clone(&self.store)) {
            let event = event?;
            let name = event.stream();
            let wanted = name.starts_with(&self.prefix)
                && self.after.as_deref().is_none_or(|after| name > after);
            if wanted {
                page.insert(name.to_owned(), event.revision().next());
                if page.len() > PAGE_COUNT {
                    page.pop_last();
                }
            }
        }
        Ok(page)
    }
}

impl Iterator for Streams {
    type Item = Result<StreamInfo>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() && !self.ended {
            match self.next_page() {
                Ok(page) => {
                    self.ended = page.is_empty();
                    self.after = page.back().map(|last| last.name.clone());
                    self.page = page;
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        self.page.pop_front().map(Ok)
    }
}
