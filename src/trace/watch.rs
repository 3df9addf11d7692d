//! What a traced program does, call by call: from the stops of the engine to the record. It only looks.

use std::collections::HashMap;
use std::rc::Rc;

use nix::errno::Errno;

use super::calls::{self, Calls};
use super::credentials::Credentials;
use super::memory::Memory;
use super::pending::{After, Named, Pending};
use super::place::{Elsewhere, Place, link, mount_namespace};
use super::program;
use super::record::{Doer, Record};
use super::walk::Walker;
use crate::plan::system_calls::{Architecture, Policy, decisive};
use crate::seen::{Call, Seen, Use};
use crate::sys::ptrace::{CallInfo, Stop};

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
    /// Whether each of its calls is looked at to its end: it is in a jail.
    pub jailed: bool,
    pub credentials: Option<Rc<Credentials>>,
    pub place: Option<(u64, Rc<Place>)>,
    pending: Option<Pending>,
}

/// All threads, and what was seen of them.
#[derive(Debug)]
pub(super) struct Watch {
    pub calls: Calls,
    pub record: Record,
    pub tasks: HashMap<i32, Task>,
    pub host: Walker,
    /// Trees of other mount namespaces, by their inode.
    pub others: HashMap<u64, Elsewhere>,
    /// Whether it is what runs in a jail that is looked at.
    for_jail: bool,
    /// This process's mount namespace.
    pub own: u64,
    /// Counts the changes of anybody's place.
    pub epoch: u64,
}

impl Watch {
    /// Nobody yet. `jail`: see [`super::Command::jail`].
    pub(super) fn new(jail: Option<Policy>) -> Result<Self, Errno> {
        Ok(Self {
            calls: Calls::new(jail),
            for_jail: jail.is_some(),
            record: Record::default(),
            tasks: HashMap::new(),
            host: Walker::own()?,
            others: HashMap::new(),
            own: mount_namespace("self").unwrap_or(0),
            epoch: 0,
        })
    }

    /// The first process, before it executes anything.
    pub(super) fn first(&mut self, process: i32) {
        let program = Rc::from("stockade");
        let task = Task { process, program, jailed: false, credentials: None, place: None, pending: None };
        self.tasks.insert(process, task);
    }

    /// A thread has made another, or a process.
    pub(super) fn born(&mut self, parent: i32, thread: i32, is_process: bool) {
        let Some(task) = self.tasks.get(&parent) else { return };
        let mut task = Task { pending: None, ..task.clone() };
        if is_process {
            task.process = thread;
            // Both know the parent by its number: where /proc/self leads, who it is inside.
            (task.place, task.credentials) = (None, None);
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

    /// A thread is at the beginning or at the end of a call.
    pub(super) fn stopped(&mut self, thread: i32, info: &CallInfo) {
        match info.stop {
            Stop::Entry { number, arguments } => self.entry(thread, info, number, arguments),
            Stop::Exit(result) => self.exit(thread, result),
            Stop::None => {}
        }
    }

    /// A call is about to be made.
    fn entry(&mut self, thread: i32, info: &CallInfo, number: u64, mut arguments: [u64; 6]) {
        let Some(architecture) = calls::architecture(info.architecture) else { return };
        let Some(at) = self.calls.find(architecture, number) else { return };
        let narrow = architecture == Architecture::X86_32;
        if narrow {
            arguments = arguments.map(|argument| u64::from(argument as u32));
        }
        let made = Made { thread, at, arguments, memory: Memory { thread, narrow } };
        if self.calls.is_noted(at, &arguments) {
            let call = Call { architecture, number: number as u32, arguments: decisive(at, &arguments) };
            self.note(&made, call);
            if self.is_jailed(thread) {
                // It is not made.
                return;
            }
        }
        let mut pending = Pending::new(at);
        if let Err(errno) = self.plan(&made, &mut pending) {
            self.unread(&made, errno);
        }
        if pending.is_empty() {
            return;
        }
        if let Some(result) = pending.expected.filter(|_| !self.is_jailed(thread)) {
            self.settle(thread, pending, result);
        } else if let Some(task) = self.tasks.get_mut(&thread) {
            task.pending = Some(pending);
        }
    }

    /// The call that a thread was in has this result.
    fn exit(&mut self, thread: i32, result: i64) {
        let pending = self.tasks.get_mut(&thread).and_then(|task| task.pending.take());
        if let Some(pending) = pending {
            self.settle(thread, pending, result);
        }
    }

    /// Whether a thread is to stop at the end of its call, or at the next one.
    pub(super) fn is_pending(&self, thread: i32) -> bool {
        self.tasks.get(&thread).is_some_and(|task| task.pending.is_some() || task.jailed)
    }

    /// Whether each call of a thread is looked at.
    pub(super) fn is_jailed(&self, thread: i32) -> bool {
        self.tasks.get(&thread).is_some_and(|task| task.jailed)
    }

    /// A thread has executed a program, and is stopped before its first instruction. Whether it is a jail's that begins.
    pub(super) fn executed(&mut self, thread: i32, info: &CallInfo) -> bool {
        if self.for_jail && !self.is_jailed(thread) {
            return self.entered(thread, info);
        }
        let pending = self.tasks.get_mut(&thread).and_then(|task| task.pending.take());
        if let Some(pending) = pending {
            self.executed_by_call(thread, info, pending);
        }
        false
    }

    /// The same, with what the call was.
    fn executed_by_call(&mut self, thread: i32, info: &CallInfo, pending: Pending) {
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
        if !self.record.seen.calls.contains_key(&call) && self.record.has_room(0) {
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
            if self.is_jailed(thread) {
                self.failed(thread, &pending, result, &doer);
            }
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
