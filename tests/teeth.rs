//! Whether the tests have teeth: lines that keep the promises are removed one at a time, each in a
//! copy of this crate, and the tests that are named beside it must fail then.
//!
//! `ANNALS_TEETH=all cargo test --test teeth -- --nocapture` does that for all of them, which takes
//! a quarter of an hour; the name of one does it for that one. Without it, only that every line is
//! still there is checked.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "what was removed, and what noticed, is worth telling")]

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A line that keeps a promise.
struct Tooth {
    name: &'static str,
    file: &'static str,
    /// What stands there, once.
    line: &'static str,
    /// What is put in its place: code that compiles, and does not do it.
    instead: &'static str,
    /// The tests that must fail: `lib`, or a file of `tests`.
    noticed_by: &'static [&'static str],
}

const fn tooth(
    name: &'static str,
    file: &'static str,
    line: &'static str,
    instead: &'static str,
    noticed_by: &'static [&'static str],
) -> Tooth {
    Tooth { name, file, line, instead, noticed_by }
}

/// A test that runs longer than this hangs, which is noticed too.
const RUN_TIME_MAX: Duration = Duration::from_secs(120);

const TEETH: &[Tooth] = &[
    // Acknowledged is durable.
    tooth(
        "the sync of a group",
        "src/log/writer.rs",
        "self.sync()?;\n        }\n        Ok(())",
        "}\n        Ok(())",
        &["crash"],
    ),
    tooth(
        "the sync before a new segment bears witness",
        "src/log/writer.rs",
        "if unsynced {\n            self.sync()?;\n        }",
        "let _ = unsynced;",
        &["crash"],
    ),
    tooth(
        "the sync before the index bears witness",
        "src/store/catch_up.rs",
        "log.sync_to(end).map_err(Unwitnessed::NotDurable)?;",
        "",
        &["crash", "model"],
    ),
    tooth(
        "the sync before a note bears witness",
        "src/log/mod.rs",
        "let synced = self.wait(state, &outcome);",
        "drop(state);\n                let (_, synced) = (outcome, Ok(()));",
        &["crash"],
    ),
    tooth(
        "what is durable only once it is synced",
        "src/log/commit.rs",
        "if group.syncs {\n                    self.advance_durable(group.end, self.last_offset, self.written_len);\n                } else if group.rolls {\n                    self.advance_durable(group.start, offset_before, len_before);\n                }",
        "let _ = (offset_before, len_before);\n                self.advance_durable(group.end, self.last_offset, self.written_len);",
        &["crash"],
    ),
    // The note of how far the log is durable.
    tooth(
        "a note names what is durable only",
        "src/log/mod.rs",
        "let place = self.state.lock().durable_place;",
        "let place = { let state = self.state.lock(); Some((state.written, state.last_offset)) };",
        &["notes", "crash"],
    ),
    tooth(
        "the durable note before the index bears witness",
        "src/store/catch_up.rs",
        "log.note_to(end).map_err(|_| Unwitnessed::NoNote)",
        "log.note().map_err(|_| Unwitnessed::NoNote)",
        &["lib"],
    ),
    tooth(
        "a durable note that was synced is not written over",
        "src/log/noter.rs",
        "let generation = last.generation.saturating_add(if slots.is_synced { 1 } else { 2 });",
        "let generation = last.generation.saturating_add(1);",
        &["lib"],
    ),
    tooth(
        "the witness of a durable note",
        "src/log/recover/scan.rs",
        "durable_note: durable_note.map(|note| note.place.end),",
        "durable_note: None,",
        &["notes"],
    ),
    tooth(
        "the record before a durable note",
        "src/log/recover/scan.rs",
        "&& last.checksum == checksum\n",
        "\n",
        &["notes"],
    ),
    tooth(
        "a scan begins at the durable note",
        "src/log/recover/scan.rs",
        "places.extend(durable_note.map(|note| note.place));",
        "let _ = durable_note;",
        &["notes"],
    ),
    tooth(
        "what the medium does not give of a full segment ends no opening",
        "src/log/recover/scan.rs",
        "Err(Error::Io { .. }) => Ok(None),",
        "Err(error @ Error::Io { .. }) => Err(error),",
        &["lib"],
    ),
    tooth(
        "a segment that cannot be sealed holds up no other for long",
        "src/log/sealer.rs",
        "Err(_) if full.failed_count >= TRIES_MAX =>",
        "Err(_) if full.failed_count == u32::MAX =>",
        &["lib"],
    ),
    tooth(
        "a footer whose sync has failed goes to other places",
        "src/log/sealer.rs",
        "full.is_doubtful = file.sync().is_err();",
        "file.sync()?;",
        &["lib"],
    ),
    tooth(
        "what recovery has moved counts once",
        "src/log/recover/scan.rs",
        "&& !begins_with(follower, &record)?",
        "&& begins_with(follower, &record).is_ok()",
        &["notes"],
    ),
    tooth(
        "a repair lets go of the durable note",
        "src/store/repair/act.rs",
        "self.remove(DURABLE_NOTE)?;",
        "",
        &["notes"],
    ),
    // A failed write, a failed sync.
    tooth(
        "the cut of what a failed write has left",
        "src/log/writer.rs",
        "let cut = self.active.set_len(end.address.offset);",
        "let cut = Ok::<(), Error>(());",
        &["faults"],
    ),
    tooth(
        "the sync of that cut",
        "src/log/writer.rs",
        "if cut.and_then(|()| self.gate.sync(&self.active)).is_ok() {",
        "if cut.is_ok() {",
        &["faults"],
    ),
    tooth(
        "the removal of a segment that could not be created",
        "src/log/writer.rs",
        "match SegmentFile::remove(&*self.directory, end.position) {",
        "match Ok::<(), std::io::Error>(()) {",
        &["faults"],
    ),
    tooth(
        "the poison",
        "src/log/commit.rs",
        "if self.status != Status::Closed {\n            self.status = Status::Poisoned;\n        }",
        "",
        &["faults"],
    ),
    tooth(
        "the word that a sync has failed",
        "src/log/gate.rs",
        "let _ = self.lock.set_len(1).or_else(|_| self.lock.write_all_at(b\"!\", 0));",
        "let _ = &self.lock;",
        &["faults"],
    ),
    tooth(
        "who only syncs is waited for when a log is closed",
        "src/log/mod.rs",
        " || state.forming.caller_count > 0 {",
        " {",
        &["lib"],
    ),
    tooth(
        "a store is closed after what is done for who has appended",
        "src/store/maintenance.rs",
        "let has_finished = self.has_finished.read_recursive();\n        if *has_finished {",
        "if *self.has_finished.read_recursive() {",
        &["lib"],
    ),
    tooth(
        "nothing is done for who comes late once a store is closed",
        "src/store/maintenance.rs",
        "*self.has_finished.write() = true;",
        "",
        &["lib"],
    ),
    tooth(
        "no note of a clean close once poisoned",
        "src/log/mod.rs",
        "if was == Status::Poisoned || closed.is_err() {\n            return closed;\n        }",
        "let _ = (was, &closed);",
        &["faults", "recovery"],
    ),
    tooth(
        "the answer to those who wait for a group that failed",
        "src/log/commit.rs",
        "failed.outcome.set(Err(failure));",
        "let _ = failure;",
        &["faults"],
    ),
    tooth(
        "a leader that panics ends appending",
        "src/log/commit.rs",
        "state.give_up();\n                (Err(Failure::Panicked), Some(panic))",
        "(Err(Failure::Panicked), Some(panic))",
        &["faults"],
    ),
    // Recovery.
    tooth(
        "writing again what may be in memory only",
        "src/log/recover/act.rs",
        "(active, report.is_durable) = self.write_again(active, &*lock)?;",
        "active = SegmentFile::open_to_write(&*self.directory, self.key, active.base())?;",
        &["crash", "faults"],
    ),
    tooth(
        "writing it to other places than before",
        "src/log/recover/act.rs",
        "match SegmentFile::renew(&*self.directory, self.key, active.base(), end) {",
        "match Err::<SegmentFile, std::io::Error>(ErrorKind::StorageFull.into()) {",
        &["faults"],
    ),
    tooth(
        "the cut of a torn tail",
        "src/log/recover/act.rs",
        "active.set_len(end)?;\n            active.sync()?;",
        "active.sync()?;",
        &["recovery", "crash"],
    ),
    tooth(
        "making durable which segments there are",
        "src/log/recover/act.rs",
        "self.sync_entries()?;",
        "",
        &["crash"],
    ),
    tooth(
        "every witness",
        "src/log/decide.rs",
        "if is_above || evidence.contradicted {",
        "if evidence.contradicted && is_above {",
        &["lib"],
    ),
    tooth(
        "the witness of later records",
        "src/log/recover/scan.rs",
        "witnesses.record = witnesses.record.max(later);",
        "let _ = later;",
        &["recovery"],
    ),
    tooth(
        "the witness of a clean close",
        "src/log/recover/scan.rs",
        "witnesses.clean_close = Some(note.end);",
        "let _ = note;",
        &["repair"],
    ),
    tooth(
        "the witness of a consumer",
        "src/log/recover/scan.rs",
        "consumer: consumers(&*directory, key.id)?,",
        "consumer: None,",
        &["recovery"],
    ),
    tooth(
        "the witness of the index",
        "src/log/recover/mod.rs",
        "self.witnesses.index_checkpoint = Some(position);",
        "let _ = position;",
        &["recovery"],
    ),
    tooth(
        "a lost store.meta costs no events",
        "src/store/open.rs",
        "crate::log::refuse_segments(directory)?;",
        "",
        &["recovery"],
    ),
    // What consumers rely on.
    tooth(
        "the sync of the log before a place bears witness",
        "src/consumer/entry.rs",
        "with.log.sync_to(place.end.max(self.batch_end))?;",
        "",
        &["consumers"],
    ),
    tooth(
        "the batch that moves a consumer is durable before its place is",
        "src/consumer/entry.rs",
        "with.log.sync_to(place.end.max(self.batch_end))?;",
        "with.log.sync_to(place.end)?;",
        &["consumers"],
    ),
    tooth(
        "the sync of a place",
        "src/consumer/keeper.rs",
        "file.sync().map_err(|error| Error::io(\"sync\", &path())(error))?;",
        "",
        &["lib"],
    ),
    tooth(
        "a place that was found is never written over",
        "src/consumer/keeper.rs",
        "Self { directory, name, last: found, file: None }",
        "Self { file: directory.open_to_write(&name).ok(), directory, name, last: found }",
        &["lib"],
    ),
    tooth(
        "a place that could not be kept is not written over",
        "src/consumer/keeper.rs",
        "match self.file.take() {",
        "match self.file.clone() {",
        &["lib"],
    ),
    tooth(
        "it is kept that the log has progress before it has some",
        "src/consumer/entry.rs",
        "state.keep(place, Some(with.visible), with)?;",
        "state.log_from = Some(with.visible).filter(|_| place.pending.is_empty());",
        &["consumers"],
    ),
    tooth(
        "a batch whose outcome is unknown is looked for in the log",
        "src/consumer/entry.rs",
        "state.is_uncertain = was_uncertain || is_unknown;",
        "state.is_uncertain = was_uncertain && is_unknown;",
        &["consumers"],
    ),
    tooth(
        "an attempt that is refused makes no outcome known",
        "src/consumer/entry.rs",
        "state.is_uncertain = was_uncertain || is_unknown;",
        "state.is_uncertain = is_unknown;\n        let _ = was_uncertain;",
        &["consuming"],
    ),
    tooth(
        "a slot that was found is not relied on",
        "src/consumer/entry.rs",
        "if state.log_from.is_none() || !state.keeper.is_sure() {",
        "if state.log_from.is_none() {",
        &["consuming"],
    ),
    tooth(
        "nothing is put aside that a crash may take back",
        "src/consumer/entry.rs",
        "if !parked.is_empty() {",
        "if parked.len() > 1_000 {",
        &["consuming"],
    ),
    tooth(
        "what is put aside is not handled again",
        "src/consumer/workers/reading.rs",
        "filter(|event| !parked.contains(&event.position()));",
        "filter(|event| event.position() < end);",
        &["consuming"],
    ),
    tooth(
        "progress in the log before a reset counts no more",
        "src/consumer/found.rs",
        "self.log_from.is_some_and(|from| at >= from) && position > self.place.end",
        "position > self.place.end",
        &["consumers"],
    ),
    tooth(
        "only the last who has opened a consumer moves it",
        "src/consumer/entry.rs",
        "Standing::Open if state.owner == owner => Ok(state),",
        "Standing::Open if state.owner >= owner => Ok(state),",
        &["consumers"],
    ),
    tooth(
        "an event is put aside before its place is passed",
        "src/consumer/entry.rs",
        "state.parked.add(&self.name, parked)?;",
        "let _ = state.parked.add(&self.name, parked);",
        &["workers"],
    ),
    tooth(
        "what is not done before a place is kept with it",
        "src/consumer/workers/board.rs",
        "let pending = self.unfinished.iter().copied().collect();",
        "let pending = self.unfinished.iter().copied().take(0).collect();",
        &["workers"],
    ),
    // Nothing bent.
    tooth(
        "the checksum of a record",
        "src/format/record/read.rs",
        "if checksum_from(seed, covered) != sum {",
        "if checksum_from(seed, covered) == 0 && sum == 1 {",
        &["recovery"],
    ),
    tooth(
        "the seed in the checksum",
        "src/format/record.rs",
        "Hasher::new_with_initial(seed)",
        "Hasher::new_with_initial(seed & 0)",
        &["recovery", "golden"],
    ),
    tooth(
        "the chain",
        "src/segment/scan.rs",
        "if self.chain.is_some_and(|chain| chain != record.previous) {",
        "if self.chain.is_none() && record.previous == 1 {",
        &["verify"],
    ),
    tooth(
        "the position of the next record",
        "src/segment/scan.rs",
        "if parts.position != self.position {",
        "if parts.position < self.position {",
        &["lib"],
    ),
    tooth(
        "only whole batches count",
        "src/segment/scan.rs",
        "(begins_batch == Some(true)).then_some(end)",
        "Some(end)",
        &["recovery", "crash"],
    ),
    tooth(
        "a segment is of this store",
        "src/segment/file.rs",
        "if header.store != self.key.id {",
        "if header.store != self.key.id && header.base != self.base {",
        &["recovery"],
    ),
    tooth(
        "a segment follows from the one before",
        "src/log/segments.rs",
        "end.checksum == begin.checksum && end.recorded_at == begin.recorded_at",
        "end.position == begin.position",
        &["verify"],
    ),
    tooth(
        "readers see only what is visible",
        "src/log/segments.rs",
        "return Ok(visible.address.offset);",
        "let _ = visible.address.offset;",
        &["recovery", "model", "crash"],
    ),
    // The index decides nothing.
    tooth(
        "a chunk that the index has lost shows",
        "src/index/stored.rs",
        "if chunk::next_place(&bytes)?.is_some_and(|next| next <= place) {",
        "if chunk::next_place(&bytes)?.is_some_and(|next| next <= &[][..]) {",
        &["lib"],
    ),
    tooth(
        "marks that a crash has left go",
        "src/index/writing.rs",
        "remove_marks_from(end, stored)?;",
        "let _ = (end, remove_marks_from);",
        &["lib"],
    ),
    tooth(
        "runs that follow from each other",
        "src/index/search.rs",
        "if first < self.missing.start || end != self.missing.end {",
        "if first < self.missing.start {",
        &["lib"],
    ),
    tooth(
        "all streams of its members are in the filter over many runs",
        "src/index/run.rs",
        "stored.union().add(&self.membership, &self.hashes);",
        "let _ = stored;",
        &["lib"],
    ),
    tooth(
        "a merged run is in that filter only if all of it is",
        "src/index/merge.rs",
        "let membership = if old.iter().all(|run| run.is_in_union) {",
        "let membership = if old.iter().any(|run| run.is_in_union) {",
        &["lib"],
    ),
    tooth(
        "a filter that was let go of never comes back",
        "src/index/union.rs",
        "*self.bits.write() = Bits::Gone;",
        "*self.bits.write() = Bits::None;",
        &["lib"],
    ),
    tooth(
        "a checkpoint waits for merges that are far behind",
        "src/index/writing.rs",
        "Ok(Some(if is_behind { step_count } else { 0 }))",
        "Ok(Some(if is_behind { 0 } else { step_count.min(0) }))",
        &["lib"],
    ),
    tooth(
        "what waits for merges is held back",
        "src/store/maintenance.rs",
        "if is_due && !is_held_back && self.checkpoint().is_ok() {",
        "if is_due && self.checkpoint().is_ok() {",
        &["lib"],
    ),
    tooth(
        "a panic in maintenance is nothing to who has appended",
        "src/store/maintenance.rs",
        "catch_unwind(AssertUnwindSafe(|| while goes_on() {}));",
        "(|| while goes_on() {})();",
        &["faults"],
    ),
    tooth(
        "what became of a write is told before the next one",
        "src/index/sled.rs",
        "settle(&mut begun)?;",
        "let _ = settle(&mut begun);",
        &["lib"],
    ),
    tooth(
        "after a write that has failed nobody reads where it may wait for ever",
        "src/index/sled.rs",
        "if written.is_ok() {",
        "if written.is_ok() || written.is_err() {",
        &["lib"],
    ),
    tooth(
        "no run counts before the log is durable",
        "src/index/writing.rs",
        "if !is_durable()? {",
        "if !is_durable().unwrap_or(true) && id == u64::MAX {",
        &["lib"],
    ),
    tooth(
        "a run that does not count is there as a whole before it is removed",
        "src/index/writing.rs",
        "stored.apply(Vec::new())?;",
        "",
        &["lib"],
    ),
    tooth(
        "a checkpoint waits for the sync that was begun for it",
        "src/store/maintenance.rs",
        "begun.wait_for_ever().unwrap_or(Err(Unwitnessed::NotDurable(Error::Poisoned)))",
        "{ drop(begun); Ok(()) }",
        &["lib"],
    ),
    tooth(
        "values have back what filters had",
        "src/index/writing.rs",
        "stored.share();\n        if let Some(run)",
        "if let Some(run)",
        &["lib"],
    ),
    tooth(
        "nobody waits for merges of an index that has failed",
        "src/index/mod.rs",
        "self.owed_step_count.load(Ordering::Acquire) > 0 && !self.has_failed()",
        "self.owed_step_count.load(Ordering::Acquire) > 0",
        &["lib"],
    ),
    tooth(
        "ends that were taken back are forgotten",
        "src/store/ends.rs",
        "if retractions != self.retractions {",
        "if retractions < self.retractions {",
        &["lib", "faults"],
    ),
    tooth(
        "ends are remembered until the index can tell them",
        "src/store/append.rs",
        "if is_usable { index.taken_end().min(visible_end) } else { visible_end }",
        "{\n            let _ = is_usable;\n            visible_end\n        }",
        &["faults"],
    ),
    tooth(
        "what is published before an index joins is kept for it",
        "src/cursor/later.rs",
        "backlog.groups.push((entries.clone(), end));",
        "let _ = (entries.clone(), end);",
        &["lib"],
    ),
    tooth(
        "an index that joins has taken in what is visible",
        "src/cursor/later.rs",
        "index.take_in();",
        "",
        &["lib"],
    ),
    tooth(
        "the index takes in what is visible before it is asked about all of that",
        "src/store/append.rs",
        "index.take_in();",
        "",
        &["faults"],
    ),
    tooth(
        "no sync is believed after one that has failed",
        "src/log/gate.rs",
        "if *has_failed {",
        "if *has_failed && file.base() == crate::types::Position::new(u64::MAX) {",
        &["lib"],
    ),
    tooth(
        "a record is read though one before it in its cell is damaged",
        "src/segment/checked.rs",
        "            && whole.has(start)\n",
        "",
        &["lib"],
    ),
    tooth(
        "a record is read though another of its cell cannot be",
        "src/segment/checked.rs",
        "&& let Ok(Some(whole)) = Self::read_whole(file, start, limit, cell_len)",
        "&& let Some(whole) = Self::read_whole(file, start, limit, cell_len)?",
        &["lib"],
    ),
    tooth(
        "a block that is shared is entered where a record begins",
        "src/segment/blocks.rs",
        "let found = self.kept.get(&cell).filter(|block| block.has(offset));",
        "let found = self.kept.get(&cell);",
        &["lib", "reading"],
    ),
    tooth(
        "an address holds the event that the index says",
        "src/cursor/near.rs",
        "Ok(event.revision() == revision && event.stream_bytes() == stream.as_bytes())",
        "let _ = (event, stream, revision);\n        Ok(true)",
        &["lib"],
    ),
    tooth(
        "a segment that the log lacks is not put down to the index",
        "src/cursor/near.rs",
        "return self.segments.reach(address.segment).map(|()| false);",
        "return Ok(false);",
        &["reading"],
    ),
    tooth(
        "the checkpoint names its store and record",
        "src/store/catch_up.rs",
        "checkpoint.position == end.position && checkpoint.checksum == end.checksum",
        "checkpoint.position == end.position",
        &["recovery"],
    ),
    // One writer, one owner.
    tooth(
        "the lock",
        "src/directory/disk.rs",
        "Err(TryLockError::WouldBlock) => Ok(None),",
        "Err(TryLockError::WouldBlock) => Ok(Some(Box::new(FileLock(file)))),",
        &["bad_input"],
    ),
    tooth(
        "files are for their owner alone",
        "src/directory/disk.rs",
        "const FOLDER_MODE: u32 = 0o700;",
        "const FOLDER_MODE: u32 = 0o755;",
        &["lib"],
    ),
    // Verify and repair.
    tooth(
        "the digest of a sealed segment",
        "src/verify/walk.rs",
        "Ok(digest) if digest == footer.digest => self.found.sealed_count += 1,",
        "Ok(_) if true => self.found.sealed_count += 1,",
        &["verify"],
    ),
    tooth(
        "the index is compared with the log",
        "src/verify/index.rs",
        "if indexed == *logged { Ok(()) }",
        "if indexed == *logged || true { Ok(()) }",
        &["verify"],
    ),
    tooth(
        "a repair is marked while it is under way",
        "src/store/repair/act.rs",
        "self.replace(REPAIRING, b\"\")?;",
        "",
        &["repair"],
    ),
    tooth(
        "a repair keeps what it cuts",
        "src/store/repair/act.rs",
        "names.extend(cut.has_segment.then(|| name_of(cut.end.address.segment)));",
        "",
        &["repair"],
    ),
    // Copies, exports and imports.
    tooth(
        "what a backup has written of an unsealed segment is read again",
        "src/transfer/backup/growing.rs",
        "None => self.check_written(piece, &path, &file)?,",
        "None => {}",
        &["lib"],
    ),
    tooth(
        "a backup ends where the log is known to be durable",
        "src/transfer/backup/original.rs",
        "Ok(is_synced && !has_word)",
        "Ok(is_synced || has_word)",
        &["lib"],
    ),
    tooth(
        "a backup has what is durable and was not noted",
        "src/transfer/backup/original.rs",
        "let is_synced = file.sync().is_ok();",
        "let is_synced = false;",
        &["lib"],
    ),
    tooth(
        "an import goes on where it was",
        "src/transfer/import/known.rs",
        "self.is_over = !is_found;",
        "self.is_over = true;",
        &["moving"],
    ),
    tooth(
        "a line at the place of another event is refused",
        "src/transfer/import/known.rs",
        "is_found = is_same(event, incoming) && is_in_place(event, incoming);",
        "is_found = true;",
        &["moving"],
    ),
    tooth(
        "a bad line takes nothing with it",
        "src/transfer/import/mod.rs",
        "load.append_before_fault(&mut self.progress)?;",
        "",
        &["moving"],
    ),
    tooth(
        "a batch that is not whole is not imported",
        "src/transfer/import/load.rs",
        "return Err(fault.in_line(self.pending.line));",
        "drop(fault.in_line(self.pending.line));",
        &["moving"],
    ),
    tooth(
        "an exported payload is exact",
        "src/inspect/lines/json.rs",
        "json.len() == payload.len() && (",
        "!payload.is_empty() && (",
        &["moving"],
    ),
    tooth(
        "the digest of a segment is that of all its bytes",
        "src/segment/digest.rs",
        "digest.update(header.get(..len).unwrap_or_default());",
        "let _ = len;",
        &["verify"],
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn every_line_that_keeps_a_promise_is_there_once() {
    let page = fs::read_to_string(root().join("docs/durability.md")).unwrap();
    for tooth in TEETH {
        let text = fs::read_to_string(root().join(tooth.file)).unwrap();
        let count = text.matches(tooth.line).count();
        assert_eq!(count, 1, "{}: {:?} is {count} times in {}", tooth.name, tooth.line, tooth.file);
        assert!(page.contains(tooth.name), "docs/durability.md does not list {:?}", tooth.name);
    }
    assert!(TEETH.len() >= 40);
}

#[test]
fn the_tests_notice_when_a_line_that_keeps_a_promise_is_gone() {
    let Ok(wanted) = env::var("ANNALS_TEETH") else { return };
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("teeth");
    let tree = scratch.join("tree");
    let _ = fs::remove_dir_all(&tree);
    copy(root(), &tree);
    let mut toothless = Vec::new();
    for tooth in TEETH.iter().filter(|tooth| wanted == "all" || wanted == tooth.name) {
        let path = tree.join(tooth.file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(tooth.line, tooth.instead)).unwrap();
        let noticed = tooth.noticed_by.iter().find(|test| is_red(&scratch, test));
        fs::write(&path, text).unwrap();
        println!("{}: {}", tooth.name, noticed.map_or("NOT NOTICED", |test| test));
        if noticed.is_none() {
            toothless.push(tooth.name);
        }
    }
    assert_eq!(toothless, [""; 0], "nothing has noticed that these were gone");
}

/// Copies the sources, without what was built.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name());
        if [".git", "target", "corpus"].iter().any(|left_out| name == *left_out) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs::copy(path, to.join(name)).unwrap();
        }
    }
}

fn cargo_test(scratch: &Path, test: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    let which: &[&str] = if test == "lib" { &["--lib"] } else { &["--test", test] };
    command
        .current_dir(scratch.join("tree"))
        .args(["test", "--offline", "--all-features", "--quiet"])
        .args(which)
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        .env("RUSTFLAGS", "--cap-lints=allow")
        .env_remove("ANNALS_TEETH")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

/// Whether these tests fail, or hang. That they do not compile is a mistake in the list.
fn is_red(scratch: &Path, test: &str) -> bool {
    let compiled = cargo_test(scratch, test).arg("--no-run").stderr(Stdio::inherit()).status();
    assert!(compiled.unwrap().success(), "without its line it must compile");
    let mut run = cargo_test(scratch, test).spawn().unwrap();
    let start = Instant::now();
    while start.elapsed() < RUN_TIME_MAX {
        if let Some(status) = run.try_wait().unwrap() {
            return !status.success();
        }
        thread::sleep(Duration::from_millis(50));
    }
    end(&mut run);
    true
}

/// Ends cargo and the test that it runs.
fn end(run: &mut Child) {
    let group = format!("-{}", run.id());
    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    let _ = run.wait();
}
