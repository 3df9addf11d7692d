//! `[tree]` and the tables in its lists.

use crate::manifest::cursor::{Cursor, Part};
use crate::manifest::host_files::HostFiles;
use crate::manifest::node::{Node, Value};
use crate::manifest::read::{self, Read};
use crate::manifest::schema::{Base, Directory, Files, Link, ProgramFile, Text, Tree};
use crate::plan::At;
use crate::plan::step::Keep;

/// `[tree]`
pub(super) fn tree(table: &mut Cursor) -> Tree {
    Tree {
        programs: table.tables("programs", "tree.programs", Some(plain_program), program),
        libraries: table.list("libraries", read::host_path),
        files: table.tables("files", "tree.files", Some(plain_files), files),
        packages: table.list("packages", read::package),
        directories: table.tables("directories", "tree.directories", Some(plain_directory), directory),
        users: table.list("users", read::account_name),
        groups: table.list("groups", read::account_name),
        devices: table.maybe_list("devices", read::device),
        links: table.tables("links", "tree.links", None, link),
        text: table.tables("text", "tree.text", None, text),
        host: table.list("host", read::one_of(HostFiles::NAMES)),
        base: base(table),
    }
}

/// `base = "/srv/debian"`, or `base = { path = "/srv/image", architecture = "386" }`
fn base(table: &mut Cursor) -> Option<At<Base>> {
    let node = table.take("base")?.node;
    let origin = node.origin.clone();
    let value = if let Value::Table(entries) = node.value {
        let mut table = table.inner("tree.base", entries, &origin);
        let path = table.required("path", read::host_path);
        let image = table.value("image", read::non_empty);
        let architecture = table.value("architecture", read::non_empty);
        let keep = keep(&mut table);
        table.finish();
        let (image, architecture) = (image.map(|at| at.value), architecture.map(|at| at.value));
        Base { path: path?.value, image, architecture, keep }
    } else {
        match read::host_path(&node) {
            Ok(path) => Base { path, image: None, architecture: None, keep: Keep::default() },
            Err(problem) => {
                table.wrong("base", Part::Whole, &node, problem);
                return None;
            }
        }
    };
    Some(At { value, origin })
}

/// `keep`: its entries together.
fn keep(table: &mut Cursor) -> Keep {
    table.list("keep", read::keep).into_iter().fold(Keep::default(), |all, one| Keep {
        setid: all.setid || one.value.setid,
        capabilities: all.capabilities || one.value.capabilities,
    })
}

/// `programs = ["/usr/bin/sudo"]`
fn plain_program(node: &Node) -> Read<ProgramFile> {
    read::host_path(node).map(|path| ProgramFile { path, keep: Keep::default() })
}

/// `programs = [{ path = "/usr/bin/sudo", keep = ["setid"] }]`
fn program(table: &mut Cursor) -> Option<ProgramFile> {
    let path = table.required("path", read::host_path);
    let keep = keep(table);
    Some(ProgramFile { path: path?.value, keep })
}

/// `files = ["/etc/ssl"]`
fn plain_files(node: &Node) -> Read<Files> {
    read::host_path(node).map(Files::at)
}

/// `files = [{ path = "/etc/ssl", exclude = ["private"] }]`
fn files(table: &mut Cursor) -> Option<Files> {
    let path = table.required("path", read::host_path);
    let target = table.value("target", read::jail_path);
    let exclude = table.list("exclude", read::non_empty);
    let owner = table.value("owner", read::account);
    let group = table.value("group", read::account);
    let mode = table.value("mode", read::mode);
    let keep = keep(table);
    let optional = table.value("optional", read::flag);
    Some(Files {
        path: path?.value,
        target: target.map(|at| at.value),
        exclude: exclude.into_iter().map(|at| at.value).collect(),
        owner: owner.map(|at| at.value),
        group: group.map(|at| at.value),
        mode: mode.map(|at| at.value),
        keep,
        optional: optional.is_some_and(|at| at.value),
    })
}

/// `directories = ["/srv"]`
fn plain_directory(node: &Node) -> Read<Directory> {
    read::jail_path(node).map(|path| Directory { path, owner: None, group: None, mode: None })
}

/// `directories = [{ path = "/srv", mode = "0750" }]`
fn directory(table: &mut Cursor) -> Option<Directory> {
    let path = table.required("path", read::jail_path);
    let owner = table.value("owner", read::account);
    let group = table.value("group", read::account);
    let mode = table.value("mode", read::mode);
    Some(Directory {
        path: path?.value,
        owner: owner.map(|at| at.value),
        group: group.map(|at| at.value),
        mode: mode.map(|at| at.value),
    })
}

/// `links = [{ path = "/bin", target = "usr/bin" }]`
fn link(table: &mut Cursor) -> Option<Link> {
    let path = table.required("path", read::jail_path);
    let target = table.required("target", read::non_empty);
    Some(Link { path: path?.value, target: target?.value.into() })
}

/// `text = [{ path = "/etc/motd", content = "hello\n" }]`
fn text(table: &mut Cursor) -> Option<Text> {
    let path = table.required("path", read::jail_path);
    let content = table.required("content", read::text);
    let owner = table.value("owner", read::account);
    let group = table.value("group", read::account);
    let mode = table.value("mode", read::mode);
    Some(Text {
        path: path?.value,
        content: content?.value,
        owner: owner.map(|at| at.value),
        group: group.map(|at| at.value),
        mode: mode.map(|at| at.value),
    })
}
