//! What the tests share.
#![allow(dead_code, reason = "each test uses its part")]

use std::path::{Path, PathBuf};

/// A directory of its own, removed at the end.
pub struct Dir(PathBuf);

impl Dir {
    /// Below the system's directory for temporary files.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stockade-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// Compiles a static C program.
pub fn compile_static(to: &Path, source: &str) {
    use std::io::Write as _;
    let mut compiler = std::process::Command::new("cc")
        .args(["-O1", "-static", "-x", "c", "-", "-o"])
        .arg(to)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("cc, which the Rust toolchain links with too");
    compiler.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    assert!(compiler.wait().unwrap().success());
}
