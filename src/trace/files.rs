//! Calls with paths: which file each means, what becomes of it, and whether the outcome is known before the call is made. It is
//! where a program only looks or reads, and the modes of files let it: the most frequent calls need no second stop.

use nix::errno::Errno;
use nix::libc;

use super::calls::{Link, Path, Shape};
use super::credentials::{Attributes, READ, SEARCH, WRITE};
use super::pending::{After, DONE, MISSING, Pending, Planned};
use super::place::link;
use super::rights::{CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, MKNOD};
use super::walk::{Found, From, Walked};
use super::watch::{Made, Watch};
use crate::seen::{Kind, Use};

/// `S_ISGID`, `S_ISVTX`
const SET_GROUP: u32 = 0o2000;
const STICKY: u32 = 0o1000;
/// `__O_TMPFILE`: the path is that of a directory.
const UNNAMED: u64 = 0o20_000_000;
/// The first member of struct open_how.
const FLAGS_OF_OPEN2: usize = 8;

impl Watch {
    /// What a call is going to do.
    pub(super) fn plan(&mut self, made: &Made, pending: &mut Pending) -> Result<(), Errno> {
        if let Some(shape) = self.calls.shape(made.at) {
            self.plan_shape(made, shape, pending)?;
        }
        if self.is_jailed(made.thread) {
            self.maps(made, pending);
        }
        self.plan_rights(made, pending)
    }

    fn plan_shape(&mut self, made: &Made, shape: Shape, pending: &mut Pending) -> Result<(), Errno> {
        match shape {
            Shape::Open(path, flags) => self.open(made, path, made.word(flags), pending),
            Shape::Open2 => {
                let how = made.memory.bytes(made.word(2), FLAGS_OF_OPEN2)?;
                let flags = how.try_into().map_or(0, u64::from_ne_bytes);
                let link = if flags & libc::O_NOFOLLOW as u64 != 0 { Link::Kept } else { Link::Followed };
                self.open(made, Path { directory: Some(0), text: 1, link }, flags, pending)?;
                // What it may do besides, like staying below a directory, only the kernel knows.
                pending.expected = pending.expected.filter(|result| *result == MISSING);
                Ok(())
            }
            Shape::Create => {
                let flags = (libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC) as u64;
                let path = Path { directory: None, text: 0, link: Link::Followed };
                self.open(made, path, flags, pending)
            }
            Shape::Uses(path, of) => self.uses(made, path, of, pending),
            Shape::Access(path, wanted) => self.access(made, path, made.word(wanted), pending),
            Shape::Descriptor(number, of) => {
                if let Some(walked) = self.descriptor(made, made.integer(number)) {
                    self.change(made, walked, of, pending);
                }
                Ok(())
            }
            Shape::Make(path) => self.make(made, path, pending),
            Shape::Remove(path) => self.remove(made, path, pending),
            Shape::Rename(from, to) => self.rename(made, from, to, pending),
            Shape::Link(from, to) => self.link(made, from, to, pending),
            Shape::Execute(path, arguments) => self.execute(made, path, arguments, pending),
            Shape::Bind
            | Shape::Connect
            | Shape::SendTo
            | Shape::SendMessage
            | Shape::SendMessages
            | Shape::SocketCall => self.socket(made, shape, pending),
        }
    }

    /// Reads a path and walks it, recording the links on the way. Nothing if it is empty: the descriptor itself is meant then, or
    /// nothing at all.
    fn walk(&mut self, made: &Made, path: Path) -> Result<Option<Walked>, Errno> {
        let address = made.word(path.text);
        if address == 0 {
            return Ok(None);
        }
        let text = made.memory.path(address)?;
        if text.is_empty() {
            return Ok(None);
        }
        let follow = match path.link {
            Link::Followed => true,
            Link::Kept => false,
            Link::KeptIf(flags, bits) => made.word(flags) & bits == 0,
            Link::FollowedIf(flags, bits) => made.word(flags) & bits != 0,
        };
        Ok(self.walk_text(made, path.directory.map(|argument| made.integer(argument)), &text, follow))
    }

    /// Walks a path from a directory's descriptor, or from the working directory.
    pub(super) fn walk_text(
        &mut self,
        made: &Made,
        directory: Option<i32>,
        text: &[u8],
        follow: bool,
    ) -> Option<Walked> {
        let base = match directory {
            Some(number) if number != libc::AT_FDCWD && text[0] != b'/' => Some(self.path_of(made, number)?),
            _ => None,
        };
        let place = self.place(made.thread);
        let walked = self.walker(&place)?.walk(place.from(base.as_deref()), text, follow);
        self.followed(made, &walked.links);
        Some(walked)
    }

    /// What an open descriptor leads to, if that has a path.
    pub(super) fn descriptor(&mut self, made: &Made, number: i32) -> Option<Walked> {
        let path = self.path_of(made, number)?;
        let path = if path.is_empty() { b"/".to_vec() } else { path };
        // From the top: what /proc tells begins there, whatever the program's root is.
        let place = self.place(made.thread);
        let from = From { root: b"", base: b"", process: place.process() };
        Some(self.walker(&place)?.walk(from, &path, false))
    }

    /// The path of an open descriptor.
    fn path_of(&mut self, made: &Made, number: i32) -> Option<Vec<u8>> {
        let path = link(&format!("/proc/{}/fd/{number}", made.thread))?;
        let place = self.place(made.thread);
        Some(self.inside(&place, path))
    }

    /// The directories on the way: whether they let it pass, and if not, by which right it might.
    pub(super) fn search(&mut self, made: &Made, walked: &Walked, pending: &mut Pending) -> bool {
        if walked.closed.is_empty() {
            return true;
        }
        let who = self.credentials(made.thread);
        let granted = walked.closed.iter().all(|directory| who.granted(directory, SEARCH));
        if !granted {
            pending.capabilities.push(DAC_READ_SEARCH);
        }
        granted
    }

    /// open(2).
    fn open(&mut self, made: &Made, path: Path, flags: u64, pending: &mut Pending) -> Result<(), Errno> {
        let Some(walked) = self.walk(made, path)? else { return Ok(()) };
        let flags = flags as i32;
        let has = |bits: i32| flags & bits == bits;
        let creates = has(libc::O_CREAT);
        let reads = flags & libc::O_ACCMODE != libc::O_WRONLY;
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY || has(libc::O_TRUNC);
        let searched = self.search(made, &walked, pending);
        let uses = match walked.found {
            Found::There(file) if file.kind == Kind::Directory => {
                let unnamed = flags & UNNAMED as i32 != 0;
                vec![if unnamed { Use::Written } else { Use::Listed }]
            }
            _ if has(libc::O_PATH) => vec![Use::Looked],
            found => {
                let made = (creates && matches!(found, Found::Nothing)).then_some(Use::Made);
                let uses = [reads.then_some(Use::Read), writes.then_some(Use::Written), made];
                uses.into_iter().flatten().collect()
            }
        };
        let wanted = match (reads, writes) {
            _ if has(libc::O_PATH) => 0,
            (true, false) => READ,
            (false, true) => WRITE,
            _ => READ | WRITE,
        };
        match walked.found {
            Found::Nothing if creates => {
                self.needs_directory(made, &walked.path, pending);
            }
            // Nobody lets it find that out who does not let it search.
            Found::Nothing if searched => pending.expected = Some(MISSING),
            Found::There(file) => {
                let granted = self.needs(made, &file, wanted, pending);
                let plain = match file.kind {
                    Kind::Directory => !writes && !creates,
                    Kind::Regular => !(writes || has(libc::O_DIRECTORY) || creates && has(libc::O_EXCL)),
                    _ => false,
                };
                if plain && granted && searched {
                    pending.expected = Some(DONE);
                }
            }
            Found::Nothing | Found::Unknown => {}
        }
        pending.files.push(Planned::of(walked, uses, !creates));
        Ok(())
    }

    /// Whether the mode grants what is wanted; if not, the capability that would.
    pub(super) fn needs(
        &mut self,
        made: &Made,
        file: &Attributes,
        wanted: u32,
        pending: &mut Pending,
    ) -> bool {
        let granted = wanted == 0 || self.credentials(made.thread).granted(file, wanted);
        if !granted {
            let writes = wanted & WRITE != 0;
            pending.capabilities.push(if writes { DAC_OVERRIDE } else { DAC_READ_SEARCH });
        }
        granted
    }

    /// The directory of a path is going to be changed.
    pub(super) fn needs_directory(
        &mut self,
        made: &Made,
        path: &[u8],
        pending: &mut Pending,
    ) -> Option<Attributes> {
        let place = self.place(made.thread);
        let parent = self.walker(&place)?.parent(path, place.process())?;
        self.needs(made, &parent, WRITE | SEARCH, pending);
        Some(parent)
    }

    /// Calls that use one path in one way.
    fn uses(&mut self, made: &Made, path: Path, of: Use, pending: &mut Pending) -> Result<(), Errno> {
        let Some(walked) = self.walk(made, path)? else {
            // The descriptor itself. To look at that tells nothing new.
            if let Some(directory) = path.directory.filter(|_| of != Use::Looked && of != Use::Followed)
                && let Some(walked) = self.descriptor(made, made.integer(directory))
            {
                self.change(made, walked, of, pending);
            }
            return Ok(());
        };
        let searched = self.search(made, &walked, pending);
        match of {
            Use::Looked | Use::Followed => {
                let is_link = matches!(walked.found, Found::There(file) if file.kind == Kind::Link);
                let of = if of == Use::Followed && !is_link { Use::Looked } else { of };
                pending.expected = walked.found.expected().filter(|_| searched);
                pending.files.push(Planned::of(walked, vec![of], true));
            }
            of => self.change(made, walked, of, pending),
        }
        Ok(())
    }

    /// Something of a file is going to be changed, or a process goes there.
    fn change(&mut self, made: &Made, walked: Walked, of: Use, pending: &mut Pending) {
        if let Found::There(file) = walked.found {
            self.needs_to_change(made, &file, of, pending);
        }
        if of == Use::Entered {
            pending.after = After::Place;
        } else if matches!(walked.found, Found::Nothing) && walked.closed.is_empty() {
            pending.expected = Some(MISSING);
        }
        pending.files.push(Planned::of(walked, vec![of], true));
    }

    /// What it takes to change a file so, see chown(2), chmod(2), truncate(2), utimensat(2), chdir(2).
    fn needs_to_change(&mut self, made: &Made, file: &Attributes, of: Use, pending: &mut Pending) {
        let who = self.credentials(made.thread);
        let is_owner = who.file_user() == file.uid;
        // Which argument comes first after the path.
        let after = if made.name().starts_with("fch") && made.name().contains("at") { 2 } else { 1 };
        let needed = match (of, made.name()) {
            (Use::Owned, _) => {
                let (user, group) = (made.integer(after) as u32, made.integer(after + 1) as u32);
                let changes_user = user != u32::MAX && user != file.uid;
                let changes_group = group != u32::MAX && group != file.gid;
                (changes_user || changes_group && !(is_owner && who.is_in(group))).then_some(CHOWN)
            }
            (Use::Moded, _) => {
                if made.word(after) as u32 & SET_GROUP != 0 && !who.is_in(file.gid) {
                    pending.capabilities.push(FSETID);
                }
                (!is_owner).then_some(FOWNER)
            }
            (Use::Written, "truncate" | "truncate64") => {
                self.needs(made, file, WRITE, pending);
                None
            }
            // Anybody may set the present time who may write.
            (Use::Written, "utime" | "utimes") if made.word(1) == 0 => {
                self.needs_to_touch(made, file, pending)
            }
            (Use::Written, "futimesat" | "utimensat" | "utimensat_time64") if made.word(2) == 0 => {
                self.needs_to_touch(made, file, pending)
            }
            (Use::Written, name) if name.contains("utime") => (!is_owner).then_some(FOWNER),
            (Use::Entered, "chdir" | "fchdir") => (!who.granted(file, SEARCH)).then_some(DAC_READ_SEARCH),
            _ => None,
        };
        pending.capabilities.extend(needed);
    }

    /// The present time is going to be set.
    fn needs_to_touch(&mut self, made: &Made, file: &Attributes, pending: &mut Pending) -> Option<u8> {
        if self.credentials(made.thread).file_user() != file.uid {
            self.needs(made, file, WRITE, pending);
        }
        None
    }

    /// access(2).
    fn access(&mut self, made: &Made, path: Path, wanted: u64, pending: &mut Pending) -> Result<(), Errno> {
        let Some(walked) = self.walk(made, path)? else { return Ok(()) };
        let searched = self.search(made, &walked, pending);
        // Whether it may do more than see that it is there is judged by the real ids, and by more than modes.
        let known = searched && (wanted == 0 || matches!(walked.found, Found::Nothing));
        pending.expected = walked.found.expected().filter(|_| known);
        pending.capabilities.clear();
        pending.files.push(Planned::of(walked, vec![Use::Looked], true));
        Ok(())
    }

    /// mkdir(2), mknod(2), symlink(2).
    fn make(&mut self, made: &Made, path: Path, pending: &mut Pending) -> Result<(), Errno> {
        let Some(walked) = self.walk(made, path)? else { return Ok(()) };
        self.search(made, &walked, pending);
        self.needs_directory(made, &walked.path, pending);
        let node = match made.name() {
            "mknod" => made.integer(1),
            "mknodat" => made.integer(2),
            _ => 0,
        };
        if matches!(node as u32 & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK) {
            pending.capabilities.push(MKNOD);
        }
        pending.files.push(Planned::of(walked, vec![Use::Made], false));
        Ok(())
    }

    /// unlink(2), rmdir(2).
    fn remove(&mut self, made: &Made, path: Path, pending: &mut Pending) -> Result<(), Errno> {
        let Some(walked) = self.walk(made, path)? else { return Ok(()) };
        let searched = self.search(made, &walked, pending);
        if matches!(walked.found, Found::Nothing) && searched {
            pending.expected = Some(MISSING);
        } else {
            self.takes_away(made, &walked, pending);
        }
        pending.files.push(Planned::of(walked, vec![Use::Removed], true));
        Ok(())
    }

    /// A name is going to be taken out of its directory: in a sticky one, by its owner or the directory's alone.
    fn takes_away(&mut self, made: &Made, walked: &Walked, pending: &mut Pending) {
        pending.after = After::Names;
        let parent = self.needs_directory(made, &walked.path, pending);
        let (Some(parent), Some(file)) = (parent, walked.found.attributes()) else { return };
        let user = self.credentials(made.thread).file_user();
        if parent.mode & STICKY != 0 && user != parent.uid && user != file.uid {
            pending.capabilities.push(FOWNER);
        }
    }

    /// rename(2).
    fn rename(&mut self, made: &Made, from: Path, to: Path, pending: &mut Pending) -> Result<(), Errno> {
        let (Some(from), Some(to)) = (self.walk(made, from)?, self.walk(made, to)?) else { return Ok(()) };
        self.search(made, &from, pending);
        self.search(made, &to, pending);
        self.takes_away(made, &from, pending);
        self.needs_directory(made, &to.path, pending);
        let use_of_target = if matches!(to.found, Found::Nothing) { Use::Made } else { Use::Written };
        pending.files.push(Planned::of(from, vec![Use::Removed], true));
        pending.files.push(Planned::of(to, vec![use_of_target], false));
        Ok(())
    }

    /// link(2).
    fn link(&mut self, made: &Made, from: Path, to: Path, pending: &mut Pending) -> Result<(), Errno> {
        let (Some(from), Some(to)) = (self.walk(made, from)?, self.walk(made, to)?) else { return Ok(()) };
        self.search(made, &from, pending);
        self.search(made, &to, pending);
        self.needs_directory(made, &to.path, pending);
        pending.files.push(Planned::of(from, vec![Use::Looked], true));
        pending.files.push(Planned::of(to, vec![Use::Made], false));
        Ok(())
    }

    /// execve(2).
    fn execute(
        &mut self,
        made: &Made,
        path: Path,
        arguments: u8,
        pending: &mut Pending,
    ) -> Result<(), Errno> {
        let walked = match self.walk(made, path)? {
            Some(walked) => Some(walked),
            None => path.directory.and_then(|directory| self.descriptor(made, made.integer(directory))),
        };
        let Some(walked) = walked else { return Ok(()) };
        let searched = self.search(made, &walked, pending);
        if matches!(walked.found, Found::Nothing) && searched {
            pending.expected = Some(MISSING);
        } else {
            pending.after = After::Program(made.memory.strings(made.word(arguments))?);
        }
        pending.files.push(Planned::of(walked, vec![Use::Executed], true));
        Ok(())
    }
}
