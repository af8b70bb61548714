//! What a store tells `tracing`, with the feature of that name; without it, nothing of this is there.
//!
//! Owns how events and spans are made. Nothing that a producer has put into an event is told, but the
//! names of consumers.

/// Tells an event of a level, with its fields and a text, to whoever subscribes.
macro_rules! tell {
    ($level:ident, $($fields:tt)+) => {
        #[cfg(feature = "tracing")]
        tracing::event!(target: "annals", tracing::Level::$level, $($fields)+);
    };
}

/// Puts what follows in the block into a span.
macro_rules! span {
    ($level:ident, $name:literal, $($fields:tt)+) => {
        #[cfg(feature = "tracing")]
        let _span =
            tracing::span!(target: "annals", tracing::Level::$level, $name, $($fields)+).entered();
    };
}

pub(crate) use {span, tell};
