//! What a traced program does, call by call: from the stops of the engine to the record. It only looks.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;

use super::calls::{self, Calls};
use super::credentials::Credentials;
use super::memory::Memory;
use super::pending::{After, Named, Pending};
use super::program;
use super::record::{Doer, Record};
use super::walk::{From, Walker};
use crate::plan::system_calls::{Architecture, decisive};
use crate::seen::{Call, Seen, Use};
use crate::sys::ptrace::CallInfo;

/// A call that a thread is about to make.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub thread: i32,
    /// Its place in the table.
    pub at: usize,
    pub arguments: [u64; 6],
    pub memory: Memory,
}

impl Made {
    /// A descriptor, or another integer of 32 bits.
    pub(super) fn integer(&self, argument: u8) -> i32 {
        self.arguments[usize::from(argument)] as i32
    }

    /// A pointer, or another integer as wide.
    pub(super) fn word(&self, argument: u8) -> u64 {
        self.arguments[usize::from(argument)]
    }

    /// The kernel's name of the call.
    pub(super) fn name(&self) -> &'static str {
        crate::plan::system_calls::CALLS[self.at].name
    }
}

/// A traced thread.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// The process it is of.
    pub process: i32,
    pub program: Rc<str>,
    credentials: Option<Rc<Credentials>>,
    place: Option<(u64, Rc<Place>)>,
    pending: Option<Pending>,
}

/// Where a process is: paths as for [`From`].
#[derive(Clone, Debug)]
pub(super) struct Place {
    root: Vec<u8>,
    directory: Vec<u8>,
    /// The mount namespace, if it is not this process's own.
    elsewhere: Option<u64>,
}

/// All threads, and what was seen of them.
#[derive(Debug)]
pub(super) struct Watch {
    pub calls: Calls,
    pub record: Record,
    tasks: HashMap<i32, Task>,
    host: Walker,
    /// Trees of other mount namespaces, by their inode.
    others: HashMap<u64, Walker>,
    /// This process's mount namespace.
    own: u64,
    /// Counts the changes of anybody's place.
    epoch: u64,
}

impl Watch {
    /// Nobody yet.
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self {
            calls: Calls::default(),
            record: Record::default(),
            tasks: HashMap::new(),
            host: Walker::below(Path::new("/"))?,
            others: HashMap::new(),
            own: mount_namespace("self").unwrap_or(0),
            epoch: 0,
        })
    }

    /// The first process, before it executes anything.
    pub(super) fn first(&mut self, process: i32) {
        let program = Rc::from("stockade");
        self.tasks.insert(process, Task { process, program, credentials: None, place: None, pending: None });
    }

    /// A thread has made another, or a process.
    pub(super) fn born(&mut self, parent: i32, thread: i32, is_process: bool) {
        let Some(task) = self.tasks.get(&parent) else { return };
        let mut task = Task { pending: None, ..task.clone() };
        if is_process {
            task.process = thread;
        } else if let Some(found) = Credentials::of(thread) {
            // Of clone(2)'s children some are threads; what it was told is not known here.
            task.process = found.process;
            task.credentials = Some(Rc::new(found));
        }
        self.tasks.insert(thread, task);
    }

    /// A thread has ended.
    pub(super) fn gone(&mut self, thread: i32) {
        self.tasks.remove(&thread);
    }

    /// A thread has become its process, see "execve(2) under ptrace" in ptrace(2): the ends of the others are still
    /// to be told.
    pub(super) fn renamed(&mut self, before: i32, process: i32) {
        if let Some(mut task) = self.tasks.remove(&before) {
            task.process = process;
            self.tasks.insert(process, task);
        }
    }

    /// Whether a thread is traced.
    pub(super) fn knows(&self, thread: i32) -> bool {
        self.tasks.contains_key(&thread)
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// All processes.
    pub(super) fn processes(&self) -> Vec<i32> {
        let mut processes: Vec<i32> = self.tasks.values().map(|task| task.process).collect();
        processes.sort_unstable();
        processes.dedup();
        processes
    }

    /// A call is about to be made. Whether its result is needed.
    pub(super) fn entry(
        &mut self,
        thread: i32,
        info: &CallInfo,
        number: u64,
        mut arguments: [u64; 6],
    ) -> bool {
        let Some(architecture) = calls::architecture(info.architecture) else { return false };
        let Some(at) = self.calls.find(architecture, number) else { return false };
        let narrow = architecture == Architecture::X86_32;
        if narrow {
            arguments = arguments.map(|argument| u64::from(argument as u32));
        }
        let made = Made { thread, at, arguments, memory: Memory { thread, narrow } };
        if self.calls.is_noted(at, &arguments) {
            let call = Call { architecture, number: number as u32, arguments: decisive(at, &arguments) };
            self.note(&made, call);
        }
        let mut pending = Pending::new(at);
        if let Err(errno) = self.plan(&made, &mut pending) {
            self.unread(&made, errno);
        }
        if pending.is_empty() {
            return false;
        }
        if let Some(result) = pending.expected {
            self.settle(thread, pending, result);
            return false;
        }
        let Some(task) = self.tasks.get_mut(&thread) else { return false };
        task.pending = Some(pending);
        true
    }

    /// The call that a thread was in has this result.
    pub(super) fn exit(&mut self, thread: i32, result: i64) {
        let pending = self.tasks.get_mut(&thread).and_then(|task| task.pending.take());
        if let Some(pending) = pending {
            self.settle(thread, pending, result);
        }
    }

    /// Whether the end of a thread's call is waited for.
    pub(super) fn is_pending(&self, thread: i32) -> bool {
        self.tasks.get(&thread).is_some_and(|task| task.pending.is_some())
    }

    /// A thread has executed a program, and is stopped before its first instruction.
    pub(super) fn executed(&mut self, thread: i32, info: &CallInfo) {
        let pending = self.tasks.get_mut(&thread).and_then(|task| task.pending.take());
        let Some(pending) = pending else { return };
        let doer = self.doer(thread, pending.at);
        let After::Program(arguments) = &pending.after else { return };
        let Some(path) = pending.files.first().map(|file| file.named.path.clone()) else { return };
        self.record.execution(&path, arguments.clone(), &doer);
        let narrow = calls::architecture(info.architecture) == Some(Architecture::X86_32);
        let made = Made { thread, at: pending.at, arguments: [0; 6], memory: Memory { thread, narrow } };
        self.settle(thread, pending, 0);
        let is_script = link(&format!("/proc/{thread}/exe")).is_some_and(|executed| executed != path);
        let interpreter = is_script.then(|| program::first_argument(made.memory, info.stack).ok()).flatten();
        for other in [interpreter, program::loader(made.memory)].into_iter().flatten() {
            self.also_executed(&made, &other, &doer);
        }
        if let Some(task) = self.tasks.get_mut(&thread) {
            task.program = String::from_utf8_lossy(&path).into();
            // A set-user-id program has others.
            task.credentials = None;
        }
    }

    /// What was executed along with a program.
    fn also_executed(&mut self, made: &Made, path: &[u8], doer: &Doer) {
        if path.is_empty() {
            return;
        }
        if let Some(walked) = self.walk_text(made, None, path, true) {
            let named = Named { kind: walked.found.kind(), path: walked.path };
            self.record.file(&named, Use::Executed, doer);
        }
    }

    /// Everything that was seen.
    pub(super) fn finish(&mut self) -> Seen {
        std::mem::take(&mut self.record).finish()
    }

    /// A call that not every profile lets in.
    fn note(&mut self, made: &Made, call: Call) {
        if !self.record.seen.calls.contains_key(&call) {
            let doer = self.doer(made.thread, made.at);
            let moment = self.record.moment(&doer);
            self.record.seen.calls.insert(call, moment);
        }
    }

    /// A call whose arguments could not be read.
    fn unread(&mut self, made: &Made, errno: Errno) {
        // EFAULT: the kernel cannot read it either. ESRCH: it has just been killed.
        if !matches!(errno, Errno::EFAULT | Errno::ESRCH | Errno::ENAMETOOLONG) {
            let doer = self.doer(made.thread, made.at);
            let moment = self.record.moment(&doer);
            self.record.seen.unread.entry(doer.call).or_insert(moment);
        }
    }

    /// Records what a call with this result was.
    fn settle(&mut self, thread: i32, pending: Pending, result: i64) {
        // Nothing is new in most cases, and who does it costs a look.
        let doer = self.doer(thread, pending.at);
        for file in &pending.files {
            for of in pending.uses(file, result) {
                self.record.file(&file.named, *of, &doer);
            }
        }
        if result < 0 {
            return;
        }
        for capability in pending.capabilities {
            if doer.who.has(capability) {
                self.record.capability(capability, &doer);
            }
        }
        match pending.after {
            After::Nothing | After::Program(_) => {}
            After::Place => self.epoch += 1,
            After::Names => self.forget(),
            After::Mounts => {
                self.epoch += 1;
                self.forget();
            }
            After::Credentials => {
                if let Some(task) = self.tasks.get_mut(&thread) {
                    task.credentials = None;
                }
                let after = self.credentials(thread);
                self.record.change(&doer.who, &after, &doer);
            }
        }
    }

    /// Paths may lead elsewhere now.
    fn forget(&mut self) {
        self.host.forget();
        self.others.values_mut().for_each(Walker::forget);
    }

    /// Who a thread is.
    pub(super) fn credentials(&mut self, thread: i32) -> Rc<Credentials> {
        let known = self.tasks.get(&thread).and_then(|task| task.credentials.clone());
        known.unwrap_or_else(|| {
            let found = Rc::new(Credentials::of(thread).unwrap_or_default());
            if let Some(task) = self.tasks.get_mut(&thread) {
                task.credentials = Some(Rc::clone(&found));
            }
            found
        })
    }

    /// A thread with the call it makes.
    pub(super) fn doer(&mut self, thread: i32, at: usize) -> Doer {
        let who = self.credentials(thread);
        let program = self.tasks.get(&thread).map_or_else(|| Rc::from("?"), |task| Rc::clone(&task.program));
        Doer { program, call: calls::manual(at), who }
    }

    /// Where a thread is.
    pub(super) fn place(&mut self, thread: i32) -> Rc<Place> {
        let epoch = self.epoch;
        match self.tasks.get(&thread).and_then(|task| task.place.as_ref()) {
            Some((of, place)) if *of == epoch => return Rc::clone(place),
            _ => {}
        }
        let namespace = mount_namespace(&thread.to_string()).filter(|found| *found != self.own);
        let found = Rc::new(Place {
            root: link(&format!("/proc/{thread}/root")).unwrap_or_default(),
            directory: link(&format!("/proc/{thread}/cwd")).unwrap_or_default(),
            elsewhere: namespace,
        });
        if let Some(task) = self.tasks.get_mut(&thread) {
            task.place = Some((epoch, Rc::clone(&found)));
        }
        found
    }

    /// The tree that a thread sees.
    pub(super) fn walker(&mut self, thread: i32, place: &Place) -> Option<&mut Walker> {
        let Some(namespace) = place.elsewhere else { return Some(&mut self.host) };
        if let std::collections::hash_map::Entry::Vacant(entry) = self.others.entry(namespace) {
            entry.insert(Walker::below(Path::new(&format!("/proc/{thread}/root"))).ok()?);
        }
        self.others.get_mut(&namespace)
    }

    /// The process of a thread.
    pub(super) fn process(&self, thread: i32) -> i32 {
        self.tasks.get(&thread).map_or(thread, |task| task.process)
    }

    /// Links on the way to something.
    pub(super) fn followed(&mut self, made: &Made, links: &[Vec<u8>]) {
        if links.is_empty() {
            return;
        }
        let doer = self.doer(made.thread, made.at);
        for path in links {
            let named = Named { path: path.clone(), kind: crate::seen::Kind::Link };
            self.record.file(&named, Use::Followed, &doer);
        }
    }
}

impl Place {
    /// For a walk from a directory, or from the working directory.
    pub(super) fn from<'a>(&'a self, directory: Option<&'a [u8]>, process: i32) -> From<'a> {
        From { root: &self.root, base: directory.unwrap_or(&self.directory), process }
    }
}

/// The path that a link of /proc tells, without the slash of the root; none if it is no path. One of a directory that was removed
/// has a word after it.
pub(super) fn link(path: &str) -> Option<Vec<u8>> {
    let target = std::fs::read_link(path).ok()?;
    let target = target.as_os_str().as_bytes();
    if target.first() != Some(&b'/') {
        return None;
    }
    let path = match target.strip_suffix(b" (deleted)") {
        Some(path) if std::fs::symlink_metadata(OsStr::from_bytes(target)).is_err() => path,
        _ => target,
    };
    Some(if path == b"/" { Vec::new() } else { path.to_owned() })
}

/// The inode of a process's mount namespace.
fn mount_namespace(process: &str) -> Option<u64> {
    std::fs::metadata(format!("/proc/{process}/ns/mnt")).ok().map(|found| found.ino())
}
