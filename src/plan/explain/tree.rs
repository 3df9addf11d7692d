//! The texts of the build's actions.

use super::Text;

pub(super) const MAKE_DIRECTORY: Text = Text {
    why: "A jail is an ordinary directory tree. Every directory a path of the jail leads through has to exist in it, with an owner \
          and a mode that let the program in and nobody else write.",
    man: &["mkdirat(2)", "openat2(2)"],
    without: "Every path below it fails with ENOENT inside. Made with a loose mode, it lets the jailed user replace files that the \
              next start trusts.",
};

pub(super) const COPY_FILE: Text = Text {
    why: "After the root has changed, the host's copy is out of reach. A program needs its own file, its loader and every shared \
          library inside. A copy, not a hard link: writing to it cannot change the host's file. Set-user-id bits and file \
          capabilities are left off unless the manifest keeps them.",
    man: &["copy_file_range(2)", "execve(2)", "ld.so(8)", "inode(7)"],
    without: "The program fails with \"No such file or directory\", even when it is there itself and only its loader is missing. \
              A set-user-id program copied with its bit is a way to another user as soon as somebody can change what it reads: \
              with a writable /etc in the jail, su believes the jail's own passwd.",
};

pub(super) const UNPACK_FILE: Text = Text {
    why: "The root below is one that was packed elsewhere: another release, another architecture. Each of its files is written at the \
          path the finished tree has for it. The names in the archive are looked at before, in memory: none of them ever leads \
          anywhere on the host.",
    man: &["tar(5)", "openat2(2)", "inode(7)"],
    without: "The program's own loader, libraries and data are missing. Unpacked by name instead, as root, an archive with `..` or a \
              link in it writes where it likes: that is how files of the host were overwritten through many a tool.",
};

pub(super) const MAKE_HARD_LINK: Text = Text {
    why: "The host has one file under two names, such as perl and perl5.36.0. The second name in the tree leads to the copy already \
          made, never to the host's file: what is hard-linked is one and the same inode.",
    man: &["linkat(2)", "inode(7)"],
    without: "The content would be stored twice and could drift apart. Linking to the host's own inode would be worse: who may write \
              to it inside changes the host (snap-confine, CVE-2021-44730, was fooled by a hard link).",
};

pub(super) const MAKE_SYMLINK: Text = Text {
    why: "Programs are found through links: /bin is one to usr/bin, libz.so.1 one to libz.so.1.2.13. The text is kept as it is on the \
          host and read by the kernel relative to the jail's root once the root has changed.",
    man: &["symlinkat(2)", "symlink(7)", "path_resolution(7)"],
    without: "The loader named in a program is often reached through one (/lib64), and execve(2) then fails with ENOENT for a program \
              that is plainly there.",
};

pub(super) const WRITE_FILE: Text = Text {
    why: "Some files must not be the host's: a passwd with only the users the jail knows, a hosts, an nsswitch.conf that looks \
          nowhere else. They are written from the plan, so that the same manifest gives the same bytes.",
    man: &["openat2(2)", "passwd(5)", "nsswitch.conf(5)"],
    without: "Without passwd a daemon cannot find the user it should become and refuses to start. With the host's own copy the jail \
              would learn every account of the host.",
};

pub(super) const MAKE_DEVICE: Text = Text {
    why: "A device node is a name for a driver: type, major and minor number. Daemons open /dev/null and /dev/urandom before anything \
          else. Only nodes that reach no hardware and no other process are made.",
    man: &["mknodat(2)", "null(4)", "random(4)"],
    without: "A daemon that throws its output away creates a regular file named null instead and fills the disk, or stops. A node \
              for a disk, on the other hand, would let whoever opens it read every file of the host past all permissions.",
};
