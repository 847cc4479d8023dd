// Rewriting a journal: for erasing what a person has the right to have erased, and for nothing else. Records keep their
// numbers and places; each may be replaced by another line.
//
// A segment is written anew beside the old one, synced and renamed over it, so that a crash leaves each segment as it
// was or as it is to be; doing it once more finishes it, and removes what the crash has left of the new one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tamis::journal {

struct Rewritten {
  uint64_t records = 0;   // looked at
  uint64_t replaced = 0;  // of them
  uint64_t segments = 0;  // written anew
};

// Called for each record; true: `replacement` (empty when it is called) takes its place: one line without its end.
using Rewrite = std::function<base::Result<bool>(std::string_view line, std::string& replacement)>;

// Looks at all segments that begin before record `before`; they must not be written to any more (JournalWriter::roll()
// and sync() see to that). Segments in which nothing is replaced stay as they are. Errors: damage, I/O, and whatever
// `rewrite` gives; segments before are done then.
base::Result<Rewritten> rewrite_journal(const std::string& folder, uint64_t before, const Rewrite& rewrite);

}  // namespace tamis::journal
