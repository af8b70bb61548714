//! How far a long command has come, shown to whoever sits at a terminal.
//!
//! Owns the one line that is drawn on standard error, and taken away again. Nothing is drawn where
//! standard error is no terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What the line looks like.
const TEMPLATE: &str = "{msg} [{bar:40}] {percent}%  {eta} left";

/// A line on standard error that says how much is done.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar of `total` steps, none of which is done. `label` says what they are for.
    pub(crate) fn new(label: &'static str, total: u64) -> Self {
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(TEMPLATE);
        // What is wrong with a template shows in the test below; the plain style does as well.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_message(label);
        Self { bar }
    }

    /// Shows that so many steps are done, now and then.
    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Takes the line away, so that what is said next stands at its place.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar {
    /// Whatever ends a command early is said on a line of its own.
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_can_be_drawn_as_it_is_described() {
        let template = ProgressStyle::with_template(TEMPLATE);
        assert!(template.is_ok());
    }

    #[test]
    fn a_bar_goes_as_far_as_it_is_set() {
        let bar = Bar::new("copying", 10);
        bar.set(7);
        assert_eq!((bar.bar.position(), bar.bar.length()), (7, Some(10)));
        bar.finish();
        assert!(bar.bar.is_finished());
    }
}
