// The records of a running server go to the journal of its data folder.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "door/service.h"

namespace tamis::app {

// Errors: the folder cannot be written, is in use, or is damaged. Says on stderr what a crash has cut off.
base::Result<std::unique_ptr<door::RecordSink>> open_journal_sink(const std::string& data);

}  // namespace tamis::app
