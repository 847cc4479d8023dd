// ReplayCheckpoint: where a long replay is, so that it can go on after it was interrupted or killed: the engine's whole
// state and what the caller has of its own (how far it read and wrote), in one file of the form of a snapshot
// (replay/snapshot.h). Its first line is {"format":"tamis replay 1","run":TEXT,"policy":VERSION,"own":N}; N pieces of
// the caller's follow, then those of the engine. Replaced as a whole: after a crash the one before is there.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "replay/snapshot.h"

namespace tamis::replay {

struct ReplayCheckpoint {
  std::string run;     // what is replayed and how; a checkpoint of another run is of no use. At most 2 KiB
  std::string policy;  // the version that decides
  std::string own;     // the caller's state, in a form of its own
};

// Writes the file and syncs it. The engine has a policy. Takes as long as all of its state takes.
base::Status write_checkpoint(const std::string& path, const ReplayCheckpoint& checkpoint, engine::Engine& engine);

class CheckpointReader {
 public:
  // Errors: no such file (kNotFound), damage, with file and offset; another run than `run`, in words that name both.
  static base::Result<std::unique_ptr<CheckpointReader>> open(const std::string& path, const std::string& run);
  const ReplayCheckpoint& checkpoint() const { return checkpoint_; }
  // Into a fresh engine in which the checkpoint's policy was activated. Once.
  base::Status restore(engine::Engine& engine);

 private:
  ReplayCheckpoint checkpoint_;
  std::unique_ptr<SnapshotReader> file_;
};

}  // namespace tamis::replay
