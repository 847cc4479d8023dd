// The secrets of a data folder: FOLDER/keys/, which its owner alone can read. Keep it out of backups, or apart from
// them: without it neither tokens nor the state of detectors say whose they are.
//
//   YYYY-MM-DD.key   32 random bytes: of tokens of a day's events, so that they do not join a person's days together.
//                    Destroyed with the last of its day's events: then nobody can tell any more whose token it was
//   state.key        16 random bytes, made with the folder: of what detectors know of accounts (EngineOptions). Without
//                    it snapshots do not give that back, and detectors begin anew
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/siphash.h"

namespace tamis::replay {

// The secret of a day ("2026-11-21") for tokens; made when it is first asked for. Empty: it cannot be made or read.
std::string key_of_day(const std::string& data, std::string_view day);
// The secrets that there are, by day, newest first; none is made.
std::vector<std::string> kept_keys(const std::string& data);
// Destroys the secrets of days before `oldest` ("YYYY-MM-DD"); gives how many there were.
uint64_t destroy_keys(const std::string& data, const std::string& oldest);

struct StateKey {
  base::SipKey key{};
  bool is_new = false;  // made by this call
};
// Makes it if it is not there. Errors: no access, or the file is not 16 bytes long.
base::Result<StateKey> make_state_key(const std::string& data);
// For whoever only reads a folder: zeros where there is none, as engines without a folder have it.
base::Result<base::SipKey> kept_state_key(const std::string& data);

}  // namespace tamis::replay
