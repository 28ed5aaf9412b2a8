//! A terminal program on a screen of its own, under tmux: keys go in, text is read off.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::house::PATIENCE;
use crate::program;

/// How long until a program is asked to draw its screen anew: Alpine's gets mixed up when messages and prompts come
/// together.
const REDRAW: Duration = Duration::from_secs(2);

/// A tmux server with one screen; it ends when this is dropped.
pub(crate) struct Screen {
    socket: PathBuf,
}

impl Screen {
    /// Shows `command`, which gets no environment but `home` and the terminal.
    pub(crate) fn open(home: &Path, command: &[&str]) -> Result<Screen, String> {
        let socket = home.join("tmux");
        // Stays to be read when the program ends.
        let settings = home.join("tmux.conf");
        std::fs::write(&settings, "set -g remain-on-exit on\n").map_err(|e| e.to_string())?;
        let screen = Screen { socket };
        let mut tmux = screen.tmux();
        tmux.arg("-f").arg(settings).args(["new-session", "-d", "-x", "160", "-y", "30", "env", "-i"]);
        tmux.arg(format!("HOME={}", home.display()));
        tmux.args(["TERM=screen", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"]).args(command);
        program::run(&mut tmux)?;
        Ok(screen)
    }

    /// What it shows.
    pub(crate) fn text(&self) -> Result<String, String> {
        program::run(self.tmux().args(["capture-pane", "-p"]))
    }

    /// Presses keys, named as in tmux(1).
    pub(crate) fn press(&self, keys: &[&str]) -> Result<(), String> {
        program::run(self.tmux().arg("send-keys").args(keys)).map(|_| ())
    }

    /// Waits until it shows something that `looks_right`.
    pub(crate) fn wait(&self, what: &str, looks_right: impl Fn(&str) -> bool) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut redraw = Instant::now() + REDRAW;
        loop {
            let text = self.text()?;
            if looks_right(&text) {
                return Ok(text);
            }
            if Instant::now() > redraw {
                redraw += REDRAW;
                self.press(&["C-l"])?;
            }
            if Instant::now() > deadline {
                return Err(format!("waited for {what}, the screen shows:\n{}", text.trim_end()));
            }
            sleep(Duration::from_millis(100));
        }
    }

    fn tmux(&self) -> Command {
        let mut command = program::program("tmux");
        command.arg("-S").arg(&self.socket);
        command
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = program::run(self.tmux().arg("kill-server"));
    }
}
