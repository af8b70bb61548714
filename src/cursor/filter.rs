//! Which events a cursor gives, told from the names in their records.

use std::sync::Arc;

use crate::event::EventView;

/// What an event must be like. By default anything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    streams: Streams,
    /// The types it may be of; any if it is `None`.
    types: Option<Vec<Box<str>>>,
}

#[derive(Clone, Debug, Default)]
enum Streams {
    #[default]
    All,
    Prefixed(Box<str>),
    One(Arc<str>),
}

impl Filter {
    pub(crate) fn with_prefix(self, prefix: Box<str>) -> Self {
        Self { streams: Streams::Prefixed(prefix), ..self }
    }

    pub(crate) fn with_stream(self, stream: Arc<str>) -> Self {
        Self { streams: Streams::One(stream), ..self }
    }

    pub(crate) fn with_types(self, types: Vec<Box<str>>) -> Self {
        Self { types: Some(types), ..self }
    }

    /// The one stream whose events it takes, if that is so.
    pub(crate) fn stream(&self) -> Option<&str> {
        match &self.streams {
            Streams::One(stream) => Some(stream),
            Streams::All | Streams::Prefixed(_) => None,
        }
    }

    #[inline]
    pub(crate) fn takes(&self, event: &EventView<'_>) -> bool {
        // Most take all. The rest stays out of the loops of those that do.
        let takes_all = matches!(self.streams, Streams::All) && self.types.is_none();
        takes_all || self.takes_names_of(event)
    }

    fn takes_names_of(&self, event: &EventView<'_>) -> bool {
        let stream_fits = match &self.streams {
            Streams::All => true,
            Streams::Prefixed(prefix) => event.stream_bytes().starts_with(prefix.as_bytes()),
            Streams::One(stream) => event.stream_bytes() == stream.as_bytes(),
        };
        stream_fits
            && self.types.as_ref().is_none_or(|types| {
                types.iter().any(|wanted| wanted.as_bytes() == event.type_bytes())
            })
    }
}
