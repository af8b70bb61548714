//! `completions` and `man`: for shells, and for those who ask `man`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::findings::{Finding, Stop};
use crate::output::Out;

/// Prints the completions of a shell
#[derive(Args, Debug)]
#[command(after_help = "Example, for the shell that is running:\n  \
    source <(annals-dump completions bash)")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run<A: CommandFactory>(&self, out: &mut Out) -> Result<Vec<Finding>, Stop> {
        // Made in memory, because what makes them panics where a writer fails.
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut A::command(), "annals-dump", &mut text);
        out.bytes(&text)?;
        Ok(Vec::new())
    }
}

/// Prints the manual page, in the format of man
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  annals-dump man > annals-dump.1 && man -l annals-dump.1")]
pub(crate) struct Man {}

impl Man {
    pub(crate) fn run<A: CommandFactory>(out: &mut Out) -> Result<Vec<Finding>, Stop> {
        let mut text = Vec::new();
        let mut command = A::command();
        // Gives each command its whole name.
        command.build();
        clap_mangen::Man::new(command.clone()).render(&mut text)?;
        for of_command in command.get_subcommands() {
            // The page of a command, without its head, is a part of the whole page.
            let page = clap_mangen::Man::new(of_command.clone());
            page.render_name_section(&mut text)?;
            page.render_synopsis_section(&mut text)?;
            page.render_options_section(&mut text)?;
            page.render_extra_section(&mut text)?;
        }
        out.bytes(&text)?;
        Ok(Vec::new())
    }
}
