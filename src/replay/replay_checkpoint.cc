#include "replay/replay_checkpoint.h"

#include <filesystem>

#include "base/arena.h"
#include "event/json_event.h"
#include "event/json_writer.h"

namespace tamis::replay {
namespace {

using event::Kind;
using event::Value;

constexpr std::string_view kFormat = "tamis replay 1";
constexpr size_t kRunBytesMax = 2048;
constexpr size_t kOwnPieceBytes = 16 << 20;
constexpr int64_t kOwnPiecesMax = 4096;

std::string text_of(Value map, std::string_view key) {
  const Value* v = event::map_find(*map.map, Value::string(key));
  return v != nullptr && v->is(Kind::kString) ? std::string(v->str()) : std::string();
}

}  // namespace

base::Status write_checkpoint(const std::string& path, const ReplayCheckpoint& checkpoint, engine::Engine& engine) {
  if (checkpoint.run.size() > kRunBytesMax) return base::invalid("the description of the run is too long");
  const size_t pieces = (checkpoint.own.size() + kOwnPieceBytes - 1) / kOwnPieceBytes;
  std::string line;
  event::JsonWriter json(line);
  json.begin_object().key("format").string(kFormat).key("run").string(checkpoint.run);
  json.key("policy").string(checkpoint.policy).key("own").uinteger(pieces).end_object();
  TAMIS_TRY(writer, SnapshotWriter::create_at(path, line));
  std::string_view own = checkpoint.own;
  for (size_t i = 0; i < pieces; ++i) TAMIS_CHECK(writer->piece(own.substr(i * kOwnPieceBytes, kOwnPieceBytes)));
  engine.begin_snapshot();
  std::string piece;
  while (true) {
    piece.clear();
    const bool more = engine.snapshot_piece(piece);
    base::Status written = piece.empty() ? base::Status() : writer->piece(piece);
    if (!written) {
      engine.abandon_snapshot();
      return written;
    }
    if (!more) break;
  }
  return writer->finish();
}

base::Result<std::unique_ptr<CheckpointReader>> CheckpointReader::open(const std::string& path,
                                                                       const std::string& run) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return base::fail(base::Code::kNotFound, "there is no " + path);
  auto reader = std::make_unique<CheckpointReader>();
  std::string line;
  TAMIS_TRY(file, SnapshotReader::open_at(path, line));
  reader->file_ = std::move(file);
  base::Arena arena;
  auto head = event::JsonReader::to_value(line, arena);
  if (!head || !head->is(Kind::kMap) || text_of(*head, "format") != kFormat) {
    return base::invalid(path + " is not a checkpoint of a replay by this version");
  }
  reader->checkpoint_.run = text_of(*head, "run");
  reader->checkpoint_.policy = text_of(*head, "policy");
  if (reader->checkpoint_.run != run) {
    return base::invalid(path + " is of a run with other arguments (" + reader->checkpoint_.run + ", now " + run +
                         "): begin anew, without --resume");
  }
  const Value* pieces = event::map_find(*head->map, Value::string("own"));
  if (pieces == nullptr || !pieces->is(Kind::kInt) || pieces->i < 0 || pieces->i > kOwnPiecesMax) {
    return base::invalid(path + ": its first line is damaged");
  }
  std::string piece;
  for (int64_t i = 0; i < pieces->i; ++i) {
    TAMIS_TRY(more, reader->file_->next(piece));
    if (!more) return base::invalid(path + ": a piece is missing");
    reader->checkpoint_.own += piece;
  }
  return reader;
}

base::Status CheckpointReader::restore(engine::Engine& engine) {
  return engine.restore([this](std::string& piece) { return file_->next(piece); });
}

}  // namespace tamis::replay
