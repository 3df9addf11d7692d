//! What has been seen so far, each thing by its first moment.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::rc::Rc;
use std::time::Instant;

use super::credentials::Credentials;
use super::pending::Named;
use crate::seen::{Execution, File, Moment, Seen, Use};

/// As many executions are told as anybody would read.
const EXECUTIONS: usize = 4096;

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
        Self { began: Instant::now(), files: HashMap::new(), executed: HashSet::new(), seen: Seen::default() }
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

    /// A path was used.
    pub(super) fn file(&mut self, named: &Named, of: Use, doer: &Doer) {
        match self.files.get_mut(&named.path) {
            Some(file) if file.uses.contains_key(&of) => {}
            Some(_) => {
                let moment = self.moment(doer);
                if let Some(file) = self.files.get_mut(&named.path) {
                    file.uses.insert(of, moment);
                }
            }
            None => {
                let uses = [(of, self.moment(doer))].into();
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
        // Whatever runs, the memory of this process is not its to fill.
        let is_full = self.executed.len() >= EXECUTIONS;
        if is_full || !self.executed.insert((path.to_owned(), arguments.clone())) {
            return;
        }
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
        let moment = self.moment(doer);
        let path = OsString::from_vec(named.path.clone()).into();
        self.seen.lacked.files.entry(path).or_default().entry(of).or_insert(moment);
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
