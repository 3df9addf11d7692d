//! Where this process is in the hierarchies of control groups, see cgroups(7): read from /proc/self/cgroup and
//! /proc/self/mountinfo, and what the kernel says there of controllers.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::fs::get_xattr;

/// A hierarchy that is mounted, and where this process is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its controllers, of version 1; none: version 2.
    pub controllers: Option<Vec<String>>,
    /// The directory of this process's own group.
    pub directory: PathBuf,
    /// Whether that is the directory that is mounted: no parent of it can be seen.
    pub is_top: bool,
}

impl Hierarchy {
    /// Whether it is one of version 1 with this controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.as_ref().is_some_and(|all| all.iter().any(|name| name == controller))
    }
}

/// Those of this process, as the files below `root` say.
pub fn hierarchies(root: &Path) -> Vec<Hierarchy> {
    read(root, "self")
}

/// Those of another, as far as this one can see them.
pub fn hierarchies_of(root: &Path, pid: i32) -> Vec<Hierarchy> {
    read(root, &pid.to_string())
}

/// Those of a process, through the mounts of this one.
fn read(root: &Path, process: &str) -> Vec<Hierarchy> {
    let read = |name: &str| std::fs::read_to_string(root.join("proc").join(name)).unwrap_or_default();
    parse(&read(&format!("{process}/cgroup")), &read("self/mountinfo"))
}

/// Those that the two files tell of.
fn parse(groups: &str, mounts: &str) -> Vec<Hierarchy> {
    groups.lines().filter_map(|line| hierarchy(line, mounts)).collect()
}

/// One line of /proc/self/cgroup: `number:controllers:path`.
fn hierarchy(line: &str, mounts: &str) -> Option<Hierarchy> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let (top, directory) = mounts.lines().find_map(|mount| place(mount, controllers, path))?;
    let is_top = top == directory;
    let controllers = (!controllers.is_empty()).then(|| controllers.split(',').map(str::to_owned).collect());
    Some(Hierarchy { controllers, directory, is_top })
}

/// Where a mount of a hierarchy shows a group, and its own place, see proc(5); nothing if it is another's, or shows it not.
fn place(mount: &str, controllers: &str, path: &str) -> Option<(PathBuf, PathBuf)> {
    let (left, right) = mount.split_once(" - ")?;
    let mut fields = left.split(' ').skip(3);
    let (root, target) = (fields.next()?, fields.next()?);
    let mut right = right.split(' ');
    let is_it = match (right.next()?, controllers) {
        ("cgroup2", "") => true,
        ("cgroup", controllers) if !controllers.is_empty() => {
            let options: Vec<&str> = right.nth(1)?.split(',').collect();
            controllers.split(',').all(|name| options.contains(&name))
        }
        _ => false,
    };
    // A group outside what this process may see is shown as `/..`.
    if !is_it || path.split('/').any(|part| part == "..") {
        return None;
    }
    let below = Path::new(path).strip_prefix(root).ok()?;
    let target = PathBuf::from(unescaped(target));
    let directory = if below == Path::new("") { target.clone() } else { target.join(below) };
    Some((target, directory))
}

/// A field of mountinfo, where blanks and backslashes are octal: `\040`.
pub fn unescaped(field: &str) -> String {
    let mut parts = field.split('\\');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => text + &char::from(code).to_string() + &part[3..],
            None => text + "\\" + part,
        }
    })
}

/// Whether systemd has handed a group over to whoever runs in it (`Delegate=` in systemd.resource-control(5)): it marks such
/// groups, the first mark with the second since version 251.
pub fn is_delegated(group: &Path) -> Result<bool, Errno> {
    let flags = nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_CLOEXEC;
    let directory = nix::fcntl::open(group, flags, nix::sys::stat::Mode::empty())?;
    Ok([c"trusted.delegate", c"user.delegate"].into_iter().any(|name| {
        let mut value = [0; 8];
        get_xattr(&directory, name, &mut value).is_ok_and(|length| value[..length] == *b"1")
    }))
}

/// The words of a file of a group, such as `cgroup.controllers`.
pub fn words(group: &Path, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(group.join(file)).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
        31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        36 31 0:33 /docker/a /mnt/pi\\040ds rw,relatime - cgroup cgroup rw,pids\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_group_is_found_through_the_mount_that_shows_it() {
        let groups = "8:pids:/docker/a/b\n4:memory:/process/x\n2:cpu,cpuacct:/\n3:freezer:/\n0::/\n";
        let found = parse(groups, HYBRID);
        let of = |controllers: Option<&[&str]>, directory: &str, is_top| Hierarchy {
            controllers: controllers.map(|all| all.iter().map(|&name| name.to_owned()).collect()),
            directory: directory.into(),
            is_top,
        };
        assert_eq!(
            found,
            [
                of(Some(&["pids"]), "/mnt/pi ds/b", false),
                of(Some(&["memory"]), "/sys/fs/cgroup/memory/process/x", false),
                of(Some(&["cpu", "cpuacct"]), "/sys/fs/cgroup/cpu,cpuacct", true),
                of(None, "/sys/fs/cgroup/unified", true),
            ]
        );
    }

    #[test]
    fn a_group_that_no_mount_shows_is_none() {
        for groups in ["8:pids:/elsewhere\n", "4:memory:/../x\n", "0:\n", "", "7:name=systemd:/\n"] {
            assert_eq!(parse(groups, HYBRID), [], "{groups}");
        }
        assert_eq!(parse("0::/\n", "41 31 0:38 / /sys/fs/cgroup\n"), []);
    }
}
