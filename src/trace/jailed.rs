//! A program in a jail: when it begins, and what it lacked.

use nix::libc;

use super::calls;
use super::memory::Memory;
use super::pending::{Pending, Planned};
use super::place::{link, mount_namespace};
use super::program;
use super::record::Doer;
use super::rights::{DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID};
use super::watch::{Made, Watch};
use crate::plan::system_calls::{Architecture, table};
use crate::seen::Use;
use crate::sys::ptrace::CallInfo;

impl Watch {
    /// A thread of those who set a jail up has executed a program: whether it is the jail's.
    pub(super) fn entered(&mut self, thread: i32, info: &CallInfo) -> bool {
        if mount_namespace(&thread.to_string()).is_none_or(|namespace| namespace == self.own) {
            return false;
        }
        let Some(at) = table::find("execve") else { return false };
        self.record.begin();
        let doer = self.doer(thread, at);
        let place = self.place(thread);
        let path = link(&format!("/proc/{thread}/exe")).unwrap_or_default();
        let path = self.inside(&place, path);
        let narrow = calls::architecture(info.architecture) == Some(Architecture::X86_32);
        let memory = Memory { thread, narrow };
        let arguments = memory.strings(info.stack.wrapping_add(if narrow { 4 } else { 8 }));
        self.record.execution(&path, arguments.unwrap_or_default(), &doer);
        if let Some(task) = self.tasks.get_mut(&thread) {
            (task.jailed, task.credentials) = (true, None);
            // Several names may lead to one file.
            let name = program::name(memory).unwrap_or(path);
            task.program = String::from_utf8_lossy(&name).into();
        }
        true
    }

    /// mmap(2) of a file whose text is to be executed, which a mount can refuse. On the host nothing is learnt from it.
    pub(super) fn maps(&mut self, made: &Made, pending: &mut Pending) {
        let is_text = matches!(made.name(), "mmap" | "mmap2") && made.integer(2) & libc::PROT_EXEC != 0;
        if is_text
            && made.integer(3) & libc::MAP_ANONYMOUS == 0
            && let Some(walked) = self.descriptor(made, made.integer(4))
        {
            pending.files.push(Planned::of(walked, vec![Use::Executed], true));
        }
    }

    /// A call of a program in a jail has failed: what it lacked.
    pub(super) fn failed(&mut self, thread: i32, pending: &Pending, result: i64, doer: &Doer) {
        for file in &pending.files {
            if pending.uses(file, result).iter().any(|of| matches!(of, Use::Missing | Use::Refused)) {
                file.uses.iter().for_each(|of| self.record.lacked_file(&file.named, *of, doer));
            }
        }
        let refused = [-i64::from(libc::EPERM), -i64::from(libc::EACCES)].contains(&result);
        for capability in pending.capabilities.iter().filter(|_| refused) {
            // Who is not root does without those by which root overrides the modes of files: they are what is to be changed.
            let is_for_modes = matches!(*capability, DAC_OVERRIDE | DAC_READ_SEARCH | FOWNER | FSETID);
            if !doer.who.has(*capability) && (!is_for_modes || doer.who.is_root_inside(thread)) {
                self.record.lacked_capability(*capability, doer);
            }
        }
    }
}
