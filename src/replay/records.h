// Records: what the journal of a data folder holds, as text. One place writes them, one reads them.
//
//   {"n":17,"t":1772409854257,"k":"event","type":"signup","e":{...}}   an event; "type" is "" where the JSON names it
//   {"n":18,"t":...,"k":"policy","version":"95211383a180f1e9"}         the policy that decides from here on
//   {"n":19,"t":...,"k":"act","act":{...}}                             what a person did (engine/act.h)
//
// `t` is the receive time in milliseconds since the epoch. The content of a policy is kept beside the journal, in
// FOLDER/policies/VERSION.json: {"files": {NAME: TEXT}}.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/policy.h"

namespace tamis::replay {

inline std::string journal_folder(const std::string& data) { return data + "/journal"; }

// Appends a record to `out`, without a line break. Line breaks in `json` (legal only between its tokens) become blanks.
void write_event(uint64_t number, int64_t receive_ms, std::string_view type, std::string_view json, std::string& out);
void write_policy(uint64_t number, int64_t receive_ms, std::string_view version, std::string& out);
void write_act(uint64_t number, int64_t receive_ms, std::string_view act_json, std::string& out);

struct Record {
  enum class Kind : uint8_t { kEvent, kPolicy, kAct };
  Kind kind = Kind::kEvent;
  uint64_t number = 0;
  int64_t receive_ms = 0;
  std::string_view type;     // kEvent
  std::string_view json;     // kEvent, kAct
  std::string_view version;  // kPolicy
};
// Views point into `line`. Errors: not a record, as written by the functions above.
base::Result<Record> read_record(std::string_view line);

// Keeps a policy's files under its version; durable when it returns. Does nothing if it is there already.
base::Status keep_policy(const std::string& data, const std::string& version,
                         const std::vector<policy::SourceFile>& files);
base::Result<std::vector<policy::SourceFile>> kept_policy(const std::string& data, const std::string& version);

}  // namespace tamis::replay
