//! What has been seen so far, each thing by its first moment.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use super::credentials::Credentials;
use super::pending::Named;
use crate::seen::{Execution, File, Moment, Seen, Use};

/// As many executions are told as anybody would read.
const EXECUTIONS: usize = 4096;
/// For so many bytes of names there is room, with so many for what goes with each: whatever runs, the memory of this process is not its to
/// fill.
const ROOM: usize = 64 << 20;
const EACH: usize = 512;

/// [`Seen`] in the making.
#[derive(Debug)]
pub(super) struct Record {
    began: Instant,
    /// By their paths as bytes, which are found quicker.
    files: HashMap<Vec<u8>, File>,
    /// What was executed, with its arguments.
    executed: HashSet<(Vec<u8>, Vec<Vec<u8>>)>,
    /// All the rest.
    pub seen: Seen,
    /// What is left of the room.
    room: usize,
}

/// Who does something.
#[derive(Clone, Debug)]
pub(super) struct Doer {
    pub program: Rc<str>,
    pub call: &'static str,
    pub who: Rc<Credentials>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            files: HashMap::new(),
            executed: HashSet::new(),
            seen: Seen::default(),
            room: ROOM,
        }
    }
}

impl Record {
    /// Now is when the first program is executed.
    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// This moment.
    pub(super) fn moment(&self, doer: &Doer) -> Moment {
        Moment {
            at: self.began.elapsed(),
            program: Rc::clone(&doer.program),
            call: doer.call,
            uid: doer.who.uids[1],
            gid: doer.who.gids[1],
        }
    }

    /// Takes the room for something new with a name of this length; if there is none, it is noted that not everything is told.
    pub(super) fn has_room(&mut self, length: usize) -> bool {
        let left = self.room.checked_sub(length + EACH);
        self.seen.is_cut |= left.is_none();
        self.room = left.unwrap_or(self.room);
        left.is_some()
    }

    /// A path was used.
    pub(super) fn file(&mut self, named: &Named, of: Use, doer: &Doer) {
        let known = self.files.get(&named.path);
        if known.is_some_and(|file| file.uses.contains_key(&of)) {
            return;
        }
        if known.is_some() || self.has_room(named.path.len()) {
            let moment = self.moment(doer);
            // Looked for first: most names are known, and need no copy.
            if let Some(file) = self.files.get_mut(&named.path) {
                file.uses.insert(of, moment);
            } else {
                let uses = [(of, moment)].into();
                self.files.insert(named.path.clone(), File { kind: named.kind, uses });
            }
        }
    }

    /// A capability made a difference.
    pub(super) fn capability(&mut self, number: u8, doer: &Doer) {
        let moment = self.moment(doer);
        self.seen.capabilities.entry(number).or_insert(moment);
    }

    /// What a process has become.
    pub(super) fn change(&mut self, before: &Credentials, after: &Credentials, doer: &Doer) {
        let moment = self.moment(doer);
        for id in after.uids.iter().filter(|id| !before.uids.contains(id)) {
            self.seen.users.entry(*id).or_insert_with(|| moment.clone());
        }
        for id in after.gids.iter().chain(&after.groups) {
            if !before.gids.contains(id) && !before.groups.contains(id) {
                self.seen.groups.entry(*id).or_insert_with(|| moment.clone());
            }
        }
    }

    /// A program was executed.
    pub(super) fn execution(&mut self, path: &[u8], arguments: Vec<Vec<u8>>, doer: &Doer) {
        let is_full = self.executed.len() >= EXECUTIONS;
        let execution = (path.to_owned(), arguments.clone());
        let length = path.len() + arguments.iter().map(|argument| argument.len() + EACH).sum::<usize>();
        if is_full || self.executed.contains(&execution) || !self.has_room(length) {
            return;
        }
        self.executed.insert(execution);
        let moment = self.moment(doer);
        let arguments = arguments.into_iter().map(OsString::from_vec).collect();
        self.seen.executions.push(Execution {
            path: OsString::from_vec(path.to_owned()).into(),
            arguments,
            moment,
        });
    }

    /// A path was to be used so, and could not be.
    pub(super) fn lacked_file(&mut self, named: &Named, of: Use, doer: &Doer) {
        let path = PathBuf::from(OsString::from_vec(named.path.clone()));
        if self.seen.lacked.files.contains_key(&path) || self.has_room(named.path.len()) {
            let moment = self.moment(doer);
            self.seen.lacked.files.entry(path).or_default().entry(of).or_insert(moment);
        }
    }

    /// A call failed for want of a capability.
    pub(super) fn lacked_capability(&mut self, number: u8, doer: &Doer) {
        let moment = self.moment(doer);
        self.seen.lacked.capabilities.entry(number).or_insert(moment);
    }

    /// All of it.
    pub(super) fn finish(self) -> Seen {
        let mut seen = self.seen;
        seen.files =
            self.files.into_iter().map(|(path, file)| (OsString::from_vec(path).into(), file)).collect();
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::Kind;

    #[test]
    fn names_without_end_do_not_fill_the_memory() {
        let mut record = Record::default();
        let doer = Doer { program: "x".into(), call: "open", who: Rc::default() };
        let named = |number: usize| {
            let path = format!("/{number}{}", "x".repeat(4000)).into_bytes();
            Named { path, kind: Kind::Nothing }
        };
        let most = ROOM / 4000;
        record.file(&named(0), Use::Missing, &doer);
        record.execution(b"/x", vec![b"x".to_vec()], &doer);
        for number in 1..most {
            record.lacked_file(&named(number), Use::Read, &doer);
            record.execution(b"/x", vec![named(number).path], &doer);
        }
        // What is known is not new.
        record.file(&named(0), Use::Refused, &doer);
        record.lacked_file(&named(1), Use::Executed, &doer);
        let seen = record.finish();
        assert!(seen.is_cut);
        assert_eq!(seen.files.values().map(|file| file.uses.len()).collect::<Vec<_>>(), [2]);
        assert_eq!(seen.lacked.files.values().map(std::collections::BTreeMap::len).max(), Some(2));
        let kept = seen.lacked.files.len() + seen.executions.len();
        assert!((most / 2..most).contains(&kept), "{kept} of {most}");
    }
}
