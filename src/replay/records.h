// Records: what the journal of a data folder holds, as text. One place writes them, one reads them.
//
//   {"n":17,"t":1772409854257,"k":"event","type":"signup","e":{...}}   an event; "type" is "" where the JSON names it
//   {"n":23,"t":...,"k":"import","type":"","e":{...}}                  likewise, but of the past: nothing of it leaves
//   {"n":18,"t":...,"k":"policy","version":"95211383a180f1e9"}         the policy that decides from here on; with
//                                                                      "from":1 its new features were filled from the
//                                                                      events since record 1
//   {"n":19,"t":...,"k":"act","act":{...}}                             what a person did (engine/act.h)
//   {"n":20,"t":...,"k":"intel","version":"0011223344556677"}          the network facts that events get from here on
//   {"n":21,"t":...,"k":"past","type":"signup","e":{...}}              an event that is only kept: it came from before
//                                                                      the time of the data folder
//   {"n":23,"t":...,"k":"erased"}                                      what stood here was of a person who was erased,
//                                                                      or a `past` event whose raw days are over
//   {"n":24,"t":...,"k":"forget","before":MS,"part":0,"parts":1}       features lose the private values of before that
//                                                                      time, of one part of their keys
//   {"n":22,"t":...,"k":"batch","batch":{...}}                         a step of an action batch (action/batch.h)
//
// `t` is the receive time in milliseconds since the epoch. The content of a policy is kept beside the journal, in
// FOLDER/policies/VERSION.json: {"files": {NAME: TEXT}}, that of network facts in FOLDER/intel/VERSION/*.csv.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "event/derive.h"
#include "policy/policy.h"

namespace tamis::replay {

inline std::string journal_folder(const std::string& data) { return data + "/journal"; }

// Appends a record to `out`, without a line break. Line breaks in `json` (legal only between its tokens) become blanks.
void write_event(uint64_t number, int64_t receive_ms, std::string_view type, std::string_view json, std::string& out);
void write_import(uint64_t number, int64_t receive_ms, std::string_view type, std::string_view json, std::string& out);
void write_past(uint64_t number, int64_t receive_ms, std::string_view type, std::string_view json, std::string& out);
// `filled_from`: 0, or the number of the first record that new features were filled from.
void write_policy(uint64_t number, int64_t receive_ms, std::string_view version, uint64_t filled_from,
                  std::string& out);
void write_batch(uint64_t number, int64_t receive_ms, std::string_view json, std::string& out);
void write_intel(uint64_t number, int64_t receive_ms, std::string_view version, std::string& out);
void write_erased(uint64_t number, int64_t receive_ms, std::string& out);
void write_forget(uint64_t number, int64_t receive_ms, int64_t before_ms, uint32_t part, uint32_t parts,
                  std::string& out);
void write_act(uint64_t number, int64_t receive_ms, std::string_view act_json, std::string& out);

struct Record {
  enum class Kind : uint8_t { kEvent, kPolicy, kAct, kIntel, kPast, kBatch, kErased, kForget };
  Kind kind = Kind::kEvent;
  uint64_t number = 0;
  int64_t receive_ms = 0;
  std::string_view type;     // kEvent, kPast
  std::string_view json;     // kEvent, kPast, kAct, kBatch
  std::string_view version;  // kPolicy, kIntel
  uint64_t filled_from = 0;  // kPolicy
  bool imported = false;     // kEvent: decided as if it had arrived live, but it is of the past
  int64_t before_ms = 0;     // kForget
  uint32_t part = 0, parts = 1;
};
// Views point into `line`. Errors: not a record, as written by the functions above.
base::Result<Record> read_record(std::string_view line);

// Keeps a policy's files under its version; durable when it returns. Does nothing if it is there already.
base::Status keep_policy(const std::string& data, const std::string& version,
                         const std::vector<policy::SourceFile>& files);
base::Result<std::vector<policy::SourceFile>> kept_policy(const std::string& data, const std::string& version);
// The same, compiled. Errors: it is not there, was changed, or does not compile any more.
base::Result<std::shared_ptr<const policy::Policy>> compile_kept_policy(const std::string& data,
                                                                        const std::string& version);

// Keeps the tables of network facts under a hash of their contents, which is given back.
base::Result<std::string> keep_intel(const std::string& data, const std::vector<std::string>& csv_files);
// Errors: they are not there, or were changed.
base::Result<std::shared_ptr<const event::NetworkIntel>> kept_intel(const std::string& data, const std::string& version,
                                                                    const std::vector<std::string>& names = {});

}  // namespace tamis::replay
