//! What every directory must do: one suite, run against the real one and the simulated one.

use std::io::ErrorKind;

use crate::directory::{Directory, DiskDirectory, SimulatedDirectory, read_small};

/// Runs `check` on an empty directory of each kind.
fn on_each(check: impl Fn(&dyn Directory)) {
    let place = tempfile::tempdir().unwrap();
    let disk = DiskDirectory::new(&place.path().join("store"));
    disk.create().unwrap();
    check(&disk);
    check(&SimulatedDirectory::new());
}

fn content(directory: &dyn Directory, name: &str) -> Option<Vec<u8>> {
    read_small(directory, name, 100).unwrap()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
fn a_file_that_takes_the_place_of_another_is_the_new_one() {
    on_each(|directory| {
        directory.create_folder("log").unwrap();
        assert_eq!(content(directory, "log/x"), None);
        let old = directory.replace("log/x", b"old and long").unwrap();
        let new = directory.replace("log/x", b"new").unwrap();
        assert_eq!(content(directory, "log/x").unwrap(), b"new");
        assert_eq!((old.len().unwrap(), new.len().unwrap()), (12, 3));
        assert_eq!(directory.list("log").unwrap(), ["x"]);
    });
}

#[test]
fn a_renewed_file_is_a_copy_of_the_old_one_to_a_length() {
    on_each(|directory| {
        let old = directory.replace("x", b"0123456789").unwrap();
        let new = directory.renew("x", 4).unwrap();
        assert_eq!(content(directory, "x").unwrap(), b"0123");
        assert_eq!((old.len().unwrap(), new.len().unwrap()), (10, 4));
        new.write_all_at(b"ab", 4).unwrap();
        assert_eq!(content(directory, "x").unwrap(), b"0123ab");
        let longer = directory.renew("x", 7).unwrap_err();
        assert_eq!(longer.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(directory.list("").unwrap(), ["x"]);
    });
}

#[test]
fn a_handle_reads_what_another_has_written() {
    on_each(|directory| {
        let first = directory.replace("x", b"0123456789").unwrap();
        let reader = directory.open_to_read("x").unwrap();
        let writer = directory.open_to_write("x").unwrap();
        writer.write_all_at(b"ab", 8).unwrap();
        first.write_all_at(b"z", 14).unwrap();
        writer.sync().unwrap();
        let mut buffer = [1; 20];
        assert_eq!(reader.read_at(&mut buffer, 0).unwrap(), 15);
        assert_eq!(&buffer[..15], b"01234567ab\0\0\0\0z");
        assert_eq!(reader.read_at(&mut buffer, 15).unwrap(), 0);
        assert_eq!(reader.read_at(&mut buffer, 1_000).unwrap(), 0);
        writer.set_len(3).unwrap();
        assert_eq!(reader.len().unwrap(), 3);
        assert_eq!(content(directory, "x").unwrap(), b"012");
    });
}

#[test]
fn what_is_not_there_is_not_found() {
    on_each(|directory| {
        let kinds = [
            directory.list("log").map(|_| ()).unwrap_err().kind(),
            directory.open_to_read("x").map(|_| ()).unwrap_err().kind(),
            directory.open_to_write("log/x").map(|_| ()).unwrap_err().kind(),
            directory.replace("log/x", b"").map(|_| ()).unwrap_err().kind(),
            directory.rename_folder("index", "index.broken").unwrap_err().kind(),
            directory.rename_file("x", "y").unwrap_err().kind(),
        ];
        assert_eq!(kinds, [ErrorKind::NotFound; 6]);
        directory.remove("x").unwrap();
    });
}

#[test]
fn folders_are_created_listed_renamed_and_removed() {
    on_each(|directory| {
        for folder in ["log", "index", "log"] {
            directory.create_folder(folder).unwrap();
        }
        directory.replace("meta", b"").unwrap();
        assert_eq!(sorted(directory.list("").unwrap()), ["index", "log", "meta"]);
        directory.rename_folder("index", "index.broken").unwrap();
        directory.sync_folder("").unwrap();
        assert_eq!(sorted(directory.list("").unwrap()), ["index.broken", "log", "meta"]);
        directory.remove_folder("index.broken").unwrap();
        assert_eq!(sorted(directory.list("").unwrap()), ["log", "meta"]);
    });
}

#[test]
fn a_file_is_moved_from_folder_to_folder() {
    on_each(|directory| {
        for folder in ["log", "kept/log"] {
            directory.create_folder(folder).unwrap();
        }
        directory.replace("log/x", b"0123").unwrap();
        directory.rename_file("log/x", "kept/log/x").unwrap();
        assert_eq!(content(directory, "log/x"), None);
        assert_eq!(content(directory, "kept/log/x").unwrap(), b"0123");
        assert_eq!(directory.list("log").unwrap(), [""; 0]);
    });
}

#[test]
fn a_file_that_is_moved_takes_the_place_of_another() {
    on_each(|directory| {
        let old = directory.replace("x", b"old").unwrap();
        directory.replace("y", b"new one").unwrap();
        directory.rename_file("y", "x").unwrap();
        assert_eq!(content(directory, "x").unwrap(), b"new one");
        assert_eq!(old.len().unwrap(), 3);
        assert_eq!(directory.list("").unwrap(), ["x"]);
    });
}

#[test]
fn a_link_gives_the_file_another_name_or_changes_nothing() {
    on_each(|directory| {
        directory.create_folder("log").unwrap();
        directory.replace("x", b"0123").unwrap();
        directory.replace("log/y", b"old").unwrap();
        match directory.link(&directory.path_of("x"), "log/y") {
            Ok(()) => assert_eq!(content(directory, "log/y").unwrap(), b"0123"),
            Err(_) => assert_eq!(content(directory, "log/y").unwrap(), b"old"),
        }
        assert_eq!(content(directory, "x").unwrap(), b"0123");
        assert_eq!(directory.list("log").unwrap(), ["y"]);
    });
}

#[test]
fn a_removed_file_is_gone_and_its_handle_is_not() {
    on_each(|directory| {
        let file = directory.replace("x", b"0123").unwrap();
        directory.remove("x").unwrap();
        assert_eq!(content(directory, "x"), None);
        let mut buffer = [0; 4];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 4);
    });
}

#[test]
fn a_lock_is_held_by_one() {
    on_each(|directory| {
        let lock = directory.lock("LOCK").unwrap().unwrap();
        assert!(directory.lock("LOCK").unwrap().is_none());
        drop(lock);
        assert!(directory.lock("LOCK").unwrap().is_some());
    });
}
