//! A directory of one's own for the targets that read files, one a thread, removed at the thread's end; of
//! a fuzzing process `tests/fuzz/run` removes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) struct Place(PathBuf);

thread_local! {
    static PLACE: Place = Place::new();
}

/// Does something in this thread's directory.
pub(super) fn with(act: impl FnOnce(&Place)) {
    PLACE.with(act);
}

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("stockade-fuzz-{}-{number}", std::process::id());
        // In memory, if that is not asked for elsewhere: a file written at each try would else be most of the work.
        let memory = Path::new("/dev/shm").join(&name);
        if std::env::var_os("TMPDIR").is_none() && fs::create_dir(&memory).is_ok() {
            return Self(memory);
        }
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.0.join(below)
    }

    /// Writes a file, with the directories above it.
    pub(super) fn write(&self, below: &str, content: &[u8]) {
        let path = self.path(below);
        if fs::write(&path, content).is_err() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }

    pub(super) fn remove(&self, below: &str) {
        fs::remove_file(self.path(below)).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
