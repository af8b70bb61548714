//! What the tests of consumers share: the list of what was appended, and for each kind of consumer a
//! model that knows what it must be given, and where it may be found after a crash.

mod crew;
mod ledger;
mod manager;
mod places;
mod reader;

pub(crate) use crew::Crew;
pub(crate) use ledger::{Ledger, Noted, TellingClock, size};
pub(crate) use manager::Manager;
pub(crate) use places::Places;
pub(crate) use reader::Reader;

use annals::ConsumerBuilder;

/// Which events a consumer is to be given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given {
    All,
    Prefix(&'static str),
    Stream(&'static str),
    Types(&'static [&'static str]),
    PrefixAndTypes(&'static str, &'static [&'static str]),
}

impl Given {
    pub(crate) fn takes(self, event: &Noted) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => event.stream.starts_with(prefix),
            Self::Stream(stream) => event.stream == stream,
            Self::Types(types) => types.contains(&&*event.kind),
            Self::PrefixAndTypes(prefix, types) => {
                event.stream.starts_with(prefix) && types.contains(&&*event.kind)
            }
        }
    }

    pub(crate) fn tell(self, builder: ConsumerBuilder) -> ConsumerBuilder {
        match self {
            Self::All => builder,
            Self::Prefix(prefix) => builder.stream_prefix(prefix),
            Self::Stream(stream) => builder.stream(stream),
            Self::Types(types) => builder.event_types(types.iter().copied()),
            Self::PrefixAndTypes(prefix, types) => {
                builder.stream_prefix(prefix).event_types(types.iter().copied())
            }
        }
    }
}
