//! What a build would change, the way back, and all jails at once.

use super::*;

#[test]
fn a_dry_run_says_what_would_change_and_writes_nothing() {
    let dir = jail("update-dry");
    let here = dir.path().display().to_string();
    let first = dir.stockade(["build", "--dry-run", "./web.toml"]).output();
    assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
    assert!(
        first.stdout.starts_with("jail `web` is not built yet; a build would make:\n"),
        "{}",
        first.stdout
    );
    assert!(
        first.stdout.ends_with("8 added, 0 changed, 0 removed; 0 stay as they are\n"),
        "{}",
        first.stdout
    );
    assert!(!dir.join("state").exists());

    succeeds(&dir, &["build", "./web.toml"]);
    let before = everything(&dir);
    dir.stockade(["build", "--dry-run", "./web.toml"]).expect(
        0,
        "jail `web`, compared with generation 1:\n0 added, 0 changed, 0 removed; 8 stay as they are\n",
        "",
    );
    fs::remove_file(dir.join("b")).unwrap();
    let more = format!("  {{ path = \"{here}/c\", target = \"/c\" }},\n]\n");
    let text = manifest(&dir, "");
    let text = text.strip_suffix("]\n").unwrap().to_owned() + &more;
    dir.write("a", "four\n").write("c", "five\n").write("web.toml", text);
    let said = dir.stockade(["build", "--dry-run", "./web.toml"]).output();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
    assert_eq!(
        said.stdout,
        "jail `web`, compared with generation 1:\n\
         changed /a\n        content: 5 bytes, were 4\n        for: ./web.toml:6\n\
         removed /b\n        for: ./web.toml:7\n\
         added   /c\n        for: ./web.toml:8\n\
         1 added, 1 changed, 1 removed; 6 stay as they are\n"
    );
    let json = dir.stockade(["build", "--dry-run", "--json", "./web.toml"]).output();
    let value: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&value["jail"], &value["generation"], &value["since"]),
        (&"web".into(), &().into(), &1.into())
    );
    assert_eq!(value["changes"][1]["what"], "removed");
    assert_eq!(value["changes"][1]["path"], "/b");
    assert_eq!(everything(&dir), before);
    // What a build would fail for, a dry run fails for.
    fs::remove_file(dir.join("a")).unwrap();
    let failed = dir.stockade(["build", "--dry-run", "./web.toml"]).output();
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{}", failed.stderr);
    assert_eq!(everything(&dir), before);
}

#[test]
fn one_can_go_back_as_often_as_trees_are_kept() {
    let dir = jail("update-rollback");
    for (count, text) in ["1", "2", "3", "4"].iter().enumerate() {
        dir.write("b", format!("{text}\n"));
        let keep: &[&str] = if count == 0 { &["--keep", "2"] } else { &[] };
        succeeds(&dir, &[&["build"], keep, &["./web.toml"]].concat());
    }
    assert_eq!(generations(&dir), ["2", "3", "4"]);
    for number in ["3", "2"] {
        dir.stockade(["build", "--rollback", "./web.toml"]).expect(
            0,
            "",
            &format!("jail `web` is back at generation {number}\n"),
        );
        // It serves, and a run does not build again.
        assert_eq!(said(&dir), format!("one\n{number}\n"));
    }
    dir.stockade(["build", "--rollback", "./web.toml"]).expect(
        1,
        "",
        "error: jail `web` has no older tree to go back to\n\
         hint: `stockade build --keep COUNT` says how many are kept from then on\n",
    );
    succeeds(&dir, &["build", "--keep=0", "./web.toml"]);
    assert_eq!(generations(&dir), ["3"]);
    assert_eq!(said(&dir), "one\n4\n");
}

#[test]
fn a_tree_of_another_manifest_is_not_gone_back_to() {
    let dir = jail("update-manifest");
    succeeds(&dir, &["build", "./web.toml"]);
    let older = fs::read_to_string(dir.join("web.toml")).unwrap();
    dir.write("web.toml", manifest(&dir, "tree.directories = [\"/new\"]\n"));
    succeeds(&dir, &["build", "./web.toml"]);
    dir.stockade(["build", "--rollback", "./web.toml"]).expect(
        1,
        "",
        &format!(
            "error: cannot go back to an older tree of jail `web`\n  \
             why: `{}` was built from another manifest, or by another version of stockade\n\
             hint: the next run would build anew from the manifest as it is now: first make it again what it was\n",
            dir.join("state/web/generations/1").display()
        ),
    );
    assert_eq!(generations(&dir), ["1", "2"]);
    dir.write("web.toml", older);
    dir.stockade(["build", "--rollback", "./web.toml"]).expect(0, "", "jail `web` is back at generation 1\n");
    assert_eq!(said(&dir), "one\ntwo\n");
}

#[test]
fn a_jail_goes_back_as_it_was_built() {
    let dir = jail("update-back");
    let set = ["build", "./web.toml", "--set", "tree.directories=[\"/set\"]"];
    for text in ["1\n", "2\n"] {
        dir.write("b", text);
        succeeds(&dir, &set);
    }
    // With what was set then; and no manifest is found by the name, but the tree knows which it was.
    for jail in ["./web.toml", "web"] {
        dir.stockade(["build", "--rollback", jail]).expect(0, "", "jail `web` is back at generation 1\n");
        let run = dir.stockade(["run", set[1], set[2], set[3]]).output();
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("one\n1\n", ""));
        succeeds(&dir, &set);
    }
}

#[test]
fn all_jails_that_were_built_are_built_again_as_they_were() {
    let dir = jail("update-all");
    dir.stockade(["build", "--all"]).expect(0, "", "");
    assert!(!dir.join("state").exists());
    dir.write("other.toml", manifest(&dir, "")).write("never.toml", manifest(&dir, ""));
    succeeds(&dir, &["build", "./web.toml", "--set", "tree.directories=[\"/set\"]"]);
    succeeds(&dir, &["build", "./other.toml"]);
    dir.write("b", "new\n");
    fs::remove_file(dir.join("other.toml")).unwrap();
    let all = dir.stockade(["build", "--all"]).output();
    // What cannot be built keeps nothing else from being built.
    assert_eq!(all.code, Some(1), "{}", all.stderr);
    assert!(
        all.stderr.contains(&format!("error: there is no manifest `{}`", dir.join("other.toml").display()))
    );
    assert!(all.stderr.contains("since generation 1: 0 added, 1 changed, 0 removed;"), "{}", all.stderr);
    assert_eq!(fs::read_to_string(tree(&dir, "2", "b")).unwrap(), "new\n");
    assert!(tree(&dir, "2", "set").is_dir());
    assert!(!dir.join("state/never").exists());
    // Root does not build unasked what somebody else has written by now.
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(dir.join("web.toml"), Some(12345), None).unwrap();
        let all = dir.stockade(["build", "--all"]).output();
        let manifest = dir.join("web.toml").display().to_string();
        let refused = format!(
            "error: jail `web` is not built unasked\n  \
             why: its manifest can be changed by others: `{manifest}` belongs to user 12345\n\
             hint: look at it, and write `stockade build {manifest}`\n"
        );
        assert_eq!(all.code, Some(1));
        assert!(all.stderr.contains(&refused), "{}", all.stderr);
        std::os::unix::fs::chown(dir.join("web.toml"), Some(0), None).unwrap();
    }
    // A manifest that is of another jail by now does not make that one instead.
    let text = fs::read_to_string(dir.join("web.toml")).unwrap();
    dir.write("web.toml", format!("name = \"renamed\"\n{text}"));
    let all = dir.stockade(["build", "--all", "--json"]).output();
    assert_eq!((all.code, all.stdout.as_str()), (Some(1), "[]\n"));
    assert!(
        all.stderr.contains("error: the manifest that jail `web` was built from is of jail `renamed` now\n")
    );
    assert!(!dir.join("state/renamed").exists());
}

#[test]
fn options_that_say_nothing_together_are_refused() {
    let dir = jail("update-words");
    for (words, message) in [
        (&["build"][..], "no jail is named"),
        (&["build", "--all", "web"], "`--all` names every jail already"),
        (&["build", "--rollback", "--dry-run", "web"], "`--rollback` goes with no other option but `--keep`"),
        (&["build", "--dry-run", "--test", "web"], "`--dry-run` does not go with `--test` and `--keep`"),
        (&["build", "--all", "--rollback"], "`--rollback` and `--set` are for one jail"),
        (&["build", "--keep"], "`--keep` needs a value"),
    ] {
        let refused = dir.stockade(words.iter().copied()).output();
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(
            refused.stderr.starts_with(&format!("error: {message}\nhint: ")),
            "{words:?}: {}",
            refused.stderr
        );
    }
}

/// As a backup of some of the files leaves it.
#[test]
fn a_tree_whose_number_is_not_its_own_is_told_and_built_anew() {
    let dir = jail("update-misnamed");
    succeeds(&dir, &["build", "./web.toml"]);
    let (jail, link) = (dir.join("state/web"), dir.join("state/web/current"));
    fs::rename(jail.join("generations/1"), jail.join("generations/2")).unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("generations/2", &link).unwrap();
    let told = |what: &str| {
        format!(
            "error: cannot {what} jail `web`\n  why: `{}` leads to `generations/2`, whose stamp says that it is generation 1\n\
             hint: the state directory was restored in part, or changed by hand: `stockade build` makes the tree anew\n",
            link.display()
        )
    };
    dir.stockade(["run", "./web.toml"]).expect(125, "", &told("build"));
    dir.stockade(["verify", "web"]).expect(125, "", &told("verify"));
    succeeds(&dir, &["build", "./web.toml"]);
    if needs(Need::UserNamespaces) {
        assert_eq!(said(&dir), "one\ntwo\n");
    }
}

/// Its digest alone would take hours, and anybody can make one where a directory of theirs is listed.
#[test]
fn a_source_of_nothing_but_holes_is_refused_before_it_is_read() {
    let dir = jail("update-vast");
    succeeds(&dir, &["build", "./web.toml"]);
    let space = nix::sys::statvfs::statvfs(dir.path()).unwrap();
    let size = space.blocks() * space.fragment_size() * 2;
    let source = dir.join("b");
    if File::options().write(true).open(&source).unwrap().set_len(size).is_err() {
        eprintln!("SKIP: this file system is larger than any file on it");
        return;
    }
    let line = format!("  {{ path = \"{}\", target = \"/b\", optional = true }},", source.display());
    let told = |manifest: &str| {
        format!(
            "error: cannot build jail `web`\n  --> {manifest}:7:3\n    7 | {line}\n      |   {}\n  why: cannot copy `{}` to \
             `/b` in the tree (step 2): the source is {size} bytes long, more than the whole file system of the tree: nearly \
             all are holes\nhint: leave it out with `exclude`, or show it in the jail as a mount\n",
            "^".repeat(line.len() - 3),
            source.display()
        )
    };
    let built = dir.stockade(["build", "--dry-run", "./web.toml"]).output();
    assert_eq!((built.stdout.as_str(), built.code), ("", Some(125)));
    assert_eq!(built.stderr.trim_end(), told("./web.toml").trim_end());
    let verified = dir.stockade(["verify", "web"]).output();
    let manifest = dir.join("web.toml").display().to_string();
    let rows = format!(
        "stale /\n      a build would fail now\n      for: the manifest and the host as they are now\n      \
         hint: `stockade build {manifest}` makes the tree anew\n\
         jail `web`: 0 altered, 0 missing, 0 added, 1 stale of 8 paths\n"
    );
    assert_eq!((verified.stdout, verified.code), (rows, Some(1)));
    assert_eq!(verified.stderr.trim_end(), told(&manifest).trim_end());
}
