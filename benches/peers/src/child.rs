//! One run of one workload on one store, in a process of its own.
//!
//! So no store is measured among the threads, the memory and the leftovers of another, and one
//! that fails does not end the run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::store::{self, Peer};
use crate::work::{Outcome, Work};

/// What a child has to do.
pub struct Task {
    pub work: Work,
    pub peer: &'static Peer,
    pub dir: PathBuf,
    pub scale: f64,
}

impl Task {
    /// The argument that makes the program a child.
    pub const ARGUMENT: &str = "--child";

    /// Reads the arguments after [`Task::ARGUMENT`].
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut next = || arguments.next().ok_or("a child takes four values");
        Ok(Self {
            work: Work::any_named(&next()?)?,
            peer: store::named(&next()?)?,
            dir: next()?.into(),
            scale: next()?.parse()?,
        })
    }

    /// Has a child do it. `wrapper` is a program, with arguments, that runs the child.
    pub fn run_in_child(&self, wrapper: &[&str]) -> Result<Outcome> {
        let program = std::env::current_exe()?;
        let mut command = match wrapper {
            [] => Command::new(program),
            [name, arguments @ ..] => {
                let mut command = Command::new(name);
                command.args(arguments).arg(program);
                command
            }
        };
        command.args([Self::ARGUMENT, self.work.name(), self.peer.name]).arg(&self.dir);
        let output = command.arg(self.scale.to_string()).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(
                format!("{} on {}: {}", self.work.name(), self.peer.name, output.status).into()
            );
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// Does what a child has to do, and prints what was measured.
pub fn run(task: &Task) -> Result<()> {
    let outcome = task.work.run(task.peer, Path::new(&task.dir), task.scale)?;
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}
