// Erasing a person: everything that a data folder holds of one entity. The right is the person's (for one, article 17
// of the GDPR); the report says what there was.
//
// What goes: labels and run-time list entries of the entity; the keys of features that are made of it, and keys of
// others where a value of its events is remembered that is private or names an entity; ids of its events; its events in
// journal (a record {"n","t","k":"erased"} stays, so numbers stay) and archive; acts of people on it; texts of the
// audit trail that name it (the chain of hashes stays whole); snapshots, of which a new one is made. Features of other
// keys keep having counted its events: a number names nobody.
//
// A value of another kind that others have brought, too (the address of a household), is not told from the person's: a
// key that holds it is forgotten if an event of the person fed it, whoever else did, and stays if none did.
//
// What stays: entries of the policy's own files, which the report names, since they are the policy's; the entity under
// another kind (the mail address of an account is an entity of its own); and events that arrive while it runs.
//
// Action batches and notices that wait in the outbox are told by whoever has them open (EraseOptions::rest).
//
// What lies beside may know events by their ids, which are gone afterwards: hashes of them wait in
// FOLDER/erasing.events (type, a tab, base::hash64 of the id in hex, a line each) until all of it is done.
//
// Each step leaves the folder whole, and doing all of it once more does nothing to what is done already. What is being
// erased stands in FOLDER/erasing.json until all of it is done, so that DataFolder::recover() finishes what a crash cut
// off before anybody is served, and the doors what lies beside (erasure_to_finish). Journal records from before the new
// snapshot no longer give the same state when they are replayed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/policy.h"
#include "replay/data_folder.h"

namespace tamis::replay {

struct ErasedReport {
  uint64_t labels = 0, list_entries = 0;
  uint64_t feature_keys = 0;  // made of the value
  // Of other keys, which held a value of the person's events (an address, a device) and were forgotten as a whole,
  // since what others brought there cannot be told apart.
  uint64_t others_keys = 0;
  uint64_t journal_records = 0, journal_segments = 0;
  uint64_t archive_rows = 0;
  uint64_t audit_lines = 0;
  uint64_t snapshots = 0;             // removed
  uint64_t snapshot = 0;              // the record that the new one covers
  std::vector<std::string> policies;  // versions whose files name the value: it has to be taken out there
};

struct EraseOptions {
  // Secrets of the days whose values are tokens (archive/archive.h); none: values only.
  std::function<std::string(std::string_view day)> key_of_day = [](std::string_view) { return std::string(); };
  // What lies beside the folder's own parts (action batches, the outbox, ...): takes `value` out there. A part of the
  // same erasure: the note stays until it is done.
  std::function<base::Status(const std::string& value)> rest;
  // Called with the number of records read; false stops with an error.
  std::function<bool(uint64_t)> keep_going = [](uint64_t) { return true; };
};

// `on` is an entity kind of the policy and `value` canonical (replay/standing.h). One at a time. Cost: a pass over the
// whole journal, two microseconds an event, and a rewriting of what is concerned.
base::Result<ErasedReport> erase_entity(DataFolder& folder, const DataFolder::WithEngine& with_engine,
                                        const std::shared_ptr<const policy::Policy>& policy, const std::string& on,
                                        const std::string& value, const EraseOptions& options = {});

// Finishes what a crash or an error cut off, if there is anything; says so in words, empty if not. The engine is where
// the journal ends, and nothing else uses the folder. The note stays until somebody has done the rest, too.
base::Result<std::string> finish_erasure(DataFolder& folder, engine::Engine& engine);

// The value whose erasure is to be finished in what lies beside (EraseOptions::rest), before anybody is served; then
// erasure_finished(). Empty: there is none.
base::Result<std::string> erasure_to_finish(const DataFolder& folder);
base::Status erasure_finished(const DataFolder& folder);
// Hashes (base::hash64) of the ids of this type's events that the erasure at hand concerns, those of an attempt that
// was cut off included.
base::Result<std::vector<uint64_t>> erased_events(const DataFolder& folder, std::string_view type);

}  // namespace tamis::replay
